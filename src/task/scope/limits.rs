//! How long a scope may take: its deadline, and what it has after a request (rule R6).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Scope, level};
use crate::error::Reason;
use crate::shim::atomic::Ordering;
use crate::task::clock;

/// How long a cancelled scope may take. A scope that was given none of its own has those of the scope around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From the request to the end of everything.
    pub(crate) grace: Duration,
    /// How long foreign awaits still work in a strand that has been told.
    pub(crate) linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (grace, linger) = if cfg!(test) { (300, 20) } else { (3000, 100) };
        Self { grace: Duration::from_millis(grace), linger: Duration::from_millis(linger) }
    }
}

/// When a scope cancels itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    At(Instant),
    /// So long after its first poll.
    After(Duration),
}

impl Scope {
    pub(crate) fn set_grace(&self, grace: Duration) {
        self.lock().grace = Some(grace);
    }

    pub(crate) fn set_linger(&self, linger: Duration) {
        self.lock().linger = Some(linger);
    }

    pub(crate) fn limits(&self) -> Limits {
        let (grace, linger, parent) = {
            let state = self.lock();
            (state.grace, state.linger, state.parent())
        };
        let above = parent.map_or_else(Limits::default, |parent| parent.limits());
        Limits { grace: grace.unwrap_or(above.grace), linger: linger.unwrap_or(above.linger) }
    }

    /// When everything is dropped: own request plus own grace, or the end of the scope around, whichever is sooner.
    ///
    /// The time is stamped here, by the strand's own clock, and not by the request: that may come from a thread which
    /// lives by another clock.
    pub(crate) fn grace_end(&self) -> Option<Instant> {
        let (parent, inherited) = {
            let state = self.lock();
            (state.parent(), state.inherited.is_some())
        };
        let above = if inherited { parent.and_then(|parent| parent.grace_end()) } else { None };
        let own = clock::from_now(self.limits().grace);
        let mut state = self.lock();
        if state.own.is_some() || inherited && above.is_none() {
            state.own_end.get_or_insert(own);
        }
        state.end = [state.end, state.own_end, above].into_iter().flatten().min();
        state.end
    }

    // ---- the deadline

    /// How often the deadline was set.
    #[inline]
    pub(crate) fn deadlines(&self) -> u32 {
        self.deadlines.load(Ordering::SeqCst)
    }

    /// Whoever polls the scope sees it there. One that has passed cancels at once.
    pub(crate) fn set_deadline(&self, deadline: Option<Deadline>) {
        self.lock().deadline = deadline;
        self.deadlines.fetch_add(1, Ordering::SeqCst);
        match deadline {
            Some(Deadline::At(at)) if at <= clock::now() => self.request(Reason::Deadline),
            _ => self.wake_strands(),
        }
    }

    /// When it cancels itself. A limit that counts from the first poll becomes an instant with that.
    pub(crate) fn begin_deadline(&self) -> Option<Instant> {
        let mut state = self.lock();
        if let Some(Deadline::After(after)) = state.deadline {
            state.deadline = Some(Deadline::At(clock::from_now(after)));
        }
        match state.deadline? {
            Deadline::At(at) => Some(at),
            Deadline::After(_) => None,
        }
    }

    /// When it cancels itself, if that is known.
    pub(crate) fn at(&self) -> Option<Instant> {
        match self.lock().deadline? {
            Deadline::At(at) => Some(at),
            Deadline::After(_) => None,
        }
    }

    /// The soonest deadline of this scope and those around it, as far as their requests would reach. One that is requested
    /// has none to wait for: that was `since`.
    pub(crate) fn effective_deadline(self: &Arc<Self>, since: Instant) -> Option<Instant> {
        if self.level() != level::OPEN {
            return Some(since);
        }
        let (own, parent) = (self.at(), self.lock().parent());
        let above = if self.is_shield() { None } else { parent.and_then(|parent| parent.effective_deadline(since)) };
        own.into_iter().chain(above).min()
    }
}
