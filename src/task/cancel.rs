//! Scopes without children: `CancelScope`, deadlines, shields.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::body::Body;
use super::link::Link;
use super::outcome;
use super::scope::Scope;
use super::strand::Place;
use crate::error::{Mark, Misuse, Reason, ScopeId, TimedOut};
use crate::{Error, Result};

pin_project! {
    /// The body of a scope together with its place in the tree. Absorbs the cancel of its own scope, which is `None`.
    pub(crate) struct Scoped<F, T> {
        // Dropped in this order: the strand before its scope leaves the tree.
        #[pin]
        body: Body<F, T>,
        link: Link,
    }
}

impl<T, F: Future<Output = Result<T>>> Scoped<F, T> {
    #[track_caller]
    fn new(link: Link, future: F) -> Self {
        let place = Place::new(link.scope());
        Self { body: Body::of_scope(place, future), link }
    }
}

impl<T, F: Future<Output = Result<T>>> Future for Scoped<F, T> {
    type Output = Result<Option<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.link.tick(cx);
        let Poll::Ready(result) = this.body.poll(cx) else {
            this.link.entitle();
            return Poll::Pending;
        };
        let own = this.link.scope().id();
        let result = this.link.finish(result);
        Poll::Ready(match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => match outcome::sift(error, |mark| mark.scope == own) {
                (_, Some(failure)) => Err(failure),
                (_, None) => Ok(None),
            },
        })
    }
}

/// A shield without a bound of its own, for finalizers: the one who runs it drops it.
#[track_caller]
pub(crate) fn shielded<T, F: Future<Output = Result<T>>>(future: F) -> Scoped<F, T> {
    Scoped::new(Link::new(Scope::new(true)), future)
}

/// A piece of work that can be cancelled from anywhere, and that absorbs exactly its own cancel.
///
/// Clones are the same scope. It runs once. [`cancel`](Self::cancel) may come before, during and after that, from any
/// thread: before, the work meets it at its first await; after, it is a no-op.
///
/// ```
/// use pleach::task::{CancelScope, sleep, time::VirtualClock};
/// use std::time::Duration;
///
/// let scope = CancelScope::new();
/// let outcome = VirtualClock::block_on(scope.run(async {
///     scope.cancel("not needed any more");
///     sleep(Duration::from_secs(3600)).await?;
///     Ok("slept")
/// }));
/// assert_eq!(outcome.unwrap(), None);
/// ```
#[derive(Clone)]
pub struct CancelScope {
    scope: Arc<Scope>,
}

impl CancelScope {
    /// A scope that nobody has cancelled.
    pub fn new() -> Self {
        Self { scope: Scope::new(false) }
    }

    /// The work may take `grace` to clean up, counted from the request; the grace of a scope around it may be shorter.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        self.scope.set_grace(grace);
        self
    }

    /// How long foreign awaits still work in a strand that was told.
    #[must_use]
    #[cfg(test)]
    pub(crate) fn with_linger(self, linger: Duration) -> Self {
        self.scope.set_linger(linger);
        self
    }

    /// Its identity, which the [`Mark`](crate::error::Mark) of its cancel carries.
    pub fn id(&self) -> ScopeId {
        self.scope.id()
    }

    /// Runs `future` in this scope: `None` if it ended because this scope was cancelled.
    ///
    /// # Errors
    /// What `future` returned; a panic of it; the `Cancelled` of a scope around this one, which passes through.
    /// `Misuse` if the scope has been run before.
    ///
    /// # Cancel safety
    /// Dropping it drops `future`, without grace.
    #[track_caller]
    pub fn run<T, F>(&self, future: F) -> impl Future<Output = Result<Option<T>>> + use<T, F>
    where
        F: Future<Output = Result<T>>,
    {
        let scoped = self.scope.claim().then(|| Scoped::new(Link::new(self.scope.clone()), future));
        Run { scoped }
    }

    /// Cancels the work. The first reason wins; a second call and one after the end change nothing.
    pub fn cancel(&self, message: impl Into<String>) {
        self.request(Reason::Explicit { by: String::new(), message: message.into() });
    }

    /// [`cancel`](Self::cancel) for another reason.
    pub fn request(&self, reason: Reason) {
        self.scope.request(reason);
    }

    /// Takes away what is left of the grace, once it is cancelled.
    pub(crate) fn hurry(&self) {
        self.scope.hurry();
    }

    /// Which scope's cancel this one is under, and why.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.scope.mark()
    }

    /// Whether this scope or one around it was cancelled while it was not complete.
    pub fn is_cancelled(&self) -> bool {
        self.scope.is_requested()
    }
}

pin_project! {
    /// The one run of a scope, or none if it was run before.
    struct Run<F, T> {
        #[pin]
        scoped: Option<Scoped<F, T>>,
    }
}

impl<T, F: Future<Output = Result<T>>> Future for Run<F, T> {
    type Output = Result<Option<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().scoped.as_pin_mut() {
            Some(scoped) => scoped.poll(cx),
            None => Poll::Ready(Err(Misuse::new("a CancelScope runs one future; make a new one for the next").into())),
        }
    }
}

impl Default for CancelScope {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelScope").field("id", &self.id()).field("cancelled", &self.is_cancelled()).finish()
    }
}

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
    Scoped::new(Link::new(Scope::new(false)).with_deadline(after), future)
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
    let scoped = Scoped::new(Link::new(Scope::new(false)).with_deadline(after), future);
    let absorbed = Absorbed::TimedOut(after, Location::caller());
    Whole { scoped, absorbed }
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
#[track_caller]
pub fn shield<T, F>(max: Duration, future: F) -> impl Future<Output = Result<T>>
where
    F: Future<Output = Result<T>>,
{
    let scoped = Scoped::new(Link::new(Scope::new(true)).with_max(max), future);
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
                Error::from(TimedOut { what: "the block".to_owned(), after }).born_at(limited_at)
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
