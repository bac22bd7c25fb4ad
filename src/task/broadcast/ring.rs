//! The ring behind a broadcast, and who has had what. What is the user's is copied and dropped outside its lock.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use super::{Delivery, SendError};
use crate::Result;
use crate::task::crowd::{Crowd, wake_all};

pub(super) struct Shared<T> {
    capacity: usize,
    state: Mutex<State<T>>,
}

pub(super) struct State<T> {
    /// The values that somebody has not had, the oldest first.
    ring: VecDeque<Kept<T>>,
    /// The number of the value that is sent next.
    next: u64,
    pub(super) senders: usize,
    pub(super) closed: bool,
    receivers: Crowd,
}

struct Kept<T> {
    /// Shared, so that a receiver makes its copy outside the lock.
    value: Arc<T>,
    /// How many have not had it. Whoever has had it has had all older ones, so the first that all have had is the oldest.
    missing: usize,
}

/// A [`Delivery`] before the copy is made.
pub(super) type Taken<T> = Delivery<Arc<T>>;

impl<T> Shared<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let state = State {
            ring: VecDeque::with_capacity(capacity.min(64)),
            next: 0,
            senders: 1,
            closed: false,
            receivers: Crowd::default(),
        };
        Self { capacity, state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// For all who receive now, or given back.
    pub(super) fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return Err(SendError::closed(value));
        }
        let missing = state.receivers.len();
        if missing == 0 {
            drop(state);
            return Ok(0);
        }
        let lost = if state.ring.len() == self.capacity { state.pop() } else { None };
        state.ring.push_back(Kept { value: Arc::new(value), missing });
        state.next += 1;
        let receivers = state.receivers.take();
        drop(state);
        wake_all(receivers);
        drop(lost);
        Ok(missing)
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let receivers = state.receivers.take();
        drop(state);
        wake_all(receivers);
    }

    /// What comes next, or the end, or the waker left behind.
    pub(super) fn attempt(&self, place: usize, at: &mut u64, cx: &Context<'_>) -> Poll<Option<Taken<T>>> {
        let mut state = self.lock();
        if let Some(taken) = state.take(at) {
            return Poll::Ready(Some(taken));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        let old = state.receivers.wait(place, cx.waker());
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// A receiver is gone, which has had all before `at`.
    pub(super) fn leave(&self, place: usize, at: u64) {
        let mut state = self.lock();
        let own = state.receivers.leave(place);
        let index = state.index(at);
        state.ring.range_mut(index..).for_each(|kept| kept.missing -= 1);
        let had: Vec<_> = std::iter::from_fn(|| state.pop_if_had()).collect();
        drop(state);
        drop(own);
        drop(had);
    }
}

impl<T> State<T> {
    /// A receiver more: its place, and the number of the value that comes next for it.
    pub(super) fn join(&mut self) -> (usize, u64) {
        (self.receivers.join(), self.next)
    }

    /// How many values there are for a receiver that has had all before `at`.
    pub(super) fn len(&self, at: u64) -> usize {
        self.ring.len() - self.index(at)
    }

    /// The number of the oldest value in the ring.
    fn first(&self) -> u64 {
        self.next - self.ring.len() as u64
    }

    /// Where a receiver that comes to the value `at` finds it in the ring.
    fn index(&self, at: u64) -> usize {
        at.saturating_sub(self.first()) as usize
    }

    /// What comes next for a receiver that has had all before `at`.
    pub(super) fn take(&mut self, at: &mut u64) -> Option<Taken<T>> {
        let lost = self.first().saturating_sub(*at);
        if lost > 0 {
            *at += lost;
            return Some(Delivery::Lagged(lost));
        }
        let index = self.index(*at);
        let kept = self.ring.get_mut(index)?;
        *at += 1;
        kept.missing -= 1;
        let value = kept.value.clone();
        // The last one to have it takes it along. This drops no value, because it has a share in it.
        self.pop_if_had();
        Some(Delivery::Value(value))
    }

    /// The oldest value if all have had it.
    fn pop_if_had(&mut self) -> Option<Arc<T>> {
        if self.ring.front().is_some_and(|kept| kept.missing == 0) { self.pop() } else { None }
    }

    fn pop(&mut self) -> Option<Arc<T>> {
        self.ring.pop_front().map(|kept| kept.value)
    }
}

/// Outside the lock: what copies and drops a value is the user's.
pub(super) fn copy<T: Clone>(taken: Taken<T>) -> Delivery<T> {
    match taken {
        Delivery::Value(value) => Delivery::Value(Arc::unwrap_or_clone(value)),
        Delivery::Lagged(lost) => Delivery::Lagged(lost),
    }
}
