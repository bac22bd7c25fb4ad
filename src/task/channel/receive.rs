//! The receiving end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Why;
use super::ring::{Shared, State};
use super::stream::IntoStream;
use crate::Result;
use crate::shim::BriefGuard;
use crate::task::waiters::{Ticket, wake};
use crate::task::{Wait, WaitsFor};

/// The receiving end. Clones take from the same channel, each value once. When the last is dropped the channel is closed, and
/// what is in it is dropped.
pub struct Receiver<T> {
    pub(super) shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    pub(super) fn new(shared: Arc<Shared<T>>) -> Self {
        Self { shared }
    }

    /// Takes the next value, in the order in which they were accepted: `None` when the channel is closed, or all senders
    /// are gone, and it is empty.
    ///
    /// # Errors
    /// `Cancelled` if the scope around was cancelled, also when a value is there: take it with
    /// [`try_recv`](Self::try_recv), or in a [`shield`](crate::task::shield). [`ClosedBecause`](super::ClosedBecause), instead
    /// of `None`, if the channel was closed with a reason.
    ///
    /// # Cancel safety
    /// Cancelled or dropped it has taken nothing.
    #[track_caller]
    pub fn recv(&mut self) -> Receiving<'_, T> {
        Receiving { shared: &self.shared, ticket: Ticket::default(), wait: Wait::new(WaitsFor::Value) }
    }

    /// Takes the next value if there is one now. Nothing cancels it.
    pub fn try_recv(&mut self) -> Option<T> {
        self.shared.pop()
    }

    /// Refuses further values. What is in the channel can still be received.
    pub fn close(&self) {
        self.shared.close(Why::Closed);
    }

    /// The same with a reason, which whoever sends is told. The first reason counts.
    pub fn close_because(&self, reason: impl Into<Arc<str>>) {
        self.shared.close(Why::Because(reason.into()));
    }

    /// Whether nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed.is_some()
    }

    /// How many values are in it now.
    pub fn len(&self) -> usize {
        self.shared.lock().queue.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As a `Stream` of `Result`s: values, and, as its last item, a cancel or the reason of a close.
    #[track_caller]
    pub fn into_stream(self) -> IntoStream<T> {
        IntoStream::new(self)
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.lock().alive.receivers += 1;
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.alive.receivers -= 1;
        let last = state.alive.receivers == 0;
        drop(state);
        if last {
            self.shared.close(Why::Closed);
            let rest = std::mem::take(&mut self.shared.lock().queue);
            drop(rest);
        }
    }
}

/// A value on its way out; see [`Receiver::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct Receiving<'a, T> {
    shared: &'a Shared<T>,
    ticket: Ticket,
    wait: Wait,
}

/// The value, the end, or the waker left behind.
#[inline]
pub(super) fn attempt<T>(shared: &Shared<T>, ticket: &mut Ticket, cx: &Context<'_>) -> Poll<Result<Option<T>>> {
    match take(shared, ticket) {
        Ok(value) => Poll::Ready(Ok(Some(value))),
        Err(state) => wait(shared, state, ticket, cx),
    }
}

/// The value, or the lock if there is none.
#[inline]
fn take<'a, T>(shared: &'a Shared<T>, ticket: &mut Ticket) -> Result<T, BriefGuard<'a, State<T>>> {
    let mut state = shared.lock();
    let Some(value) = state.queue.pop_front() else { return Err(state) };
    let (sender, own) = (state.senders.next(), state.receivers.leave(ticket));
    let next = if state.queue.is_empty() { None } else { state.receivers.next() };
    drop(state);
    drop(own);
    wake(sender);
    wake(next);
    Ok(value)
}

/// There is no value: the end, or the waker left behind.
fn wait<T>(
    shared: &Shared<T>,
    mut state: BriefGuard<'_, State<T>>,
    ticket: &mut Ticket,
    cx: &Context<'_>,
) -> Poll<Result<Option<T>>> {
    match &state.closed {
        None => {}
        Some(Why::Closed) => return Poll::Ready(Ok(None)),
        Some(why) => {
            let why = why.clone();
            drop(state);
            return Poll::Ready(Err(why.error()));
        }
    }
    let old = state.receivers.wait(ticket, cx);
    // Empty, and somebody waits for room: the one that was woken does not come, so the next one may.
    let sender = if shared.has_room(&state) { state.senders.next() } else { None };
    drop(state);
    drop(old);
    wake(sender);
    Poll::Pending
}

/// A wait for a value is over. If it had been woken for one, that is for the next.
#[inline]
pub(super) fn leave<T>(shared: &Shared<T>, ticket: &mut Ticket) {
    if ticket.is_taken() {
        leave_queue(shared, ticket);
    }
}

#[cold]
fn leave_queue<T>(shared: &Shared<T>, ticket: &mut Ticket) {
    let mut state = shared.lock();
    let own = state.receivers.leave(ticket);
    let next = if own.is_err() && !state.queue.is_empty() { state.receivers.next() } else { None };
    drop(state);
    drop(own);
    wake(next);
}

impl<T> Future for Receiving<'_, T> {
    type Output = Result<Option<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Err(error) = ready!(this.wait.check(cx)) {
            leave(this.shared, &mut this.ticket);
            return Poll::Ready(Err(error));
        }
        // Each result is made where it is returned: copied once more it would cost as much as the lock.
        match take(this.shared, &mut this.ticket) {
            Ok(value) => {
                this.wait.done();
                Poll::Ready(Ok(Some(value)))
            }
            Err(state) => match wait(this.shared, state, &mut this.ticket, cx) {
                Poll::Pending => {
                    this.wait.park(cx);
                    Poll::Pending
                }
                ended => {
                    this.wait.done();
                    ended
                }
            },
        }
    }
}

impl<T> Drop for Receiving<'_, T> {
    fn drop(&mut self) {
        leave(self.shared, &mut self.ticket);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiving<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").field("waiting", &self.ticket.is_taken()).finish_non_exhaustive()
    }
}
