//! Bytes between two tasks of one process.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use futures_lite::{AsyncRead, AsyncWrite};

use super::Transport;

/// Bytes one direction holds before a writer waits.
const ROOM: usize = 256 * 1024;

/// A pair of connected ends: what one writes, the other reads.
///
/// ```
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
///
/// futures_lite::future::block_on(async {
///     let (mut left, mut right) = pleach::transport::mem::pair();
///     left.write_all(b"over there").await.unwrap();
///     drop(left);
///     let mut text = String::new();
///     right.read_to_string(&mut text).await.unwrap();
///     assert_eq!(text, "over there");
/// });
/// ```
pub fn pair() -> (Mem, Mem) {
    let there = Arc::new(Mutex::new(Pipe::default()));
    let back = Arc::new(Mutex::new(Pipe::default()));
    (Mem { read: back.clone(), write: there.clone() }, Mem { read: there, write: back })
}

/// One end of a [`pair`].
pub struct Mem {
    read: Arc<Mutex<Pipe>>,
    write: Arc<Mutex<Pipe>>,
}

impl fmt::Debug for Mem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mem").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    /// Copies out what is there, up to the buffer's length.
    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let (front, back) = self.bytes.as_slices();
        let first = front.len().min(buffer.len());
        buffer[..first].copy_from_slice(&front[..first]);
        let second = back.len().min(buffer.len() - first);
        buffer[first..first + second].copy_from_slice(&back[..second]);
        self.bytes.drain(..first + second);
        first + second
    }
}

fn lock(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn close(pipe: &Mutex<Pipe>) {
    let wakers = {
        let mut pipe = lock(pipe);
        pipe.closed = true;
        [pipe.reader.take(), pipe.writer.take()]
    };
    wakers.into_iter().flatten().for_each(Waker::wake);
}

impl AsyncRead for Mem {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.read);
        if pipe.bytes.is_empty() && !pipe.closed {
            pipe.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let taken = pipe.take(buffer);
        let writer = if pipe.bytes.len() <= ROOM / 2 { pipe.writer.take() } else { None };
        drop(pipe);
        if let Some(writer) = writer {
            writer.wake();
        }
        Poll::Ready(Ok(taken))
    }
}

impl AsyncWrite for Mem {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.write);
        if pipe.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = ROOM - pipe.bytes.len();
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut put = 0;
        for piece in pieces {
            let fits = piece.len().min(room - put);
            pipe.bytes.extend(&piece[..fits]);
            put += fits;
        }
        let reader = pipe.reader.take();
        drop(pipe);
        if let Some(reader) = reader {
            reader.wake();
        }
        Poll::Ready(Ok(put))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        close(&self.write);
        Poll::Ready(Ok(()))
    }
}

/// The other end runs on the same executor or wakes it: there is nothing to look for.
impl Transport for Mem {}

impl Drop for Mem {
    fn drop(&mut self) {
        close(&self.write);
        close(&self.read);
    }
}
