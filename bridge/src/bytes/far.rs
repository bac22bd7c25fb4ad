//! The foreign task's end of a link of bytes.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pleach::dialog::{Far, NearGone};
use pleach::error::Closed;
use tokio::task::coop::{RestoreOnPending, poll_proceed};

use super::io::{End, both_worlds};
use super::pipe::{Refusal, Side, Taken};
use super::{Pipes, carry, closed};

/// The foreign task's end of a [link of bytes](super::open_byte_link): `AsyncRead` and `AsyncWrite`, in the traits of
/// tokio and in those of futures.
///
/// Shutting it down (in futures' words `close`) gives the opener the end of the stream after the rest, and reading goes
/// on. A flush has nothing to do. The opener's body gives the end of the stream when it closes its end or returns.
///
/// # Errors
/// An [`io::Error`] whose `source()` is the reason:
///
/// | source | kind | when |
/// |---|---|---|
/// | [`Cancelled`](pleach::error::Cancelled) | `ConnectionAborted` | the opener has cancelled or failed: at once, before the rest |
/// | [`NearGone`] | `BrokenPipe` | a write: the opener's body has returned |
/// | [`Misuse`](pleach::error::Misuse) | `BrokenPipe` | a write after a shutdown |
/// | [`Closed`] | `NotConnected` | the foreign function is over, and this end was carried out of it |
///
/// Returning one of the first two, also inside the error of a library, is no failure of the link.
///
/// # Cancel safety
/// A read or a write that is dropped has moved nothing.
///
/// A dropped end says nothing to the other side: it hears how the foreign function has ended, and until then its reads
/// wait. So a half of a message is never taken for a whole one because its writer has failed.
pub struct FarBytes {
    pipes: Arc<Pipes>,
    /// Carries no values; it has the cancel.
    far: Far<(), Infallible, Infallible>,
}

impl FarBytes {
    pub(super) fn new(pipes: Arc<Pipes>, far: Far<(), Infallible, Infallible>) -> Self {
        Self { pipes, far }
    }

    /// Completes when the opener has cancelled this link.
    ///
    /// For a task that waits for something else than bytes: one that waits for this beside it, in a `select!`, or for a
    /// read or a write, is given the grace to clean up; any other is dropped at its next await.
    ///
    /// # Cancel safety
    /// Has no effect of its own.
    pub async fn cancelled(&mut self) {
        self.far.cancelled().await;
    }

    fn refused(&mut self, refusal: Refusal, cx: &mut Context<'_>) -> io::Error {
        match refusal {
            Refusal::Over => carry(ErrorKind::NotConnected, Closed.into()),
            Refusal::Closed => closed(),
            Refusal::OtherDone => self.pipes.told_far.tell(ErrorKind::BrokenPipe, NearGone.into()),
            Refusal::OtherFailed => self.cancel(cx),
        }
    }

    /// The cancel as the dialog has it, with its identity.
    fn cancel(&mut self, cx: &mut Context<'_>) -> io::Error {
        match pin!(self.far.recv()).poll(cx) {
            Poll::Ready(Err(cancelled)) => self.pipes.told_far.tell(ErrorKind::ConnectionAborted, cancelled),
            _ => self.pipes.told_far.tell(ErrorKind::ConnectionAborted, NearGone.into()),
        }
    }
}

impl End for FarBytes {
    fn poll_take(&mut self, cx: &mut Context<'_>, room: usize, sink: impl FnMut(&[u8])) -> Poll<io::Result<usize>> {
        let turn = ready!(poll_proceed(cx));
        let taken = self.pipes.to_far.poll_take(Side::Far, cx, room, sink);
        settle(turn, taken).map_err(|refusal| self.refused(refusal, cx))
    }

    fn poll_put(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let turn = ready!(poll_proceed(cx));
        let taken = self.pipes.to_near.poll_put(Side::Far, cx, pieces);
        settle(turn, taken).map_err(|refusal| self.refused(refusal, cx))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.pipes.to_near.close(Side::Far).map_err(|refusal| self.refused(refusal, cx)))
    }
}

/// A stream that is always ready must not keep its thread to itself: tokio counts what succeeds. Outside tokio this does
/// nothing.
fn settle(turn: RestoreOnPending, taken: Taken) -> Taken {
    if taken.is_ready() {
        turn.made_progress();
    }
    taken
}

both_worlds!(FarBytes);

/// Whoever is left waits somewhere else, and is not told of a cancel by a waker that stayed behind.
impl Drop for FarBytes {
    fn drop(&mut self) {
        self.pipes.to_far.forget_reader();
        self.pipes.to_near.forget_writer();
    }
}

impl fmt::Debug for FarBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FarBytes").finish_non_exhaustive()
    }
}
