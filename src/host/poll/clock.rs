//! Timers of the loop: the next one is the timeout of its `poll(2)`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::{Shared, lock};
use crate::task::clock::{Clock, Timer};

#[derive(Default)]
pub(super) struct Timers {
    next: u64,
    pub(super) queue: BTreeMap<(Instant, u64), Waker>,
}

/// Timers of the loop: the next one is the timeout of its `poll(2)`.
pub(super) struct LoopClock {
    pub(super) shared: Arc<Shared>,
}

impl Clock for LoopClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self, at: Instant) -> Box<dyn Timer> {
        Box::new(LoopTimer { shared: self.shared.clone(), at, key: None })
    }
}

struct LoopTimer {
    shared: Arc<Shared>,
    at: Instant,
    key: Option<(Instant, u64)>,
}

impl LoopTimer {
    fn unregister(&mut self) {
        if let Some(key) = self.key.take() {
            let waker = lock(&self.shared.timers).queue.remove(&key);
            drop(waker);
        }
    }

    fn register(&mut self, waker: &Waker) {
        let mut timers = lock(&self.shared.timers);
        let key = *self.key.get_or_insert_with(|| {
            timers.next += 1;
            (self.at, timers.next)
        });
        let old = timers.queue.insert(key, waker.clone());
        drop(timers);
        drop(old);
        self.shared.interrupt();
    }
}

impl Timer for LoopTimer {
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            self.unregister();
            return Poll::Ready(());
        }
        self.register(cx.waker());
        Poll::Pending
    }

    fn reset(&mut self, at: Instant) {
        if self.at != at {
            self.unregister();
            self.at = at;
        }
    }
}

impl Drop for LoopTimer {
    fn drop(&mut self) {
        self.unregister();
    }
}
