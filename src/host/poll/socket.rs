//! Sockets that the loop serves.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_lite::{AsyncRead, AsyncWrite};
use rustix::event::PollFlags;
use rustix::net::{Shutdown, shutdown};

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
}

impl Transport for LoopSocket {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match rustix::net::recv(self.socket.as_fd(), &mut *buffer, rustix::net::RecvFlags::DONTWAIT) {
                Ok((_, taken)) => {
                    self.drained = taken < buffer.len() && taken > 0;
                    return Ok(taken);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    self.drained = error == rustix::io::Errno::AGAIN;
                    return Err(error.into());
                }
            }
        }
    }
}

impl AsyncRead for LoopSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            if self.drained && self.wait_read(cx) {
                return Poll::Pending;
            }
            match self.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }
}

impl AsyncWrite for LoopSocket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match rustix::net::send(self.socket.as_fd(), bytes, rustix::net::SendFlags::NOSIGNAL) {
                Ok(written) => return Poll::Ready(Ok(written)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    self.wait_write(cx);
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
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
