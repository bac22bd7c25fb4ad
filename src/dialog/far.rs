//! The far task's end of a dialog.

use std::fmt;
use std::future::Future;
use std::task::{Context, Poll};

use super::{End, SideGone, TrySendError, refused, stay};
use crate::Result;
use crate::task::channel::SendError;

/// What a carrier does for the far task.
///
/// A `poll_` that returns `Pending` has arranged to be polled again; a dropped one has taken or sent nothing.
pub(crate) trait FarEnd<First, In, Out>: End + Send {
    /// The value is there at the first poll, and again at whichever takes it.
    fn poll_started(&mut self, cx: &mut Context<'_>, first: &mut Option<First>) -> Poll<Result<()>>;
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<In>>>;
    /// A new value comes: forget what is kept of the last one.
    fn begin_send(&mut self) {}
    fn try_send(&mut self, value: Out) -> Result<(), TrySendError<Out>>;
    /// Takes the value out if, and only if, it has been accepted.
    fn poll_send(&mut self, cx: &mut Context<'_>, value: &mut Option<Out>) -> Poll<Result<()>>;
    /// For a stream, which does not say when nobody waits at it any more.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<In>>> {
        self.poll_recv(cx)
    }
    /// For a sink: one value can be started now.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>>;
    /// Sends a value after `poll_ready`, or keeps it until there is room.
    fn start_send(&mut self, value: Out) -> Result<()>;
    /// What was kept has been sent.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    fn gone(&self) -> Option<SideGone>;
}

/// The far task's end of a dialog: what a function takes that is linked or opened.
///
/// `First` is the value it starts with, `In` what it receives, `Out` what it sends. The same function serves a link in
/// this process and, once it is an endpoint and its types are serde, a context from another one.
///
/// ```
/// use pleach::prelude::*;
///
/// async fn doubles(mut far: Far<(), u64, u64>) -> Result<()> {
///     far.started(()).await?;
///     while let Some(n) = far.recv().await? {
///         far.send(2 * n).await?;
///     }
///     Ok(())
/// }
/// ```
///
/// It is also a `Stream` of `Result<In>` and a `Sink` of `Out`, of futures' kind.
/// They wait, end and fail as `recv` and `send` do, and a task that waits at them is told of a cancel there; a stream ends
/// after its first error. Closing the sink flushes it: this direction ends when the function returns. In a context a value of
/// more than 512 KiB is encoded beside the actor's thread once the sink has taken it: it goes, or is refused, while
/// whatever comes next is waited for, at the latest when this end is dropped.
///
/// ```
/// use futures_util::{StreamExt, TryStreamExt};
/// use pleach::prelude::*;
///
/// async fn doubles(mut far: Far<(), u64, u64>) -> Result<()> {
///     far.started(()).await?;
///     let (answers, numbers) = far.split();
///     numbers.map_ok(|n| 2 * n).forward(answers).await
/// }
/// ```
pub struct Far<First, In, Out> {
    pub(super) end: Box<dyn FarEnd<First, In, Out>>,
    /// As a stream: there are no more items.
    pub(super) over: bool,
}

impl<First, In, Out> Far<First, In, Out> {
    pub(crate) fn new(end: impl FarEnd<First, In, Out> + 'static) -> Self {
        Self { end: Box::new(end), over: false }
    }

    /// Says that the task is up, with its first value. The opener's body starts when this arrives.
    ///
    /// # Errors
    /// [`Misuse`](crate::error::Misuse) the second time; a cancel if the opener has cancelled; in a context also a value
    /// that the codec cannot carry.
    ///
    /// # Cancel safety
    /// Completes at its first poll; but in a context a value of more than 512 KiB is encoded beside the actor's thread, and that
    /// is waited for, also when it is cancelled meanwhile. If it is cancelled or dropped then, nothing has been said.
    pub async fn started(&mut self, first: First) -> Result<()> {
        let mut first = Some(first);
        self.end.begin_send();
        stay(&mut *self.end, |end, cx| end.poll_started(cx, &mut first)).await
    }

    /// The next value, or `None` when the opener has finished and everything was read.
    ///
    /// # Errors
    /// A cancel if the opener has cancelled or is gone; in a context also a value that does not decode as an `In`.
    ///
    /// # Cancel safety
    /// A receive that is dropped has taken nothing.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<In>>> + use<'_, First, In, Out> {
        stay(&mut *self.end, |end, cx| end.poll_recv(cx))
    }

    /// Sends a value; waits while the dialog is full.
    ///
    /// # Errors
    /// The value comes back; by `?` the error becomes [`Misuse`](crate::error::Misuse) before [`started`](Far::started), a
    /// cancel if the opener has cancelled, [`NearGone`](super::NearGone) if it has left, and in a context also that the value
    /// is over the limit or that the codec cannot carry it.
    ///
    /// # Cancel safety
    /// A send that is cancelled gives its value back. One that is dropped has either delivered its value or dropped it.
    pub fn send(&mut self, value: Out) -> impl Future<Output = Result<(), SendError<Out>>> + use<'_, First, In, Out> {
        self.end.begin_send();
        let mut value = Some(value);
        stay(&mut *self.end, move |end, cx| end.poll_send(cx, &mut value).map_err(|error| refused(&mut value, error)))
    }

    /// Sends a value if there is room for it now.
    ///
    /// # Errors
    /// The value comes back: [`TrySendError::Full`], or [`TrySendError::Refused`] for the reasons of
    /// [`send`](Far::send).
    pub fn try_send(&mut self, value: Out) -> Result<(), TrySendError<Out>> {
        self.end.try_send(value)
    }

    /// Completes when the opener has cancelled this dialog.
    ///
    /// For a task that is busy with something else than its dialog: it waits for this in a `select!` beside its work, and
    /// then has the grace to clean up. One that waits in [`recv`](Far::recv) or [`send`](Far::send) needs no more than
    /// that: it is told there, by a cancel as the error, and has the same grace. One that does neither is dropped at its
    /// next await.
    ///
    /// ```
    /// use futures_lite::future::or;
    /// use pleach::prelude::*;
    ///
    /// async fn watch(mut far: Far<(), (), u32>) -> Result<()> {
    ///     far.started(()).await?;
    ///     let work = async { Some(measure().await) };
    ///     match or(work, async { far.cancelled().await; None }).await {
    ///         Some(value) => Ok(far.send(value).await?),
    ///         None => Ok(()), // here it cleans up
    ///     }
    /// }
    /// # async fn measure() -> u32 { 7 }
    /// ```
    ///
    /// # Cancel safety
    /// Has no effect of its own.
    pub async fn cancelled(&mut self) {
        stay(&mut *self.end, |end, cx| end.poll_cancelled(cx)).await;
    }

    /// Whether the opener has left, and how: it has failed, was cancelled, or is done.
    ///
    /// In a link it is done when its body has returned; in a context when it has said that it sends no more.
    pub fn gone(&self) -> Option<SideGone> {
        self.end.gone()
    }
}

impl<First, In, Out> fmt::Debug for Far<First, In, Out> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Far").finish_non_exhaustive()
    }
}
