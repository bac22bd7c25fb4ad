//! tokio as the host of an actor: the tree's side is a task of its runtime, on its one thread.

use std::future::Future;
use std::io;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use pleach::Result;
use pleach::host::{HOSTS, Host, HostEntry, Reactor, Root};
use pleach::transport::Transport;
use tokio::runtime::{Builder, LocalOptions};

use super::here::Infected;
use super::socket::Socket;
use super::{Here, Thread};

const NAME: &str = "pleach-bridge/tokio-current-thread";

/// tokio, as the host of an actor and as the loop of a link.
#[derive(Clone, Copy, Debug)]
pub struct Tokio {
    _private: (),
}

impl Tokio {
    /// The host: a tokio runtime of one thread, with the actor's own tasks polled inside it. Such an actor is *infected*:
    /// its endpoints can open links to tokio tasks with [`Tokio::here`]. tokio's timers and sockets work in it.
    ///
    /// Under [`pleach::actor::run`] it also hosts a root. An actor that is not infected refuses links with [`NotInfected`](super::NotInfected).
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
    /// [`NotInfected`](super::NotInfected) anywhere else, with the line to add. It never blocks.
    pub fn here() -> Result<Here> {
        Here::new()
    }

    /// A tokio runtime of its own, on a thread of its own, for one [`foreign`](crate::foreign) scope, one link or one
    /// [`run`](crate::run). It needs no infected actor, nor any actor.
    pub fn thread() -> Thread {
        Thread::new(0)
    }

    /// As [`Tokio::thread`], with a multi-threaded runtime of this many workers: what foreign code spawns with
    /// `tokio::spawn` runs on them, what is linked or run by name runs on the scope's own thread beside them.
    ///
    /// # Panics
    /// If `workers` is 0.
    pub fn threads(workers: usize) -> Thread {
        assert!(workers > 0, "a multi-threaded runtime needs a worker");
        Thread::new(workers)
    }
}

#[linkme::distributed_slice(HOSTS)]
static CURRENT_THREAD: HostEntry = HostEntry { name: NAME, make: |_| Some(Box::new(Tokio::current_thread())) };

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

/// The actor's own sockets, on tokio's epoll.
struct TokioReactor;

impl Reactor for TokioReactor {
    fn serve(&self, socket: UnixStream) -> io::Result<Box<dyn Transport>> {
        socket.set_nonblocking(true)?;
        Ok(Box::new(Socket::new(socket)?))
    }

    /// With the tasks that have yielded, which tokio polls only when no other is ready: a root that is always ready would
    /// keep them waiting for 61 of its polls.
    fn wake_in_turn(&self, waker: Waker) {
        let yielding = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
        debug_assert!(yielding.is_pending(), "it keeps the waker");
    }
}
