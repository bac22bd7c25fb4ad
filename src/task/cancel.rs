//! What can be cancelled from anywhere: `CancelScope`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use super::body::Body;
use super::link::Link;
use super::outcome;
use super::scope::{Deadline, Kind, Scope};
use super::snapshot::{ScopeNode, snapshot_of};
use super::strand::Place;
use crate::Result;
use crate::error::{Mark, Misuse, Reason, ScopeId};

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
    pub(crate) fn new(link: Link, future: F) -> Self {
        let place = Place::new(link.scope());
        Self { body: Body::of_scope(place, future), link }
    }
}

impl<T, F: Future<Output = Result<T>>> Future for Scoped<F, T> {
    type Output = Result<Option<T>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        this.link.tick(cx);
        let Poll::Ready(result) = this.body.as_mut().poll(cx) else {
            this.link.entitle();
            this.body.is_waited_for();
            return Poll::Pending;
        };
        let own = this.link.scope().id();
        let result = this.link.finish(result);
        Poll::Ready(match result {
            Ok(value) => Ok(Some(value)),
            Err(error) => match outcome::sift(error, |mark| mark.scope == own) {
                (_, Some(failure)) => Err(failure),
                (_, None) => {
                    this.link.scope().catch();
                    Ok(None)
                }
            },
        })
    }
}

/// A shield without a bound of its own, for finalizers: the one who runs it drops it.
#[track_caller]
pub(crate) fn shielded<T, F: Future<Output = Result<T>>>(future: F) -> Scoped<F, T> {
    Scoped::new(Link::new(Scope::new(Kind::Shield)), future)
}

/// A piece of work that can be cancelled from anywhere, and that absorbs exactly its own cancel.
///
/// Clones are the same scope. It runs once. [`cancel`](Self::cancel) may come before, during and after that, from any
/// thread: before, the work meets it at its first await; after, it changes nothing but [`cancel_called`](Self::cancel_called).
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
        Self { scope: Scope::new(Kind::Cancel) }
    }

    /// The work may take `grace` to clean up, counted from the request; the grace of a scope around it may be shorter.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        self.scope.set_grace(grace);
        self
    }

    /// How long an await of another library still works in a task that was told of the cancel, counted from the last runtime
    /// await that ended in it; 100 ms by default. What is inside takes it over, unless it has its own.
    #[must_use]
    pub fn with_linger(self, linger: Duration) -> Self {
        self.scope.set_linger(linger);
        self
    }

    /// Cancels itself at that time, by the clock of whoever runs it.
    #[must_use]
    pub fn with_deadline(self, at: Instant) -> Self {
        self.set_deadline(Some(at));
        self
    }

    /// Cancels itself so long after its first poll.
    #[must_use]
    pub fn with_timeout(self, after: Duration) -> Self {
        self.scope.set_deadline(Some(Deadline::After(after)));
        self
    }

    /// When it will cancel itself: `None` if never, or if a timeout has not begun to count.
    pub fn deadline(&self) -> Option<Instant> {
        self.scope.at()
    }

    /// Cancels itself then, instead of when it would have: also while it runs, from any task of its thread. A time that has
    /// passed cancels at once; a cancel is never taken back.
    ///
    /// ```
    /// use pleach::task::{CancelScope, clock, sleep, time::VirtualClock};
    /// use std::time::Duration;
    ///
    /// let scope = CancelScope::new().with_timeout(Duration::from_secs(1));
    /// let outcome = VirtualClock::block_on(scope.run(async {
    ///     sleep(Duration::from_millis(900)).await?;
    ///     scope.set_deadline(Some(clock::now() + Duration::from_secs(1))); // there is progress
    ///     sleep(Duration::from_millis(900)).await?;
    ///     Ok("done")
    /// }));
    /// assert_eq!(outcome.unwrap(), Some("done"));
    /// ```
    pub fn set_deadline(&self, at: Option<Instant>) {
        self.scope.set_deadline(at.map(Deadline::At));
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
        // Not in a closure, which would be its own caller.
        let scoped = if self.scope.claim() { Some(Scoped::new(Link::new(self.scope.clone()), future)) } else { None };
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

    /// What is in it now, see [`snapshot`](super::snapshot).
    pub fn snapshot(&self) -> ScopeNode {
        snapshot_of(&self.scope)
    }

    /// Whether this scope or one around it was cancelled while it was not complete.
    pub fn is_cancelled(&self) -> bool {
        self.scope.is_requested()
    }

    /// Whether this scope itself was cancelled, by a call or by its deadline, whatever came of it.
    pub fn cancel_called(&self) -> bool {
        self.scope.was_requested()
    }

    /// Why it was cancelled, also after its end: by its deadline, by a call, or because a scope around it was. `None` if it was
    /// not.
    ///
    /// ```
    /// use pleach::error::Reason;
    /// use pleach::task::{CancelScope, sleep, time::VirtualClock};
    /// use std::time::Duration;
    ///
    /// let scope = CancelScope::new().with_timeout(Duration::from_secs(1));
    /// let outcome = VirtualClock::block_on(scope.run(sleep(Duration::from_secs(2))));
    /// assert_eq!(outcome.unwrap(), None);
    /// assert!(matches!(scope.reason(), Some(Reason::Deadline)));
    /// ```
    pub fn reason(&self) -> Option<Reason> {
        self.scope.mark().map(|mark| mark.reason)
    }

    /// Whether its cancel has ended its work: `run` has returned, or will return, `None`.
    pub fn cancelled_caught(&self) -> bool {
        self.scope.has_caught()
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
