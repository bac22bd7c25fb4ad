//! The tree of cancel scopes. How a request runs through it is in [`request`], how long it may take in [`limits`].

mod limits;
mod request;

use std::num::NonZeroU32;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use slab::Slab;

pub(crate) use self::limits::Deadline;
use super::census;
use super::roster::{Count, Ended};
use super::strand::Strand;
use crate::error::{Mark, ScopeId};
use crate::shim::atomic::{AtomicU8, AtomicU32, Ordering};
use crate::shim::{Mutex, MutexGuard};

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

/// What a scope is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The body of a nursery, and around its children.
    Nursery,
    /// The children of a nursery, inside its scope.
    Children,
    /// What can be cancelled from anywhere.
    Cancel,
    /// What has a time limit.
    Limit,
    /// What does not let requests in from outside until it is lifted.
    Shield,
}

pub(crate) struct Scope {
    id: ScopeId,
    kind: Kind,
    level: AtomicU8,
    /// How often its strands were woken, for one that was being polled meanwhile and was not in the list.
    news: AtomicU32,
    /// How often its deadline was set.
    deadlines: AtomicU32,
    /// Of the children of a nursery: how many there are, see `roster`.
    pub(super) count: Count,
    state: Mutex<State>,
}

pub(super) struct State {
    parent: Option<Weak<Scope>>,
    /// The strand that the scope is polled in.
    pub(super) home: Option<Weak<Strand>>,
    own: Option<Mark>,
    /// What came from outside first; the outermost request of the moment is found by walking up.
    inherited: Option<Mark>,
    claimed: bool,
    completed: bool,
    /// Somebody has asked for it, also when it was too late.
    called: bool,
    /// Its own request has ended its body.
    caught: bool,
    grace: Option<Duration>,
    linger: Option<Duration>,
    own_end: Option<Instant>,
    end: Option<Instant>,
    deadline: Option<Deadline>,
    awaits: Slab<Waker>,
    pub(super) strands: Slab<Arc<Strand>>,
    pub(super) scopes: Slab<Arc<Scope>>,
    /// Of a nursery: how its strands have ended, see `roster`.
    pub(super) ended: Ended,
}

impl Scope {
    pub(crate) fn new(kind: Kind) -> Arc<Self> {
        Self::with(kind, None)
    }

    /// One that cancels itself then.
    pub(crate) fn limited(deadline: Deadline) -> Arc<Self> {
        Self::with(Kind::Limit, Some(deadline))
    }

    fn with(kind: Kind, deadline: Option<Deadline>) -> Arc<Self> {
        census::scopes(1);
        let state = State {
            parent: None,
            home: None,
            own: None,
            inherited: None,
            claimed: false,
            completed: false,
            called: false,
            caught: false,
            grace: None,
            linger: None,
            own_end: None,
            end: None,
            deadline,
            awaits: Slab::new(),
            strands: Slab::new(),
            scopes: Slab::new(),
            ended: Ended::default(),
        };
        Arc::new(Self {
            id: ScopeId::fresh(),
            kind,
            level: AtomicU8::new(level::OPEN),
            news: AtomicU32::new(0),
            deadlines: AtomicU32::new(deadline.is_some().into()),
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

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn is_shield(&self) -> bool {
        self.kind == Kind::Shield
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

    /// Takes the scope for its one run; false if it has been taken.
    pub(crate) fn claim(&self) -> bool {
        !std::mem::replace(&mut self.lock().claimed, true)
    }

    /// From here on a request is a no-op.
    pub(crate) fn complete(&self) {
        self.lock().completed = true;
    }

    /// Whether somebody asked for this scope itself to be cancelled, also after its end.
    pub(crate) fn was_requested(&self) -> bool {
        self.lock().called
    }

    /// Its own request has ended its body.
    pub(crate) fn catch(&self) {
        self.lock().caught = true;
    }

    pub(crate) fn has_caught(&self) -> bool {
        self.lock().caught
    }

    // ---- the tree

    /// Puts `inner` into this scope, with the request there may be.
    pub(crate) fn adopt(self: &Arc<Self>, inner: &Arc<Self>, home: Option<&Arc<Strand>>) -> usize {
        {
            let mut state = inner.lock();
            state.parent = Some(Arc::downgrade(self));
            state.home = home.map(Arc::downgrade);
        }
        let key = self.lock().scopes.insert(inner.clone());
        // A request that came before the insert has set the level; one that comes after finds `inner` in the list.
        if !inner.is_shield()
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

impl Drop for Scope {
    fn drop(&mut self) {
        census::scopes(-1);
    }
}

impl State {
    pub(super) fn parent(&self) -> Option<Arc<Scope>> {
        self.parent.as_ref().and_then(Weak::upgrade)
    }

    pub(super) fn inner_scopes(&self) -> Vec<Arc<Scope>> {
        self.scopes.iter().map(|(_, scope)| scope.clone()).collect()
    }
}
