//! Time for tasks: sleeping, and the clocks behind it.

mod hosted;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::cancellable::cancellable_as;
use super::clock::{self, Alarm};
use super::waits_for::WaitsFor;
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
/// Clones are the same clock. One thread only: it cannot see what another thread, a process, a socket or a foreign loop is about
/// to do. A tree that waits for one of those it takes to have nothing to do: the next timer fires at once, and without a timer the
/// tree is stuck.
#[derive(Clone)]
pub struct VirtualClock {
    shared: Arc<Mutex<Schedule>>,
}

struct Schedule {
    now: Instant,
    next: u64,
    timers: BTreeMap<(Instant, u64), Waker>,
    /// Those who wait until nobody has anything to do.
    idle: Vec<(Arc<AtomicBool>, Waker)>,
}

thread_local! {
    /// The clock that runs something on this thread.
    static CURRENT: RefCell<Option<VirtualClock>> = const { RefCell::new(None) };
}

/// Takes the clock from its thread again.
struct Current(Option<VirtualClock>);

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl VirtualClock {
    /// A clock that starts now.
    pub fn new() -> Self {
        let schedule = Schedule { now: Instant::now(), next: 0, timers: BTreeMap::new(), idle: Vec::new() };
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
        let (mut steps, mut future) = (self.steps(), pin!(future));
        loop {
            match steps.next(future.as_mut()) {
                Step::Ready(output) => return output,
                Step::Pending => {}
                Step::Stuck => panic!(
                    "deadlock on virtual time: every task waits, and no timer is set that could wake one. Look for a \
                     receiver without a sender, or for something that another thread would have to do"
                ),
            }
        }
    }

    /// To poll a future on this clock, one poll after the other.
    pub(crate) fn steps(&self) -> Steps {
        let clock: Arc<dyn Clock> = Arc::new(self.clone());
        Steps {
            clock: self.clone(),
            flag: Arc::new(Flag(AtomicBool::new(true))),
            _entered: clock::enter(&clock),
            _current: Current(CURRENT.replace(Some(self.clone()))),
        }
    }

    /// Wakes those who wait until nobody has anything to do; false if there are none.
    fn wake_idle(&self) -> bool {
        let idle = std::mem::take(&mut self.lock().idle);
        let any = !idle.is_empty();
        for (blocked, waker) in idle {
            blocked.store(true, Ordering::SeqCst);
            waker.wake();
        }
        any
    }

    /// Ready when nobody has had anything to do since the first poll, as far as timers let them.
    pub(crate) fn all_blocked(&self) -> impl Future<Output = ()> + Send + use<> {
        let (clock, blocked) = (self.clone(), Arc::new(AtomicBool::new(false)));
        poll_fn(move |cx| {
            if blocked.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            clock.lock().idle.push((blocked.clone(), cx.waker().clone()));
            Poll::Pending
        })
    }

    /// The virtual clock of this thread, while one runs.
    pub(crate) fn current() -> Option<Self> {
        CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
    }

    /// Moves the time on, by hand: timers that expire until then wake whoever waits for them.
    ///
    /// ```
    /// use pleach::task::{Clock, VirtualClock};
    /// use std::time::Duration;
    ///
    /// let clock = VirtualClock::new();
    /// let before = clock.now();
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(clock.now() - before, Duration::from_secs(1));
    /// ```
    pub fn advance(&self, by: Duration) {
        let to = self.now() + by;
        self.wake_due(to);
    }

    /// Goes to the next timer and wakes all that expire then; false if there is none.
    fn jump(&self) -> bool {
        let next = self.lock().timers.keys().next().map(|(at, _)| *at);
        if let Some(at) = next {
            self.wake_due(at);
        }
        next.is_some()
    }

    fn wake_due(&self, to: Instant) {
        let due = {
            let mut schedule = self.lock();
            schedule.now = schedule.now.max(to);
            let later = schedule.timers.split_off(&(to, u64::MAX));
            std::mem::replace(&mut schedule.timers, later)
        };
        due.into_values().for_each(Waker::wake);
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

/// What a poll came to.
pub(crate) enum Step<T> {
    Ready(T),
    Pending,
    /// Nobody has anything to do, and no timer is set.
    Stuck,
}

/// Polls on a virtual clock; see [`VirtualClock::steps`].
pub(crate) struct Steps {
    clock: VirtualClock,
    flag: Arc<Flag>,
    // The clock leaves its thread in the reverse order.
    _current: Current,
    _entered: clock::Entered,
}

impl Steps {
    /// Polls once, as soon as there is something to do.
    pub(crate) fn next<F: Future>(&mut self, future: Pin<&mut F>) -> Step<F::Output> {
        while !self.flag.0.swap(false, Ordering::SeqCst) {
            if !self.clock.wake_idle() && !self.clock.jump() {
                return Step::Stuck;
            }
        }
        let waker = Waker::from(self.flag.clone());
        match future.poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => Step::Ready(output),
            Poll::Pending => Step::Pending,
        }
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
