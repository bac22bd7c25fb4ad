//! Bounded channels between tasks: many senders, one receiver.
//!
//! They work in every task and also outside of them, in a foreign task or thread, where nothing cancels them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::ring::{Shared, wake};
use super::send_error::Why;
pub use super::send_error::{SendError, TrySendError};
use super::wait::{Wait, WaitsFor};
use crate::Result;

/// A channel that holds up to `capacity` values; a full one makes its senders wait.
///
/// # Panics
/// If `capacity` is 0.
///
/// ```
/// use pleach::task::{channel, time::VirtualClock};
///
/// let (sender, mut receiver) = channel::bounded(2);
/// VirtualClock::block_on(async {
///     sender.send("one").await.unwrap();
///     drop(sender);
///     assert_eq!(receiver.recv().await.unwrap(), Some("one"));
///     assert_eq!(receiver.recv().await.unwrap(), None);
/// });
/// ```
#[track_caller]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel of capacity 0 could never take a value; use 1 or more");
    let shared = Arc::new(Shared::new(capacity));
    (Sender { shared: shared.clone() }, Receiver { shared })
}

/// The sending end. Clones send into the same channel.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Puts `value` into the channel when there is room.
    ///
    /// # Errors
    /// The value comes back if the channel is closed or the scope was cancelled; by `?` it becomes [`Closed`](crate::error::Closed) or
    /// `Cancelled`.
    ///
    /// # Cancel safety
    /// Dropping it drops the value, unless it was ready: then the value is in the channel.
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
        Sending { shared: &self.shared, value: Some(value), ticket: None, wait: Wait::new(WaitsFor::Room) }
    }

    /// Puts `value` into the channel if there is room now. Nothing cancels it.
    ///
    /// # Errors
    /// The value comes back if the channel is full or closed.
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        self.shared.push(value)
    }

    /// Closes the channel for all senders. What is in it can still be received.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.lock().senders += 1;
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.senders -= 1;
        let last = state.senders == 0;
        drop(state);
        if last {
            self.shared.close();
        }
    }
}

/// The receiving end. Dropping it closes the channel and drops what is in it.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Takes the next value, in the order in which they were accepted: `None` when the channel is closed, or all senders
    /// are gone, and it is empty.
    ///
    /// # Errors
    /// `Cancelled` if the scope around was cancelled, also when a value is there: take it with
    /// [`try_recv`](Self::try_recv), or in a [`shield`](super::shield).
    ///
    /// # Cancel safety
    /// Cancelled or dropped it has taken nothing.
    #[track_caller]
    pub fn recv(&mut self) -> Receiving<'_, T> {
        Receiving { shared: &self.shared, wait: Wait::new(WaitsFor::Value) }
    }

    /// Takes the next value if there is one now. Nothing cancels it.
    pub fn try_recv(&mut self) -> Option<T> {
        self.shared.pop()
    }

    /// Refuses further values. What is in the channel can still be received.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.close();
        let rest = std::mem::take(&mut self.shared.lock().queue);
        drop(rest);
    }
}

/// A value on its way into the channel; see [`Sender::send`].
#[must_use = "futures do nothing unless polled"]
pub struct Sending<'a, T> {
    shared: &'a Shared<T>,
    value: Option<T>,
    ticket: Option<u64>,
    wait: Wait,
}

// The value is only ever moved, never borrowed across a poll.
impl<T> Unpin for Sending<'_, T> {}

impl<T> Sending<'_, T> {
    fn refuse(&mut self, why: Why) -> Poll<Result<(), SendError<T>>> {
        self.leave_queue();
        let value = self.value.take().expect("polled after it was ready");
        Poll::Ready(Err(SendError::new(value, why)))
    }

    fn leave_queue(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.abandon(ticket);
        }
    }

    /// Queues up, unless room has been made meanwhile.
    fn enqueue(&mut self, cx: &Context<'_>) -> bool {
        let mut state = self.shared.lock();
        if state.closed || self.shared.has_room(&state) {
            return false;
        }
        let old = state.enqueue(&mut self.ticket, cx.waker());
        drop(state);
        drop(old);
        true
    }
}

impl<T> Future for Sending<'_, T> {
    type Output = Result<(), SendError<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Err(error) = ready!(this.wait.check(cx)) {
            return this.refuse(Why::Cancelled(error));
        }
        loop {
            let value = this.value.take().expect("polled after it was ready");
            match this.shared.push(value) {
                Ok(()) => {
                    this.wait.done();
                    this.leave_queue();
                    return Poll::Ready(Ok(()));
                }
                Err(TrySendError::Closed(value)) => {
                    this.value = Some(value);
                    return this.refuse(Why::Closed);
                }
                Err(TrySendError::Full(value)) => this.value = Some(value),
            }
            if this.enqueue(cx) {
                this.wait.park(cx);
                return Poll::Pending;
            }
        }
    }
}

impl<T> Drop for Sending<'_, T> {
    fn drop(&mut self) {
        self.leave_queue();
    }
}

/// A value on its way out; see [`Receiver::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct Receiving<'a, T> {
    shared: &'a Shared<T>,
    wait: Wait,
}

impl<T> Receiving<'_, T> {
    /// The value, the end, or the waker left behind.
    fn attempt(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.shared.lock();
        if let Some(value) = state.queue.pop_front() {
            let next = state.next_waiting();
            drop(state);
            wake(next);
            return Poll::Ready(Some(value));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        let old = match &state.receiver {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => state.receiver.replace(cx.waker().clone()),
        };
        // Empty, and somebody waits for room: the one that was woken does not come, so the next one may.
        let next = state.next_waiting();
        drop(state);
        drop(old);
        wake(next);
        Poll::Pending
    }
}

impl<T> Future for Receiving<'_, T> {
    type Output = Result<Option<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.wait.check(cx))?;
        let attempt = self.attempt(cx);
        match attempt {
            Poll::Ready(_) => self.wait.done(),
            Poll::Pending => self.wait.park(cx),
        }
        attempt.map(Ok)
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Sending<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("waiting", &self.ticket.is_some()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiving<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").finish_non_exhaustive()
    }
}
