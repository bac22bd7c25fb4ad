//! tokio as the host of an actor: the tree's side is a task of its runtime, on its one thread.

use std::future::Future;
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};

use pleach::host::{HOSTS, Host, HostEntry, Pulse, Reactor, Root};
use pleach::task::{Parallel, enter_parallel};
use pleach::transport::Transport;
use pleach::transport::socket::{Accept, Listener};
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::task::{JoinError, LocalSet, spawn_local};

use super::here::Infected;
use super::socket::{Doors, Socket};
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
    pub fn here() -> pleach::Result<Here> {
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
    /// It is a host as well: `.host(Tokio::threads(4))`, with the tree's side on the actor's thread and its
    /// [parallel children](pleach::task::Nursery::spawn_parallel) on the workers.
    ///
    /// # Panics
    /// If `workers` is 0.
    pub fn threads(workers: usize) -> Thread {
        assert!(workers > 0, "a multi-threaded runtime needs a worker");
        Thread::new(workers)
    }
}

/// The name of the host whose actors are infected with a multi-threaded runtime.
const THREADS: &str = "pleach-bridge/tokio-threads";

#[linkme::distributed_slice(HOSTS)]
static MULTI_THREAD: HostEntry = HostEntry {
    name: THREADS,
    make: |config| {
        let workers = u32::from_le_bytes(config.try_into().ok()?);
        (workers > 0).then(|| Box::new(Tokio::threads(workers as usize)) as Box<dyn Host>)
    },
};

/// As a host, with workers: a multi-threaded runtime. The tree's side is polled on the actor's own thread, as are linked tasks;
/// parallel children and what foreign code spawns with `tokio::spawn` run on the workers. Without workers it is what
/// [`Tokio::current_thread`] is.
impl Host for Thread {
    fn name(&self) -> &'static str {
        if self.workers() == 0 { NAME } else { THREADS }
    }

    fn config(&self) -> Vec<u8> {
        u32::try_from(self.workers()).unwrap_or(u32::MAX).to_le_bytes().into()
    }

    fn run(&self, root: Root) -> io::Result<()> {
        if self.workers() == 0 {
            return Tokio::current_thread().run(root);
        }
        let runtime = Builder::new_multi_thread().worker_threads(self.workers()).enable_all().build()?;
        let workers: Arc<dyn Parallel> = Arc::new(Workers(runtime.handle().clone()));
        // It does not say when this thread rests: what is watched is the tree and the linked tasks.
        let (_infected, _pulse) = (Infected::new(), Pulse::new().here());
        let _entered = enter_parallel(&workers);
        let local = LocalSet::new();
        let ended = local.block_on(&runtime, async move { spawn_local(root(Arc::new(TokioReactor))).await });
        {
            let _context = runtime.enter();
            drop(local);
        }
        report_unowned(runtime.handle());
        runtime.shutdown_background();
        finish(ended)
    }
}

/// Says how many tasks the tree has not owned, and end now: none of them has had a link.
fn report_unowned(runtime: &Handle) {
    let unowned = runtime.metrics().num_alive_tasks();
    if unowned > 0 {
        tracing::info!(tasks = unowned, "the actor has ended, and so do tokio tasks that nobody owns");
    }
}

/// The workers of a multi-threaded runtime.
struct Workers(Handle);

impl Parallel for Workers {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        // Whoever gave the task knows when it has ended.
        drop(self.0.spawn(task));
    }
}

/// A panic of the root is one of whoever runs it.
fn finish(ended: Result<(), JoinError>) -> io::Result<()> {
    ended.map_err(|error| match error.try_into_panic() {
        Ok(payload) => std::panic::resume_unwind(payload),
        Err(error) => io::Error::other(error),
    })
}

#[linkme::distributed_slice(HOSTS)]
static CURRENT_THREAD: HostEntry = HostEntry { name: NAME, make: |_| Some(Box::new(Tokio::current_thread())) };

impl Host for Tokio {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&self, root: Root) -> io::Result<()> {
        let pulse = Pulse::new();
        let (rests, goes_on) = (pulse.clone(), pulse.clone());
        let mut builder = Builder::new_current_thread();
        builder.enable_all().on_thread_park(move || rests.rests()).on_thread_unpark(move || goes_on.goes_on());
        let runtime = builder.build_local(LocalOptions::default())?;
        let (_infected, _pulse) = (Infected::new(), pulse.here());
        // tokio says when it rests and goes on, but not that it begins.
        pulse.goes_on();
        // As a task, not as the root of `block_on`: a self-woken root costs an `epoll_wait` per turn.
        let ended = runtime.block_on(async move { spawn_local(root(Arc::new(TokioReactor))).await });
        report_unowned(runtime.handle());
        // Drops what legacy code has left behind, and does not wait for threads it blocks: the process ends.
        runtime.shutdown_background();
        finish(ended)
    }
}

/// The actor's own sockets, on tokio's epoll.
struct TokioReactor;

impl Reactor for TokioReactor {
    fn serve(&self, socket: UnixStream) -> io::Result<Box<dyn Transport>> {
        socket.set_nonblocking(true)?;
        Ok(Box::new(Socket::new(socket)?))
    }

    fn serve_tcp(&self, socket: TcpStream) -> io::Result<Box<dyn Transport>> {
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        Ok(Box::new(Socket::new(socket)?))
    }

    fn listen(&self, socket: Listener) -> io::Result<Box<dyn Accept>> {
        Ok(Box::new(Doors::new(socket)?))
    }

    /// With the tasks that have yielded, which tokio polls only when no other is ready: a root that is always ready would
    /// keep them waiting for 61 of its polls.
    fn wake_in_turn(&self, waker: Waker) {
        let yielding = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&waker));
        debug_assert!(yielding.is_pending(), "it keeps the waker");
    }
}
