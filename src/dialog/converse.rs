//! The opener's side of a dialog, from its start to the end of the far task, the same for contexts and links.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::error::{Closed, Group, Kind, Reason};
use crate::task::clock::Alarm;
use crate::task::{CancelScope, cancellable, entrust_or, reason_below, remaining_grace, shield};
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

    /// The opener sends no more.
    fn stop(&mut self);

    /// Asks the far task to end; the first reason wins, and it is not asked twice.
    fn cancel(&mut self, reason: Reason);

    /// Ends the far task without asking it, where that can be done.
    fn abort(&mut self) {}

    /// Who the far task is, for errors.
    fn name(&self) -> String {
        "the far task".to_owned()
    }

    /// The path of the actor it is in, if that is another one.
    fn actor(&self) -> Option<String> {
        None
    }
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

/// The far task returned without ever calling `started`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeverStarted {
    pub(crate) who: String,
}

impl fmt::Display for NeverStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} returned without starting: call `far.started(first)` before it returns", self.who)
    }
}

impl std::error::Error for NeverStarted {}

/// The far task did not call `started` in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartTimeout {
    pub(crate) who: String,
    pub(crate) after: Duration,
}

impl fmt::Display for StartTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, after } = self;
        write!(f, "{who} did not call `started` within {after:?}: let it call `far.started(..)` before its slow work")
    }
}

impl std::error::Error for StartTimeout {}

/// The far task was cancelled and aborted and is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    pub(crate) who: String,
    pub(crate) after: Duration,
    /// The actor it is in, if that is another one.
    pub(crate) actor: Option<String>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, after, .. } = self;
        write!(
            f,
            "{who} has not ended {after:?} after it was cancelled: it blocks its thread, and only its process can be \
             ended, or it takes longer to clean up than the scope that waits for it has"
        )
    }
}

impl std::error::Error for Stuck {}

/// Runs the opener's `body` from the far task's first value on, and completes when the far task has ended.
///
/// * The far task fails: every wait in `body` ends as cancelled, wherever it is parked, and the failure is the result.
/// * `body` returns: nothing more is sent; the far task is given the grace to end, then it is cancelled.
/// * `body` fails, or the scope around is cancelled: the far task is cancelled and waited for. The body's error is the
///   result, a failure of the far task is kept beside it.
///
/// # Errors
/// As above; [`NeverStarted`], [`StartTimeout`]; [`Stuck`] if the far task cannot be ended within the bounds.
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
                None => Reason::SiblingFailed { failure: error.id() },
            };
            Err(held.close(error, reason).await)
        }
    }
}

/// Waits for a far task that is only asked for its result, and gives the opener back when it has ended well.
///
/// # Errors
/// What the far task failed with; a cancel of the scope around, once the far task has ended; [`Stuck`] if it cannot be
/// ended within the bounds.
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
        Err(error) => Err(held.close(error, Reason::ParentCancelled).await),
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
        self.opener().stop();
        let grace = self.options.grace;
        let ended = self.ended_within(grace).await;
        let asked = !ended;
        if asked {
            let message = "the opener has finished".to_owned();
            self.end(Reason::Explicit { by: String::new(), message }).await?;
        }
        match self.over().take_failure() {
            Some(error) if !(asked && error.is_cancelled()) => Err(error),
            _ => Ok(value),
        }
    }

    /// The body failed or was cancelled: end the far task and keep what it says beside our own error.
    async fn close(mut self, error: Error, reason: Reason) -> Error {
        if let Err(stuck) = self.end(reason).await {
            return both(error, stuck);
        }
        match self.over().take_failure() {
            Some(failure) if !failure.is_cancelled() && failure.id() != error.id() => both(error, failure),
            _ => error,
        }
    }

    /// Cancel, grace, abort, its bound.
    async fn end(&mut self, reason: Reason) -> Result<()> {
        self.opener().cancel(reason);
        // A part of what the scope around has left is kept, so that there is somebody to say that it did not work.
        let rest = remaining_grace().unwrap_or(Duration::MAX);
        let (grace, abort) = (self.options.grace.min(rest / 10 * 7), self.options.abort.min(rest / 10 * 2));
        if self.ended_within(grace).await {
            return Ok(());
        }
        self.opener().abort();
        if self.ended_within(abort).await {
            return Ok(());
        }
        // Nothing more can be done from here; what is left belongs to the scope around, or to the process.
        let opener = self.over();
        Err(Stuck { who: opener.name(), after: grace.saturating_add(abort), actor: opener.actor() }.into())
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
            within(bound, poll_fn(|cx| opener.poll_ended(cx))).await.map(drop).ok_or_else(|| stuck.into())
        });
    }
}

/// Two failures, unless one of them is only the echo of a cancel.
fn both(first: Error, second: Error) -> Error {
    if first.is_cancelled() {
        return second;
    }
    Group(vec![first, second]).into()
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
