//! The opener's end of a dialog.

use std::fmt;
use std::task::{Context, Poll};

use super::{End, SideGone, TrySendError, stay};
use crate::Result;

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
    /// Takes the value out when it has been accepted.
    fn poll_send(&mut self, cx: &mut Context<'_>, value: &mut Option<In>) -> Poll<Result<()>>;
    fn stop(&mut self);
    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<R>>;
    fn gone(&self) -> Option<SideGone>;
}

/// The opener's end of a dialog: sends `In`, receives `Out`, and gets the far task's result `R` at the end.
///
/// If the far task fails, every wait in the body ends as cancelled, wherever it is parked, and the dialog returns the
/// failure.
pub struct Near<In, Out, R> {
    pub(super) end: Box<dyn NearEnd<In, Out, R>>,
}

impl<In, Out, R> Near<In, Out, R> {
    pub(crate) fn new(end: impl NearEnd<In, Out, R> + 'static) -> Self {
        Self { end: Box::new(end) }
    }

    /// Sends a value; waits while the dialog is full.
    ///
    /// # Errors
    /// [`FarReturned`](super::FarReturned) if the far task has already returned; [`Closed`](crate::error::Closed) when
    /// the dialog is over; a cancel; in a context also a value
    /// that is over the limit or that the codec cannot carry.
    ///
    /// # Cancel safety
    /// A send that is dropped has either delivered its value or dropped it.
    pub async fn send(&mut self, value: In) -> Result<()> {
        let mut value = Some(value);
        self.end.begin_send();
        stay(&mut *self.end, |end, cx| end.poll_send(cx, &mut value)).await
    }

    /// The next value, or `None` when the far task has returned and everything was read.
    ///
    /// # Errors
    /// A cancel; [`Closed`](crate::error::Closed) when the dialog is over and has failed; in a context also a value that
    /// does not decode as an `Out`.
    ///
    /// # Cancel safety
    /// A receive that is dropped has taken nothing.
    pub async fn recv(&mut self) -> Result<Option<Out>> {
        stay(&mut *self.end, |end, cx| end.poll_recv(cx)).await
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
    /// Values can still be received.
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
    /// If it is dropped, the stop has been said all the same.
    pub async fn finish(mut self) -> Result<R> {
        self.end.stop();
        stay(&mut *self.end, |end, cx| end.poll_finish(cx)).await
    }
}

impl<In, Out, R> fmt::Debug for Near<In, Out, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Near").finish_non_exhaustive()
    }
}
