//! The tree of cancel scopes, and how a request runs through it (rules R1 and R6).

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use slab::Slab;

use super::clock;
use super::roster::{Count, Ended};
use super::strand::Strand;
use crate::error::{Mark, Reason, ScopeId};

/// How far the cancel of a scope has come. Levels only rise.
pub(crate) mod level {
    /// Not requested.
    pub(crate) const OPEN: u8 = 0;
    /// Runtime awaits return `Cancelled`.
    pub(crate) const REQUESTED: u8 = 1;
    /// All registered awaits have been woken, so strands that were not told may be dropped.
    pub(crate) const ARMED: u8 = 2;
    /// The grace is over: everything is dropped.
    pub(crate) const OVER: u8 = 3;
}

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

pub(crate) struct Scope {
    id: ScopeId,
    /// A shield does not let requests in from outside until it is lifted.
    shield: bool,
    level: AtomicU8,
    /// How often its strands were woken, for one that was being polled meanwhile and was not in the list.
    news: AtomicU32,
    /// Of the children of a nursery: how many there are, see `roster`.
    pub(super) count: Count,
    state: Mutex<State>,
}

pub(super) struct State {
    parent: Option<Weak<Scope>>,
    own: Option<Mark>,
    /// What came from outside first; the outermost request of the moment is found by walking up.
    inherited: Option<Mark>,
    claimed: bool,
    completed: bool,
    grace: Option<Duration>,
    linger: Option<Duration>,
    own_end: Option<Instant>,
    end: Option<Instant>,
    awaits: Slab<Waker>,
    strands: Slab<Arc<Strand>>,
    scopes: Slab<Arc<Scope>>,
    /// Of a nursery: how its strands have ended, see `roster`.
    pub(super) ended: Ended,
}

impl Scope {
    pub(crate) fn new(shield: bool) -> Arc<Self> {
        let state = State {
            parent: None,
            own: None,
            inherited: None,
            claimed: false,
            completed: false,
            grace: None,
            linger: None,
            own_end: None,
            end: None,
            awaits: Slab::new(),
            strands: Slab::new(),
            scopes: Slab::new(),
            ended: Ended::default(),
        };
        Arc::new(Self {
            id: ScopeId::fresh(),
            shield,
            level: AtomicU8::new(level::OPEN),
            news: AtomicU32::new(0),
            count: Count::default(),
            state: Mutex::new(state),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn id(&self) -> ScopeId {
        self.id
    }

    pub(crate) fn is_shield(&self) -> bool {
        self.shield
    }

    #[inline]
    pub(crate) fn level(&self) -> u8 {
        self.level.load(Ordering::SeqCst)
    }

    /// The level, and how much its strands have been told.
    #[inline]
    pub(crate) fn level_and_news(&self) -> (u8, u32) {
        (self.level(), self.news.load(Ordering::SeqCst))
    }

    #[inline]
    pub(crate) fn is_requested(&self) -> bool {
        self.level() != level::OPEN
    }

    // ---- requests

    /// Cancels this scope and all inside it that is not shielded. The first reason wins; later ones change nothing.
    pub(crate) fn request(&self, reason: Reason) {
        {
            let mut state = self.lock();
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
        inner.iter().filter(|scope| !scope.shield).for_each(|scope| scope.spread(Some(&mark)));
    }

    /// Second pass, inner scopes first: wake the awaits, arm, wake the strands. No lock is held while waking.
    fn wake_inner_first(&self) {
        let (inner, awaits) = {
            let state = self.lock();
            (state.inner_scopes(), state.awaits.iter().map(|(_, waker)| waker.clone()).collect::<Vec<_>>())
        };
        for scope in inner {
            if scope.shield {
                scope.wake_strands(); // its bound starts to run
            } else {
                scope.wake_inner_first();
            }
        }
        awaits.into_iter().for_each(Waker::wake);
        self.level.fetch_max(level::ARMED, Ordering::SeqCst);
        self.wake_strands();
    }

    fn wake_strands(&self) {
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

    /// Takes the scope for its one run; false if it has been taken.
    pub(crate) fn claim(&self) -> bool {
        !std::mem::replace(&mut self.lock().claimed, true)
    }

    /// From here on a request is a no-op.
    pub(crate) fn complete(&self) {
        self.lock().completed = true;
    }

    // ---- limits

    pub(crate) fn set_grace(&self, grace: Duration) {
        self.lock().grace = Some(grace);
    }

    #[cfg(test)]
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

    // ---- the tree

    /// Puts `inner` into this scope, with the request there may be.
    pub(crate) fn adopt(self: &Arc<Self>, inner: &Arc<Self>) -> usize {
        inner.lock().parent = Some(Arc::downgrade(self));
        let key = self.lock().scopes.insert(inner.clone());
        // A request that came before the insert has set the level; one that comes after finds `inner` in the list.
        if !inner.shield
            && let Some(mark) = self.requested_mark()
        {
            inner.inherit(&mark);
        }
        key
    }

    fn requested_mark(&self) -> Option<Mark> {
        if self.is_requested() { self.mark() } else { None }
    }

    pub(crate) fn release(&self, key: usize) {
        let inner = self.lock().scopes.try_remove(key);
        drop(inner);
    }

    /// Its key is one too high, so that no key takes room; 0 is none.
    pub(crate) fn add_strand(&self, strand: &Arc<Strand>) -> NonZeroU32 {
        let key = self.lock().strands.insert(strand.clone());
        let key = u32::try_from(key + 1).ok().and_then(NonZeroU32::new);
        key.expect("four billion strands need more memory than there is")
    }

    pub(crate) fn remove_strand(&self, key: NonZeroU32) {
        let strand = self.lock().strands.try_remove(key.get() as usize - 1);
        drop(strand);
    }

    /// Whether nothing runs in it.
    pub(crate) fn is_quiescent(&self) -> bool {
        self.lock().strands.is_empty() && self.count.live() == 0
    }

    // ---- registered awaits

    /// Registers an await; `None` if the scope is requested, in which case the caller must look again.
    pub(crate) fn add_await(&self, waker: &Waker) -> Option<usize> {
        let mut state = self.lock();
        if self.is_requested() { None } else { Some(state.awaits.insert(waker.clone())) }
    }

    /// Gives a registered await another waker; false if the scope is requested, as the old one may have been woken.
    pub(crate) fn set_await(&self, key: usize, waker: &Waker) -> bool {
        let mut state = self.lock();
        if state.awaits[key].will_wake(waker) {
            return true;
        }
        let old = std::mem::replace(&mut state.awaits[key], waker.clone());
        let open = !self.is_requested();
        drop(state);
        drop(old);
        open
    }

    pub(crate) fn remove_await(&self, key: usize) {
        let waker = self.lock().awaits.try_remove(key);
        drop(waker);
    }
}

impl State {
    pub(super) fn parent(&self) -> Option<Arc<Scope>> {
        self.parent.as_ref().and_then(Weak::upgrade)
    }

    fn inner_scopes(&self) -> Vec<Arc<Scope>> {
        self.scopes.iter().map(|(_, scope)| scope.clone()).collect()
    }
}
