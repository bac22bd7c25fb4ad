//! Tests of the task core, named after the laws they check.

mod broadcast;
mod budget;
mod cancel;
mod channel;
mod gather;
mod interval;
mod join;
#[cfg(pleach_loom)]
mod loom;
mod nursery;
mod parallel;
mod shared;
mod snapshot;
mod start;
mod sync;
mod time;
mod watch;

use std::future::{Future, pending};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::time::VirtualClock;
use super::{CancelScope, cancellable, checkpoint};
use crate::Result;

/// A runtime await that nothing ends but a cancel.
async fn never() -> Result<()> {
    cancellable(pending()).await
}

/// Virtual time: bounded, because a tree that waits for nothing panics.
fn virtually<F: Future>(future: F) -> F::Output {
    VirtualClock::block_on(future)
}

/// Real time, for tests with threads.
fn really<F: Future>(future: F) -> F::Output {
    futures_lite::future::block_on(futures_lite::future::or(future, async {
        async_io::Timer::after(Duration::from_secs(30)).await;
        panic!("the test took too long")
    }))
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Lets everybody else run until they wait.
async fn settle() -> Result<()> {
    for _ in 0..10 {
        checkpoint().await?;
    }
    Ok(())
}

/// Whether `result` is the cancel of `scope`.
fn is_cancel_of<T>(result: &Result<T>, scope: &CancelScope) -> bool {
    result.as_ref().err().and_then(|error| error.mark()).is_some_and(|mark| mark.scope == scope.id())
}

/// For code that would block its thread for ever if it were wrong, such as by a lock that is taken twice.
fn on_a_thread(f: impl FnOnce() + Send + 'static) {
    let (done, wait) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        f();
        done.send(()).unwrap();
    });
    match wait.recv_timeout(Duration::from_secs(10)) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("it is stuck"),
        _ => thread.join().unwrap(),
    }
}

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Says so when it is dropped.
    fn at_drop(&self, what: &str) -> AtDrop<impl FnOnce() + use<>> {
        let (log, what) = (self.clone(), what.to_owned());
        AtDrop::new(move || log.add(what))
    }
}

struct AtDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> AtDrop<F> {
    fn new(f: F) -> Self {
        Self(Some(f))
    }
}

impl<F: FnOnce()> Drop for AtDrop<F> {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

#[derive(Debug, PartialEq)]
struct Failed(&'static str);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Failed {}
