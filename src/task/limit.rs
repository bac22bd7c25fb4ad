//! Limits of a piece of work: deadlines, and shields.

use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use super::cancel::Scoped;
use super::clock;
use super::link::Link;
use super::running::with_current;
use super::scope::{Deadline, Kind, Scope};
use crate::error::{Misuse, TimedOut};
use crate::{Error, Result};

/// Runs `future` for at most `after`, counted from the first poll: `None` if the time ran out.
///
/// # Errors
/// What `future` returned, a panic of it, or the `Cancelled` of a scope around.
///
/// # Cancel safety
/// Dropping it drops `future`, without grace.
///
/// ```
/// use pleach::task::{move_on_after, sleep, time::VirtualClock};
/// use std::time::Duration;
///
/// let outcome = VirtualClock::block_on(move_on_after(Duration::from_secs(1), sleep(Duration::from_secs(2))));
/// assert_eq!(outcome.unwrap(), None);
/// ```
#[track_caller]
pub fn move_on_after<T, F>(after: Duration, future: F) -> impl Future<Output = Result<Option<T>>>
where
    F: Future<Output = Result<T>>,
{
    Scoped::new(Link::new(Scope::limited(Deadline::After(after))), future)
}

/// [`move_on_after`] with a point in time, by the clock of whoever runs it.
///
/// # Errors
/// Those of [`move_on_after`].
///
/// # Cancel safety
/// That of [`move_on_after`].
#[track_caller]
pub fn move_on_at<T, F>(at: Instant, future: F) -> impl Future<Output = Result<Option<T>>>
where
    F: Future<Output = Result<T>>,
{
    Scoped::new(Link::new(Scope::limited(Deadline::At(at))), future)
}

/// Runs `future` for at most `after`, counted from the first poll; the end of that time is a failure.
///
/// # Errors
/// [`TimedOut`] if the time ran out; what `future` returned, a panic of it, or the `Cancelled` of a scope around. What
/// fails while the time is up and `future` unwinds is the result instead of [`TimedOut`], as it says more.
///
/// The unwinding comes on top of `after`: the grace of its tasks, the deadline of a foreign scope in it.
///
/// # Cancel safety
/// Dropping it drops `future`, without grace.
///
/// ```
/// use pleach::task::{fail_after, sleep, time::VirtualClock};
/// use std::time::Duration;
///
/// let outcome = VirtualClock::block_on(fail_after(Duration::from_secs(1), sleep(Duration::from_secs(2))));
/// assert!(outcome.unwrap_err().is_timeout());
/// ```
#[track_caller]
pub fn fail_after<T, F>(after: Duration, future: F) -> impl Future<Output = Result<T>>
where
    F: Future<Output = Result<T>>,
{
    let scoped = Scoped::new(Link::new(Scope::limited(Deadline::After(after))), future);
    let absorbed = Absorbed::TimedOut(after, Location::caller());
    Whole { scoped, absorbed }
}

/// [`fail_after`] with a point in time, by the clock of whoever runs it.
///
/// # Errors
/// Those of [`fail_after`].
///
/// # Cancel safety
/// That of [`fail_after`].
#[track_caller]
pub fn fail_at<T, F>(at: Instant, future: F) -> impl Future<Output = Result<T>>
where
    F: Future<Output = Result<T>>,
{
    let scoped = Scoped::new(Link::new(Scope::limited(Deadline::At(at))), future);
    let absorbed = Absorbed::TimedOut(at.saturating_duration_since(clock::now()), Location::caller());
    Whole { scoped, absorbed }
}

/// The soonest time at which the running task would be cancelled, as far as that is known: the deadlines of its scopes, up
/// to the nearest shield. `None` if there is none, or outside every task.
///
/// In a task that is cancelled already it is the time now.
///
/// ```
/// use pleach::task::{clock, current_effective_deadline, fail_after, time::VirtualClock};
/// use std::time::Duration;
///
/// let limit = Duration::from_secs(5);
/// let rest = VirtualClock::block_on(fail_after(limit, async {
///     Ok(current_effective_deadline().map(|at| at - clock::now()))
/// }));
/// assert_eq!(rest.unwrap(), Some(limit));
/// ```
pub fn current_effective_deadline() -> Option<Instant> {
    with_current(|current, _| current.map(|place| place.scope().clone()))?.effective_deadline(clock::now())
}

/// Keeps a cancel from outside away from `future`, for at most `max` from when the request and the shield are both
/// there, and never beyond the grace of the scope around. Then the request enters.
///
/// Without a request nothing is bounded. A combinator that drops the shield drops what is in it.
///
/// # Errors
/// What `future` returned, a panic of it, or, when the shield was lifted, the `Cancelled` of the scope around.
///
/// # Cancel safety
/// Dropping it drops `future`, without grace.
///
/// ```
/// use pleach::task::{CancelScope, shield, sleep, time::VirtualClock};
/// use std::time::Duration;
///
/// let (scope, long) = (CancelScope::new(), Duration::from_secs(2));
/// let outcome = VirtualClock::block_on(scope.run(async {
///     scope.cancel("stop");
///     shield(long, async {
///         sleep(long / 2).await?;
///         Ok("flushed")
///     })
///     .await
/// }));
/// assert_eq!(outcome.unwrap(), Some("flushed"));
/// ```
///
/// What must be bounded in any case, also where no cancel comes, has a deadline inside the shield. And it is the task that is
/// shielded, with all that it awaits, be it of this runtime or of another library:
///
/// ```
/// # use pleach::task::{fail_after, shield, time::VirtualClock};
/// # use std::future::pending;
/// # use std::time::Duration;
/// # let limit = Duration::from_secs(2);
/// let outcome: pleach::Result<()> = VirtualClock::block_on(shield(limit, fail_after(limit, pending())));
/// assert!(outcome.unwrap_err().is_timeout());
/// ```
#[track_caller]
pub fn shield<T, F>(max: Duration, future: F) -> impl Future<Output = Result<T>>
where
    F: Future<Output = Result<T>>,
{
    let scoped = Scoped::new(Link::new(Scope::new(Kind::Shield)).with_max(max), future);
    Whole { scoped, absorbed: Absorbed::Never }
}

/// What it means that a scope has absorbed its own cancel, where that is not an outcome.
#[derive(Clone, Copy)]
enum Absorbed {
    TimedOut(Duration, &'static Location<'static>),
    /// Nobody holds a handle of this scope.
    Never,
}

impl Absorbed {
    fn error(self) -> Error {
        match self {
            Self::TimedOut(after, limited_at) => {
                Error::from(TimedOut { what: "it".to_owned(), after }).born_at(limited_at)
            }
            Self::Never => Misuse::new("a shield was cancelled by itself").into(),
        }
    }
}

pin_project! {
    struct Whole<F, T> {
        #[pin]
        scoped: Scoped<F, T>,
        absorbed: Absorbed,
    }
}

impl<T, F: Future<Output = Result<T>>> Future for Whole<F, T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.project();
        let outcome = ready!(this.scoped.poll(cx))?;
        Poll::Ready(outcome.ok_or_else(|| this.absorbed.error()))
    }
}
