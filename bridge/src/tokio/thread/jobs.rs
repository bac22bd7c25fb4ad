//! How foreign tasks come to the thread of their scope.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pleach::error::Closed;
use pleach::{Error, Result};
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::opener::{Shared, lock, wake};
use crate::drops::Watch;
use crate::tokio::here;
use crate::{ForeignLoop, ForeignTask, Translated, call};

/// Turns that the loop still gets when its scope is over: tasks that were aborted, or whose client is gone, need one to end.
const TURNS: usize = 16;
/// What a worker may take for one.
const TURN: Duration = Duration::from_millis(1);

/// A foreign scope that is open: pieces of tokio code run in it, and links are opened to it. Clones are the same scope.
#[derive(Clone)]
pub struct Foreign {
    shared: Arc<Shared>,
}

impl Foreign {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Runs one piece of tokio code in this scope, see [`run`](crate::run).
    ///
    /// # Errors
    /// Those of [`run`](crate::run); [`Closed`] if the scope is over.
    ///
    /// # Cancel safety
    /// That of [`run`](crate::run).
    pub async fn run<F, Fut, T>(&self, work: F) -> Result<T>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>> + 'static,
        T: Send + 'static,
    {
        call(self.clone(), work).await
    }
}

impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign").field("thread", &self.shared.name()).finish_non_exhaustive()
    }
}

impl ForeignLoop for Foreign {
    fn start(&self, task: ForeignTask) -> Result<()> {
        if self.shared.jobs().push(Job(task)) { Ok(()) } else { Err(Closed.into()) }
    }

    fn noun(&self) -> &'static str {
        "tokio task"
    }

    fn translate(error: Error) -> Translated {
        here::translate(error)
    }
}

/// A foreign task on its way to the thread.
struct Job(ForeignTask);

impl Job {
    /// Starts it on the loop of this thread.
    fn begin(self, tally: &Rc<Tally>) {
        drop(tokio::task::spawn_local(Owned::new((self.0)(), tally)));
    }

    /// Drops what it would have run, as a task that was made: a panic of that is its outcome, and nobody else's.
    fn discard(self) {
        drop((self.0)());
    }
}

/// The way to the thread, until the scope closes it.
#[derive(Default)]
pub(super) struct Jobs(Mutex<JobsState>);

#[derive(Default)]
struct JobsState {
    waiting: VecDeque<Job>,
    dispatcher: Option<Waker>,
    closed: bool,
}

impl Jobs {
    /// False if the scope is over.
    fn push(&self, job: Job) -> bool {
        let dispatcher = {
            let mut state = lock(&self.0);
            if state.closed {
                return false;
            }
            state.waiting.push_back(job);
            state.dispatcher.take()
        };
        wake(dispatcher);
        true
    }

    /// Nothing more is started, and the thread begins to end.
    pub(super) fn close(&self) {
        let (waiting, dispatcher) = {
            let mut state = lock(&self.0);
            state.closed = true;
            (std::mem::take(&mut state.waiting), state.dispatcher.take())
        };
        // First: nothing that a task does when it is dropped may keep the thread from hearing of the end.
        wake(dispatcher);
        waiting.into_iter().for_each(Job::discard);
    }

    /// Gives what waits to be started, in place of the empty `batch`; false if the scope is over. What is sent after that
    /// wakes the dispatcher once more.
    fn take(&self, dispatcher: &Waker, batch: &mut VecDeque<Job>) -> bool {
        let mut state = lock(&self.0);
        if state.closed {
            return false;
        }
        if state.dispatcher.is_none() {
            state.dispatcher = Some(dispatcher.clone());
        }
        std::mem::swap(&mut state.waiting, batch);
        true
    }
}

/// What was left on the loop when its scope was over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tasks {
    /// Tasks that belonged to no link and no call.
    pub(super) detached: usize,
    /// How many of them were spawned while a linked or called task was being dropped.
    pub(super) by_drops: usize,
}

/// Starts what is sent, until the scope is over, and says what is left then. `counted` says whether the loop counts the tasks that are started here.
pub(super) async fn dispatch(jobs: &Jobs, counted: bool) -> Tasks {
    let tally = Rc::new(Tally { metrics: Handle::current().metrics(), linked: Cell::new(0) });
    let drops = Watch::new({
        let tally = tally.clone();
        move || tally.alive()
    });
    let mut batch = VecDeque::new();
    poll_fn(|cx| {
        if !jobs.take(cx.waker(), &mut batch) {
            return Poll::Ready(());
        }
        batch.drain(..).for_each(|job| job.begin(&tally));
        Poll::Pending
    })
    .await;
    for _ in 0..TURNS {
        if tally.alive() == 0 && tally.linked.get() == 0 {
            break;
        }
        if counted {
            yield_now().await;
        } else {
            // The turns of its workers are not ours.
            sleep(TURN).await;
        }
    }
    let owned = if counted { tally.linked.get() } else { 0 };
    let detached = tally.alive().saturating_sub(owned);
    Tasks { detached, by_drops: drops.spawned().min(detached) }
}

/// Who runs on the loop.
struct Tally {
    metrics: RuntimeMetrics,
    /// Tasks of links and calls.
    linked: Cell<usize>,
}

impl Tally {
    fn alive(&self) -> usize {
        self.metrics.num_alive_tasks()
    }
}

/// The task of a link or a call, which is counted.
struct Owned {
    task: Pin<Box<dyn Future<Output = ()>>>,
    tally: Rc<Tally>,
}

impl Owned {
    fn new(task: Pin<Box<dyn Future<Output = ()>>>, tally: &Rc<Tally>) -> Self {
        tally.linked.set(tally.linked.get() + 1);
        Self { task, tally: tally.clone() }
    }
}

impl Future for Owned {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.task.as_mut().poll(cx)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.tally.linked.set(self.tally.linked.get() - 1);
    }
}
