//! The opener's end of a dialog.

use std::fmt;
use std::future::Future;
use std::task::{Context, Poll};

use super::{End, FarReturned, SideGone, TrySendError, refused, stay};
use crate::Result;
use crate::task::channel::SendError;

/// What a carrier does for the opener's body.
///
/// If the far task *failed*, the body's scope has been cancelled, which is what the body sees; where that cancel does not
/// reach, values that came before can still be received, and then these answer [`FarFailed`](super::FarFailed). Once the
/// dialog is over, an end that was carried out of the body is refused.
pub(crate) trait NearEnd<In, Out, R>: End + Send {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Out>>>;
    /// A new value comes: forget what is kept of the last one.
    fn begin_send(&mut self) {}
    fn try_send(&mut self, value: In) -> Result<(), TrySendError<In>>;
    /// Takes the value out if, and only if, it has been accepted.
    fn poll_send(&mut self, cx: &mut Context<'_>, value: &mut Option<In>) -> Poll<Result<()>>;
    /// For a sink: one value can be started now.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>>;
    /// Sends a value after `poll_ready`, or keeps it until there is room.
    fn start_send(&mut self, value: In) -> Result<()>;
    /// What was kept has been sent.
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn stop(&mut self);
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<R>>;
    fn gone(&self) -> Option<SideGone>;
}

/// The opener's end of a dialog: sends `In`, receives `Out`, and gets the far task's result `R` at the end.
///
/// If the far task fails, every wait in the body ends as cancelled, wherever it is parked, and the dialog returns the
/// failure.
///
/// It is also a `Stream` of `Result<Out>` and a `Sink` of `In`, of futures' kind.
/// They wait, end and fail as `recv` and `send` do; a stream ends after its first error. Closing the sink is
/// [`stop`](Near::stop). In a context a value of more than 512 KiB is encoded beside the actor's thread once the sink has taken it:
/// it goes, or is refused, while whatever comes next is waited for, at the latest when this end is dropped.
///
/// ```
/// use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
/// use pleach::prelude::*;
///
/// async fn squares(numbers: Vec<u64>, mut near: Near<u64, u64, ()>) -> Result<Vec<u64>> {
///     near.send_all(&mut stream::iter(numbers).map(Ok)).await?;
///     near.close().await?;
///     near.try_collect().await
/// }
/// ```
pub struct Near<In, Out, R> {
    pub(super) end: Box<dyn NearEnd<In, Out, R>>,
    /// As a stream: there are no more items.
    pub(super) over: bool,
}

impl<In, Out, R> Near<In, Out, R> {
    pub(crate) fn new(end: impl NearEnd<In, Out, R> + 'static) -> Self {
        Self { end: Box::new(end), over: false }
    }

    /// Sends a value; waits while the dialog is full.
    ///
    /// # Errors
    /// The value comes back; by `?` the error becomes [`FarReturned`](super::FarReturned) if the far task has already
    /// returned, [`Closed`](crate::error::Closed) when the dialog is over, a cancel, and in a context also that the value is
    /// over the limit or that the codec cannot carry it.
    ///
    /// # Cancel safety
    /// A send that is cancelled gives its value back. One that is dropped has either delivered its value or dropped it.
    pub fn send(&mut self, value: In) -> impl Future<Output = Result<(), SendError<In>>> + use<'_, In, Out, R> {
        self.end.begin_send();
        let mut value = Some(value);
        stay(&mut *self.end, move |end, cx| end.poll_send(cx, &mut value).map_err(|error| refused(&mut value, error)))
    }

    /// The next value, or `None` when the far task has returned and everything was read.
    ///
    /// # Errors
    /// A cancel; [`Closed`](crate::error::Closed) when the dialog is over and has failed; in a context also a value that
    /// does not decode as an `Out`.
    ///
    /// # Cancel safety
    /// A receive that is dropped has taken nothing.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Out>>> + use<'_, In, Out, R> {
        stay(&mut *self.end, |end, cx| end.poll_recv(cx))
    }

    /// Sends a value if there is room for it now.
    ///
    /// # Errors
    /// The value comes back: [`TrySendError::Full`], or [`TrySendError::Refused`] for the reasons of
    /// [`send`](Near::send).
    pub fn try_send(&mut self, value: In) -> Result<(), TrySendError<In>> {
        self.end.try_send(value)
    }

    /// Whether the far task has ended, and how. What it has sent before can still be received.
    pub fn gone(&self) -> Option<SideGone> {
        self.end.gone()
    }

    /// Says that nothing more will be sent: the far task's `recv` gives `None` when it has read the rest.
    ///
    /// Values can still be received. What a sink has taken and not flushed goes first: at once, or while this end receives or
    /// finishes.
    pub fn stop(&mut self) {
        self.end.stop();
    }

    /// Stops sending and waits for the far task's result.
    ///
    /// What was received and not read is dropped: read with [`recv`](Near::recv) until `None` first if it matters.
    ///
    /// # Errors
    /// A cancel, which is what the body sees when the far task fails; in a context also a result that does not decode as an
    /// `R`.
    ///
    /// # Cancel safety
    /// If it is dropped, the stop has been said all the same, unless a value was left to be flushed by a sink.
    pub async fn finish(mut self) -> Result<R> {
        let flushed = stay(&mut *self.end, |end, cx| end.poll_flush(cx)).await;
        self.end.stop();
        // Where the far task has returned, its result is what was asked for.
        if let Err(error) = flushed
            && error.downcast_ref::<FarReturned>().is_none()
        {
            return Err(error);
        }
        stay(&mut *self.end, |end, cx| end.poll_finish(cx)).await
    }
}

impl<In, Out, R> fmt::Debug for Near<In, Out, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Near").finish_non_exhaustive()
    }
}
