//! The actor's own sockets, on tokio's epoll.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};
use pleach::transport::Transport;
use pleach::transport::socket::{Accept, Listener, Stream};
use rustix::io::{Errno, readv};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, recv, send, sendmsg, shutdown};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

/// A kind of socket: tokio has a type of its own for each.
pub(super) trait Loose: AsFd + Sized + Send + Unpin + 'static {
    type Watched: tokio::io::AsyncRead + tokio::io::AsyncWrite + AsFd + Send + Unpin + 'static;

    /// Gives it to the epoll.
    fn watch(self) -> io::Result<Self::Watched>;

    /// Takes it from the epoll.
    fn unwatch(watched: Self::Watched) -> io::Result<Self>;
}

impl Loose for UnixStream {
    type Watched = tokio::net::UnixStream;

    fn watch(self) -> io::Result<Self::Watched> {
        Self::Watched::from_std(self)
    }

    fn unwatch(watched: Self::Watched) -> io::Result<Self> {
        watched.into_std()
    }
}

impl Loose for TcpStream {
    type Watched = tokio::net::TcpStream;

    fn watch(self) -> io::Result<Self::Watched> {
        Self::Watched::from_std(self)
    }

    fn unwatch(watched: Self::Watched) -> io::Result<Self> {
        watched.into_std()
    }
}

/// A socket that tokio's epoll knows only while somebody sleeps for it. While somebody looks for bytes by himself, each of
/// them would be an event as well, which costs its sender a walk to the epoll and the next turn of the loop another one.
pub(super) struct Socket<S: Loose> {
    state: State<S>,
    /// Somebody sleeps until there is room.
    writing: bool,
}

enum State<S: Loose> {
    Loose(S),
    Watched(S::Watched),
    /// It could not be given to the epoll, or be taken from it.
    Lost,
}

impl<S: Loose> Socket<S> {
    /// Within the runtime's context. The socket must not block.
    pub(super) fn new(socket: S) -> io::Result<Self> {
        Ok(Self { state: State::Watched(socket.watch()?), writing: false })
    }

    fn watched(&mut self) -> io::Result<Pin<&mut S::Watched>> {
        self.state = match std::mem::replace(&mut self.state, State::Lost) {
            State::Loose(socket) => State::Watched(socket.watch()?),
            state => state,
        };
        match &mut self.state {
            State::Watched(socket) => Ok(Pin::new(socket)),
            _ => Err(lost()),
        }
    }

    fn loose(&mut self) -> io::Result<&S> {
        self.state = match std::mem::replace(&mut self.state, State::Lost) {
            State::Watched(socket) => State::Loose(S::unwatch(socket)?),
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

impl<S: Loose> Transport for Socket<S> {
    /// Past tokio, which knows of new bytes only after a turn of its epoll.
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let taken = match &self.state {
            State::Watched(socket) if self.writing => recv(socket, buffer, RecvFlags::DONTWAIT),
            _ => recv(self.loose()?, buffer, RecvFlags::DONTWAIT),
        };
        Ok(taken?.1)
    }

    fn try_read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let taken = match &self.state {
            State::Watched(socket) if self.writing => readv(socket, buffers),
            _ => readv(self.loose()?, buffers),
        };
        Ok(taken?)
    }
}

impl<S: Loose> AsyncRead for Socket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.watched()?.poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl<S: Loose> AsyncWrite for Socket<S> {
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

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let State::Loose(socket) = &self.state {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            match sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), flags) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                sent => return Poll::Ready(sent.map_err(io::Error::from)),
            }
        }
        let written = self.watched()?.poll_write_vectored(cx, pieces);
        self.writing = written.is_pending();
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut Pin::into_inner(self).state {
            State::Loose(socket) => Poll::Ready(shutdown(socket, Shutdown::Write).map_err(io::Error::from)),
            State::Watched(socket) => Pin::new(socket).poll_shutdown(cx),
            State::Lost => Poll::Ready(Err(lost())),
        }
    }
}

/// Takes connections by tokio's epoll.
pub(super) enum Doors {
    Unix(tokio::net::UnixListener),
    Tcp(tokio::net::TcpListener),
}

impl Doors {
    /// Within the runtime's context.
    pub(super) fn new(socket: Listener) -> io::Result<Self> {
        match socket {
            Listener::Unix(socket) => tokio::net::UnixListener::from_std(socket).map(Self::Unix),
            Listener::Tcp(socket) => tokio::net::TcpListener::from_std(socket).map(Self::Tcp),
            other => Err(io::Error::new(io::ErrorKind::Unsupported, format!("{other:?} is not of a known kind"))),
        }
    }
}

impl Accept for Doors {
    fn accept(&self) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + '_>> {
        Box::pin(async move {
            match self {
                Self::Unix(listener) => listener.accept().await?.0.into_std().map(Stream::Unix),
                Self::Tcp(listener) => listener.accept().await?.0.into_std().map(Stream::Tcp),
            }
        })
    }
}
