//! Time for tasks: sleeping, and the clocks behind it.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::clock::{self, Alarm};
use super::wait::{WaitsFor, cancellable_as};
use crate::Result;

pub use super::clock::{Clock, Timer};

/// Waits for `after`, counted from the first poll.
///
/// # Errors
/// `Cancelled` if the scope around it was cancelled.
///
/// # Cancel safety
/// Nothing is lost by dropping it.
///
/// ```
/// use pleach::task::time::VirtualClock;
/// use std::time::Duration;
///
/// VirtualClock::block_on(pleach::task::sleep(Duration::from_secs(3600))).unwrap();
/// ```
#[track_caller]
pub fn sleep(after: Duration) -> impl Future<Output = Result<()>> + Send {
    let mut alarm = None;
    cancellable_as(WaitsFor::Time, poll_fn(move |cx| alarm.get_or_insert_with(|| Alarm::after(after)).poll(cx)))
}

/// Waits until `at`, by the clock of whoever runs it.
///
/// # Errors
/// `Cancelled` if the scope around it was cancelled.
///
/// # Cancel safety
/// Nothing is lost by dropping it.
#[track_caller]
pub fn sleep_until(at: Instant) -> impl Future<Output = Result<()>> + Send {
    let mut alarm = Alarm::at(at);
    cancellable_as(WaitsFor::Time, poll_fn(move |cx| alarm.poll(cx)))
}

/// A clock that stands still while anybody has something to do, and jumps to the next timer when nobody has.
///
/// Clones are the same clock. One thread only: it cannot see what another thread, a process or a foreign loop is about
/// to do, and takes a tree that waits for one of those to be stuck.
#[derive(Clone)]
pub struct VirtualClock {
    shared: Arc<Mutex<Schedule>>,
}

struct Schedule {
    now: Instant,
    next: u64,
    timers: BTreeMap<(Instant, u64), Waker>,
}

impl VirtualClock {
    /// A clock that starts now.
    pub fn new() -> Self {
        let schedule = Schedule { now: Instant::now(), next: 0, timers: BTreeMap::new() };
        Self { shared: Arc::new(Mutex::new(schedule)) }
    }

    /// Runs `future` on a new virtual clock: polled until nothing is left to do, then on from the next timer.
    ///
    /// # Panics
    /// If `future` waits and no timer is set: nothing could ever wake it.
    ///
    /// ```
    /// use pleach::task::{sleep, time::VirtualClock};
    /// use std::time::Duration;
    ///
    /// VirtualClock::block_on(async {
    ///     sleep(Duration::from_secs(86_400)).await.unwrap();
    /// });
    /// ```
    pub fn block_on<F: Future>(future: F) -> F::Output {
        Self::new().run(future)
    }

    /// [`block_on`](Self::block_on) on this clock.
    ///
    /// # Panics
    /// As `block_on`.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        let clock: Arc<dyn Clock> = Arc::new(self.clone());
        let _entered = clock::enter(&clock);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        let waker = Waker::from(flag.clone());
        let mut cx = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            if flag.0.swap(false, Ordering::SeqCst) {
                if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
                    return output;
                }
            } else {
                assert!(
                    self.jump(),
                    "deadlock on virtual time: every task waits, and no timer is set that could wake one. Look for a \
                     receiver without a sender, or for something that another thread would have to do"
                );
            }
        }
    }

    /// Goes to the next timer and wakes all that expire then; false if there is none.
    fn jump(&self) -> bool {
        let due = {
            let mut schedule = self.lock();
            let Some((&(at, _), _)) = schedule.timers.first_key_value() else { return false };
            schedule.now = schedule.now.max(at);
            let later = schedule.timers.split_off(&(at, u64::MAX));
            std::mem::replace(&mut schedule.timers, later)
        };
        due.into_values().for_each(Waker::wake);
        true
    }

    fn lock(&self) -> MutexGuard<'_, Schedule> {
        self.shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for VirtualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schedule = self.lock();
        f.debug_struct("VirtualClock").field("now", &schedule.now).field("timers", &schedule.timers.len()).finish()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        self.lock().now
    }

    fn timer(&self, at: Instant) -> Box<dyn Timer> {
        let mut schedule = self.lock();
        schedule.next += 1;
        Box::new(VirtualTimer { clock: self.clone(), key: (at, schedule.next) })
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct VirtualTimer {
    clock: VirtualClock,
    key: (Instant, u64),
}

impl VirtualTimer {
    fn forget(&self) {
        let waker = self.clock.lock().timers.remove(&self.key);
        drop(waker);
    }
}

impl Timer for VirtualTimer {
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut schedule = self.clock.lock();
        if schedule.now >= self.key.0 {
            drop(schedule);
            self.forget();
            return Poll::Ready(());
        }
        let old = schedule.timers.insert(self.key, cx.waker().clone());
        drop(schedule);
        drop(old);
        Poll::Pending
    }

    fn reset(&mut self, at: Instant) {
        // A timer that somebody waits for goes on waiting: the waker moves along.
        let mut schedule = self.clock.lock();
        let waker = schedule.timers.remove(&self.key);
        self.key.0 = at;
        if let Some(waker) = waker {
            schedule.timers.insert(self.key, waker);
        }
    }
}

impl Drop for VirtualTimer {
    fn drop(&mut self) {
        self.forget();
    }
}
