//! The sending end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::error::Refusal;
use super::permit::{Place, Reserving};
use super::ring::Shared;
use super::stream::IntoSink;
use super::{SendError, TrySendError, Why};
use crate::Result;
use crate::task::waiters::{Ticket, wake};
use crate::task::{Wait, WaitsFor};

/// The sending end. Clones send into the same channel.
pub struct Sender<T> {
    pub(super) shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Self { shared }
    }

    /// Puts `value` into the channel when there is room.
    ///
    /// # Errors
    /// The value comes back if the channel is closed or the scope was cancelled; by `?` it becomes
    /// [`Closed`](crate::error::Closed), [`ClosedBecause`](super::ClosedBecause) or `Cancelled`.
    ///
    /// # Cancel safety
    /// Dropping it drops the value, unless it was ready: then the value is in the channel. To keep the value, reserve a place
    /// first: `sender.reserve().await?.send(value)`.
    ///
    /// ```
    /// use pleach::task::{channel, time::VirtualClock};
    ///
    /// let (sender, receiver) = channel::bounded(1);
    /// drop(receiver);
    /// let refused = VirtualClock::block_on(sender.send(7)).unwrap_err();
    /// assert_eq!(refused.into_value(), 7);
    /// ```
    #[track_caller]
    pub fn send(&self, value: T) -> Sending<'_, T> {
        let (ticket, wait) = (Ticket::default(), Wait::new(WaitsFor::Room));
        Sending { shared: &self.shared, value: Some(value), ticket, wait }
    }

    /// Puts `value` into the channel if there is room now. Nothing cancels it.
    ///
    /// # Errors
    /// The value comes back if the channel is full or closed.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.shared.push(value)
    }

    /// Waits for room and keeps it: what is sent into the place need not wait, and cannot be lost.
    ///
    /// # Errors
    /// `Cancelled`; [`Closed`](crate::error::Closed) or [`ClosedBecause`](super::ClosedBecause).
    ///
    /// # Cancel safety
    /// Cancelled or dropped it has reserved nothing.
    ///
    /// ```
    /// use pleach::task::{channel, time::VirtualClock};
    ///
    /// let (sender, mut receiver) = channel::bounded(1);
    /// VirtualClock::block_on(async {
    ///     let place = sender.reserve().await.unwrap();
    ///     place.send("made only now").unwrap();
    ///     assert_eq!(receiver.recv().await.unwrap(), Some("made only now"));
    /// });
    /// ```
    #[track_caller]
    pub fn reserve(&self) -> Reserving<'_, T> {
        Reserving::new(&self.shared)
    }

    /// Reserves a place if there is one now. Nothing cancels it.
    ///
    /// # Errors
    /// That the channel is full or closed.
    pub fn try_reserve(&self) -> Result<Place<'_, T>, TrySendError<()>> {
        self.shared.reserve().map(|()| Place::new(&self.shared))
    }

    /// Closes the channel for all senders. What is in it can still be received.
    pub fn close(&self) {
        self.shared.close(Why::Closed);
    }

    /// Closes the channel and says why: whoever sends is told, and whoever receives, once the channel is empty. The first
    /// reason counts.
    ///
    /// ```
    /// use pleach::task::{channel, time::VirtualClock};
    ///
    /// let (sender, mut receiver) = channel::bounded::<u32>(1);
    /// sender.close_because("the disk is full");
    /// let error = VirtualClock::block_on(receiver.recv()).unwrap_err();
    /// assert_eq!(error.to_string(), "closed: the disk is full");
    /// ```
    pub fn close_because(&self, reason: impl Into<Arc<str>>) {
        self.shared.close(Why::Because(reason.into()));
    }

    /// Whether nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed.is_some()
    }

    /// How many values it holds at most.
    pub fn capacity(&self) -> usize {
        self.shared.capacity()
    }

    /// As a `Sink` of futures' kind.
    #[track_caller]
    pub fn into_sink(self) -> IntoSink<T> {
        IntoSink::new(self)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().alive.senders += 1;
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.alive.senders -= 1;
        let last = state.alive.senders == 0;
        drop(state);
        if last {
            self.shared.close(Why::Closed);
        }
    }
}

/// A value on its way into the channel; see [`Sender::send`].
#[must_use = "futures do nothing unless polled"]
pub struct Sending<'a, T> {
    shared: &'a Shared<T>,
    value: Option<T>,
    ticket: Ticket,
    wait: Wait,
}

// The value is only ever moved, never borrowed across a poll.
impl<T> Unpin for Sending<'_, T> {}

impl<T> Sending<'_, T> {
    fn refuse(&mut self, refusal: Refusal) -> Poll<Result<(), SendError<T>>> {
        leave(self.shared, &mut self.ticket);
        let value = self.value.take().expect("polled after it was ready");
        Poll::Ready(Err(SendError::new(value, refusal)))
    }
}

/// A wait for room is over. If it had been woken for room, that is for the next.
#[inline]
pub(super) fn leave<T>(shared: &Shared<T>, ticket: &mut Ticket) {
    if ticket.is_taken() {
        leave_queue(shared, ticket);
    }
}

#[cold]
fn leave_queue<T>(shared: &Shared<T>, ticket: &mut Ticket) {
    let mut state = shared.lock();
    let own = state.senders.leave(ticket);
    let next = if own.is_err() && shared.has_room(&state) { state.senders.next() } else { None };
    drop(state);
    drop(own);
    wake(next);
}

/// Queues up for room, unless some has been made meanwhile or there will be none.
pub(super) fn enqueue<T>(shared: &Shared<T>, ticket: &mut Ticket, cx: &Context<'_>) -> bool {
    let mut state = shared.lock();
    if state.closed.is_some() || shared.has_room(&state) {
        return false;
    }
    let old = state.senders.wait(ticket, cx);
    drop(state);
    drop(old);
    true
}

/// Why the channel takes nothing in.
pub(super) fn why<T>(shared: &Shared<T>) -> Why {
    let why = shared.lock().closed.clone();
    why.unwrap_or(Why::Closed)
}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Err(error) = ready!(this.wait.check(cx)) {
            return this.refuse(Refusal::Because(error));
        }
        let mut state = this.shared.lock();
        if state.closed.is_some() {
            drop(state);
            return this.refuse(Refusal::Closed(why(this.shared)));
        }
        if !this.shared.has_room(&state) {
            let old = state.senders.wait(&mut this.ticket, cx);
            drop(state);
            drop(old);
            this.wait.park(cx);
            return Poll::Pending;
        }
        let own = state.senders.leave(&mut this.ticket);
        this.shared.push_into(state, this.value.take().expect("polled after it was ready"));
        drop(own);
        this.wait.done();
        Poll::Ready(Ok(()))
    }
}

impl<T> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        leave(self.shared, &mut self.ticket);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("waiting", &self.ticket.is_taken()).finish_non_exhaustive()
    }
}
