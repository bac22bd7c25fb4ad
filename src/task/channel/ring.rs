//! What is in a channel, and who waits at it. Wakers are taken under the lock and woken outside.

use std::collections::VecDeque;
use std::task::Waker;

use super::error::{TrySendError, Why};
use crate::shim::{Brief, BriefGuard};
use crate::task::waiters::{Waiters, wake};

pub(super) struct Shared<T> {
    capacity: usize,
    state: Brief<State<T>>,
}

pub(super) struct State<T> {
    pub(super) queue: VecDeque<T>,
    /// Places that senders have reserved.
    reserved: usize,
    pub(super) receivers: Waiters,
    pub(super) senders: Waiters,
    pub(super) alive: Alive,
    /// Why nothing more is taken in.
    pub(super) closed: Option<Why>,
}

/// Ends of the channel that there are.
pub(super) struct Alive {
    pub(super) senders: usize,
    pub(super) receivers: usize,
}

impl<T> Shared<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let state = State {
            queue: VecDeque::with_capacity(capacity.min(64)),
            reserved: 0,
            receivers: Waiters::default(),
            senders: Waiters::default(),
            alive: Alive { senders: 1, receivers: 1 },
            closed: None,
        };
        Self { capacity, state: Brief::new(state) }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn lock(&self) -> BriefGuard<'_, State<T>> {
        self.state.lock()
    }

    pub(super) fn has_room(&self, state: &State<T>) -> bool {
        state.queue.len() + state.reserved < self.capacity
    }

    /// Puts `value` in, or gives it back.
    #[inline]
    pub(super) fn push(&self, value: T) -> Result<(), TrySendError<T>> {
        let state = self.lock();
        if state.closed.is_some() {
            return Err(TrySendError::Closed(value));
        }
        if !self.has_room(&state) {
            return Err(TrySendError::Full(value));
        }
        self.push_into(state, value);
        Ok(())
    }

    /// Puts `value` where there is room.
    #[inline(always)]
    pub(super) fn push_into(&self, mut state: BriefGuard<'_, State<T>>, value: T) {
        state.queue.push_back(value);
        // Whoever finds more room than it needs wakes the next: nobody is passed over if a woken one does not come.
        let next = if self.has_room(&state) { state.senders.next() } else { None };
        let receiver = state.receivers.next();
        drop(state);
        wake(receiver);
        wake(next);
    }

    /// Takes a value out, if there is one.
    #[inline]
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        let value = state.queue.pop_front()?;
        // At the first free place: the receiver may take no second value before it has heard of what its sender does
        // after this send.
        let sender = state.senders.next();
        let next = if state.queue.is_empty() { None } else { state.receivers.next() };
        drop(state);
        wake(sender);
        wake(next);
        Some(value)
    }

    /// Reserves a place, if there is one.
    pub(super) fn reserve(&self) -> Result<(), TrySendError<()>> {
        let mut state = self.lock();
        if state.closed.is_some() {
            return Err(TrySendError::Closed(()));
        }
        if !self.has_room(&state) {
            return Err(TrySendError::Full(()));
        }
        state.reserved += 1;
        let next = if self.has_room(&state) { state.senders.next() } else { None };
        drop(state);
        wake(next);
        Ok(())
    }

    /// A reserved place is used, or given back.
    pub(super) fn settle(&self, value: Option<T>) -> Option<T> {
        let mut state = self.lock();
        state.reserved -= 1;
        let (back, receiver, sender) = match value {
            Some(value) if state.closed.is_some() => (Some(value), None, None),
            Some(value) => {
                state.queue.push_back(value);
                (None, state.receivers.next(), None)
            }
            None => (None, None, state.senders.next()),
        };
        drop(state);
        wake(receiver);
        wake(sender);
        back
    }

    /// Nothing more is taken in. The first reason counts.
    pub(super) fn close(&self, why: Why) {
        let (receivers, senders) = {
            let mut state = self.lock();
            state.closed.get_or_insert(why);
            (state.receivers.all(), state.senders.all())
        };
        receivers.into_iter().chain(senders).for_each(Waker::wake);
    }
}
