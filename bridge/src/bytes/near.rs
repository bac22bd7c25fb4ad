//! The opener's end of a link of bytes.

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pleach::Error;
use pleach::dialog::{FarFailed, FarReturned};
use pleach::error::Closed;
use pleach::task::Wait;

use super::io::{End, both_worlds};
use super::pipe::{Refusal, Side, Taken};
use super::{Pipes, carry, closed};

/// The opener's end of a [link of bytes](super::open_byte_link): `AsyncRead` and `AsyncWrite`, in the traits of futures and
/// in those of tokio.
///
/// Reads and writes are runtime awaits: a cancel of the task's scope ends them, and so does a failure of the foreign task,
/// which cancels the body. Closing it (`close`, in tokio's words `shutdown`) gives the other side the end of the stream
/// after the rest, and reading goes on. A flush has nothing to do.
///
/// # Errors
/// An [`io::Error`] whose `source()` is the reason. As `?` makes an [`Error`] of it, also through an error of a library
/// around it, a cancel is still [that cancel](Error::mark).
///
/// | source | kind | when |
/// |---|---|---|
/// | [`Cancelled`](pleach::error::Cancelled) | `ConnectionAborted` | the task's scope was cancelled |
/// | [`FarReturned`] | `BrokenPipe` | a write: the foreign task has returned |
/// | [`FarFailed`] | `ConnectionReset` | it has failed, and the body's cancel does not reach this wait: after the rest |
/// | [`Misuse`](pleach::error::Misuse) | `BrokenPipe` | a write after a close |
/// | [`Closed`] | `NotConnected` | the body is over, and this end was carried out of it |
///
/// # Cancel safety
/// A read or a write that is dropped has moved nothing.
///
/// A dropped end says nothing to the other side: it hears how the body has ended, and until then its reads wait. So a half
/// of a message is never taken for a whole one because its writer has failed.
pub struct NearBytes {
    pipes: Arc<Pipes>,
    // Two, as a read and a write may wait at once, in different tasks.
    read: Wait,
    write: Wait,
}

impl NearBytes {
    pub(super) fn new(pipes: Arc<Pipes>) -> Self {
        Self { pipes, read: Wait::default(), write: Wait::default() }
    }
}

impl End for NearBytes {
    fn poll_take(&mut self, cx: &mut Context<'_>, room: usize, sink: impl FnMut(&[u8])) -> Poll<io::Result<usize>> {
        ready!(self.read.check(cx)).map_err(|error| cancelled(&self.pipes, error))?;
        let taken = settle(&mut self.read, cx, |cx| self.pipes.to_near.poll_take(Side::Near, cx, room, sink));
        taken.map_err(|refusal| refused(&self.pipes, refusal))
    }

    fn poll_put(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.write.check(cx)).map_err(|error| cancelled(&self.pipes, error))?;
        let taken = settle(&mut self.write, cx, |cx| self.pipes.to_far.poll_put(Side::Near, cx, pieces));
        taken.map_err(|refusal| refused(&self.pipes, refusal))
    }

    /// Looks at the cancel first: a stream that is cut off must not look complete.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write.check(cx)).map_err(|error| cancelled(&self.pipes, error))?;
        self.write.done();
        Poll::Ready(self.pipes.to_far.close(Side::Near).map_err(|refusal| refused(&self.pipes, refusal)))
    }
}

both_worlds!(NearBytes);

/// Tells the await how the attempt went.
fn settle(wait: &mut Wait, cx: &mut Context<'_>, attempt: impl FnOnce(&mut Context<'_>) -> Taken) -> Taken {
    let taken = attempt(cx);
    if taken.is_pending() {
        wait.park(cx);
    } else {
        wait.done();
    }
    taken
}

fn cancelled(pipes: &Pipes, error: Error) -> io::Error {
    pipes.told_near.tell(ErrorKind::ConnectionAborted, error)
}

fn refused(pipes: &Pipes, refusal: Refusal) -> io::Error {
    match refusal {
        Refusal::Over => carry(ErrorKind::NotConnected, Closed.into()),
        Refusal::Closed => closed(),
        Refusal::OtherDone => carry(ErrorKind::BrokenPipe, FarReturned.into()),
        Refusal::OtherFailed => pipes.told_near.tell(ErrorKind::ConnectionReset, FarFailed::default().into()),
    }
}

impl fmt::Debug for NearBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NearBytes").finish_non_exhaustive()
    }
}
