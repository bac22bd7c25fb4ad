//! The life of a scope's thread: it starts a loop, runs what is sent, shuts the loop down and clears up.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use pleach::{Error, Result};
use rustix::io::Errno;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime, Runtime};
use tokio::task::LocalSet;

use super::jobs::{Jobs, Tasks, dispatch};
use super::leaked::Leaked;
use super::opener::{LastWord, Shared};
use super::proc::Tid;
use super::remains::{Census, Remains};
use super::start::LoopFailed;

/// Starts the thread.
pub(super) fn start(workers: usize, deadline: Duration, shared: &Arc<Shared>) -> Result<(), LoopFailed> {
    let theirs = shared.clone();
    let builder = thread::Builder::new().name(shared.name().to_owned());
    // Not joined, as that could block; the scope waits for its last word, and then for its end by looking at /proc.
    let spawned = builder.spawn(move || live(workers, deadline, &theirs));
    spawned.map(drop).map_err(LoopFailed::at("starting its thread"))
}

fn live(workers: usize, deadline: Duration, shared: &Shared) {
    shared.born(Tid::mine());
    let ended = catch_unwind(AssertUnwindSafe(|| serve(workers, deadline, shared)));
    shared.over(ended.unwrap_or_else(|payload| Err(Error::from_panic(payload))));
}

fn serve(workers: usize, deadline: Duration, shared: &Shared) -> LastWord {
    let mut remains =
        Remains::new(shared.name()).map_err(LoopFailed::at("opening the list of its children in /proc"))?;
    let on = Loop::start(workers, shared.name(), &remains.census()).map_err(LoopFailed::at("building its runtime"))?;
    shared.up();
    let tasks = on.run(shared.jobs());
    remains.clear(deadline);
    let leaked = remains.report(tasks);
    tracing::trace!(?leaked, "a foreign scope has ended");
    Ok(Some(leaked).filter(|leaked| Leaked::is_leak(leaked, shared.strict())))
}

/// A runtime of tokio, which is owned by the thread that runs it and never leaves it.
enum Loop {
    One(LocalRuntime),
    Many(Runtime),
}

impl Loop {
    fn start(workers: usize, name: &str, census: &Arc<Census>) -> io::Result<Self> {
        let (began, ending) = (census.clone(), census.clone());
        let mut builder = if workers == 0 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
        builder.enable_all().thread_name(name);
        builder.on_thread_start(move || began.began()).on_thread_stop(move || ending.ending());
        if workers == 0 {
            return builder.build_local(LocalOptions::default()).map(Self::One);
        }
        builder.worker_threads(workers);
        // It panics if its first worker has no thread; it makes do with fewer than it was asked for.
        let built = catch_unwind(AssertUnwindSafe(|| builder.build()));
        built.unwrap_or_else(|_| Err(Errno::AGAIN.into())).map(Self::Many)
    }

    /// Runs what is sent, until the scope is over; then drops all tasks.
    ///
    /// With workers of its own it is they who drop theirs, and they are waited for as threads are.
    fn run(self, jobs: &Jobs) -> Tasks {
        match self {
            Self::One(runtime) => {
                let tasks = runtime.block_on(dispatch(jobs, true));
                runtime.shutdown_background();
                tasks
            }
            Self::Many(runtime) => {
                let local = LocalSet::new();
                let tasks = local.block_on(&runtime, dispatch(jobs, false));
                let context = runtime.enter();
                drop(local);
                drop(context);
                runtime.shutdown_background();
                tasks
            }
        }
    }
}
