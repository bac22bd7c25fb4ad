//! A thread of this process that does not turn: what there is to say of it, and who is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::process::{self, ParentHandle, WatchEvents, Watching};
use crate::host::Beat;
use crate::proto::blocked::Blocked;
use crate::proto::control::ControlMessage;
use crate::sys;

/// How long the thread may take to say in which functions it is.
const ANSWER: Duration = Duration::from_millis(200);
/// The most of them that are told.
const DEPTH: usize = 24;

/// Has the control thread look at the pulse of this thread, if it has one, until the result is dropped. `parent` is told when it
/// does not turn; a root says so itself.
pub(super) fn watch(path: &str, parent: Option<ParentHandle>) -> Option<Watching> {
    let beat = crate::host::here()?;
    let id = process::watch_id();
    let watched = Watched { id, path: path.to_owned(), beat: beat.clone(), parent };
    // Without a control thread there is no tree either.
    process::watch(id, beat, Arc::new(watched)).ok()
}

struct Watched {
    id: u64,
    path: String,
    beat: Arc<Beat>,
    parent: Option<ParentHandle>,
}

impl WatchEvents for Watched {
    fn blocked(&self, turn: u64, time: Duration) {
        let (id, beat) = (self.id, self.beat.clone());
        // Looking up names takes time and memory, which the control thread has not. Without a thread nothing is said.
        let _ = on_a_thread(move || process::found(id, turn, look_at(&beat, time)));
    }

    fn told(&self, blocked: Option<Blocked>) {
        match (&self.parent, blocked) {
            // It fits: its parts are bounded.
            (Some(parent), blocked) => drop(parent.send(&ControlMessage::Blocked(blocked.map(Box::new)))),
            (None, Some(blocked)) => {
                let path = self.path.clone();
                let _ = on_a_thread(move || warn(&path, std::process::id(), &blocked));
            }
            (None, None) => {}
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("path", &self.path).finish_non_exhaustive()
    }
}

fn on_a_thread(work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("pleach-watchdog".into()).spawn(work).map(drop)
}

/// Says that the thread of an actor does not turn.
pub(super) fn warn(path: &str, pid: u32, blocked: &Blocked) {
    tracing::warn!(
        "the thread of {path} (pid {pid}) is {blocked}\n   its tasks stand still meanwhile: run what blocks on a thread of its own"
    );
}

/// What the thread is doing.
fn look_at(beat: &Beat, time: Duration) -> Blocked {
    let task = beat.job().map(str::to_owned);
    let state = state_of(beat.thread());
    let mut stack = sys::stack_of(beat.thread(), ANSWER);
    stack.truncate(DEPTH);
    stack.iter_mut().for_each(|line| line.truncate(line.floor_char_boundary(400)));
    Blocked { task, time, state, stack }
}

/// What the kernel says of a thread of this process.
fn state_of(thread: i32) -> String {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/self/task/{thread}/{file}")).unwrap_or_default();
    let state = read("stat").rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    match (state, read("wchan").as_str()) {
        (Some('R'), _) => "runs".to_owned(),
        (_, "" | "0") => "waits in the kernel".to_owned(),
        (_, function) => format!("waits in the kernel, in {function}"),
    }
}
