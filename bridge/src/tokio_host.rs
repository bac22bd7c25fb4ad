//! tokio as the host of an actor: the tree's side is a task of its runtime, on its one thread.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_lite::{AsyncRead, AsyncWrite};
use pleach::host::{HOSTS, Host, HostEntry, Reactor, Root};
use pleach::transport::Transport;
use pleach::{Error, Result};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::AbortHandle;

use crate::{Abort, ForeignLoop, ForeignTask};

const NAME: &str = "pleach-bridge/tokio-current-thread";

thread_local! {
    /// Set while this thread runs an actor on tokio.
    static INFECTED: Cell<bool> = const { Cell::new(false) };
}

/// tokio, as the host of an actor and as the loop of a link.
#[derive(Clone, Copy, Debug)]
pub struct Tokio {
    _private: (),
}

impl Tokio {
    /// The host: a tokio runtime of one thread, with the actor's own tasks polled inside it. Such an actor is *infected*:
    /// its endpoints can open links to tokio tasks with [`Tokio::here`]. tokio's timers and sockets work in it.
    ///
    /// Under [`pleach::actor::run`] it also hosts a root. An actor that is not infected refuses links with [`NotInfected`].
    ///
    /// ```no_run
    /// use pleach::Result;
    /// use pleach_bridge::Tokio;
    ///
    /// fn main() -> Result<()> {
    ///     pleach::actor::enter(|| {});
    ///     pleach::actor::run(Tokio::current_thread(), || async {
    ///         Tokio::here()?;
    ///         Ok(())
    ///     })
    /// }
    /// ```
    pub fn current_thread() -> Self {
        Self { _private: () }
    }

    /// The tokio runtime that hosts the running task's actor.
    ///
    /// # Errors
    /// [`NotInfected`] anywhere else, with the line to add. It never blocks.
    pub fn here() -> Result<Here> {
        if INFECTED.get() { Ok(Here { _private: () }) } else { Err(NotInfected.into()) }
    }
}

/// There is no tokio to link to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInfected;

impl fmt::Display for NotInfected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this actor is not infected, there is no tokio to link to: \
             start it with `.host(Tokio::current_thread())`, the root with `pleach::actor::run(Tokio::current_thread(), ..)`"
        )
    }
}

impl std::error::Error for NotInfected {}

#[linkme::distributed_slice(HOSTS)]
static CURRENT_THREAD: HostEntry = HostEntry { name: NAME, make: |_| Some(Box::new(Tokio::current_thread())) };

/// Says that this thread runs an actor on tokio, until it is dropped.
struct Infected;

impl Infected {
    fn new() -> Self {
        INFECTED.set(true);
        Self
    }
}

impl Drop for Infected {
    fn drop(&mut self) {
        INFECTED.set(false);
    }
}

impl Host for Tokio {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&self, root: Root) -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        let _infected = Infected::new();
        // As a task, not as the root of `block_on`: a self-woken root costs an `epoll_wait` per turn.
        let ended = runtime.block_on(async move { tokio::task::spawn_local(root(Arc::new(TokioReactor))).await });
        // Drops what legacy code has left behind, and does not wait for threads it blocks: the process ends.
        runtime.shutdown_background();
        ended.map_err(|error| match error.try_into_panic() {
            Ok(payload) => std::panic::resume_unwind(payload),
            Err(error) => io::Error::other(error),
        })
    }
}

/// The tokio runtime of the actor that asked for it; see [`Tokio::here`].
#[derive(Clone, Copy, Debug)]
pub struct Here {
    _private: (),
}

impl ForeignLoop for Here {
    fn start(&self, task: ForeignTask) -> Result<Box<dyn Abort>> {
        if !INFECTED.get() {
            // It was carried to another thread.
            return Err(Error::from(NotInfected));
        }
        Ok(Box::new(Task(tokio::task::spawn_local(task()).abort_handle())))
    }

    fn noun(&self) -> &'static str {
        "tokio task"
    }
}

struct Task(AbortHandle);

impl Abort for Task {
    fn abort(&self) {
        self.0.abort();
    }
}

/// The actor's own sockets, on tokio's epoll.
struct TokioReactor;

impl Reactor for TokioReactor {
    fn serve(&self, socket: UnixStream) -> io::Result<Box<dyn Transport>> {
        socket.set_nonblocking(true)?;
        Ok(Box::new(Socket(tokio::net::UnixStream::from_std(socket)?)))
    }
}

struct Socket(tokio::net::UnixStream);

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        Pin::new(&mut self.0).poll_read(cx, &mut buffer).map_ok(|()| buffer.filled().len())
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
