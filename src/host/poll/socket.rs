//! Sockets that the loop serves.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_lite::{AsyncRead, AsyncWrite};
use rustix::event::PollFlags;
use rustix::io::{Errno, readv};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown};

use super::{Shared, lock};
use crate::host::Reactor;
use crate::transport::Transport;

/// A socket, and who waits for it.
pub(super) struct Source {
    pub(super) socket: Arc<OwnedFd>,
    pub(super) read: Option<Waker>,
    pub(super) write: Option<Waker>,
    /// The last `poll(2)` saw something to read.
    readable: bool,
}

impl Source {
    pub(super) fn interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, self.read.is_some());
        flags.set(PollFlags::OUT, self.write.is_some());
        flags
    }

    /// Takes out who can go on.
    pub(super) fn ready(&mut self, flags: PollFlags) -> [Option<Waker>; 2] {
        let gone = flags.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL);
        let readable = gone || flags.contains(PollFlags::IN);
        let writable = gone || flags.contains(PollFlags::OUT);
        self.readable |= readable;
        [self.read.take_if(|_| readable), self.write.take_if(|_| writable)]
    }
}

pub(super) struct LoopReactor {
    pub(super) shared: Arc<Shared>,
}

impl Reactor for LoopReactor {
    fn serve(&self, socket: UnixStream) -> io::Result<Box<dyn Transport>> {
        socket.set_nonblocking(true)?;
        Ok(Box::new(self.watch(socket.into())))
    }

    fn serve_tcp(&self, socket: TcpStream) -> io::Result<Box<dyn Transport>> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        Ok(Box::new(self.watch(socket.into())))
    }
}

impl LoopReactor {
    fn watch(&self, socket: OwnedFd) -> LoopSocket {
        let socket = Arc::new(socket);
        let source = Source { socket: socket.clone(), read: None, write: None, readable: false };
        let key = lock(&self.shared.sources).insert(source);
        LoopSocket { shared: self.shared.clone(), socket, key, drained: false }
    }
}

/// A socket served by the loop.
struct LoopSocket {
    shared: Arc<Shared>,
    socket: Arc<OwnedFd>,
    key: usize,
    /// The last read took all there was: the next one would only say so, until the loop says otherwise.
    drained: bool,
}

impl LoopSocket {
    /// Registers for something to read; `false` if there already is.
    fn wait_read(&mut self, cx: &Context<'_>) -> bool {
        let mut sources = lock(&self.shared.sources);
        let source = &mut sources[self.key];
        if std::mem::take(&mut source.readable) {
            self.drained = false;
            return false;
        }
        self.drained = true;
        match &mut source.read {
            Some(waker) if waker.will_wake(cx.waker()) => return true,
            other => *other = Some(cx.waker().clone()),
        }
        drop(sources);
        self.shared.interrupt();
        true
    }

    fn wait_write(&self, cx: &Context<'_>) {
        lock(&self.shared.sources)[self.key].write = Some(cx.waker().clone());
        self.shared.interrupt();
    }

    /// Reads what is there, up to `most` bytes.
    fn receive(
        &mut self,
        most: usize,
        mut read: impl FnMut(&OwnedFd) -> rustix::io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            match read(&self.socket) {
                Ok(taken) => {
                    self.drained = taken < most && taken > 0;
                    return Ok(taken);
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    self.drained = error == Errno::AGAIN;
                    return Err(error.into());
                }
            }
        }
    }

    /// Reads, or registers for something to read.
    fn poll(
        &mut self,
        cx: &Context<'_>,
        mut read: impl FnMut(&mut Self) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.drained && self.wait_read(cx) {
                return Poll::Pending;
            }
            match read(self) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    /// Writes, or registers for room.
    fn write(
        &self,
        cx: &Context<'_>,
        write: impl Fn(&OwnedFd) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            match write(&self.socket) {
                Ok(written) => return Poll::Ready(Ok(written)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.wait_write(cx);
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl Transport for LoopSocket {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer.len(), |socket| Ok(recv(socket, &mut *buffer, RecvFlags::DONTWAIT)?.1))
    }

    fn try_read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let most = buffers.iter().map(|buffer| buffer.len()).sum();
        self.receive(most, |socket| readv(socket, buffers))
    }
}

impl AsyncRead for LoopSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, |socket| socket.try_read(buffer))
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll(cx, |socket| socket.try_read_vectored(buffers))
    }
}

impl AsyncWrite for LoopSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |socket| send(socket, bytes, SendFlags::NOSIGNAL))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |socket| sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(shutdown(self.socket.as_fd(), Shutdown::Write).map_err(io::Error::from))
    }
}

impl Drop for LoopSocket {
    fn drop(&mut self) {
        let gone = lock(&self.shared.sources).try_remove(self.key);
        drop(gone);
    }
}
