//! A queue of operations that wait for something that can be taken: room, a value, a permit.
//!
//! Nothing is ever handed to one of them (law C13). Whoever makes something available takes the first out of the queue and
//! wakes it; whoever is polled first takes what there is. So one that was woken and does not come loses its place and nothing
//! else: it passes the wake on when it is dropped, and when somebody else finds more than it needs, that one wakes the next.

use std::collections::VecDeque;
use std::task::{Context, Waker};

/// Those who wait, in the order in which they came. One that was woken is not in it.
#[derive(Default)]
pub(crate) struct Waiters {
    /// Mostly there is one at most.
    first: Option<(u64, Waker)>,
    /// Those behind the first.
    rest: VecDeque<(u64, Waker)>,
    last_ticket: u64,
}

/// The place of one operation, kept over its polls.
#[derive(Debug, Default)]
pub(crate) struct Ticket(Option<u64>);

impl Ticket {
    /// Whether it has waited.
    #[inline]
    pub(crate) fn is_taken(&self) -> bool {
        self.0.is_some()
    }
}

impl Waiters {
    /// Takes out the first, to be woken when the lock is free.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Waker> {
        let (_, waker) = self.first.take()?;
        if !self.rest.is_empty() {
            self.first = self.rest.pop_front();
        }
        Some(waker)
    }

    /// Takes out all.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = Waker> + use<> {
        let all = self.first.take().into_iter().chain(std::mem::take(&mut self.rest));
        all.map(|(_, waker)| waker)
    }

    /// Waits in its place, or a new one; one that was woken in vain gets its place again. Gives a waker to drop when the lock
    /// is free.
    #[inline]
    pub(crate) fn wait(&mut self, ticket: &mut Ticket, cx: &Context<'_>) -> Option<Waker> {
        let number = *ticket.0.get_or_insert_with(|| {
            self.last_ticket += 1;
            self.last_ticket
        });
        match &mut self.first {
            None => {
                self.first = Some((number, cx.waker().clone()));
                None
            }
            Some((first, waker)) if *first == number => renew(waker, cx),
            Some(_) => self.wait_behind(number, cx),
        }
    }

    #[cold]
    fn wait_behind(&mut self, number: u64, cx: &Context<'_>) -> Option<Waker> {
        match self.find(number) {
            Ok(at) => renew(&mut self.rest[at].1, cx),
            Err(at) => {
                self.rest.insert(at, (number, cx.waker().clone()));
                // It may have been before the first, when it was woken in vain.
                if let Some(first) = &mut self.first
                    && self.rest[0].0 < first.0
                {
                    std::mem::swap(first, &mut self.rest[0]);
                }
                None
            }
        }
    }

    fn find(&self, number: u64) -> Result<usize, usize> {
        self.rest.binary_search_by_key(&number, |(number, _)| *number)
    }

    /// It waits no more. Gives its waker, to be dropped when the lock is free, if it was in the queue; `Err` if it had been
    /// woken: then what it was woken for may be for the next.
    #[inline]
    pub(crate) fn leave(&mut self, ticket: &mut Ticket) -> Result<Option<Waker>, Woken> {
        match ticket.0.take() {
            None => Ok(None),
            Some(number) => self.leave_place(number),
        }
    }

    #[cold]
    fn leave_place(&mut self, number: u64) -> Result<Option<Waker>, Woken> {
        match &self.first {
            None => Err(Woken),
            Some((first, _)) if *first == number => Ok(self.next()),
            Some(_) => match self.find(number) {
                Ok(at) => Ok(self.rest.remove(at).map(|(_, waker)| waker)),
                Err(_) => Err(Woken),
            },
        }
    }
}

fn renew(known: &mut Waker, cx: &Context<'_>) -> Option<Waker> {
    if known.will_wake(cx.waker()) { None } else { Some(std::mem::replace(known, cx.waker().clone())) }
}

/// It was taken out of the queue and woken.
pub(crate) struct Woken;

/// Wakes somebody, with no lock held.
#[inline]
pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number_of(waiters: &Waiters) -> Vec<u64> {
        waiters.first.iter().chain(&waiters.rest).map(|(number, _)| *number).collect()
    }

    #[test]
    fn who_was_woken_in_vain_gets_its_place_again() {
        let cx = Context::from_waker(Waker::noop());
        let mut waiters = Waiters::default();
        let mut tickets = [const { Ticket(None) }; 4];
        for ticket in &mut tickets {
            assert!(waiters.wait(ticket, &cx).is_none());
        }
        assert!(waiters.next().is_some() && waiters.next().is_some());
        assert_eq!(number_of(&waiters), [3, 4]);
        waiters.wait(&mut tickets[1], &cx);
        assert_eq!(number_of(&waiters), [2, 3, 4]);
        waiters.wait(&mut tickets[0], &cx);
        assert_eq!(number_of(&waiters), [1, 2, 3, 4]);
        assert!(waiters.leave(&mut tickets[2]).is_ok());
        assert!(waiters.leave(&mut tickets[0]).is_ok());
        assert_eq!(number_of(&waiters), [2, 4]);
        assert!(waiters.next().is_some());
        assert!(waiters.leave(&mut tickets[1]).is_err(), "it was woken");
        assert!(waiters.leave(&mut tickets[1]).is_ok(), "it has no place any more");
        assert_eq!(waiters.all().count(), 1);
    }
}
