//! The traits of both worlds, over one way to read and write.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// What both ends can do; the traits of futures and of tokio are written in these words.
pub(super) trait End {
    /// Gives `sink` up to `room` bytes; 0 is the end.
    fn poll_take(&mut self, cx: &mut Context<'_>, room: usize, sink: impl FnMut(&[u8])) -> Poll<io::Result<usize>>;
    /// Takes as many of these bytes as there is room for.
    fn poll_put(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;
    /// Writes no more.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Fills a slice from its start.
    fn poll_fill(&mut self, cx: &mut Context<'_>, mut buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_take(cx, buffer.len(), |bytes| {
            let (head, rest) = std::mem::take(&mut buffer).split_at_mut(bytes.len());
            head.copy_from_slice(bytes);
            buffer = rest;
        })
    }
}

/// Makes an [`End`] what futures and tokio read from and write to. Nothing needs a flush: what is written can be read.
macro_rules! both_worlds {
    ($end:ty) => {
        impl futures_lite::AsyncRead for $end {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
                self.get_mut().poll_fill(cx, buffer)
            }
        }

        impl futures_lite::AsyncWrite for $end {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                self.get_mut().poll_put(cx, &[IoSlice::new(bytes)])
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                pieces: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.get_mut().poll_put(cx, pieces)
            }

            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.get_mut().poll_end(cx)
            }
        }

        impl tokio::io::AsyncRead for $end {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buffer: &mut tokio::io::ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                let taken = self.get_mut().poll_take(cx, buffer.remaining(), |bytes| buffer.put_slice(bytes));
                taken.map_ok(|_| ())
            }
        }

        impl tokio::io::AsyncWrite for $end {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                self.get_mut().poll_put(cx, &[IoSlice::new(bytes)])
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                pieces: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.get_mut().poll_put(cx, pieces)
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.get_mut().poll_end(cx)
            }
        }
    };
}
pub(super) use both_worlds;
