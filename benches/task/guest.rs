//! A guest in a loop of a few lines: what a tick costs, beside what else the loop runs.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;

use pleach::Result;
use pleach::task::channel::{self, Receiver};
use pleach::task::guest::Tick;
use pleach::task::{local_nursery, start_guest_run};

use crate::gauge::{Effort, Figure};
use crate::{print, rate};

/// Messages between two looks at the clock.
const MESSAGES: u64 = 256;

type Job = Box<dyn FnOnce() + Send>;

/// The toy loop: a queue, and whoever takes from it.
struct Loop {
    queue: mpsc::Sender<Job>,
    jobs: mpsc::Receiver<Job>,
}

impl Loop {
    fn new() -> Self {
        let (queue, jobs) = mpsc::channel();
        Self { queue, jobs }
    }

    fn post(&self, job: Job) {
        self.queue.send(job).expect("the loop is here");
    }

    /// Runs what comes next.
    fn turn(&self) {
        self.jobs.recv().expect("the loop is here")();
    }
}

fn empty(effort: Effort) -> f64 {
    let host = Loop::new();
    rate(effort, MESSAGES, || {
        for _ in 0..MESSAGES {
            host.post(Box::new(|| {}));
            host.turn();
        }
    })
}

async fn take(mut from_host: Receiver<u64>, taken: impl Fn(u64)) -> Result<()> {
    while let Some(value) = from_host.recv().await? {
        taken(value);
    }
    Ok(())
}

/// A message from a callback of the host to a guest: the callback is one job, the tick that it asks for another.
fn messages<F: Future<Output = Result<()>> + 'static>(
    effort: Effort,
    root: impl FnOnce(Receiver<u64>, Rc<Cell<u64>>) -> F,
) -> f64 {
    let host = Loop::new();
    let (to_guest, from_host) = channel::bounded(1);
    let (taken, queue) = (Rc::new(Cell::new(0)), host.queue.clone());
    let run_soon = move |tick: Tick| {
        queue.send(Box::new(move || tick.run())).expect("the loop is here");
    };
    let run = start_guest_run(run_soon, root(from_host, taken.clone()), |result| {
        result.expect("it does not panic").expect("nobody fails");
    });
    host.turn(); // it waits now
    let mut sent = 0;
    let rate = rate(effort, MESSAGES, || {
        for _ in 0..MESSAGES {
            sent += 1;
            let (to_guest, value) = (to_guest.clone(), sent);
            host.post(Box::new(move || to_guest.try_send(value).expect("there is room")));
            host.turn();
            host.turn();
            assert_eq!(taken.get(), sent, "one tick per message");
        }
    });
    drop(to_guest);
    while !run.is_over() {
        host.turn();
    }
    rate
}

fn to_root(from_host: Receiver<u64>, taken: Rc<Cell<u64>>) -> impl Future<Output = Result<()>> {
    take(from_host, move |value| taken.set(value))
}

fn to_task(from_host: Receiver<u64>, taken: Rc<Cell<u64>>) -> impl Future<Output = Result<()>> {
    local_nursery(async move |n| n.spawn(take(from_host, move |value| taken.set(value))).map(drop))
}

pub(crate) fn guests(effort: Effort) {
    let names = ["an empty closure", "a callback and a tick, to the root", "a callback and a tick, to a task"];
    let mut figures: Vec<_> = names.into_iter().map(Figure::new).collect();
    for _ in 0..effort.samples {
        figures[0].rates.push(empty(effort));
        figures[1].rates.push(messages(effort, to_root));
        figures[2].rates.push(messages(effort, to_task));
    }
    print("messages from a callback of a toy loop to its guest", &figures);
    let callback = figures[0].each();
    println!("  a tick costs {:.0} ns, to a task {:.0} ns", figures[1].each() - callback, figures[2].each() - callback);
}
