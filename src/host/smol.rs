//! The default host: the actor's executor on one thread, parked in a `poll(2)` of its own, and as many workers beside it as
//! are wanted.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use async_executor::Executor;
use event_listener::{Event, EventListener};
use futures_lite::future::block_on;

use super::poll::PollLoop;
use super::{HOSTS, Host, HostEntry, Root};
use crate::task::{Parallel, enter_parallel};

/// The smol host.
///
/// ```
/// use pleach::host::{Host, Smol};
///
/// assert_eq!(Smol::one_thread().name(), "pleach/smol");
/// assert_eq!(Smol::threads(4).block_on(async { 1 + 1 }).unwrap(), 2);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Smol {
    threads: usize,
}

const NAME: &str = "pleach/smol";

impl Smol {
    /// Everything on the actor's one thread.
    pub fn one_thread() -> Self {
        Self { threads: 1 }
    }

    /// The actor on its thread, and its [parallel children](crate::task::Nursery::spawn_parallel) on `threads - 1` others.
    ///
    /// # Panics
    /// If `threads` is 0.
    pub fn threads(threads: usize) -> Self {
        assert!(threads > 0, "a host needs a thread");
        Self { threads }
    }

    fn from_config(config: &[u8]) -> Option<Self> {
        let threads = u32::from_le_bytes(config.try_into().ok()?);
        (threads > 0).then_some(Self { threads: threads as usize })
    }
}

impl Default for Smol {
    fn default() -> Self {
        Self::one_thread()
    }
}

impl Host for Smol {
    fn name(&self) -> &'static str {
        NAME
    }

    fn config(&self) -> Vec<u8> {
        u32::try_from(self.threads).unwrap_or(u32::MAX).to_le_bytes().into()
    }

    fn run(&self, root: Root) -> io::Result<()> {
        let poll_loop = PollLoop::new()?;
        if self.threads == 1 {
            poll_loop.run(root);
            return Ok(());
        }
        let workers = Workers::start(self.threads - 1)?;
        let pool: Arc<dyn Parallel> = workers.pool.clone();
        let _entered = enter_parallel(&pool);
        poll_loop.run(root);
        Ok(())
    }
}

/// What the workers run.
struct Pool {
    executor: Executor<'static>,
    stop: Event,
}

impl Parallel for Pool {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.executor.spawn(task).detach();
    }
}

/// Threads that end with this.
struct Workers {
    pool: Arc<Pool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    fn start(count: usize) -> io::Result<Self> {
        let pool = Arc::new(Pool { executor: Executor::new(), stop: Event::new() });
        let mut workers = Self { pool, threads: Vec::with_capacity(count) };
        for number in 1..=count {
            let pool = workers.pool.clone();
            let stopped = pool.stop.listen();
            let builder = Builder::new().name(format!("pleach-worker-{number}"));
            // The others end if this one cannot be had.
            workers.threads.push(builder.spawn(move || work(&pool, stopped))?);
        }
        Ok(workers)
    }
}

/// On a parker of its own: a thread in `async_io::block_on` would slow down the sockets of all others.
fn work(pool: &Pool, stopped: EventListener) {
    block_on(pool.executor.run(stopped));
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.pool.stop.notify(usize::MAX);
        for thread in self.threads.drain(..) {
            // Panics of tasks are caught before they come here.
            let _ = thread.join();
        }
    }
}

mod entry {
    #![allow(unsafe_code)] // an entry of a linker section, see `registry`
    use super::*;

    #[linkme::distributed_slice(HOSTS)]
    static SMOL: HostEntry =
        HostEntry { name: NAME, make: |config| Some(Box::new(Smol::from_config(config)?) as Box<dyn Host>) };
}
