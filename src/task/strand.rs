//! Strands: the units that a cancel drops.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU8};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::census;
use super::clock;
use super::panics;
use super::running::Outside;
use super::scope::Scope;
use crate::shim::atomic::{AtomicBool, AtomicU32, Ordering};
use crate::shim::{Mutex, MutexGuard};
use crate::{Error, Result};

pub(crate) type Detached = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a `Drop` could not wait for.
pub(crate) struct Entrusted {
    pub(crate) future: Pin<Box<dyn Future<Output = Result<()>> + Send>>,
    /// The failure of the strand if it has not ended in time; without one that is only logged.
    pub(crate) late: Option<Error>,
}

/// What a strand does, beside waiting for a [`WaitsFor`](super::WaitsFor).
pub(crate) mod doing {
    pub(crate) const RUNNING: u8 = 255;
    /// It waits for something that is no runtime await.
    pub(crate) const FOREIGN: u8 = 254;
}

/// One strand: a nursery child, or the body of a nursery, scope, shield or finalizer. A parked child is little more than
/// this, so it is kept small.
pub(crate) struct Strand {
    scope: Arc<Scope>,
    location: &'static Location<'static>,
    kept: Mutex<Kept>,
    /// Which waker is kept, to be compared without the lock. It cannot be mistaken for another one, because the strand keeps
    /// it alive.
    waker_identity: [AtomicPtr<()>; 2],
    /// How often it was told of the cancel; *observed* means at least once.
    deliveries: AtomicU32,
    /// Scope futures in it that were polled since the request and have not ended.
    entitlements: AtomicU32,
    /// Its awaits that wait behind the waker of some executor or combinator inside it.
    registered: AtomicU32,
    /// Whether `rare` holds something that has to end before the strand does.
    has_tail: AtomicBool,
    /// What it does: a [`doing`].
    doing: AtomicU8,
}

#[derive(Default)]
struct Kept {
    waker: Option<Waker>,
    /// The line in which it waits.
    waits_at: Option<&'static Location<'static>>,
    /// What most strands never need.
    rare: Option<Box<Rare>>,
}

/// A strand as whoever polls it has it. It is made only when something has to refer to it, such as a wait: most scopes and
/// many children end in their first poll.
pub(crate) enum Place {
    Seed { scope: Arc<Scope>, location: &'static Location<'static> },
    Made(Arc<Strand>),
}

impl Place {
    #[track_caller]
    pub(crate) fn new(scope: &Arc<Scope>) -> Self {
        Self::at(scope, Location::caller())
    }

    pub(crate) fn at(scope: &Arc<Scope>, location: &'static Location<'static>) -> Self {
        Self::Seed { scope: scope.clone(), location }
    }

    /// One with a name.
    pub(crate) fn named(scope: &Arc<Scope>, location: &'static Location<'static>, name: Arc<str>) -> Self {
        let mut place = Self::at(scope, location);
        place.make().with_rare(|rare| rare.name = Some(name));
        place
    }

    #[inline]
    pub(crate) fn scope(&self) -> &Arc<Scope> {
        match self {
            Self::Seed { scope, .. } => scope,
            Self::Made(strand) => &strand.scope,
        }
    }

    pub(crate) fn location(&self) -> &'static Location<'static> {
        match self {
            Self::Seed { location, .. } => location,
            Self::Made(strand) => strand.location,
        }
    }

    #[inline]
    pub(crate) fn made(&self) -> Option<&Arc<Strand>> {
        match self {
            Self::Seed { .. } => None,
            Self::Made(strand) => Some(strand),
        }
    }

    #[inline]
    pub(crate) fn make(&mut self) -> &Arc<Strand> {
        if let Self::Seed { .. } = self {
            self.grow();
        }
        self.made().expect("it was just made")
    }

    #[cold]
    fn grow(&mut self) {
        if let Self::Seed { scope, location } = self {
            *self = Self::Made(Arc::new(Strand::new(scope.clone(), location)));
        }
    }

    /// Whether it has something to do when its future has ended.
    #[inline]
    pub(crate) fn has_tail(&self) -> bool {
        self.made().is_some_and(|strand| strand.has_tail())
    }
}

#[derive(Default)]
struct Rare {
    name: Option<Arc<str>>,
    /// The last time that something happened for which the linger starts anew.
    last: Option<Instant>,
    tail: Tail,
}

/// What outlives the future of a strand.
#[derive(Default)]
pub(crate) struct Tail {
    /// Run one after the other, the last one first, when the strand has ended.
    pub(crate) finalizers: Vec<Detached>,
    /// Run at once, and waited for by the scope.
    pub(crate) entrusted: Vec<Entrusted>,
    /// Failures and panics of either.
    pub(crate) failures: Vec<Error>,
}

impl Strand {
    fn new(scope: Arc<Scope>, location: &'static Location<'static>) -> Self {
        census::strands(1);
        Self {
            scope,
            location,
            kept: Mutex::default(),
            waker_identity: [AtomicPtr::new(ptr::null_mut()), AtomicPtr::new(ptr::null_mut())],
            deliveries: AtomicU32::new(0),
            entitlements: AtomicU32::new(0),
            registered: AtomicU32::new(0),
            has_tail: AtomicBool::new(false),
            doing: AtomicU8::new(doing::RUNNING),
        }
    }

    #[inline]
    pub(crate) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Where it was spawned.
    pub(crate) fn location(&self) -> &'static Location<'static> {
        self.location
    }

    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.kept().rare.as_ref().and_then(|rare| rare.name.clone())
    }

    // ---- waking

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// From here on a request wakes this waker.
    pub(crate) fn keep(&self, waker: &Waker) {
        let old = self.kept().waker.replace(waker.clone());
        for (place, part) in self.waker_identity.iter().zip(identity(waker)) {
            place.store(part, Ordering::Relaxed);
        }
        drop(old);
    }

    /// The line in which it waits, for whoever takes a snapshot.
    #[inline(never)]
    pub(crate) fn keep_waits_at(&self, at: Option<&'static Location<'static>>) {
        self.kept().waits_at = at;
    }

    pub(crate) fn waits_at(&self) -> Option<&'static Location<'static>> {
        self.kept().waits_at
    }

    /// What it does now: a [`doing`].
    pub(crate) fn does(&self, what: u8) {
        self.doing.store(what, Ordering::Relaxed);
    }

    pub(crate) fn doing(&self) -> u8 {
        self.doing.load(Ordering::Relaxed)
    }

    /// Whether `waker` is kept already.
    #[inline]
    pub(crate) fn keeps(&self, waker: &Waker) -> bool {
        self.waker_identity.iter().zip(identity(waker)).all(|(place, part)| place.load(Ordering::Relaxed) == part)
    }

    pub(crate) fn waker(&self) -> Option<Waker> {
        self.kept().waker.clone()
    }

    pub(crate) fn wake(&self) {
        if let Some(waker) = self.waker() {
            waker.wake();
        }
    }

    // ---- what the rules ask

    pub(crate) fn deliveries(&self) -> u32 {
        self.deliveries.load(Ordering::SeqCst)
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.deliveries() > 0
    }

    /// The strand has been told.
    pub(crate) fn observe(&self) {
        self.deliveries.fetch_add(1, Ordering::SeqCst);
        self.touch();
    }

    /// Starts the linger anew, if there is anything to linger in.
    pub(crate) fn touch(&self) {
        if self.scope.is_requested() {
            let now = clock::now();
            self.with_rare(|rare| rare.last = Some(now));
        }
    }

    /// From when the linger counts.
    pub(crate) fn last_touch(&self) -> Instant {
        let now = clock::now();
        self.with_rare(|rare| *rare.last.get_or_insert(now))
    }

    pub(crate) fn is_entitled(&self) -> bool {
        self.entitlements.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn entitle(&self) {
        self.entitlements.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn disentitle(&self) {
        self.entitlements.fetch_sub(1, Ordering::SeqCst);
        self.touch();
    }

    pub(crate) fn has_registered(&self) -> bool {
        self.registered.load(Ordering::SeqCst) > 0
    }

    /// Registers an await of this strand with its scope.
    pub(crate) fn register(&self, waker: &Waker) -> Option<usize> {
        let key = self.scope.add_await(waker)?;
        self.registered.fetch_add(1, Ordering::SeqCst);
        Some(key)
    }

    pub(crate) fn unregister(&self, key: usize) {
        self.registered.fetch_sub(1, Ordering::SeqCst);
        self.scope.remove_await(key);
    }

    // ---- the tail

    fn with_rare<R>(&self, f: impl FnOnce(&mut Rare) -> R) -> R {
        f(self.kept().rare.get_or_insert_default())
    }

    pub(crate) fn add_finalizer(&self, finalizer: Detached) {
        self.with_rare(|rare| rare.tail.finalizers.push(finalizer));
        self.has_tail.store(true, Ordering::SeqCst);
    }

    /// Takes over what another strand, or a `Drop` in this one, could not end.
    pub(crate) fn adopt(&self, entrusted: Vec<Entrusted>, failures: Vec<Error>) {
        self.with_rare(|rare| {
            rare.tail.entrusted.extend(entrusted);
            rare.tail.failures.extend(failures);
        });
        self.has_tail.store(true, Ordering::SeqCst);
        self.wake();
    }

    #[inline]
    pub(crate) fn has_tail(&self) -> bool {
        self.has_tail.load(Ordering::SeqCst)
    }

    pub(crate) fn take_tail(&self) -> Tail {
        self.with_rare(|rare| std::mem::take(&mut rare.tail))
    }

    pub(crate) fn take_finalizer(&self) -> Option<Detached> {
        self.with_rare(|rare| rare.tail.finalizers.pop())
    }

    pub(crate) fn is_waited_for(&self) -> bool {
        self.with_rare(|rare| !rare.tail.entrusted.is_empty())
    }

    /// Whether nothing is left to be done for it.
    pub(crate) fn is_done(&self) -> bool {
        !self.has_tail()
            || self.with_rare(|rare| {
                let Tail { finalizers, entrusted, failures } = &rare.tail;
                finalizers.is_empty() && entrusted.is_empty() && failures.is_empty()
            })
    }

    pub(crate) fn add_failure(&self, failure: Error) {
        self.with_rare(|rare| rare.tail.failures.push(failure));
        self.has_tail.store(true, Ordering::SeqCst);
    }

    /// Drives what was entrusted, outside every strand: no cancel reaches it.
    pub(crate) fn poll_entrusted(&self, cx: &mut Context<'_>) {
        let running = self.with_rare(|rare| std::mem::take(&mut rare.tail.entrusted));
        if running.is_empty() {
            return;
        }
        let _outside = Outside::enter();
        let mut pending = Vec::new();
        for mut entrusted in running {
            match panics::catch(|| entrusted.future.as_mut().poll(cx)) {
                Ok(Poll::Pending) => {
                    pending.push(entrusted);
                    continue;
                }
                Ok(Poll::Ready(Ok(()))) => {}
                Ok(Poll::Ready(Err(failure))) | Err(failure) => self.add_failure(failure),
            }
            panics::dispose(entrusted, |panic| self.add_failure(panic));
        }
        // Polling may have added more, which its waker will bring back here.
        self.with_rare(|rare| rare.tail.entrusted.splice(0..0, pending).for_each(drop));
    }
}

impl Drop for Strand {
    fn drop(&mut self) {
        census::strands(-1);
    }
}

/// What makes a waker this waker and no other, as long as it is alive.
pub(super) type Identity = [*mut (); 2];

pub(super) const NOBODY: Identity = [ptr::null_mut(); 2];

#[inline]
pub(super) fn identity(waker: &Waker) -> Identity {
    [waker.data().cast_mut(), ptr::from_ref(waker.vtable()).cast_mut().cast()]
}
