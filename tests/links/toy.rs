//! A foreign loop that is not tokio: a thread that runs what comes out of a queue. It offers "run this soon, from any thread" and
//! nothing else, and links need no more (law L27).

use std::cell::RefCell;
use std::future::Future;
use std::sync::mpsc::{self, Sender};
use std::thread;

use pleach::prelude::*;
use pleach::task::start_guest_run;
use pleach_bridge::{Job, RunSoon};

thread_local! {
    /// The queue of the loop that runs on this thread.
    static HERE: RefCell<Option<Sender<Job>>> = const { RefCell::new(None) };
}

fn run_soon(queue: Sender<Job>) -> RunSoon {
    // If the loop has ended the job is dropped with the error.
    RunSoon::new("toy task", move |job| drop(queue.send(job)))
}

/// A loop of its own, which ends when nothing of it is needed any more.
pub(crate) fn on_a_thread() -> RunSoon {
    let (queue, jobs) = mpsc::channel();
    thread::spawn(move || jobs.into_iter().for_each(|job: Job| job()));
    run_soon(queue)
}

/// The loop of this thread.
pub(crate) fn here() -> RunSoon {
    run_soon(HERE.with_borrow(|queue| queue.clone().expect("this thread runs a loop")))
}

/// Runs a loop on this thread, with `tree` as its guest, until that has ended.
pub(crate) fn host(tree: impl Future<Output = Result<()>> + 'static) -> Result<()> {
    let (queue, jobs) = mpsc::channel::<Job>();
    HERE.set(Some(queue.clone()));
    let (ended, outcome) = mpsc::channel();
    let soon = move |tick: pleach::task::guest::Tick| drop(queue.send(Box::new(move || tick.run())));
    let guest = start_guest_run(soon, tree, move |result| {
        HERE.set(None);
        let _ = ended.send(result);
    });
    while !guest.is_over() {
        jobs.recv().expect("the guest can send")();
    }
    outcome.recv().expect("it has ended").and_then(|ended| ended)
}
