//! A lock for what takes some nanoseconds, in a connection some microseconds, and that tasks of one thread mostly have for themselves.
//!
//! Half of what an uncontended `Mutex` costs is its release, which must look for sleepers. Nobody sleeps at this one, so its
//! release is a plain store. Whoever finds it taken looks a few times, for a holder that runs on another CPU; then lets others
//! run, for one that has lost its CPU; then naps, for one whose priority is so low that it gets none beside those who look.
//! Never to be held over a wake, a system call or code of a user's: to clone a waker, and to let a queue grow, is the most.

#[cfg(pleach_loom)]
mod of_loom {
    pub(crate) type BriefGuard<'a, T> = loom::sync::MutexGuard<'a, T>;

    pub(crate) struct Brief<T>(loom::sync::Mutex<T>);

    impl<T: Default> Default for Brief<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    impl<T> Brief<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> BriefGuard<'_, T> {
            self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
        }
    }
}

#[cfg(not(pleach_loom))]
mod of_spin {
    use std::hint;
    use std::thread;
    use std::time::Duration;

    use spin::mutex::{SpinMutex, SpinMutexGuard};

    /// Looks before others are let run.
    const LOOKS: u32 = 64;
    /// Looks before a nap.
    const YIELDS: u32 = LOOKS + 64;
    const NAP: Duration = Duration::from_micros(50);

    pub(crate) type BriefGuard<'a, T> = SpinMutexGuard<'a, T>;

    #[derive(Default)]
    pub(crate) struct Brief<T>(pub(super) SpinMutex<T>);

    impl<T> Brief<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(SpinMutex::new(value))
        }

        #[inline]
        pub(crate) fn lock(&self) -> BriefGuard<'_, T> {
            match self.0.try_lock() {
                Some(guard) => guard,
                None => self.look(),
            }
        }

        #[cold]
        fn look(&self) -> BriefGuard<'_, T> {
            let mut looks = 0;
            loop {
                match looks {
                    0..LOOKS => hint::spin_loop(),
                    LOOKS..YIELDS => thread::yield_now(),
                    _ => thread::sleep(NAP),
                }
                if let Some(guard) = self.0.try_lock() {
                    return guard;
                }
                looks = YIELDS.min(looks + 1);
            }
        }
    }
}

#[cfg(pleach_loom)]
pub(crate) use of_loom::{Brief, BriefGuard};
#[cfg(not(pleach_loom))]
pub(crate) use of_spin::{Brief, BriefGuard};

#[cfg(all(test, not(pleach_loom)))]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn one_at_a_time_has_it() {
        let sum = Brief::new(0_u64);
        thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..50_000 {
                        *sum.lock() += 1;
                    }
                });
            }
        });
        assert_eq!(*sum.lock(), 200_000);
    }

    #[test]
    fn who_comes_while_its_holder_does_not_run_gets_it_in_the_end() {
        let word = Brief::new("taken");
        let (near, far) = mpsc::channel();
        thread::scope(|threads| {
            let guard = word.lock();
            threads.spawn(|| {
                assert!(word.0.try_lock().is_none(), "it is taken");
                near.send(()).unwrap();
                *word.lock() = "had by both";
            });
            far.recv().unwrap();
            drop(guard);
        });
        assert_eq!(*word.lock(), "had by both");
    }
}
