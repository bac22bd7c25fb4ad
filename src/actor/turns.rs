//! Turns: whoever has nothing to do, but will look again soon, first lets everything else have its turn.
//!
//! A task that wakes itself comes back before the host has run anything of its own: the root of an actor is one task of
//! it, and must return to it in between. So those that want a turn are woken when the root's poll is over.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use crate::host::{Reactor, turn};
use crate::shim::Brief;

/// The turns of one actor's root.
pub(crate) struct Turns {
    reactor: Arc<dyn Reactor>,
    waiting: Brief<Vec<Waker>>,
    /// The number of the turn that they wait for.
    number: AtomicU64,
    /// How many had the last turn.
    crowd: AtomicUsize,
}

/// A place in the next turn; see [`Turns::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Turns {
    pub(crate) fn new(reactor: Arc<dyn Reactor>) -> Self {
        Self { reactor, waiting: Brief::new(Vec::new()), number: AtomicU64::new(0), crowd: AtomicUsize::new(0) }
    }

    /// Wakes this, once, when all else has had its turn.
    pub(crate) fn wait(&self, waker: &Waker) -> Ticket {
        let waker = waker.clone();
        let mut waiting = self.waiting.lock();
        waiting.push(waker);
        Ticket(self.number.load(Ordering::Relaxed))
    }

    /// If the turn has come: how many have it.
    pub(crate) fn had(&self, ticket: Ticket) -> Option<usize> {
        let had = self.number.load(Ordering::Relaxed) > ticket.0;
        had.then(|| self.crowd.load(Ordering::Relaxed))
    }

    /// Polls the root; whoever waits for a turn is woken when that returns.
    pub(crate) fn around<F>(self: Arc<Self>, root: F) -> InTurns<F> {
        InTurns { turns: self, woken: Vec::new(), root }
    }

    /// By way of `woken`, which is empty before and after, and keeps its memory.
    fn give(&self, woken: &mut Vec<Waker>) {
        {
            let mut waiting = self.waiting.lock();
            if waiting.is_empty() {
                return;
            }
            // Under the lock, so nobody else changes it.
            self.number.store(self.number.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            self.crowd.store(waiting.len(), Ordering::Relaxed);
            std::mem::swap(&mut *waiting, woken);
        }
        woken.drain(..).for_each(|waker| self.reactor.wake_in_turn(waker));
    }
}

pin_project! {
    /// See [`Turns::around`].
    pub(crate) struct InTurns<F> {
        turns: Arc<Turns>,
        woken: Vec<Waker>,
        #[pin]
        root: F,
    }
}

impl<F: Future> Future for InTurns<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = turn(None, || this.root.poll(cx));
        if polled.is_pending() {
            this.turns.give(this.woken);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io;
    use std::os::unix::net::UnixStream;
    use std::pin::pin;
    use std::task::Wake;

    use super::*;
    use crate::transport::Transport;

    struct NoSockets;

    impl Reactor for NoSockets {
        fn serve(&self, _: UnixStream) -> io::Result<Box<dyn Transport>> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn whoever_waits_is_woken_once_when_the_roots_poll_is_over() {
        let turns = Arc::new(Turns::new(Arc::new(NoSockets)));
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let woken = || count.0.load(Ordering::SeqCst);
        let mut tickets = Vec::new();
        let mut polls = 0;
        let mut root = pin!(turns.clone().around(poll_fn(|_| {
            polls += 1;
            let before = woken();
            match polls {
                1 => tickets.extend([turns.wait(&waker), turns.wait(&waker)]),
                4 => tickets.push(turns.wait(&waker)),
                5 => return Poll::Ready(()),
                _ => {}
            }
            assert!(tickets.last().is_none_or(|last| turns.had(*last).is_none() == (polls == 1 || polls == 4)));
            assert_eq!(woken(), before, "not while the root is polled");
            Poll::Pending
        })));
        let mut cx = Context::from_waker(Waker::noop());
        let mut seen = Vec::new();
        while root.as_mut().poll(&mut cx).is_pending() {
            seen.push(woken());
        }
        assert_eq!(seen, [2, 2, 2, 3], "each once");
        assert_eq!((turns.had(tickets[0]), turns.had(tickets[2])), (Some(1), Some(1)));
    }
}
