//! Somebody who sleeps until somebody else has news.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::task::Waker;

/// The place of one sleeper. Whoever has news makes them visible, then calls [`wake`](Self::wake); the sleeper calls
/// [`sleep`](Self::sleep), then looks for news once more.
///
/// Nothing is lost between the two, because both *exchange* `asleep`: of two exchanges the later one sees what was
/// written before the earlier one. Either the sleeper was first, and is woken, or the news were, and are seen.
#[derive(Default)]
pub(super) struct Sleeper {
    asleep: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Sleeper {
    /// From now on news wake `waker`.
    pub(super) fn sleep(&self, waker: &Waker) {
        let old = {
            let mut slot = self.slot();
            match &*slot {
                Some(known) if known.will_wake(waker) => None,
                _ => slot.replace(waker.clone()),
            }
        };
        self.asleep.swap(true, Ordering::AcqRel);
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
        let waker = self.slot().take();
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

    fn slot(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
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
