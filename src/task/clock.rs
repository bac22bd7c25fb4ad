//! Where the runtime gets its time from.
//!
//! Nothing in `task` looks at the machine's clock directly: a host may put another [`Clock`] in its place, and tests run
//! on a [`VirtualClock`](super::time::VirtualClock) on which a deadline of an hour takes no time at all.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A source of time: what it is now, and a wake-up when it is later.
pub trait Clock: Send + Sync + 'static {
    /// The time now. It never goes back.
    fn now(&self) -> Instant;

    /// A timer that expires at `at`.
    fn timer(&self, at: Instant) -> Box<dyn Timer>;
}

/// One wake-up of a [`Clock`].
pub trait Timer: Send {
    /// Ready once the time has come; otherwise the waker of `cx` is woken then.
    ///
    /// After it was ready it is not polled again before a [`reset`](Timer::reset).
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Expires at `at` instead.
    fn reset(&mut self, at: Instant);
}

impl Timer for async_io::Timer {
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(self).poll(cx).map(drop)
    }

    fn reset(&mut self, at: Instant) {
        self.set_at(at);
    }
}

thread_local! {
    static AMBIENT: RefCell<Option<Arc<dyn Clock>>> = const { RefCell::new(None) };
}

pub(crate) fn ambient() -> Option<Arc<dyn Clock>> {
    AMBIENT.try_with(|ambient| ambient.borrow().clone()).ok().flatten()
}

fn replace(clock: Option<Arc<dyn Clock>>) -> Option<Arc<dyn Clock>> {
    AMBIENT.try_with(|ambient| std::mem::replace(&mut *ambient.borrow_mut(), clock)).ok().flatten()
}

/// Makes `clock` the time of this thread until the guard is dropped.
///
/// A host that keeps its own time does this around each poll. Guards nest, and are dropped in the reverse order.
///
/// ```
/// use pleach::task::{clock, time::{Clock, VirtualClock}};
/// use std::sync::Arc;
///
/// let virtual_clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
/// let entered = clock::enter(&virtual_clock);
/// assert_eq!(clock::now(), virtual_clock.now());
/// drop(entered);
/// ```
pub fn enter(clock: &Arc<dyn Clock>) -> Entered {
    Entered { previous: replace(Some(clock.clone())) }
}

/// [`enter`] where there is a clock; without one the time is that of `async-io` again, whatever it was.
pub(crate) fn enter_or_leave(clock: Option<&Arc<dyn Clock>>) -> Entered {
    Entered { previous: replace(clock.cloned()) }
}

/// Keeps a clock in place; see [`enter`].
#[must_use = "the clock is in place only as long as this guard lives"]
pub struct Entered {
    previous: Option<Arc<dyn Clock>>,
}

impl fmt::Debug for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let own = replace(self.previous.take());
        drop(own);
    }
}

/// The time now, by the clock of this thread.
///
/// ```
/// let before = pleach::task::clock::now();
/// assert!(pleach::task::clock::now() >= before);
/// ```
pub fn now() -> Instant {
    ambient().map_or_else(Instant::now, |clock| clock.now())
}

/// The instant `after` from now; a time too far away to be written down becomes one nobody lives to see.
pub(crate) fn from_now(after: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    let now = now();
    now.checked_add(after).unwrap_or(now + LONG)
}

fn timer(at: Instant) -> Box<dyn Timer> {
    match ambient() {
        Some(clock) => clock.timer(at),
        None => Box::new(async_io::Timer::at(at)),
    }
}

/// A wake-up that stays expired, and asks for a timer only when somebody waits for it.
pub(crate) struct Alarm {
    at: Instant,
    rang: bool,
    timer: Option<Box<dyn Timer>>,
}

impl Alarm {
    pub(crate) fn at(at: Instant) -> Self {
        Self { at, rang: false, timer: None }
    }

    pub(crate) fn after(after: Duration) -> Self {
        Self::at(from_now(after))
    }

    /// Moves it; a no-op if it is there already, so it may be called at every poll.
    pub(crate) fn set(&mut self, at: Instant) {
        if self.at == at {
            return;
        }
        self.at = at;
        self.rang = false;
        if let Some(timer) = &mut self.timer {
            timer.reset(at);
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.rang {
            return Poll::Ready(());
        }
        let expired = self.timer.get_or_insert_with(|| timer(self.at)).poll_expired(cx);
        self.rang = expired.is_ready();
        expired
    }
}
