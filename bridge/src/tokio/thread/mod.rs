//! A tokio runtime on a thread of its own, which belongs to one scope and ends with it, and all that it has spawned.
//!
//! [`jobs`] brings tasks to the thread, [`life`] is the thread from its start to its last word, [`remains`] ends what
//! foreign code has left behind, [`opener`] is the scope's side.

mod jobs;
mod leaked;
mod life;
mod opener;
mod proc;
mod processes;
mod remains;
mod start;

use std::future::Future;
use std::time::Duration;

use pleach::Result;
use pleach::dialog::{Options, converse};

pub use self::jobs::Foreign;
pub use self::leaked::{Leaked, LeakedProcess, OnLeak};
pub use self::opener::stragglers;
use self::opener::{DropWait, Shared, ThreadOpener};
pub use self::start::LoopFailed;
use crate::Placement;

/// How long foreign code may take to be gone once its scope is over.
const DEADLINE: Duration = Duration::from_secs(1);
/// How long a drop waits outside every scope.
const DROP_WAIT: Duration = Duration::from_millis(50);
/// What the thread takes beyond the deadline to see that what it has killed is dead, and to say so.
const LAST_LOOK: Duration = Duration::from_millis(250);

/// A foreign loop that is started for a scope and ended with it, see [`Tokio::thread`](super::Tokio::thread).
///
/// When the scope completes, everything that ran in it has ended: linked and called tasks, tasks that they detached,
/// threads of tokio and unnamed threads of foreign code, processes that any of these threads has started and the
/// descendants of those. What could not be ended, and what had to be killed, is named in [`Leaked`].
///
/// Not seen are threads to which foreign code gave a name, and processes that were given to `init` or whose thread
/// of this kind has ended.
#[derive(Clone, Copy, Debug)]
#[must_use = "it starts nothing: give it to `run`, `foreign` or `open_link`"]
pub struct Thread {
    workers: usize,
    deadline: Duration,
    drop_wait: Duration,
    strict: bool,
    on_leak: OnLeak,
}

impl Thread {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers, deadline: DEADLINE, drop_wait: DROP_WAIT, strict: false, on_leak: OnLeak::Error }
    }

    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// How long foreign code may take to be gone once its scope is over; 1 s by default. Processes have half of it to
    /// end after SIGTERM; then comes SIGKILL.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = limit;
        self
    }

    /// How long a drop of the scope's future waits for its end where no scope of the tree is around to do so, as in plain
    /// `smol::block_on`; 50 ms by default. What is still there afterwards is counted in [`stragglers`].
    pub fn drop_wait(mut self, limit: Duration) -> Self {
        self.drop_wait = limit;
        self
    }

    /// What becomes of a scope that [`Leaked`]; an error by default.
    pub fn on_leak(mut self, policy: OnLeak) -> Self {
        self.on_leak = policy;
        self
    }

    /// Counts as leaked also what has ended without being killed: tasks that were still there and were dropped, and
    /// threads that blocked on for a while. Many well-behaved libraries leave such tasks, for one the pools of their connections.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }
}

impl Placement for Thread {
    type Loop = Foreign;

    async fn scope<B, Fut, T>(self, body: B) -> Result<T>
    where
        B: FnOnce(Foreign) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let shared = Shared::new(self.strict);
        life::start(self.workers, self.deadline, &shared)?;
        let drop_wait = DropWait::new(&shared, self.drop_wait);
        let opener = ThreadOpener::new(&shared, self.on_leak);
        let options =
            Options { grace: self.deadline.saturating_add(LAST_LOOK), abort: Duration::ZERO, ..Options::default() };
        let foreign = Foreign::new(shared.clone());
        let outcome = converse(opener, options, |()| body(foreign)).await;
        drop_wait.disarm();
        if let Err(error) = &outcome
            && self.on_leak == OnLeak::EndActor
            && !shared.has_ended()
        {
            pleach::actor::end_actor(error);
        }
        outcome
    }
}
