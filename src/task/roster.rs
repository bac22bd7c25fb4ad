//! Who is in a nursery, and how those who have left ended.
//!
//! A nursery has a scope, and its children, once there are any, have one inside that. The inner one counts them, and the body
//! with them; the outer one keeps their failures.

use std::sync::Arc;
use std::task::{Context, Waker};

use super::child::Verdict;
use super::outcome::{self, cancelled};
use super::scope::{Kind, Scope};
use crate::error::{Closed, Mark, Reason};
use crate::shim::atomic::{AtomicUsize, Ordering};
use crate::shim::{Mutex, MutexGuard};
use crate::{Error, Result};

/// How many are there. Nobody joins who finds none.
#[derive(Default)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    /// The nursery is gone, whoever is left.
    const GONE: usize = 1 << (usize::BITS - 1);

    pub(crate) fn live(&self) -> usize {
        self.0.load(Ordering::SeqCst) & !Self::GONE
    }

    fn is_over(&self) -> bool {
        let live = self.0.load(Ordering::SeqCst);
        live == 0 || live & Self::GONE != 0
    }

    /// One more, unless it is too late.
    fn join(&self) -> Result<(), Closed> {
        let one_more = |live| if live == 0 || live & Self::GONE != 0 { None } else { Some(live + 1) };
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more).map(drop).map_err(|_| Closed)
    }

    /// One less; whether that was the last.
    pub(super) fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

/// How the strands of a nursery have ended.
#[derive(Default)]
pub(crate) struct Ended {
    failures: Vec<Error>,
    /// The cancel of a scope around, on its way through.
    outer: Option<Error>,
}

/// Waits for a nursery to get its first child, or to lose its last.
#[derive(Default)]
pub(crate) struct Watch(Mutex<Option<Waker>>);

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn wait(&self, cx: &Context<'_>) {
        let mut slot = self.lock();
        let old = match &*slot {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => slot.replace(cx.waker().clone()),
        };
        drop(slot);
        drop(old);
    }

    pub(crate) fn wake(&self) {
        let waker = self.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Scope {
    // ---- of the children

    /// The scope of a nursery's children, with the body counted in.
    pub(crate) fn of_children(nursery: &Arc<Self>) -> Arc<Self> {
        let children = Self::new(Kind::Children);
        children.count.0.store(1, Ordering::SeqCst);
        nursery.adopt(&children, None);
        children
    }

    /// One child more, or why not. It is counted before it is spawned, so that the nursery cannot complete in between.
    #[track_caller]
    pub(crate) fn count_in(&self) -> Result<()> {
        if self.is_requested()
            && !self.count.is_over()
            && let Some(mark) = self.mark()
        {
            return Err(cancelled(mark));
        }
        // A request that comes in between finds a child that was never polled, and that does not start.
        Ok(self.count.join()?)
    }

    /// The nursery is over, also if it was dropped: nobody joins any more.
    pub(crate) fn close(&self) {
        self.count.0.fetch_or(Count::GONE, Ordering::SeqCst);
    }

    /// A child has ended without a value: what its joiner is told.
    #[cold]
    pub(crate) fn child_fell(&self, error: Error) -> Option<Box<Verdict>> {
        if error.is_delivered() {
            return Some(Box::new(Verdict::failed(&error)));
        }
        let nursery = self.lock().parent()?;
        nursery.fell(error, Some(self)).map(Box::new)
    }

    // ---- of the nursery

    /// The body or a child has ended without a value. The first failure cancels all others.
    pub(crate) fn fell(&self, error: Error, children: Option<&Self>) -> Option<Verdict> {
        let is_own = |mark: &Mark| mark.scope == self.id() || children.is_some_and(|inner| inner.id() == mark.scope);
        let (cancel, failure) = outcome::sift(error, |mark| is_own(mark) || self.encloses_request(mark.scope));
        let failure = failure.map(outcome::stray);
        let verdict = match (&failure, &cancel) {
            (Some(failure), _) => Some(Verdict::failed(failure)),
            (None, Some(cancel)) => cancel.mark().cloned().map(Verdict::Cancelled),
            (None, None) => None,
        };
        let request = failure.as_ref().map(Reason::failed);
        {
            let ended = &mut self.lock().ended;
            ended.failures.extend(failure);
            if ended.outer.is_none() {
                ended.outer = cancel.filter(|cancel| cancel.mark().is_some_and(|mark| !is_own(mark)));
            }
        }
        if let Some(reason) = request {
            self.request(reason);
        }
        verdict
    }

    /// What the nursery gives when all have ended.
    pub(crate) fn outcome<T>(&self, value: Option<T>, children: Option<&Self>) -> Result<T> {
        let Ended { failures, outer } = std::mem::take(&mut self.lock().ended);
        if let Some(error) = outcome::gather(failures).or(outer) {
            return Err(error);
        }
        let own = || self.mark().or_else(|| children.and_then(Self::mark));
        value.ok_or_else(|| own().map_or_else(|| Closed.into(), cancelled))
    }
}
