//! How a driver waits that has nothing to do: it looks for what the peer is about to send, turn by turn, then it sleeps.

use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use rustix::thread::{sched_getcpu, sched_yield};

use crate::actor::turns::{Ticket, Turns};
use crate::waiting::{Pace, Place, Step, Waiting};

/// Looks in a row, over all connections of the actor, before the rest of it and its host have a turn. About 2 us.
const LOOKS: usize = 8;

/// One wait after the other.
pub(super) struct Look {
    pace: Pace,
    turns: Arc<Turns>,
    /// The turn that is waited for.
    ticket: Option<Ticket>,
    /// The rest of the actor had its turn after the host.
    last: bool,
    /// The transport cannot be looked at.
    blind: bool,
}

/// What the driver is to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: it is woken in its turn.
    Turn,
    /// To try to read, this often, and then to ask again.
    Try(usize),
    /// To register for something to read.
    Sleep,
}

impl Look {
    pub(super) fn new(waiting: Waiting, turns: Arc<Turns>) -> Self {
        Self { pace: Pace::new(waiting), turns, ticket: None, last: false, blind: false }
    }

    /// Nothing is there to be read, and everything is written.
    pub(super) fn next(&mut self, peer: Option<usize>, cx: &Context<'_>) -> Next {
        let Some(ticket) = self.ticket else {
            return if self.ask(cx) { Next::Turn } else { self.sleep() };
        };
        let Some(crowd) = self.turns.had(ticket) else { return Next::Turn };
        self.ticket = None;
        match self.pace.dry(Instant::now(), Place::of(peer, sched_getcpu())) {
            Step::Spin => Next::Try((LOOKS / crowd).max(1)),
            Step::Yield => {
                self.give_cpu();
                Next::Try(1)
            }
            Step::Park => Next::Sleep,
        }
    }

    /// Asks for a turn, in which to look; `false` if looking is not worth it now.
    pub(super) fn ask(&mut self, cx: &Context<'_>) -> bool {
        if self.blind || !self.pace.may_look(Instant::now) {
            return false;
        }
        self.ticket = Some(self.turns.wait(cx.waker()));
        self.last = false;
        true
    }

    fn sleep(&mut self) -> Next {
        if !self.blind {
            self.pace.sleeps(Instant::now);
        }
        Next::Sleep
    }

    fn give_cpu(&mut self) {
        let begun = Instant::now();
        sched_yield();
        let now = Instant::now();
        self.pace.yielded(now, now - begun);
    }

    /// Once after each turn of the host: what that has made ready may have something to write.
    pub(super) fn lets_others_go_first(&mut self) -> bool {
        let had = self.ticket.is_some_and(|ticket| self.turns.had(ticket).is_some());
        had && !std::mem::replace(&mut self.last, true)
    }

    /// Something was read.
    pub(super) fn data(&mut self) {
        self.ticket = None;
        self.pace.data(Instant::now);
    }

    /// The transport has nothing to look at: from now on the driver sleeps at once.
    pub(super) fn is_blind(&mut self) {
        self.blind = true;
    }
}
