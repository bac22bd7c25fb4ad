//! Something that happens once.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use crate::Result;
use crate::shim::{Mutex, MutexGuard};
use crate::task::waiters::{Ticket, Waiters};
use crate::task::{Wait, WaitsFor};

/// Something that happens once, and that any number of tasks wait for.
///
/// ```
/// use pleach::task::{nursery, sync::Event, time::VirtualClock};
///
/// let ready = Event::new();
/// VirtualClock::block_on(nursery(async |n| {
///     n.spawn(async { ready.wait().await })?;
///     ready.set();
///     Ok(())
/// }))
/// .unwrap();
/// ```
#[derive(Default)]
pub struct Event {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_set: bool,
    waiters: Waiters,
}

impl Event {
    /// It has not happened.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// It happens, now and for ever.
    pub fn set(&self) {
        let waiters = {
            let mut state = self.lock();
            state.is_set = true;
            state.waiters.all()
        };
        waiters.into_iter().for_each(Waker::wake);
    }

    /// Whether it has happened.
    pub fn is_set(&self) -> bool {
        self.lock().is_set
    }

    /// Waits until it has happened.
    ///
    /// # Errors
    /// `Cancelled` if the scope around was cancelled.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping it.
    #[track_caller]
    pub fn wait(&self) -> Waiting<'_> {
        Waiting { event: self, ticket: Ticket::default(), wait: Wait::new(WaitsFor::Event) }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.is_set()).finish_non_exhaustive()
    }
}

/// The event on its way; see [`Event::wait`].
#[must_use = "futures do nothing unless polled"]
pub struct Waiting<'a> {
    event: &'a Event,
    ticket: Ticket,
    wait: Wait,
}

impl Waiting<'_> {
    fn leave(&mut self) {
        if self.ticket.is_taken() {
            let own = self.event.lock().waiters.leave(&mut self.ticket);
            drop(own);
        }
    }
}

impl Future for Waiting<'_> {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        if let Err(error) = ready!(this.wait.check(cx)) {
            this.leave();
            return Poll::Ready(Err(error));
        }
        let mut state = this.event.lock();
        if state.is_set {
            drop(state);
            this.wait.done();
            return Poll::Ready(Ok(()));
        }
        let old = state.waiters.wait(&mut this.ticket, cx);
        drop(state);
        drop(old);
        this.wait.park(cx);
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("waiting", &self.ticket.is_taken()).finish_non_exhaustive()
    }
}
