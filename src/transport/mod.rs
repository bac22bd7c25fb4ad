//! Transports move bytes, and nothing else.
//!
//! A transport is anything that reads and writes bytes in order. Which one a connection uses is a value, chosen per
//! actor; what is said over it is the business of the protocol.
#![forbid(unsafe_code)]

mod address;
pub(crate) mod folder;
pub mod mem;
pub mod socket;
mod tcp;

use std::io::{self, IoSliceMut};

use futures_lite::{AsyncRead, AsyncWrite};

pub use address::{Address, BadAddress};
pub use tcp::Tcp;

/// A stream of bytes in both directions, in order, until one end is gone.
///
/// Reading 0 bytes means that the other end is gone.
///
/// Large messages are written from where they lie and read to where they are decoded, by `poll_write_vectored`,
/// `poll_read_vectored` and [`try_read_vectored`](Self::try_read_vectored). All three have defaults that use one buffer at a time.
///
/// ```
/// use std::io;
/// use std::pin::Pin;
/// use std::task::{Context, Poll};
///
/// use futures_lite::{AsyncRead, AsyncWrite};
/// use pleach::transport::{Transport, mem};
///
/// /// Counts what is read.
/// struct Counted {
///     inner: mem::Mem,
///     taken: usize,
/// }
///
/// impl AsyncRead for Counted {
///     fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
///         let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
///         if let Poll::Ready(Ok(taken)) = read {
///             self.taken += taken;
///         }
///         read
///     }
/// }
///
/// impl AsyncWrite for Counted {
///     fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
///         Pin::new(&mut self.inner).poll_write(cx, bytes)
///     }
///
///     fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
///         Pin::new(&mut self.inner).poll_flush(cx)
///     }
///
///     fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
///         Pin::new(&mut self.inner).poll_close(cx)
///     }
/// }
///
/// impl Transport for Counted {}
/// ```
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Reads what is there now, and registers nobody if nothing is. The connection calls this again and again, for up to
    /// 50 us, while it looks for an answer before it sleeps; so it must be cheap, and must ask the source itself, not a
    /// readiness that only a turn of the reactor renews.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing is there. `Unsupported`, the default, if to be woken is as
    /// cheap as looking: then the connection always sleeps at once. All others as with `poll_read`.
    fn try_read(&mut self, _buffer: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The same into several buffers, one after the other. By default only the first of them that has room is used.
    ///
    /// # Errors
    /// As [`try_read`](Self::try_read).
    fn try_read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        match buffers.iter_mut().find(|buffer| !buffer.is_empty()) {
            Some(buffer) => self.try_read(buffer),
            None => Ok(0),
        }
    }
}
