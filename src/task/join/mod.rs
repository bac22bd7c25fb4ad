//! Several futures at once, and one result of all of them.
//!
//! Each function here runs its futures as children of a nursery of their own: they borrow, they take turns, and when the
//! result is there all of them have ended. They differ in what they make of the outcomes:
//!
//! | | ends when | a failure | gives |
//! |---|---|---|---|
//! | [`all`] | all have succeeded | ends it | the values, in the order of the futures |
//! | [`first_ok`] | one has succeeded | is kept for the case that all fail | its value |
//! | [`quorum`] | so many have succeeded | is kept for the case that too many fail | their values, as they came |
//! | [`outcomes`] | all have ended | is an outcome | every outcome |
//! | [`within`] | all have ended, or time is up | is an outcome | what there is |
//!
//! Those that are not needed any more are cancelled, and waited for: they have the grace of the scope around to clean up. A
//! panic is a failure of its future. So is a `Cancelled` that belongs to no scope around. A cancel of a scope around is
//! neither failure nor success: it reaches all futures, and the whole ends with it, unless the outcome was certain by then.
//!
//! [`with`] does the same by a [`Policy`] of one's own.
//!
//! ```
//! use pleach::task::{join, sleep, time::VirtualClock};
//! use std::time::Duration;
//!
//! async fn fetch(mirror: &str, seconds: u64) -> pleach::Result<String> {
//!     sleep(Duration::from_secs(seconds)).await?;
//!     Ok(format!("from {mirror}"))
//! }
//!
//! let mirrors = [("oslo".to_owned(), 3), ("turin".to_owned(), 1)];
//! let fetched = VirtualClock::block_on(join::first_ok(mirrors.iter().map(|(name, seconds)| fetch(name, *seconds))));
//! assert_eq!(fetched.unwrap(), "from turin");
//! ```

mod engine;
mod policies;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use self::engine::join;
use self::policies::{All, Outcomes, Quorum, Then};
use super::outcome;
use crate::{Error, Result};

/// What several futures come to: is told how each of them has ended, and says when that is enough.
///
/// ```
/// use pleach::task::{join, time::VirtualClock};
/// use pleach::{Error, Result};
///
/// /// How many succeed until the third failure.
/// #[derive(Default)]
/// struct ThreeStrikes {
///     hits: usize,
///     strikes: usize,
/// }
///
/// impl join::Policy<u32> for ThreeStrikes {
///     type Output = usize;
///
///     fn ended(&mut self, _index: usize, outcome: Result<u32>) -> join::Flow {
///         match outcome {
///             Ok(_) => self.hits += 1,
///             Err(_) => self.strikes += 1,
///         }
///         if self.strikes < 3 { join::Flow::GoOn } else { join::Flow::Enough }
///     }
///
///     fn finish(self) -> Result<usize> {
///         Ok(self.hits)
///     }
/// }
///
/// let numbers = ["1", "two", "3", "four", "5"].map(|text| async { Ok(text.parse::<u32>()?) });
/// assert_eq!(VirtualClock::block_on(join::with(ThreeStrikes::default(), numbers)).unwrap(), 3);
/// ```
pub trait Policy<T> {
    /// What the whole gives.
    type Output;

    /// Before any future has started: there are `count`. With [`Flow::Enough`] none of them starts.
    fn begin(&mut self, count: usize) -> Flow {
        let _ = count;
        Flow::GoOn
    }

    /// When the futures that have not ended are cancelled, counted from their start. `None`: never.
    fn limit(&self) -> Option<Duration> {
        None
    }

    /// The future at `index` has ended with `outcome`: a value, or a failure, which a panic is too. One that ended because it
    /// was cancelled has no outcome.
    ///
    /// After [`Flow::Enough`], and after the limit, it is still told of those that end with an outcome of their own while they
    /// are cancelled: a value that was ready, a failure of the cleanup. What it says then changes nothing.
    fn ended(&mut self, index: usize, outcome: Result<T>) -> Flow;

    /// All have ended, or were cancelled because it was enough or time was up.
    ///
    /// # Errors
    /// The failure of the whole. [`gather`] makes one of several.
    fn finish(self) -> Result<Self::Output>;
}

/// What a [`Policy`] says when a future has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The others go on.
    GoOn,
    /// The outcome of the whole is certain: the others are cancelled.
    Enough,
}

/// More successes were asked for than there are futures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFew {
    /// How many were to succeed.
    pub needed: usize,
    /// How many futures there are.
    pub given: usize,
}

impl fmt::Display for TooFew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the futures must succeed, and there are {}", self.needed, self.given)
    }
}

impl std::error::Error for TooFew {}

/// One error of several failures: `None` of none, a single one as it is, more as a [`Group`](crate::error::Group).
///
/// As a nursery does it: groups are taken apart, a failure that came in twice is there once, and those from tasks that had
/// been told of a cancel come last.
pub fn gather(failures: Vec<Error>) -> Option<Error> {
    outcome::gather(failures)
}

/// Several futures on their way to one result.
///
/// It is boxed, and so is `Send` whatever the futures were made by: a compiler that has to look through an iterator with a
/// closure to see that often cannot.
#[must_use = "futures do nothing unless polled"]
pub struct Joining<'env, T> {
    run: Pin<Box<dyn Future<Output = Result<T>> + Send + 'env>>,
}

impl<T> Future for Joining<'_, T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        self.run.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Joining<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joining").finish_non_exhaustive()
    }
}

/// Runs all of `futures`, and gives their values in the same order. The first failure cancels the rest.
///
/// Of no futures the result is no values.
///
/// # Errors
/// The failure, or a [`Group`](crate::error::Group) of several, as a [`nursery`](super::nursery()) has it. The `Cancelled` of a
/// scope around.
///
/// # Cancel safety
/// Dropping it drops all futures, without grace, and the values there are.
///
/// ```
/// use pleach::task::{join, time::VirtualClock};
///
/// let words = vec!["ash".to_owned(), "hazel".to_owned()];
/// let lengths = VirtualClock::block_on(join::all(words.iter().map(async |word| Ok(word.len()))));
/// assert_eq!(lengths.unwrap(), [3, 5]);
/// ```
#[track_caller]
pub fn all<'env, T, I>(futures: I) -> Joining<'env, Vec<T>>
where
    I: IntoIterator<Item: Future<Output = Result<T>> + Send + 'env>,
    T: Send + 'env,
{
    join(All::default(), futures)
}

/// Runs all of `futures` until one succeeds, and gives its value. The others are cancelled; a second success of the same
/// moment is dropped, and so are failures.
///
/// # Errors
/// If all fail: the failure, or a [`Group`](crate::error::Group) of several, in the order in which they came. [`TooFew`] if
/// there are no futures. The `Cancelled` of a scope around.
///
/// # Cancel safety
/// Dropping it drops all futures, without grace.
///
/// ```
/// use pleach::task::{join, time::VirtualClock};
///
/// let numbers = ["seven", "8"].map(|text| async { Ok(text.parse::<u32>()?) });
/// assert_eq!(VirtualClock::block_on(join::first_ok(numbers)).unwrap(), 8);
/// ```
#[track_caller]
pub fn first_ok<'env, T, I>(futures: I) -> Joining<'env, T>
where
    I: IntoIterator<Item: Future<Output = Result<T>> + Send + 'env>,
    T: Send + 'env,
{
    let first = |mut values: Vec<(usize, T)>| values.pop().expect("one has succeeded").1;
    join(Then::new(Quorum::of(1), first), futures)
}

/// Runs all of `futures` until `n` have succeeded, and gives those values in the order in which they came, each with the
/// index of its future. The others are cancelled; further successes are dropped, and so are failures.
///
/// With `n` of 0 there is nothing to wait for: no future starts.
///
/// # Errors
/// As soon as so many have failed that `n` cannot be reached any more: the failure, or a [`Group`](crate::error::Group) of
/// several, in the order in which they came. [`TooFew`], before any starts, if there are fewer futures than `n`. The
/// `Cancelled` of a scope around.
///
/// # Cancel safety
/// Dropping it drops all futures, without grace, and the values there are.
///
/// ```
/// use pleach::task::{join, sleep, time::VirtualClock};
/// use std::time::Duration;
///
/// let replicas = [300, 100, 200].map(|delay| async move {
///     sleep(Duration::from_millis(delay)).await?;
///     Ok("stored")
/// });
/// let stored = VirtualClock::block_on(join::quorum(2, replicas));
/// assert_eq!(stored.unwrap(), [(1, "stored"), (2, "stored")]);
/// ```
#[track_caller]
pub fn quorum<'env, T, I>(n: usize, futures: I) -> Joining<'env, Vec<(usize, T)>>
where
    I: IntoIterator<Item: Future<Output = Result<T>> + Send + 'env>,
    T: Send + 'env,
{
    join(Quorum::of(n), futures)
}

/// Runs all of `futures` to their end, and gives the outcome of each in the same order. No failure cancels another.
///
/// Of no futures the result is no outcomes.
///
/// # Errors
/// The `Cancelled` of a scope around, and nothing else. The outcomes there are by then are dropped, unless all have one.
///
/// # Cancel safety
/// Dropping it drops all futures, without grace, and the outcomes there are.
///
/// ```
/// use pleach::task::{join, time::VirtualClock};
///
/// let numbers = ["seven", "8"].map(|text| async { Ok(text.parse::<u32>()?) });
/// let outcomes = VirtualClock::block_on(join::outcomes(numbers)).unwrap();
/// assert!(matches!(outcomes[..], [Err(_), Ok(8)]));
/// ```
#[track_caller]
pub fn outcomes<'env, T, I>(futures: I) -> Joining<'env, Vec<Result<T>>>
where
    I: IntoIterator<Item: Future<Output = Result<T>> + Send + 'env>,
    T: Send + 'env,
{
    let each =
        |outcomes: Vec<Option<_>>| outcomes.into_iter().map(|outcome| outcome.expect("each has ended")).collect();
    join(Then::new(Outcomes::default(), each), futures)
}

/// Runs `futures` for at most `limit`, counted from the first poll, and gives the outcomes there are, in the same order. The
/// others are cancelled then, and have none. No failure cancels another.
///
/// One that has a value or a failure of its own although it was cancelled, such as what it has got so far, has that outcome:
/// nothing is lost. A limit of zero starts nothing. Of no futures the result is no outcomes, at once.
///
/// # Errors
/// The `Cancelled` of a scope around, before the time is up, and nothing else.
///
/// # Cancel safety
/// Dropping it drops all futures, without grace, and the outcomes there are.
///
/// ```
/// use pleach::task::{join, sleep, time::VirtualClock};
/// use std::time::Duration;
///
/// let answers = [100, 900].map(|delay| async move {
///     sleep(Duration::from_millis(delay)).await?;
///     Ok(delay)
/// });
/// let in_time = VirtualClock::block_on(join::within(Duration::from_millis(500), answers)).unwrap();
/// assert!(matches!(in_time[..], [Some(Ok(100)), None]));
/// ```
#[track_caller]
pub fn within<'env, T, I>(limit: Duration, futures: I) -> Joining<'env, Vec<Option<Result<T>>>>
where
    I: IntoIterator<Item: Future<Output = Result<T>> + Send + 'env>,
    T: Send + 'env,
{
    join(Outcomes::within(limit), futures)
}

/// Runs `futures`, and makes of their outcomes what `policy` says.
///
/// `policy` is called in the task that waits for this, never while a future of its own runs.
///
/// # Errors
/// What [`Policy::finish`] returns; a panic of the policy; the `Cancelled` of a scope around, if that came before
/// [`Flow::Enough`], the end of all, or the limit.
///
/// # Cancel safety
/// Dropping it drops all futures, without grace, and the policy.
///
/// An example is at [`Policy`].
#[track_caller]
pub fn with<'env, T, P, I>(policy: P, futures: I) -> Joining<'env, P::Output>
where
    P: Policy<T> + Send + 'env,
    I: IntoIterator<Item: Future<Output = Result<T>> + Send + 'env>,
    T: Send + 'env,
{
    join(policy, futures)
}
