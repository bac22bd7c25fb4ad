//! What the scenarios are made of.

use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::future::or;
use pleach::task::{CancelScope, VirtualClock, cancellable, checkpoint, clock, sleep};
use pleach::{Error, Result};

/// A tree for a host to poll.
pub(crate) type Tree = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// By which clock a scenario goes.
#[derive(Clone, Copy)]
pub(crate) enum Time {
    /// It takes none.
    Virtual,
    /// That of the host, where threads take part, or where it is what the test is about.
    Real,
}

/// One text for all hosts.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) time: Time,
    pub(crate) start: fn() -> Tree,
}

impl Scenario {
    /// The whole of it.
    pub(crate) fn tree(self) -> Tree {
        match self.time {
            Time::Virtual => Box::pin(VirtualClock::new().hosted(or((self.start)(), stuck()))),
            Time::Real => (self.start)(),
        }
    }
}

/// On virtual time that is now, if nothing else can happen any more.
async fn stuck() -> Result<()> {
    sleep(Duration::from_secs(1_000_000)).await?;
    Err(Error::msg("all wait, and nothing will wake them"))
}

/// Those of one file.
macro_rules! scenarios {
    ($($time:ident: $($name:ident),+ $(,)?);+ $(;)?) => {
        pub(crate) const SCENARIOS: &[$crate::kit::Scenario] = &[$($(
            $crate::kit::Scenario {
                name: stringify!($name),
                time: $crate::kit::Time::$time,
                start: || Box::pin($name()),
            }
        ),+),+];
    };
}
pub(crate) use scenarios;

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A runtime await that nothing ends but a cancel.
pub(crate) async fn never() -> Result<()> {
    cancellable(pending()).await
}

/// Lets everybody else run until they wait.
pub(crate) async fn settle() -> Result<()> {
    for _ in 0..10 {
        checkpoint().await?;
    }
    Ok(())
}

/// The output, and how long it took.
pub(crate) async fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    let start = clock::now();
    let output = future.await;
    (output, clock::now() - start)
}

/// Whether `result` is the cancel of `scope`.
pub(crate) fn is_cancel_of<T>(result: &Result<T>, scope: &CancelScope) -> bool {
    result.as_ref().err().and_then(|error| error.mark()).is_some_and(|mark| mark.scope == scope.id())
}

/// What happened, in order; also on other threads.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    pub(crate) fn sorted(&self) -> Vec<String> {
        let mut all = self.take();
        all.sort_unstable();
        all
    }

    /// Says so when it is dropped.
    pub(crate) fn at_drop(&self, what: &str) -> AtDrop<impl FnOnce() + use<>> {
        let (log, what) = (self.clone(), what.to_owned());
        AtDrop::new(move || log.add(what))
    }
}

pub(crate) struct AtDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> AtDrop<F> {
    pub(crate) fn new(f: F) -> Self {
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

/// A failure of the user's.
#[derive(Debug, PartialEq)]
pub(crate) struct Failed(pub(crate) &'static str);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Failed {}
