//! Sockets that have been connected, or wait for that, of both kinds.

use std::fmt;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::pin::Pin;
use std::time::Duration;

use super::Address;
use super::tcp::hold_little;

/// A connected socket, not yet served by anybody.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stream {
    /// Of the file system, or one of a pair.
    Unix(UnixStream),
    /// TCP.
    Tcp(TcpStream),
}

/// A socket that takes connections.
#[derive(Debug)]
#[non_exhaustive]
pub enum Listener {
    /// In the file system.
    Unix(UnixListener),
    /// TCP.
    Tcp(TcpListener),
}

/// Takes connections, on whatever waits for sockets on a host.
pub trait Accept: Send + Sync + 'static {
    /// The next connection. Dropping the future loses none.
    ///
    /// # Errors
    /// Those of `accept(2)`; the listener stays what it was.
    fn accept(&self) -> Pin<Box<dyn Future<Output = io::Result<Stream>> + Send + '_>>;
}

impl fmt::Debug for dyn Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accept")
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Unix(socket) => socket.as_fd(),
            Self::Tcp(socket) => socket.as_fd(),
        }
    }
}

impl Stream {
    /// Connects, and may block for it: on this machine that is the time of one system call.
    pub(crate) fn connect(address: &Address, bound: Duration) -> io::Result<Self> {
        match address {
            Address::Uds(path) => UnixStream::connect(path).map(Self::Unix),
            Address::Tcp(at) => {
                let socket = TcpStream::connect_timeout(at, bound)?;
                socket.set_nodelay(true)?;
                hold_little(&socket)?;
                Ok(Self::Tcp(socket))
            }
        }
    }

    /// How long reads and writes may block; `None` for ever.
    pub(crate) fn set_timeout(&self, bound: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Unix(socket) => socket.set_read_timeout(bound).and_then(|()| socket.set_write_timeout(bound)),
            Self::Tcp(socket) => socket.set_read_timeout(bound).and_then(|()| socket.set_write_timeout(bound)),
        }
    }

    /// The kind of it, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Unix(_) => "uds",
            Self::Tcp(_) => "tcp",
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(socket) => (&mut &*socket).read(buffer),
            Stream::Tcp(socket) => (&mut &*socket).read(buffer),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(socket) => (&mut &*socket).write(bytes),
            Stream::Tcp(socket) => (&mut &*socket).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
