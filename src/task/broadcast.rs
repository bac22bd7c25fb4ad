//! Every value for every receiver, out of a ring that keeps the last few.
//!
//! The sender waits for nobody. A receiver that does not keep up loses the oldest values, it alone, and is told how many
//! they were.

mod ring;

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::{Stream, stream};

use self::ring::{Shared, copy};
pub use super::channel::SendError;
use super::wait::Wait;
use super::waits_for::WaitsFor;
use crate::Result;

/// A channel that keeps the last `capacity` values for receivers that have not had them.
///
/// # Panics
/// If `capacity` is 0.
///
/// ```
/// use pleach::task::broadcast::{self, Delivery};
/// use pleach::task::time::VirtualClock;
///
/// let (sender, mut slow) = broadcast::channel(2);
/// for number in 1..=5 {
///     sender.send(number).unwrap();
/// }
/// drop(sender);
/// VirtualClock::block_on(async {
///     assert_eq!(slow.recv().await.unwrap(), Some(Delivery::Lagged(3)));
///     assert_eq!(slow.recv().await.unwrap(), Some(Delivery::Value(4)));
///     assert_eq!(slow.recv().await.unwrap(), Some(Delivery::Value(5)));
///     assert_eq!(slow.recv().await.unwrap(), None);
/// });
/// ```
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a ring of capacity 0 could never keep a value; use 1 or more");
    let sender = Sender { shared: Arc::new(Shared::new(capacity)) };
    let receiver = sender.subscribe();
    (sender, receiver)
}

/// What a receiver gets. Lag is no error: by `?` nothing ends that could go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery<T> {
    /// The next value.
    Value(T),
    /// So many values are lost to this receiver, which was too slow. The oldest that is left comes next.
    Lagged(u64),
}

impl<T> Delivery<T> {
    /// The value, for whoever does not mind lost ones.
    pub fn into_value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Lagged(_) => None,
        }
    }
}

/// The sending end. Clones send into the same channel.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends `value` to all who receive now, and says how many they are: it is dropped if there are none. It does not
    /// wait, so nothing cancels it; what a full ring has kept longest makes room.
    ///
    /// # Errors
    /// The value comes back if the channel is closed.
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        self.shared.send(value)
    }

    /// A further receiver: it gets what is sent from now on. Of a closed channel it gets the end.
    pub fn subscribe(&self) -> Receiver<T> {
        let (place, at) = self.shared.lock().join();
        Receiver { shared: self.shared.clone(), place, at }
    }

    /// Closes the channel for all senders, and wakes all receivers. What is in the ring can still be received.
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

/// A receiving end. Dropping it leaves the others what they have not had.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    place: usize,
    /// The number of the value that comes next.
    at: u64,
}

impl<T> Receiver<T> {
    /// How many values are in the ring for this receiver. Those that it has lost are not.
    pub fn len(&self) -> usize {
        self.shared.lock().len(self.at)
    }

    /// Whether it would have to wait for a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing can be sent any more. What is in the ring can still be received.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }
}

impl<T: Clone> Receiver<T> {
    /// Takes the next value, or the news that some are lost: `None` when the channel is closed, or all senders are gone,
    /// and this receiver has had everything.
    ///
    /// # Errors
    /// `Cancelled` if the scope around was cancelled, also when a value is there: take it with
    /// [`try_recv`](Self::try_recv), or in a [`shield`](super::shield).
    ///
    /// # Cancel safety
    /// Cancelled or dropped it has taken nothing.
    #[track_caller]
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Delivery<T>>>> + use<'_, T> {
        let mut wait = Wait::new(WaitsFor::Value);
        poll_fn(move |cx| self.poll_recv(&mut wait, cx))
    }

    fn poll_recv(&mut self, wait: &mut Wait, cx: &mut Context<'_>) -> Poll<Result<Option<Delivery<T>>>> {
        let taken = wait.attempt(cx, |cx| self.shared.attempt(self.place, &mut self.at, cx));
        taken.map_ok(|taken| taken.map(copy))
    }

    /// Takes what comes next if it is there now. Nothing cancels it.
    pub fn try_recv(&mut self) -> Option<Delivery<T>> {
        let taken = self.shared.lock().take(&mut self.at);
        taken.map(copy)
    }

    /// What this receiver gets, until the end.
    ///
    /// An item is `Cancelled` if the scope around was cancelled.
    ///
    /// ```
    /// use futures_lite::StreamExt;
    /// use pleach::task::{broadcast, time::VirtualClock};
    ///
    /// let (sender, receiver) = broadcast::channel(8);
    /// for number in 1..=3 {
    ///     sender.send(number).unwrap();
    /// }
    /// drop(sender);
    /// let sum = VirtualClock::block_on(async {
    ///     let mut deliveries = receiver.into_stream();
    ///     let mut sum = 0;
    ///     while let Some(delivery) = deliveries.try_next().await? {
    ///         sum += delivery.into_value().unwrap_or(0);
    ///     }
    ///     Ok::<_, pleach::Error>(sum)
    /// });
    /// assert_eq!(sum.unwrap(), 6);
    /// ```
    #[track_caller]
    pub fn into_stream(mut self) -> impl Stream<Item = Result<Delivery<T>>> + Unpin + use<T> {
        let mut wait = Wait::new(WaitsFor::Value);
        stream::poll_fn(move |cx| self.poll_recv(&mut wait, cx).map(Result::transpose))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.leave(self.place, self.at);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, closed) = (self.len(), self.is_closed());
        f.debug_struct("Receiver").field("len", &len).field("closed", &closed).finish_non_exhaustive()
    }
}
