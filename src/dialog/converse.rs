//! The opener's side of a dialog, from its start to the end of the far task, the same for contexts and links.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::broken::{Escalated, NeverStarted, StartTimeout, Stuck};
use super::{FarFailed, NearGone};
use crate::error::{Closed, Kind, Reason};
use crate::task::clock::Alarm;
use crate::task::{
    CancelScope, cancellable, current_mark, entrust_or, one_error, reason_below, remaining_grace, shield,
};
use crate::{Error, Result};

/// What a carrier does for the opener: it starts nothing and waits for nothing, it only says what the far task did and
/// tells it what the opener wants.
pub trait Opener<First>: Send + 'static {
    /// The first value, once; `None` if the far task ended before it.
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<First>>>;

    /// Ready when the far task has ended and nothing of it is left: whether it failed.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool>;

    /// How it failed, once.
    fn take_failure(&mut self) -> Option<Error>;

    /// When it failed, as a number that grows with everything that happens in this process. Where it is not known, the
    /// opener's own failure came first.
    fn failed_at(&self) -> Option<u64> {
        None
    }

    /// Whether it was dropped instead of having returned, once it has ended.
    fn was_dropped(&self) -> bool {
        false
    }

    /// The opener's body is done: it sends no more and reads no more.
    fn stop(&mut self);

    /// Asks the far task to end; the first reason wins, and it is not asked twice.
    fn cancel(&mut self, reason: Reason);

    /// Ends the far task without asking it, where that can be done.
    fn abort(&mut self) {}

    /// Which dialog it is, in what [`FarFailed`](super::FarFailed) says.
    fn identity(&self) -> usize {
        0
    }

    /// Who the far task is, for errors.
    fn name(&self) -> String {
        "the far task".to_owned()
    }

    /// The path of the actor it is in, if that is another one.
    fn actor(&self) -> Option<String> {
        None
    }
}

/// A number for something that happens now: it is greater than that of everything that has happened in this process.
pub(super) fn happened() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::SeqCst)
}

/// The bounds of a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long the far task may take to start; 10 s by default.
    pub start: Duration,
    /// How long it may take to end, once when the opener has finished and once when it was cancelled; 3 s by default.
    pub grace: Duration,
    /// How much longer it may take to be gone, after it was aborted where that can be done; 1 s by default.
    pub abort: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { start: Duration::from_secs(10), grace: Duration::from_secs(3), abort: Duration::from_secs(1) }
    }
}

/// Runs the opener's `body` from the far task's first value on, and completes when the far task has ended.
///
/// * The far task fails: every wait in `body` ends as cancelled, wherever it is parked, and the failure is the result.
/// * `body` returns: nothing more is sent or read; the far task is given the grace to end, then it is cancelled, or before
///   that if the scope around is.
/// * `body` fails, or the scope around is cancelled: the far task is cancelled and waited for. The body's error is the
///   result, a failure of the far task is kept beside it; the one that happened first is the first of the group.
///
/// # Errors
/// As above; [`NeverStarted`], [`StartTimeout`]; [`Escalated`], beside the rest, if the far task had to be dropped after a
/// grace that it did not use; [`Stuck`] if it cannot be ended within the bounds.
///
/// # Cancel safety
/// If the future is dropped, the far task has been told to end before the drop returns, and the enclosing scope does
/// not complete before it has; if the scope may not wait that long, it fails with [`Stuck`].
pub async fn converse<O, First, T, B, Fut>(opener: O, options: Options, body: B) -> Result<T>
where
    O: Opener<First>,
    B: FnOnce(First) -> Fut,
    Fut: Future<Output = Result<T>>,
    First: 'static,
{
    let mut held = Held::new(opener, options);
    let first = match held.first().await {
        Ok(first) => first,
        Err(error) => return Err(held.close(error, reason_below()).await),
    };
    let scope = CancelScope::new();
    let done = watch(&scope, held.opener(), scope.run(body(first))).await;
    match done {
        Ok(Some(value)) => held.finish(value).await,
        // The body's scope is cancelled by nobody but us, and only because the far task failed.
        Ok(None) => Err(held.failure()),
        Err(error) => {
            let reason = match error.mark() {
                Some(_) => reason_below(),
                None => Reason::failed(&error),
            };
            Err(held.close(error, reason).await)
        }
    }
}

/// Waits for a far task that is only asked for its result, and gives the opener back when it has ended well.
///
/// # Errors
/// What the far task failed with; a cancel of the scope around, once the far task has ended; [`Escalated`] and [`Stuck`]
/// as for [`converse`].
///
/// # Cancel safety
/// That of [`converse`].
pub async fn attend<O, First>(opener: O, options: Options) -> Result<O>
where
    O: Opener<First>,
    First: 'static,
{
    let mut held = Held::new(opener, options);
    let opener = held.opener();
    match cancellable(poll_fn(|cx| opener.poll_ended(cx))).await {
        Ok(false) => Ok(held.over()),
        Ok(true) => Err(held.failure()),
        Err(error) => Err(held.close(error, reason_below()).await),
    }
}

/// Polls the body's run, and cancels its scope as soon as the far task has failed.
async fn watch<O, First, T>(
    scope: &CancelScope,
    opener: &mut O,
    run: impl Future<Output = Result<Option<T>>>,
) -> Result<Option<T>>
where
    O: Opener<First>,
{
    let mut run = pin!(run);
    let mut watching = true;
    poll_fn(|cx| {
        if watching && let Poll::Ready(failed) = opener.poll_ended(cx) {
            watching = false;
            if failed {
                scope.request(Reason::PeerGone);
            }
        }
        run.as_mut().poll(cx)
    })
    .await
}

/// The opener, which does not go away before the far task has ended.
struct Held<O: Opener<First>, First: 'static> {
    opener: Option<O>,
    options: Options,
    first: std::marker::PhantomData<fn() -> First>,
}

impl<O: Opener<First>, First: 'static> Held<O, First> {
    fn new(opener: O, options: Options) -> Self {
        Self { opener: Some(opener), options, first: std::marker::PhantomData }
    }

    fn opener(&mut self) -> &mut O {
        self.opener.as_mut().expect("it is only taken when the dialog has ended")
    }

    /// The far task has ended: nothing is left to do when we are dropped.
    fn over(&mut self) -> O {
        self.opener.take().expect("a dialog is over once")
    }

    async fn first(&mut self) -> Result<First> {
        let limit = self.options.start;
        let opener = self.opener();
        let first = within(limit, poll_fn(|cx| opener.poll_first(cx)));
        match cancellable(first).await? {
            Some(Some(first)) => first,
            Some(None) => {
                let who = self.opener().name();
                Err(self.opener().take_failure().unwrap_or_else(|| NeverStarted { who }.into()))
            }
            None => {
                let late = StartTimeout { who: self.opener().name(), after: limit };
                Err(Error::from(late).with_kind(Kind::TimedOut))
            }
        }
    }

    /// The far task has failed, and that is the result.
    fn failure(&mut self) -> Error {
        let mut opener = self.over();
        opener.take_failure().unwrap_or_else(|| Closed.into())
    }

    /// The body has its value: let the far task end, then make it.
    async fn finish<T>(mut self, value: T) -> Result<T> {
        let grace = self.options.grace;
        // A far task that is to be cancelled is told of that alone. Told of the finish first, it would be on its way to
        // something else when the cancel looks for it, and be dropped as one that does not listen.
        let by_itself = match current_mark() {
            Some(mark) => Err(mark.reason),
            None => self.ends_by_itself(grace).await.map_err(|_| reason_below()),
        };
        let (reason, waited) = match by_itself {
            Ok(true) => return failure_of(self.over()).map_or(Ok(value), Err),
            Ok(false) => {
                let message = "the opener has finished".to_owned();
                (Reason::Explicit { by: String::new(), message }, grace)
            }
            // The scope around is cancelled, and has no time for the rest of that grace.
            Err(reason) => (reason, Duration::ZERO),
        };
        let (trouble, failure) = self.end(reason, waited).await;
        one_error(failure.into_iter().chain(trouble).collect()).map_or(Ok(value), Err)
    }

    /// Tells the far task of the finish, and says whether it has ended within `grace`.
    async fn ends_by_itself(&mut self, grace: Duration) -> Result<bool> {
        let opener = self.opener();
        opener.stop();
        let ended = within(grace, poll_fn(|cx| opener.poll_ended(cx)));
        Ok(cancellable(ended).await?.is_some())
    }

    /// The body failed or was cancelled: end the far task and keep what it says beside our own error.
    async fn close(mut self, error: Error, reason: Reason) -> Error {
        let at = happened();
        let (far_at, dialog) = (self.opener().failed_at(), self.opener().identity());
        let (trouble, failure) = self.end(reason, Duration::ZERO).await;
        let own = if failure.is_some() { without_signals(error, dialog) } else { Some(error) };
        let mut all: Vec<Error> = own.into_iter().chain(failure).collect();
        if far_at.is_some_and(|far_at| far_at < at) {
            all.reverse();
        }
        one_error(all.into_iter().chain(trouble).collect()).expect("either of them has failed")
    }

    /// Cancel, grace, abort, its bound. What there is to say of it, and the far task's failure if that is no echo.
    ///
    /// `waited` is the grace that the far task has had before.
    async fn end(&mut self, reason: Reason, waited: Duration) -> (Option<Error>, Option<Error>) {
        self.opener().cancel(reason);
        // A part of what the scope around has left is kept, so that there is somebody to say that it did not work.
        let rest = remaining_grace().unwrap_or(Duration::MAX);
        let (grace, abort) = (self.options.grace.min(rest / 10 * 7), self.options.abort.min(rest / 10 * 2));
        let mut after = waited;
        if !self.ended_within(grace).await {
            after = after.saturating_add(grace);
            self.opener().abort();
            if !self.ended_within(abort).await {
                // Nothing more can be done from here; what is left belongs to the scope around, or to the process.
                let opener = self.over();
                let after = grace.saturating_add(abort);
                return (Some(Stuck { who: opener.name(), after, actor: opener.actor() }.into()), None);
            }
        }
        let opener = self.over();
        let escalated = (!after.is_zero() && opener.was_dropped()).then(|| Escalated { who: opener.name(), after });
        let failure = failure_of(opener).filter(|failure| !failure.is_cancelled());
        (escalated.map(Error::from), failure)
    }

    /// Waits for the end of the far task, also while we are being cancelled.
    async fn ended_within(&mut self, limit: Duration) -> bool {
        let opener = self.opener();
        let ended = within(limit, poll_fn(|cx| opener.poll_ended(cx)));
        shield(limit, async { Ok(ended.await.is_some()) }).await.unwrap_or(false)
    }
}

impl<O: Opener<First>, First: 'static> Drop for Held<O, First> {
    fn drop(&mut self) {
        let Some(mut opener) = self.opener.take() else { return };
        opener.cancel(Reason::NurseryDropped);
        opener.abort();
        let bound = self.options.grace.saturating_add(self.options.abort);
        let stuck = Stuck { who: opener.name(), after: bound, actor: opener.actor() };
        // Without a scope around there is nobody to wait; the carrier has been told all the same.
        entrust_or(stuck.clone().into(), async move {
            let ended = within(bound, poll_fn(|cx| opener.poll_ended(cx))).await;
            let failure = match ended {
                Some(_) => opener.take_failure().filter(|failure| !failure.is_cancelled()),
                None => Some(stuck.into()),
            };
            failure.map_or(Ok(()), Err)
        });
    }
}

/// What the body has failed with by itself: a wait that was cut short says nothing beside the far task's failure, nor does what
/// the body has made of hearing of it.
fn without_signals(error: Error, dialog: usize) -> Option<Error> {
    let is_signal = |leaf: &Error| leaf.is_cancelled() || leaf.tells_of(&FarFailed { dialog });
    if !error.failures().iter().any(is_signal) {
        return Some(error); // a group that holds none keeps its identity
    }
    one_error(error.into_failures().into_iter().filter(|leaf| !is_signal(leaf)).collect())
}

/// How the far task has failed. That nobody reads any more what it sends is how it heard of our end.
fn failure_of<First>(mut opener: impl Opener<First>) -> Option<Error> {
    opener.take_failure().filter(|failure| failure.downcast_ref::<NearGone>().is_none())
}

/// The future's output, or `None` after `limit`.
async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut sleep = Alarm::after(limit);
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        sleep.poll(cx).map(|()| None)
    })
    .await
}
