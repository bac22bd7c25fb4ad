//! A tokio runtime on a thread of its own, which belongs to one scope.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use pleach::dialog::{Opener, Options, converse};
use pleach::error::{Closed, Reason};
use pleach::{Error, Result};
use tokio::runtime::{Builder, LocalOptions, Runtime};
use tokio::task::{AbortHandle, LocalSet};

use crate::{Abort, ForeignLoop, ForeignTask, Placement, Translated, call};

/// How long the thread may take to end once its scope has.
const DEADLINE: Duration = Duration::from_secs(1);

/// A foreign loop that is started for a scope and ended with it, see [`Tokio::thread`](super::Tokio::thread).
#[derive(Clone, Copy, Debug)]
#[must_use = "it starts nothing: give it to `run`, `foreign` or `open_link`"]
pub struct Thread {
    workers: usize,
    deadline: Duration,
}

impl Thread {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers, deadline: DEADLINE }
    }

    /// How long the thread may take to end once its scope has; 1 s by default.
    pub fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = limit;
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
        let shared = Arc::new(Mutex::new(Shared::default()));
        let foreign = Foreign { shared: shared.clone() };
        let theirs = shared.clone();
        let workers = self.workers;
        thread::Builder::new().name("pleach-tokio".to_owned()).spawn(move || live(workers, &theirs))?;
        let options = Options { grace: self.deadline, abort: Duration::ZERO, ..Options::default() };
        converse(ThreadOpener { shared }, options, |()| body(foreign)).await
    }
}

/// A foreign scope that is open: pieces of tokio code run in it, and links are opened to it. Clones are the same scope.
#[derive(Clone)]
pub struct Foreign {
    shared: Arc<Mutex<Shared>>,
}

impl Foreign {
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
        f.debug_struct("Foreign").finish_non_exhaustive()
    }
}

impl ForeignLoop for Foreign {
    fn start(&self, task: ForeignTask) -> Result<Box<dyn Abort>> {
        let state = Arc::new(Mutex::new(JobState::Waiting));
        let waker = {
            let mut shared = lock(&self.shared);
            if shared.stopped {
                return Err(Closed.into());
            }
            shared.jobs.push_back(Job { task, state: state.clone() });
            shared.dispatcher.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(Box::new(JobAbort(state)))
    }

    fn noun(&self) -> &'static str {
        "tokio task"
    }

    fn translate(error: Error) -> Translated {
        super::here::translate(error)
    }
}

/// A foreign task on its way to the thread.
struct Job {
    task: ForeignTask,
    state: Arc<Mutex<JobState>>,
}

enum JobState {
    Waiting,
    Running(AbortHandle),
    Aborted,
}

struct JobAbort(Arc<Mutex<JobState>>);

impl Abort for JobAbort {
    fn abort(&self) {
        let before = std::mem::replace(&mut *lock(&self.0), JobState::Aborted);
        if let JobState::Running(handle) = before {
            handle.abort();
        }
    }
}

/// What the scope and its thread have in common.
#[derive(Default)]
struct Shared {
    jobs: VecDeque<Job>,
    dispatcher: Option<Waker>,
    opener: Option<Waker>,
    up: bool,
    /// The scope wants it to end.
    stopped: bool,
    ended: Option<Result<()>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The life of the thread.
fn live(workers: usize, shared: &Arc<Mutex<Shared>>) {
    let ended = catch_unwind(AssertUnwindSafe(|| serve(workers, shared)));
    let ended = ended.unwrap_or_else(|payload: Box<dyn Any + Send>| Err(Error::from_panic(payload)));
    let opener = {
        let mut shared = lock(shared);
        shared.stopped = true;
        shared.ended = Some(ended);
        shared.opener.take()
    };
    if let Some(opener) = opener {
        opener.wake();
    }
}

fn serve(workers: usize, shared: &Arc<Mutex<Shared>>) -> Result<()> {
    if workers == 0 {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(dispatch(shared));
        runtime.shutdown_background();
    } else {
        let runtime: Runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
        LocalSet::new().block_on(&runtime, dispatch(shared));
        runtime.shutdown_background();
    }
    Ok(())
}

/// Starts what is sent, until the scope ends.
async fn dispatch(shared: &Arc<Mutex<Shared>>) {
    let up = {
        let mut shared = lock(shared);
        shared.up = true;
        shared.opener.take()
    };
    if let Some(opener) = up {
        opener.wake();
    }
    while let Some(Job { task, state }) = poll_fn(|cx| next(shared, cx)).await {
        let mut state = lock(&state);
        if matches!(*state, JobState::Waiting) {
            *state = JobState::Running(tokio::task::spawn_local(task()).abort_handle());
        }
    }
}

fn next(shared: &Arc<Mutex<Shared>>, cx: &mut Context<'_>) -> Poll<Option<Job>> {
    let mut shared = lock(shared);
    if shared.stopped {
        return Poll::Ready(None);
    }
    if let Some(job) = shared.jobs.pop_front() {
        return Poll::Ready(Some(job));
    }
    shared.dispatcher = Some(cx.waker().clone());
    Poll::Pending
}

/// The scope's control of its thread, as of a far task that lives as long as the thread does.
struct ThreadOpener {
    shared: Arc<Mutex<Shared>>,
}

impl ThreadOpener {
    fn end(&self) {
        let waker = {
            let mut shared = lock(&self.shared);
            shared.stopped = true;
            shared.dispatcher.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Opener<()> for ThreadOpener {
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        let mut shared = lock(&self.shared);
        if shared.ended.is_some() {
            return Poll::Ready(None);
        }
        if shared.up {
            return Poll::Ready(Some(Ok(())));
        }
        shared.opener = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut shared = lock(&self.shared);
        if let Some(ended) = &shared.ended {
            return Poll::Ready(ended.is_err());
        }
        shared.opener = Some(cx.waker().clone());
        Poll::Pending
    }

    fn take_failure(&mut self) -> Option<Error> {
        lock(&self.shared).ended.replace(Ok(()))?.err()
    }

    fn stop(&mut self) {
        self.end();
    }

    fn cancel(&mut self, _reason: Reason) {
        self.end();
    }

    fn name(&self) -> String {
        "the thread of a foreign scope".to_owned()
    }
}
