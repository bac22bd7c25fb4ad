//! Children that other threads poll.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use slab::Slab;

use crate::Result;
use crate::error::ScopeId;
use crate::task::child::{Child, ChildFuture, Slot};
use crate::task::clock::{self, Clock};
use crate::task::defer::entrust;
use crate::task::panics;
use crate::task::roster::Watch;

/// How long a drop outside every scope waits for a poll on another thread.
const DROP_WAIT: Duration = Duration::from_millis(50);

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What runs tasks on several threads: a host's executor.
///
/// A host that has one makes it known around each poll of its root by [`enter_parallel`](super::enter_parallel).
pub trait Parallel: Send + Sync + 'static {
    /// Runs `task` to its end, on any thread. It must not be polled before this returns.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);
}

thread_local! {
    static AMBIENT: RefCell<Option<Arc<dyn Parallel>>> = const { RefCell::new(None) };
}

pub(super) fn ambient() -> Option<Arc<dyn Parallel>> {
    AMBIENT.try_with(|ambient| ambient.borrow().clone()).ok().flatten()
}

fn replace(parallel: Option<Arc<dyn Parallel>>) -> Option<Arc<dyn Parallel>> {
    AMBIENT.try_with(|ambient| ambient.replace(parallel)).ok().flatten()
}

/// Makes `parallel` what runs the parallel children of this thread until the guard is dropped.
///
/// A host does this around each poll. Guards nest, and are dropped in the reverse order.
pub fn enter(parallel: &Arc<dyn Parallel>) -> Entered {
    Entered { previous: replace(Some(parallel.clone())) }
}

/// Keeps an executor in place; see [`enter_parallel`](super::enter_parallel).
#[must_use = "it is in place only as long as this guard lives"]
pub struct Entered {
    previous: Option<Arc<dyn Parallel>>,
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let own = replace(self.previous.take());
        drop(own);
    }
}

/// The parallel children of one nursery.
#[derive(Default)]
pub(super) struct Crew(Arc<Shared>);

#[derive(Default)]
struct Shared {
    hired: AtomicBool,
    /// The nursery, which looks again when one of them has ended.
    nursery: Watch,
    jobs: Mutex<Slab<Arc<Job>>>,
}

impl Shared {
    fn jobs(&self) -> MutexGuard<'_, Slab<Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Crew {
    /// Has `child` polled by `host`.
    pub(super) fn hire<T, F>(&self, host: &Arc<dyn Parallel>, child: ChildFuture<F, T>, nursery: ScopeId) -> Child<T>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        self.0.hired.store(true, Ordering::SeqCst);
        let slot = Arc::new(Slot::default());
        let fill = Fill(slot.clone());
        let work: Boxed = Box::pin(async move {
            let outcome = child.await;
            fill.0.lock().outcome = Some(outcome);
            drop(fill);
        });
        let job =
            Arc::new(Job { state: Mutex::new(JobState::Waiting(work)), over: Condvar::new(), waker: Watch::default() });
        let key = self.0.jobs().insert(job.clone());
        let runner = Runner { job, crew: Arc::downgrade(&self.0), key, clock: clock::ambient(), host: host.clone() };
        host.spawn(Box::pin(runner));
        Child::parallel(slot, nursery)
    }

    /// The nursery wants to be woken when one of them has ended.
    #[inline]
    pub(super) fn watch(&self, cx: &Context<'_>) {
        if self.0.hired.load(Ordering::SeqCst) {
            self.0.nursery.wait(cx);
        }
    }

    /// R7: the nursery is gone. Those that are being polled at this moment end after that.
    pub(super) fn abandon(&self) {
        if !self.0.hired.load(Ordering::SeqCst) {
            return;
        }
        let jobs: Vec<_> = self.0.jobs().drain().collect();
        for job in jobs {
            if !job.abandon() {
                job.await_end();
            }
        }
    }
}

enum JobState {
    Waiting(Boxed),
    /// A thread polls it.
    Running,
    /// A thread polls it, and is to drop it then.
    Abandoned,
    Over,
}

/// One parallel child: whoever has its future drops it.
struct Job {
    state: Mutex<JobState>,
    over: Condvar,
    /// Whoever waits for its end without blocking.
    waker: Watch,
}

impl Job {
    fn lock(&self) -> MutexGuard<'_, JobState> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn take(&self) -> Option<Boxed> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, JobState::Running) {
            JobState::Waiting(work) => Some(work),
            other => {
                *state = other;
                None
            }
        }
    }

    /// After a poll: it goes on waiting, unless its nursery is gone.
    fn put_back(&self, work: Boxed) -> Poll<()> {
        let mut state = self.lock();
        if matches!(*state, JobState::Running) {
            *state = JobState::Waiting(work);
            return Poll::Pending;
        }
        drop(state);
        panics::dispose(work, |panic| tracing::error!("nobody is left to report to: {panic}"));
        Poll::Ready(())
    }

    fn end(&self) {
        *self.lock() = JobState::Over;
        self.over.notify_all();
        self.waker.wake();
    }

    /// Drops the child; `false` if it is being polled, and will be dropped then.
    fn abandon(&self) -> bool {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, JobState::Over) {
            JobState::Waiting(work) => {
                drop(state);
                drop(work);
                true
            }
            JobState::Over => true,
            JobState::Running | JobState::Abandoned => {
                *state = JobState::Abandoned;
                false
            }
        }
    }

    fn poll_over(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.wait(cx);
        if matches!(*self.lock(), JobState::Over) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// The scope around waits for its end; without one, this does, for a moment.
    fn await_end(self: Arc<Self>) {
        let job = self.clone();
        let entrusted = entrust(async move { poll_fn(|cx| job.poll_over(cx)).await });
        if entrusted.is_ok() {
            return;
        }
        let running = |state: &mut JobState| !matches!(state, JobState::Over);
        let waited = self.over.wait_timeout_while(self.lock(), DROP_WAIT, running);
        let (_state, timeout) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        if timeout.timed_out() {
            tracing::error!("a parallel child of a nursery that was dropped is still being polled");
        }
    }
}

/// The task on the host: it polls the child as if it were polled where it was spawned.
struct Runner {
    job: Arc<Job>,
    crew: Weak<Shared>,
    key: usize,
    clock: Option<Arc<dyn Clock>>,
    host: Arc<dyn Parallel>,
}

impl Future for Runner {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(mut work) = self.job.take() else { return Poll::Ready(()) };
        let polled = {
            let _host = enter(&self.host);
            let _clock = self.clock.as_ref().map(clock::enter);
            // Also a failure in the drop of the whole child is a failure of the child, so nothing is left to be caught here.
            work.as_mut().poll(cx)
        };
        match polled {
            Poll::Ready(()) => drop(work),
            Poll::Pending => match self.job.put_back(work) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {}
            },
        }
        Poll::Ready(())
    }
}

impl Drop for Runner {
    /// It has ended, or the host has dropped it.
    fn drop(&mut self) {
        let work = self.job.take();
        drop(work);
        self.job.end();
        if let Some(crew) = self.crew.upgrade() {
            crew.jobs().try_remove(self.key);
            crew.nursery.wake();
        }
    }
}

/// Tells the joiner of a child that it has ended, also without an outcome.
struct Fill<T>(Arc<Slot<T>>);

impl<T> Drop for Fill<T> {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.lock();
            state.ended = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
