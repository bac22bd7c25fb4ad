//! Two loops of others: one of a few lines, and calloop.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::Duration;

use calloop::EventLoop;
use calloop::ping::{Ping, make_ping};

use crate::stage::{Host, Job, Post};

/// A queue, and whoever takes from it.
pub(crate) struct Toy {
    queue: mpsc::Sender<Job>,
    jobs: mpsc::Receiver<Job>,
}

impl Host for Toy {
    fn new() -> Self {
        let (queue, jobs) = mpsc::channel();
        Self { queue, jobs }
    }

    fn post(&self) -> Post {
        let queue = self.queue.clone();
        Arc::new(move |job| drop(queue.send(job)))
    }

    fn turn(&self, most: Duration) {
        if let Ok(job) = self.jobs.recv_timeout(most) {
            job();
        }
    }
}

/// A loop of calloop that takes from a queue when it is pinged. A turn inside a turn has a loop of its own for the same queue,
/// because calloop's cannot be entered twice: that of a dialog would be made in the same way.
pub(crate) struct Calloop {
    queue: Arc<Queue>,
    /// Loops that nobody runs.
    resting: RefCell<Vec<EventLoop<'static, ()>>>,
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<VecDeque<Job>>,
    pings: Mutex<Vec<Ping>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Queue {
    fn ping(&self) {
        lock(&self.pings).iter().for_each(Ping::ping);
    }

    fn add(&self, job: Job) {
        lock(&self.jobs).push_back(job);
        self.ping();
    }

    /// Runs what is there, and not what comes meanwhile: the loop has other sources, in a program.
    fn run(&self) {
        let count = lock(&self.jobs).len();
        for _ in 0..count {
            let Some(job) = lock(&self.jobs).pop_front() else { return };
            job();
        }
        if !lock(&self.jobs).is_empty() {
            self.ping();
        }
    }
}

impl Calloop {
    fn make_loop(&self) -> EventLoop<'static, ()> {
        let event_loop = EventLoop::try_new().expect("a loop can be made");
        let (ping, pings) = make_ping().expect("a ping can be made");
        let queue = self.queue.clone();
        event_loop.handle().insert_source(pings, move |(), (), ()| queue.run()).expect("a ping is a source");
        ping.ping(); // for what was in the queue before
        lock(&self.queue.pings).push(ping);
        event_loop
    }
}

impl Host for Calloop {
    fn new() -> Self {
        Self { queue: Arc::default(), resting: RefCell::default() }
    }

    fn post(&self) -> Post {
        let queue = Arc::downgrade(&self.queue);
        Arc::new(move |job| {
            if let Some(queue) = queue.upgrade() {
                queue.add(job);
            }
        })
    }

    fn turn(&self, most: Duration) {
        let resting = self.resting.borrow_mut().pop();
        let mut event_loop = resting.unwrap_or_else(|| self.make_loop());
        event_loop.dispatch(most, &mut ()).expect("the loop goes on");
        self.resting.borrow_mut().push(event_loop);
    }
}
