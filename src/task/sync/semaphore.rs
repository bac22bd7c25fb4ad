//! Permits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use crate::Result;
use crate::error::Closed;
use crate::shim::{Mutex, MutexGuard};
use crate::task::census;
use crate::task::waiters::{Ticket, Waiters, wake};
use crate::task::{Wait, WaitsFor};

/// A number of permits, for a limit on how many do something at the same time.
///
/// ```
/// use pleach::task::{nursery, sleep, sync::Semaphore, time::VirtualClock};
/// use std::time::Duration;
///
/// let connections = Semaphore::new(2);
/// VirtualClock::block_on(nursery(async |n| {
///     for _ in 0..10 {
///         n.spawn(async {
///             let _permit = connections.acquire().await?;
///             sleep(Duration::from_secs(1)).await // never more than two
///         })?;
///     }
///     Ok(())
/// }))
/// .unwrap();
/// ```
pub struct Semaphore {
    state: Mutex<State>,
}

struct State {
    free: usize,
    waiters: Waiters,
    closed: bool,
}

impl State {
    /// Takes `wanted` permits; whoever finds more than it needs lets the next one look.
    fn take(&mut self, wanted: usize) -> bool {
        let enough = self.free >= wanted;
        if enough {
            self.free -= wanted;
        }
        enough
    }
}

impl Semaphore {
    /// With so many permits.
    pub fn new(permits: usize) -> Self {
        Self { state: Mutex::new(State { free: permits, waiters: Waiters::default(), closed: false }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes a permit when there is one.
    ///
    /// # Errors
    /// `Cancelled` if the scope around was cancelled; [`Closed`].
    ///
    /// # Cancel safety
    /// Cancelled or dropped it has taken nothing, but loses its place in the queue.
    #[track_caller]
    pub fn acquire(&self) -> Acquiring<'_> {
        self.acquire_many(1)
    }

    /// Takes `count` permits, all at once when there are so many. As long as the first in the queue needs more than are free,
    /// those behind it wait as well.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// That of [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_many(&self, count: usize) -> Acquiring<'_> {
        Acquiring { semaphore: self, count, ticket: Ticket::default(), wait: Wait::new(WaitsFor::Permit) }
    }

    /// One permit, which is something else to whoever waits.
    #[track_caller]
    pub(super) fn acquire_for(&self, what: WaitsFor) -> Acquiring<'_> {
        Acquiring { semaphore: self, count: 1, ticket: Ticket::default(), wait: Wait::new(what) }
    }

    /// [`acquire`](Self::acquire) with a permit that keeps the semaphore alive.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire).
    ///
    /// # Cancel safety
    /// That of [`acquire`](Self::acquire).
    #[track_caller]
    pub fn acquire_owned(self: &Arc<Self>) -> AcquiringOwned {
        let semaphore = self.clone();
        AcquiringOwned { semaphore, ticket: Ticket::default(), wait: Wait::new(WaitsFor::Permit) }
    }

    /// Takes a permit if there is one now. Nothing cancels it.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        let mut state = self.lock();
        (!state.closed && state.take(1)).then(|| Permit::new(self, 1))
    }

    /// [`try_acquire`](Self::try_acquire) with a permit that keeps the semaphore alive.
    pub fn try_acquire_owned(self: &Arc<Self>) -> Option<OwnedPermit> {
        let mut state = self.lock();
        let taken = !state.closed && state.take(1);
        drop(state);
        taken.then(|| OwnedPermit::new(self.clone()))
    }

    /// Permits that nobody has.
    pub fn available(&self) -> usize {
        self.lock().free
    }

    /// More permits than before.
    pub fn add(&self, permits: usize) {
        self.release(permits);
    }

    /// Gives no more permits: who waits gets [`Closed`]. Those that are out stay good.
    pub fn close(&self) {
        let waiters = {
            let mut state = self.lock();
            state.closed = true;
            state.waiters.all()
        };
        waiters.into_iter().for_each(Waker::wake);
    }

    fn release(&self, permits: usize) {
        let next = {
            let mut state = self.lock();
            state.free += permits;
            state.waiters.next()
        };
        wake(next);
    }

    fn poll(&self, count: usize, ticket: &mut Ticket, cx: &Context<'_>) -> Poll<Result<()>> {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return Poll::Ready(Err(Closed.into()));
        }
        if !state.take(count) {
            let old = state.waiters.wait(ticket, cx);
            drop(state);
            drop(old);
            return Poll::Pending;
        }
        let own = state.waiters.leave(ticket);
        let next = if state.free > 0 { state.waiters.next() } else { None };
        drop(state);
        drop(own);
        wake(next);
        Poll::Ready(Ok(()))
    }

    /// A wait is over without a permit. If it had been woken for one, that is for the next.
    fn abandon(&self, ticket: &mut Ticket) {
        if !ticket.is_taken() {
            return;
        }
        let mut state = self.lock();
        let own = state.waiters.leave(ticket);
        let next = if own.is_err() && state.free > 0 { state.waiters.next() } else { None };
        drop(state);
        drop(own);
        wake(next);
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore").field("available", &self.available()).finish_non_exhaustive()
    }
}

/// Permits that are given back when it is dropped.
#[derive(Debug)]
#[must_use = "it is given back when it is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    count: usize,
}

impl<'a> Permit<'a> {
    fn new(semaphore: &'a Semaphore, count: usize) -> Self {
        census::leases(1);
        Self { semaphore, count }
    }

    /// Keeps the permits for ever: the semaphore has so many fewer.
    pub fn forget(mut self) {
        self.count = 0;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        census::leases(-1);
        if self.count > 0 {
            self.semaphore.release(self.count);
        }
    }
}

/// A permit that keeps its semaphore alive, and is given back when it is dropped.
#[derive(Debug)]
#[must_use = "it is given back when it is dropped"]
pub struct OwnedPermit {
    semaphore: Arc<Semaphore>,
}

impl OwnedPermit {
    fn new(semaphore: Arc<Semaphore>) -> Self {
        census::leases(1);
        Self { semaphore }
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        census::leases(-1);
        self.semaphore.release(1);
    }
}

/// Permits on their way; see [`Semaphore::acquire`].
#[must_use = "futures do nothing unless polled"]
pub struct Acquiring<'a> {
    semaphore: &'a Semaphore,
    count: usize,
    ticket: Ticket,
    wait: Wait,
}

impl<'a> Future for Acquiring<'a> {
    type Output = Result<Permit<'a>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        ready!(poll_permit(this.semaphore, this.count, &mut this.ticket, &mut this.wait, cx))?;
        Poll::Ready(Ok(Permit::new(this.semaphore, this.count)))
    }
}

impl Drop for Acquiring<'_> {
    fn drop(&mut self) {
        self.semaphore.abandon(&mut self.ticket);
    }
}

/// A permit on its way; see [`Semaphore::acquire_owned`].
#[must_use = "futures do nothing unless polled"]
pub struct AcquiringOwned {
    semaphore: Arc<Semaphore>,
    ticket: Ticket,
    wait: Wait,
}

impl Future for AcquiringOwned {
    type Output = Result<OwnedPermit>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        ready!(poll_permit(&this.semaphore, 1, &mut this.ticket, &mut this.wait, cx))?;
        Poll::Ready(Ok(OwnedPermit::new(this.semaphore.clone())))
    }
}

impl Drop for AcquiringOwned {
    fn drop(&mut self) {
        self.semaphore.abandon(&mut self.ticket);
    }
}

fn poll_permit(
    semaphore: &Semaphore,
    count: usize,
    ticket: &mut Ticket,
    wait: &mut Wait,
    cx: &mut Context<'_>,
) -> Poll<Result<()>> {
    if let Err(error) = ready!(wait.check(cx)) {
        semaphore.abandon(ticket);
        return Poll::Ready(Err(error));
    }
    let polled = semaphore.poll(count, ticket, cx);
    match polled {
        Poll::Ready(_) => wait.done(),
        Poll::Pending => wait.park(cx),
    }
    polled
}

impl fmt::Debug for Acquiring<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquiring").field("count", &self.count).field("waiting", &self.ticket.is_taken()).finish()
    }
}

impl fmt::Debug for AcquiringOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquiringOwned").field("waiting", &self.ticket.is_taken()).finish_non_exhaustive()
    }
}
