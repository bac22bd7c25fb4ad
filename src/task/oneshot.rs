//! One value from one task to another.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

pub use super::channel::SendError;
use super::wait::Wait;
use super::waits_for::WaitsFor;
use crate::Result;
use crate::shim::{Mutex, MutexGuard};

/// A channel for one value.
///
/// ```
/// use pleach::task::{oneshot, time::VirtualClock};
///
/// let (sender, mut receiver) = oneshot::channel();
/// sender.send("done").unwrap();
/// assert_eq!(VirtualClock::block_on(receiver.recv()).unwrap(), Some("done"));
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Mutex::new(State { value: None, receiver: None, closed: false }));
    (Sender { shared: shared.clone() }, Receiver { shared })
}

struct State<T> {
    value: Option<T>,
    receiver: Option<Waker>,
    closed: bool,
}

type Shared<T> = Mutex<State<T>>;

fn lock<T>(shared: &Shared<T>) -> MutexGuard<'_, State<T>> {
    shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn close<T>(shared: &Shared<T>) {
    let receiver = {
        let mut state = lock(shared);
        state.closed = true;
        state.receiver.take()
    };
    if let Some(waker) = receiver {
        waker.wake();
    }
}

/// The end that has the value to give.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Gives the value. It does not wait, so nothing cancels it.
    ///
    /// # Errors
    /// The value comes back if the receiver is gone or has closed.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        let mut state = lock(&self.shared);
        if state.closed {
            drop(state);
            return Err(SendError::closed(value));
        }
        state.value = Some(value);
        Ok(()) // dropping `self` wakes the receiver
    }

    /// Whether the receiver is gone or has closed.
    pub fn is_closed(&self) -> bool {
        lock(&self.shared).closed
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        close(&self.shared);
    }
}

/// The end that waits for the value.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Receiver<T> {
    /// Waits for the value: `None` if the sender is gone without giving one, or the value was taken before.
    ///
    /// # Errors
    /// `Cancelled` if the scope around was cancelled, also when the value is there.
    ///
    /// # Cancel safety
    /// Cancelled or dropped it has taken nothing.
    #[track_caller]
    pub fn recv(&mut self) -> Receiving<'_, T> {
        Receiving { shared: &self.shared, wait: Wait::new(WaitsFor::Value) }
    }

    /// Takes the value if it is there now. Nothing cancels it.
    pub fn try_recv(&mut self) -> Option<T> {
        lock(&self.shared).value.take()
    }

    /// Refuses the value, if it has not been given.
    pub fn close(&mut self) {
        close(&self.shared);
    }

    /// Whether no value can be given any more. One that was given can still be received.
    pub fn is_closed(&self) -> bool {
        lock(&self.shared).closed
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        close(&self.shared);
        let value = lock(&self.shared).value.take();
        drop(value);
    }
}

/// The value on its way; see [`Receiver::recv`].
#[must_use = "futures do nothing unless polled"]
pub struct Receiving<'a, T> {
    shared: &'a Shared<T>,
    wait: Wait,
}

impl<T> Receiving<'_, T> {
    fn attempt(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(self.shared);
        if let Some(value) = state.value.take() {
            return Poll::Ready(Some(value));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        let old = state.receiver.replace(cx.waker().clone());
        drop(state);
        drop(old);
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

impl<T> fmt::Debug for Receiving<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").finish_non_exhaustive()
    }
}
