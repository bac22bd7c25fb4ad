//! Somebody who sleeps until somebody else has news.

use std::ops::Deref;
use std::task::Waker;

use crate::shim::atomic::{AtomicBool, Ordering};
use crate::shim::{Brief, BriefGuard};

/// The place of one sleeper. Whoever has news makes them visible, then calls [`wake`](Self::wake); the sleeper calls
/// [`sleep`](Self::sleep), then looks for news once more.
///
/// Nothing is lost between the two, because both *exchange* `asleep`: of two exchanges the later one sees what was
/// written before the earlier one. Either the sleeper was first, and is woken, or the news were, and are seen.
///
/// Who is asleep has a waker here: both change together, under its lock, but for a wake that has begun and is on its way.
#[derive(Default)]
pub(super) struct Sleeper {
    asleep: AtomicBool,
    waker: Brief<Option<Waker>>,
}

impl Sleeper {
    /// From now on news wake `waker`.
    pub(super) fn sleep(&self, waker: &Waker) {
        let mut slot = self.slot();
        let old = match &*slot {
            Some(known) if known.will_wake(waker) => None,
            _ => slot.replace(waker.clone()),
        };
        self.asleep.swap(true, Ordering::AcqRel);
        drop(slot);
        drop(old);
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.asleep.load(Ordering::Relaxed)
    }

    /// There are news.
    #[inline]
    pub(super) fn wake(&self) {
        if self.asleep.swap(false, Ordering::AcqRel) {
            self.rouse();
        }
    }

    #[cold]
    fn rouse(&self) {
        let waker = {
            let mut slot = self.slot();
            // It may have gone to sleep again since this wake began, and would be asleep without a waker.
            self.asleep.swap(false, Ordering::AcqRel);
            slot.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The sleeper no longer waits, and wants to hear of nothing.
    pub(super) fn leave(&self) {
        if self.is_asleep() && self.asleep.swap(false, Ordering::AcqRel) {
            let own = self.slot().take();
            drop(own);
        }
    }

    fn slot(&self) -> BriefGuard<'_, Option<Waker>> {
        self.waker.lock()
    }
}

/// On cache lines of its own, so that what one thread writes does not slow down what the other one reads.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Padded<T>(T);

impl<T> Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::counted;
    use super::*;

    /// Whoever is asleep already need not say so again, and is not asked to.
    #[test]
    fn whoever_is_asleep_has_a_waker_also_when_a_wake_was_late() {
        let sleeper = Sleeper::default();
        let (count, waker) = counted();
        sleeper.sleep(&waker);
        assert!(sleeper.asleep.swap(false, Ordering::AcqRel), "a wake begins, and is held up");
        sleeper.sleep(&waker);
        sleeper.rouse();
        assert_eq!(count.get(), 1);
        assert!(!sleeper.is_asleep(), "the waker is used up");
        sleeper.sleep(&waker);
        sleeper.wake();
        assert_eq!(count.get(), 2);
    }
}
