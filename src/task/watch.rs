//! The latest value of something that changes, for many readers: a setting, a state, a progress.
//!
//! A reader that is slow misses values that others have followed, and never the last one. Where every value counts, see
//! [`broadcast`](super::broadcast).

mod receiver;

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

pub use self::receiver::Receiver;
pub use super::channel::SendError;
use super::crowd::{Crowd, wake_all};
use super::wait::Wait;
use super::waits_for::WaitsFor;
use crate::Result;

/// A channel that holds one value, at first `initial`; whoever sends replaces it.
///
/// ```
/// use pleach::task::{nursery, time::VirtualClock, watch};
///
/// let (sender, mut receiver) = watch::channel(0);
/// VirtualClock::block_on(nursery(async |n| {
///     n.spawn(async move {
///         for percent in [20, 60, 100] {
///             sender.send(percent)?;
///         }
///         Ok(())
///     })?;
///     assert_eq!(receiver.changed().await?.as_deref(), Some(&100)); // what came before is gone
///     assert_eq!(receiver.changed().await?, None); // and so is the sender
///     Ok(())
/// }))
/// .unwrap();
/// ```
pub fn channel<T>(initial: T) -> (Sender<T>, Receiver<T>) {
    let state = State {
        value: Arc::new(initial),
        version: 0,
        senders: 1,
        receivers: Crowd::default(),
        closing: Crowd::default(),
    };
    let sender = Sender { shared: Arc::new(Shared(Mutex::new(state))) };
    let receiver = sender.subscribe();
    (sender, receiver)
}

struct Shared<T>(Mutex<State<T>>);

struct State<T> {
    value: Arc<T>,
    /// How often the value was replaced.
    version: u64,
    senders: usize,
    receivers: Crowd,
    /// Who waits until no receiver is left.
    closing: Crowd,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A value of a later version than `seen`, or the end, or the waker left behind.
    fn newer(&self, place: usize, seen: &mut Option<u64>, cx: &Context<'_>) -> Poll<Option<Arc<T>>> {
        let mut state = self.lock();
        if *seen != Some(state.version) {
            *seen = Some(state.version);
            return Poll::Ready(Some(state.value.clone()));
        }
        if state.senders == 0 {
            return Poll::Ready(None);
        }
        let old = state.receivers.wait(place, cx.waker());
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<T> State<T> {
    /// Gives the value that it was, to be dropped outside the lock, and who is to be told.
    fn replace(&mut self, value: Arc<T>) -> (Arc<T>, Vec<Waker>) {
        self.version += 1;
        (std::mem::replace(&mut self.value, value), self.receivers.take())
    }
}

/// The end that has the say. Clones replace the same value.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Replaces the value. It does not wait, so nothing cancels it.
    ///
    /// # Errors
    /// The value comes back if no receiver is left. Who sends for receivers that are yet to come uses
    /// [`modify`](Self::modify).
    ///
    /// ```
    /// use pleach::task::watch;
    ///
    /// let (sender, receiver) = watch::channel("calm");
    /// drop(receiver);
    /// assert_eq!(sender.send("storm").unwrap_err().into_value(), "storm");
    /// assert_eq!(*sender.get(), "calm");
    /// ```
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        let mut state = self.shared.lock();
        if state.receivers.len() == 0 {
            drop(state);
            return Err(SendError::closed(value));
        }
        let (old, receivers) = state.replace(Arc::new(value));
        drop(state);
        wake_all(receivers);
        drop(old);
        Ok(())
    }

    /// Changes the value, also if no receiver is left.
    ///
    /// `change` works on a copy, so that snapshots stay what they are and nobody waits for it. If another sender was
    /// faster it is called again, with the value that this one has left: it should do nothing else, and must not send
    /// into this channel.
    ///
    /// ```
    /// use pleach::task::watch;
    ///
    /// let (sender, receiver) = watch::channel(vec!["ash"]);
    /// sender.modify(|trees| trees.push("elm"));
    /// assert_eq!(*receiver.get(), ["ash", "elm"]);
    /// ```
    pub fn modify(&self, mut change: impl FnMut(&mut T))
    where
        T: Clone,
    {
        loop {
            let known = self.get();
            let mut value = T::clone(&known);
            change(&mut value);
            if self.replace(&known, Arc::new(value)) {
                return;
            }
        }
    }

    /// Replaces the value if it is still the one that is known.
    fn replace(&self, known: &Arc<T>, value: Arc<T>) -> bool {
        let mut state = self.shared.lock();
        if !Arc::ptr_eq(&state.value, known) {
            drop(state);
            return false;
        }
        let (old, receivers) = state.replace(value);
        drop(state);
        wake_all(receivers);
        drop(old);
        true
    }

    /// The value now.
    pub fn get(&self) -> Arc<T> {
        self.shared.lock().value.clone()
    }

    /// A further receiver, which has seen the value that is there now.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.shared)
    }

    /// Whether no receiver is left. [`subscribe`](Self::subscribe) makes one.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().receivers.len() == 0
    }

    /// Waits until no receiver is left: whatever is told here is of no use any more.
    ///
    /// # Errors
    /// `Cancelled` if the scope around was cancelled.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping it.
    #[track_caller]
    pub fn closed(&self) -> impl Future<Output = Result<()>> + use<'_, T> {
        let mut wait = Wait::new(WaitsFor::Other);
        let closing = Closing { shared: &*self.shared, place: self.shared.lock().closing.join() };
        poll_fn(move |cx| wait.attempt(cx, |cx| closing.poll(cx)))
    }
}

/// A place among those who wait for the end of the last receiver.
struct Closing<'a, T> {
    shared: &'a Shared<T>,
    place: usize,
}

impl<T> Closing<'_, T> {
    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        if state.receivers.len() == 0 {
            return Poll::Ready(());
        }
        let old = state.closing.wait(self.place, cx.waker());
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<T> Drop for Closing<'_, T> {
    fn drop(&mut self) {
        let waker = self.shared.lock().closing.leave(self.place);
        drop(waker);
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
        let receivers = if state.senders == 0 { state.receivers.take() } else { Vec::new() };
        drop(state);
        wake_all(receivers);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
