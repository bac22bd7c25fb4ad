//! How a request runs through the tree (rule R1).

use std::task::Waker;
use std::time::Duration;

use super::{Scope, level};
use crate::error::{Mark, Reason, ScopeId};
use crate::shim::atomic::Ordering;

impl Scope {
    /// Cancels this scope and all inside it that is not shielded. The first reason wins; later ones change nothing.
    pub(crate) fn request(&self, reason: Reason) {
        {
            let mut state = self.lock();
            state.called = true;
            if state.own.is_some() || state.completed {
                return;
            }
            state.own = Some(Mark { scope: self.id, reason });
        }
        self.spread(None);
        self.wake_inner_first();
    }

    /// Lets the request of the scope around it in: a new child of a requested scope, or a shield that is lifted.
    pub(crate) fn inherit(&self, mark: &Mark) {
        self.spread(Some(mark));
        self.wake_inner_first();
    }

    /// First pass: the whole subtree knows before anybody is woken. Otherwise a strand that runs on another thread
    /// could be judged by a request that its awaits have not been told of.
    fn spread(&self, inherited: Option<&Mark>) {
        let (mark, inner) = {
            let mut state = self.lock();
            if let Some(mark) = inherited {
                state.inherited.get_or_insert_with(|| mark.clone());
            }
            self.level.fetch_max(level::REQUESTED, Ordering::SeqCst);
            let Some(mark) = state.inherited.clone().or_else(|| state.own.clone()) else { return };
            (mark, state.inner_scopes())
        };
        inner.iter().filter(|scope| !scope.is_shield()).for_each(|scope| scope.spread(Some(&mark)));
    }

    /// Second pass, inner scopes first: wake the awaits, arm, wake the strands. No lock is held while waking.
    fn wake_inner_first(&self) {
        let (inner, awaits) = {
            let state = self.lock();
            (state.inner_scopes(), state.awaits.iter().map(|(_, waker)| waker.clone()).collect::<Vec<_>>())
        };
        for scope in inner {
            if scope.is_shield() {
                scope.wake_strands(); // its bound starts to run
            } else {
                scope.wake_inner_first();
            }
        }
        awaits.into_iter().for_each(Waker::wake);
        self.level.fetch_max(level::ARMED, Ordering::SeqCst);
        self.wake_strands();
    }

    pub(super) fn wake_strands(&self) {
        self.news.fetch_add(1, Ordering::SeqCst);
        let wakers: Vec<_> = self.lock().strands.iter().filter_map(|(_, strand)| strand.waker()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Takes away what is left of the grace: all inside is dropped at the next poll, shields as well.
    pub(crate) fn hurry(&self) {
        {
            let mut state = self.lock();
            state.grace = Some(Duration::ZERO);
            // To be stamped anew.
            state.own_end = None;
        }
        self.wake_strands();
    }

    /// The grace has run out.
    pub(crate) fn end_grace(&self) {
        self.level.fetch_max(level::OVER, Ordering::SeqCst);
        self.wake_strands();
    }

    /// The request to tell of: that of the outermost requested scope in sight, at this moment.
    pub(crate) fn mark(&self) -> Option<Mark> {
        let (own, inherited, parent) = {
            let state = self.lock();
            (state.own.clone(), state.inherited.clone(), state.parent())
        };
        match inherited {
            Some(first) => Some(parent.and_then(|parent| parent.mark()).unwrap_or(first)),
            None => own,
        }
    }

    /// Whether `id` is this scope or one around it, and was requested.
    pub(crate) fn encloses_request(&self, id: ScopeId) -> bool {
        let (requested, parent) = {
            let state = self.lock();
            (self.id == id && state.own.is_some(), state.parent())
        };
        requested || parent.is_some_and(|parent| parent.encloses_request(id))
    }
}
