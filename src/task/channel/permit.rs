//! Places that are reserved before there is a value for them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::error::Refusal;
use super::ring::Shared;
use super::send::{enqueue, leave, why};
use super::{SendError, TrySendError};
use crate::Result;
use crate::task::census;
use crate::task::waiters::Ticket;
use crate::task::{Wait, WaitsFor};

/// A place in a channel that nobody else can take. Dropped unused, it is given back.
#[must_use = "a place that is not used is given back when it is dropped"]
pub struct Place<'a, T> {
    shared: Option<&'a Shared<T>>,
}

impl<'a, T> Place<'a, T> {
    /// One that was reserved.
    pub(super) fn new(shared: &'a Shared<T>) -> Self {
        census::leases(1);
        Self { shared: Some(shared) }
    }

    /// Puts a value into it.
    ///
    /// # Errors
    /// The value comes back if the channel was closed meanwhile.
    pub fn send(mut self, value: T) -> Result<(), SendError<T>> {
        let shared = self.shared.take().expect("a place is used once");
        match shared.settle(Some(value)) {
            None => Ok(()),
            Some(back) => Err(SendError::new(back, Refusal::Closed(why(shared)))),
        }
    }
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        census::leases(-1);
        if let Some(shared) = self.shared.take() {
            shared.settle(None);
        }
    }
}

impl<T> fmt::Debug for Place<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").finish_non_exhaustive()
    }
}

/// A place on its way; see [`Sender::reserve`](super::Sender::reserve).
#[must_use = "futures do nothing unless polled"]
pub struct Reserving<'a, T> {
    shared: &'a Shared<T>,
    ticket: Ticket,
    wait: Wait,
}

impl<'a, T> Reserving<'a, T> {
    #[track_caller]
    pub(super) fn new(shared: &'a Shared<T>) -> Self {
        Self { shared, ticket: Ticket::default(), wait: Wait::new(WaitsFor::Room) }
    }
}

impl<'a, T> Future for Reserving<'a, T> {
    type Output = Result<Place<'a, T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Err(error) = ready!(this.wait.check(cx)) {
            leave(this.shared, &mut this.ticket);
            return Poll::Ready(Err(error));
        }
        loop {
            match this.shared.reserve() {
                Ok(()) => {
                    this.wait.done();
                    leave(this.shared, &mut this.ticket);
                    return Poll::Ready(Ok(Place::new(this.shared)));
                }
                Err(TrySendError::Closed(())) => return Poll::Ready(Err(why(this.shared).error())),
                Err(TrySendError::Full(())) => {}
            }
            if enqueue(this.shared, &mut this.ticket, cx) {
                this.wait.park(cx);
                return Poll::Pending;
            }
        }
    }
}

impl<T> Drop for Reserving<'_, T> {
    fn drop(&mut self) {
        leave(self.shared, &mut self.ticket);
    }
}

impl<T> fmt::Debug for Reserving<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserving").field("waiting", &self.ticket.is_taken()).finish_non_exhaustive()
    }
}
