//! A place in a user's code where a thread is held up until a test lets it go on, without a clock.

use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};

use futures_lite::future::yield_now;

/// Holds up every thread but the one that has made it.
pub(crate) struct Gate {
    home: ThreadId,
    state: Mutex<State>,
    opened: Condvar,
}

#[derive(Default)]
struct State {
    is_reached: bool,
    is_open: bool,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { home: thread::current().id(), state: Mutex::default(), opened: Condvar::new() })
    }

    /// Whether this thread is one that was held up.
    pub(crate) fn pass(&self) -> bool {
        if thread::current().id() == self.home {
            return false;
        }
        let mut state = self.state.lock().unwrap();
        state.is_reached = true;
        drop(self.opened.wait_while(state, |state| !state.is_open).unwrap());
        true
    }

    /// Waits until somebody stands there.
    pub(crate) async fn reached(&self) {
        while !self.state.lock().unwrap().is_reached {
            yield_now().await;
        }
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().is_open = true;
        self.opened.notify_all();
    }
}
