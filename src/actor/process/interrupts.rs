//! SIGINT and SIGTERM at a root: the first asks, the second takes the grace away, the third kills.
//!
//! They are counted on the control thread, so that no code of the user's can keep them from having their effect.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};

use super::control::{Command, Control, control};
use super::ladder::later;
use crate::sys::{self, Interruptible};

/// How long a root may take to end once its grace was taken away: as long as the steps that end its actors. One that has
/// not ended by then is blocked.
const BLOCKED: Duration = Duration::from_secs(4);
/// How long the control thread may take to answer.
const ANSWER: Duration = Duration::from_secs(3);

/// What a root is told. Called on the control thread: an implementation hands on and returns.
pub(crate) trait RootEvents: Send + Sync + 'static {
    /// This signal asks the tree to end.
    fn interrupted(&self, signal: i32);

    /// Another one: there is no grace left.
    fn hurried(&self);
}

/// What an interrupt means, by how many came before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Ask(i32),
    Hurry,
    Kill,
}

/// The roots of this process, as the control thread knows them.
#[derive(Default)]
pub(super) struct Interrupts {
    pipe: Option<&'static OwnedFd>,
    roots: BTreeMap<u64, Arc<dyn RootEvents>>,
    /// How many came since the first of these roots was there.
    count: u32,
    kill_at: Option<Instant>,
}

impl Interrupts {
    pub(super) fn root(&mut self, id: u64, pipe: &'static OwnedFd, events: Arc<dyn RootEvents>) {
        self.pipe = Some(pipe);
        self.roots.insert(id, events);
    }

    pub(super) fn ended(&mut self, id: u64) {
        self.roots.remove(&id);
        if self.roots.is_empty() {
            (self.count, self.kill_at) = (0, None);
        }
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'static>> {
        self.pipe.map(AsFd::as_fd)
    }

    /// When a root that was hurried has had its time.
    pub(super) fn due(&self) -> Option<Instant> {
        self.kill_at
    }

    /// The next interrupt, if one came, of which the roots have been told.
    pub(super) fn next(&mut self, now: Instant) -> Option<Step> {
        let mut number = [0];
        let read = rustix::io::read(self.pipe?, &mut number);
        if read != Ok(1) {
            return None;
        }
        let step = self.step(number[0].into());
        match step {
            Step::Ask(signal) => self.roots.values().for_each(|root| root.interrupted(signal)),
            Step::Hurry => {
                self.roots.values().for_each(|root| root.hurried());
                self.kill_at = (!self.roots.is_empty()).then(|| later(now, BLOCKED));
            }
            Step::Kill => {}
        }
        // One that came when the last root had just ended is nobody's.
        Some(step).filter(|_| !self.roots.is_empty())
    }

    fn step(&mut self, signal: i32) -> Step {
        self.count = if self.roots.is_empty() { 0 } else { self.count + 1 };
        match self.count {
            0 | 1 => Step::Ask(signal),
            2 => Step::Hurry,
            _ => Step::Kill,
        }
    }
}

/// Ends this process alone: whoever shares its group was not started by it.
pub(super) fn die_alone() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}

/// As long as it is there, a root hears of interrupts, and the process does not die of them.
pub(crate) struct RootGuard {
    id: u64,
    control: &'static Control,
    _interruptible: Interruptible,
}

impl fmt::Debug for RootGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RootGuard").field(&self.id).finish()
    }
}

/// From here on `events` hears of SIGINT and SIGTERM.
///
/// # Errors
/// If the control thread cannot be started, or a signal not be handled.
pub(crate) fn guard_root(events: Arc<dyn RootEvents>) -> io::Result<RootGuard> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let pipe = sys::interrupts()?;
    let control = control()?;
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    // A signal must find the root there, or it would be lost.
    ask(control, |done| Command::Root { id, pipe, events, done }, ANSWER)?;
    Ok(RootGuard { id, control, _interruptible: Interruptible::new() })
}

impl RootGuard {
    /// Waits until every child of this process is reaped, for `bound` at most.
    pub(crate) fn wait_for_children(&self, bound: Duration) {
        // If they cannot be ended by then, nobody can do anything about it.
        let _ = ask(self.control, Command::WhenEmpty, bound);
    }
}

impl Drop for RootGuard {
    fn drop(&mut self) {
        self.control.push(Command::RootEnded(self.id));
    }
}

fn ask(control: &Control, command: impl FnOnce(SyncSender<()>) -> Command, bound: Duration) -> io::Result<()> {
    let (done, answer) = sync_channel(1);
    control.push(command(done));
    answer.recv_timeout(bound).map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the control thread is late"))
}
