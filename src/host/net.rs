//! Sockets on the reactor of `async-io`, for what a host does not serve itself.

use std::future::Future;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_io::Async;
use async_net::unix;
use futures_lite::{AsyncRead, AsyncWrite};

use crate::transport::Transport;
use crate::transport::socket::{Accept, Listener, Stream};

/// A listener of the file system or of TCP.
enum Doors {
    Unix(unix::UnixListener),
    Tcp(async_net::TcpListener),
}

pub(super) fn listen(socket: Listener) -> io::Result<Box<dyn Accept>> {
    Ok(Box::new(match socket {
        Listener::Unix(socket) => Doors::Unix(socket.try_into()?),
        Listener::Tcp(socket) => Doors::Tcp(socket.try_into()?),
    }))
}

impl Accept for Doors {
    fn accept(&self) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + '_>> {
        Box::pin(async move {
            Ok(match self {
                Self::Unix(listener) => Stream::Unix(taken_back(listener.accept().await?.0.into())?),
                Self::Tcp(listener) => Stream::Tcp(taken_back(listener.accept().await?.0.into())?),
            })
        })
    }
}

/// The socket itself: it will be served where the actor's sockets are.
fn taken_back<S: async_io::IoSafe>(socket: Arc<Async<S>>) -> io::Result<S> {
    let only = Arc::into_inner(socket).ok_or_else(|| io::Error::other("the new socket has another owner"))?;
    only.into_inner()
}

pub(super) fn serve(socket: TcpStream) -> io::Result<Box<dyn Transport>> {
    Ok(Box::new(Tcp(socket.try_into()?)))
}

struct Tcp(async_net::TcpStream);

/// What `async-io` knows of it is as old as the last turn of its thread, so there is no use in looking.
impl Transport for Tcp {}

impl AsyncRead for Tcp {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read_vectored(cx, buffers)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, pieces)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}
