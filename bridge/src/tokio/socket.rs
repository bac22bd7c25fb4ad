//! The actor's own sockets, on tokio's epoll.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};
use pleach::transport::Transport;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

/// A socket that tokio's epoll knows only while somebody sleeps for it. While somebody looks for bytes by himself, each of
/// them would be an event as well, which costs its sender a walk to the epoll and the next turn of the loop another one.
pub(super) struct Socket {
    state: State,
    /// Somebody sleeps until there is room.
    writing: bool,
}

enum State {
    Loose(UnixStream),
    Watched(tokio::net::UnixStream),
    /// It could not be given to the epoll, or be taken from it.
    Lost,
}

impl Socket {
    /// Within the runtime's context.
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(socket).map(|socket| Self { state: State::Watched(socket), writing: false })
    }

    fn watched(&mut self) -> io::Result<Pin<&mut tokio::net::UnixStream>> {
        self.state = match std::mem::replace(&mut self.state, State::Lost) {
            State::Loose(socket) => State::Watched(tokio::net::UnixStream::from_std(socket)?),
            state => state,
        };
        match &mut self.state {
            State::Watched(socket) => Ok(Pin::new(socket)),
            _ => Err(lost()),
        }
    }

    fn loose(&mut self) -> io::Result<&UnixStream> {
        self.state = match std::mem::replace(&mut self.state, State::Lost) {
            State::Watched(socket) => State::Loose(socket.into_std()?),
            state => state,
        };
        match &self.state {
            State::Loose(socket) => Ok(socket),
            _ => Err(lost()),
        }
    }
}

fn lost() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket was lost when tokio's epoll refused it")
}

impl Transport for Socket {
    /// Past tokio, which knows of new bytes only after a turn of its epoll.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = match &self.state {
            State::Watched(socket) if self.writing => recv(socket, buffer, RecvFlags::DONTWAIT),
            _ => recv(self.loose()?, buffer, RecvFlags::DONTWAIT),
        };
        Ok(taken?.1)
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.watched()?.poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let State::Loose(socket) = &self.state {
            match send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                sent => return Poll::Ready(sent.map_err(io::Error::from)),
            }
        }
        let written = self.watched()?.poll_write(cx, bytes);
        self.writing = written.is_pending();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut Pin::into_inner(self).state {
            State::Loose(socket) => Poll::Ready(socket.shutdown(Shutdown::Write)),
            State::Watched(socket) => Pin::new(socket).poll_shutdown(cx),
            State::Lost => Poll::Ready(Err(lost())),
        }
    }
}
