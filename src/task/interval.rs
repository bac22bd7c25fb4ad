//! Ticks at regular times.

use std::fmt;
use std::future::{Future, poll_fn};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_lite::{Stream, stream};

use super::clock::{self, Alarm};
use super::wait::Wait;
use super::waits_for::WaitsFor;
use crate::Result;

/// Ticks once every `period`, the first time at once; the time counts from the first tick.
///
/// # Panics
/// If `period` is zero.
///
/// ```
/// use pleach::task::{interval, time::VirtualClock};
/// use std::time::Duration;
///
/// let minute = Duration::from_secs(60);
/// VirtualClock::block_on(async {
///     let mut interval = interval(minute);
///     let first = interval.tick().await?;
///     let second = interval.tick().await?;
///     assert_eq!(second - first, minute);
///     Ok::<_, pleach::Error>(())
/// })
/// .unwrap();
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval of no length would tick for ever; use a period above zero");
    Interval { period, missed: MissedTicks::default(), due: None }
}

/// What comes of ticks whose time passes while nobody waits for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissedTicks {
    /// They are made up for, one after the other without a pause: there are as many ticks as periods.
    #[default]
    Burst,
    /// Each tick is at least a period after the last one was taken: all later ones are shifted.
    Delay,
    /// They are left out: ticks stay at multiples of the period.
    Skip,
}

impl MissedTicks {
    /// When the next tick is due after one that was due at `due` and is taken `now`.
    fn next(self, due: Instant, now: Instant, period: Duration) -> Instant {
        match self {
            Self::Burst => later(due, period),
            Self::Delay => later(now, period),
            Self::Skip => later(now, period - since_multiple(now - due, period)),
        }
    }
}

/// What is left of `late` after as many whole periods as there are in it.
fn since_multiple(late: Duration, period: Duration) -> Duration {
    // No clock has run for the 584 years that do not fit.
    Duration::from_nanos((late.as_nanos() % period.as_nanos()) as u64)
}

/// A time too far away to be written down becomes one nobody lives to see.
fn later(at: Instant, period: Duration) -> Instant {
    at.checked_add(period).unwrap_or_else(|| clock::from_now(period))
}

/// Regular ticks; see [`interval`].
pub struct Interval {
    period: Duration,
    missed: MissedTicks,
    /// When the next tick is due, once there was a first.
    due: Option<(Instant, Alarm)>,
}

impl Interval {
    /// What comes of ticks that nobody waits for; [`MissedTicks::Burst`] by default.
    #[must_use]
    pub fn with_missed(mut self, missed: MissedTicks) -> Self {
        self.missed = missed;
        self
    }

    /// The time from tick to tick.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Waits for the next tick, and says when it was due.
    ///
    /// # Errors
    /// `Cancelled` if the scope around was cancelled, also when the tick is due.
    ///
    /// # Cancel safety
    /// Cancelled or dropped it has taken no tick.
    #[track_caller]
    pub fn tick(&mut self) -> impl Future<Output = Result<Instant>> + Send + use<'_> {
        let mut wait = Wait::new(WaitsFor::Time);
        poll_fn(move |cx| wait.attempt(cx, |cx| self.poll_due(cx)))
    }

    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        let (due, alarm) = self.due.get_or_insert_with(|| {
            let now = clock::now();
            (now, Alarm::at(now))
        });
        ready!(alarm.poll(cx));
        let next = self.missed.next(*due, clock::now().max(*due), self.period);
        alarm.set(next);
        Poll::Ready(std::mem::replace(due, next))
    }

    /// The ticks, one after the other. It does not end; an item is `Cancelled` if the scope around was cancelled.
    ///
    /// ```
    /// use futures_lite::StreamExt;
    /// use pleach::task::{clock, interval, time::VirtualClock};
    /// use std::time::Duration;
    ///
    /// VirtualClock::block_on(async {
    ///     let start = clock::now();
    ///     let ticks = interval(Duration::from_secs(1)).into_stream().take(10);
    ///     assert_eq!(ticks.count().await, 10);
    ///     assert_eq!(clock::now() - start, Duration::from_secs(9));
    /// });
    /// ```
    #[track_caller]
    pub fn into_stream(mut self) -> impl Stream<Item = Result<Instant>> + Send + Unpin {
        let mut wait = Wait::new(WaitsFor::Time);
        stream::poll_fn(move |cx| wait.attempt(cx, |cx| self.poll_due(cx)).map(Some))
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let due = self.due.as_ref().map(|(due, _)| due);
        f.debug_struct("Interval").field("period", &self.period).field("due", &due).finish_non_exhaustive()
    }
}
