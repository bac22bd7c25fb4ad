//! The ring behind a channel, and who waits at it. Wakers are taken under its lock and woken outside.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::task::Waker;

use super::send_error::TrySendError;

pub(super) struct Shared<T> {
    capacity: usize,
    state: Mutex<State<T>>,
}

pub(super) struct State<T> {
    pub(super) queue: VecDeque<T>,
    pub(super) receiver: Option<Waker>,
    /// Senders that wait for room, by ticket in the order in which they came. One that was woken is not in it.
    waiting: VecDeque<(u64, Waker)>,
    next_ticket: u64,
    pub(super) senders: usize,
    pub(super) closed: bool,
}

impl<T> Shared<T> {
    pub(super) fn new(capacity: usize) -> Self {
        let state = State {
            queue: VecDeque::with_capacity(capacity.min(64)),
            receiver: None,
            waiting: VecDeque::new(),
            next_ticket: 0,
            senders: 1,
            closed: false,
        };
        Self { capacity, state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn has_room(&self, state: &State<T>) -> bool {
        state.queue.len() < self.capacity
    }

    /// Puts `value` in, or gives it back.
    pub(super) fn push(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut state = self.lock();
        if state.closed {
            return Err(TrySendError::Closed(value));
        }
        if !self.has_room(&state) {
            return Err(TrySendError::Full(value));
        }
        state.queue.push_back(value);
        // Whoever finds more room than it needs wakes the next: nobody is passed over if a woken one does not come.
        let next = if self.has_room(&state) { state.next_waiting() } else { None };
        let receiver = state.receiver.take();
        drop(state);
        wake(receiver);
        wake(next);
        Ok(())
    }

    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        let value = state.queue.pop_front()?;
        // At the first free place: the receiver may take no second value before it has heard of what its sender does
        // after this send.
        let next = state.next_waiting();
        drop(state);
        wake(next);
        Some(value)
    }

    pub(super) fn close(&self) {
        let (receiver, waiting) = {
            let mut state = self.lock();
            state.closed = true;
            (state.receiver.take(), std::mem::take(&mut state.waiting))
        };
        wake(receiver);
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// A sender no longer waits. If it had been woken, the room it was woken for is for the next.
    pub(super) fn abandon(&self, ticket: u64) {
        let mut state = self.lock();
        let (own, next) = match state.find(ticket) {
            Ok(at) => (state.waiting.remove(at), None),
            Err(_) if self.has_room(&state) => (None, state.next_waiting()),
            Err(_) => (None, None),
        };
        drop(state);
        drop(own);
        wake(next);
    }
}

impl<T> State<T> {
    pub(super) fn next_waiting(&mut self) -> Option<Waker> {
        self.waiting.pop_front().map(|(_, waker)| waker)
    }

    pub(super) fn find(&self, ticket: u64) -> Result<usize, usize> {
        self.waiting.binary_search_by_key(&ticket, |(ticket, _)| *ticket)
    }

    /// Waits under its ticket, or a new one; one that was woken in vain keeps its place. Gives a waker to drop.
    pub(super) fn enqueue(&mut self, ticket: &mut Option<u64>, waker: &Waker) -> Option<Waker> {
        let ticket = *ticket.get_or_insert_with(|| {
            self.next_ticket += 1;
            self.next_ticket
        });
        match self.find(ticket) {
            Ok(at) if self.waiting[at].1.will_wake(waker) => None,
            Ok(at) => Some(std::mem::replace(&mut self.waiting[at].1, waker.clone())),
            Err(at) => {
                self.waiting.insert(at, (ticket, waker.clone()));
                None
            }
        }
    }
}

pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
