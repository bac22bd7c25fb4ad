//! Tests as roots: what `#[pleach::test]` and `test_entry!` write.

use std::future::Future;
use std::panic::{Location, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::ambient;
use super::process;
use super::root::{Outcome, enter, run_anywhere};
use super::started::Started;
use crate::error::{Group, Panicked, Reason, TimedOut};
use crate::host::Host;
use crate::sys;
use crate::task::CancelScope;
use crate::{Error, Result};

/// How long a test that is over its bound may take to unwind.
const GRACE: Duration = Duration::from_secs(3);
/// What is left to be done after that: actors are killed and reaped.
const AIR: Duration = Duration::from_secs(3);
/// The exit status of a Rust program whose main thread panicked.
const PANICKED: i32 = 101;

/// Takes the entry point before `main`, which in a binary of tests belongs to the harness.
///
/// In a root it notes that, and does nothing else. An actor lives and exits here, so it makes up for what the start of
/// `main` would have done for it: a panic is an exit status, and a write to a closed pipe an error.
pub fn before_main(init: fn()) {
    let lived = catch_unwind(|| {
        if process::is_called_child()
            && let Err(error) = sys::survive_broken_pipes()
        {
            eprintln!("warning: a write to a closed pipe will end this process: {error}");
        }
        enter(init);
    });
    if lived.is_err() {
        std::process::exit(PANICKED);
    }
}

/// Runs `body` as the root of a tree, on a thread of its own, so that one that blocks it still fails in time.
///
/// # Errors
/// What the body failed with, a panic too; [`TimedOut`], with what it waited for, when the bound is over.
#[track_caller]
pub fn test<F, Fut>(name: &str, host: impl Host, bound: Duration, body: F) -> Result<()>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    process::note_tests();
    let test = Running::start(name, host, body)?;
    match test.ended.recv_timeout(bound) {
        Ok(ended) => ended.map(drop),
        Err(RecvTimeoutError::Timeout) => Err(test.expired(bound, Location::caller())),
        Err(RecvTimeoutError::Disconnected) => test.panicked(),
    }
}

/// The same for a test that must panic: any other failure is none that it may pass with.
#[track_caller]
pub fn test_that_panics<F, Fut>(name: &str, host: impl Host, bound: Duration, body: F)
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output: Outcome> + Send + 'static,
{
    let Err(error) = test(name, host, bound, body) else { return };
    match error.failures().iter().find(|failure| failure.is_panic()) {
        // The hook has seen it already.
        Some(panic) => resume_unwind(Box::new(message(panic))),
        None => eprintln!("error: {error:?}"),
    }
}

/// The text that the panic had, for `expected`.
fn message(panic: &Error) -> String {
    panic.downcast_ref::<Panicked>().map_or_else(|| panic.to_string(), |panic| panic.message().to_owned())
}

/// A test on its thread.
struct Running {
    thread: JoinHandle<()>,
    scope: CancelScope,
    started: Arc<OnceLock<Arc<Started>>>,
    /// `None` for one that was cancelled.
    ended: Receiver<Result<Option<()>>>,
}

impl Running {
    fn start<F, Fut>(name: &str, host: impl Host, body: F) -> Result<Self>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let scope = CancelScope::new().with_grace(GRACE);
        let started = Arc::new(OnceLock::new());
        let (say, ended) = sync_channel(1);
        let (within, seen) = (scope.clone(), started.clone());
        let root = async move || {
            let _ = seen.set(ambient::me()?.started.clone());
            within.run(async { body().await.outcome().map(drop) }).await
        };
        let run = move || {
            // If nobody listens any more, the test has failed already.
            let _ = say.send(run_anywhere(host, root));
        };
        let thread = Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { thread, scope, started, ended })
    }

    /// Cancels it, and says what it was doing.
    fn expired(self, bound: Duration, place: &'static Location<'static>) -> Error {
        let waited_for = self.started.get().map(|started| started.waited_for()).unwrap_or_default();
        self.scope.request(Reason::Deadline);
        let ended = self.ended.recv_timeout(GRACE + AIR);
        let mut what = match waited_for.is_empty() {
            true => "the test (no actor of it was alive)".to_owned(),
            false => format!("the test, which waited for {},", waited_for.join("; ")),
        };
        if ended.is_err() {
            what = format!("{what} did not end when it was cancelled, for something blocks its thread, and");
        }
        let error = Error::from(TimedOut { what, after: bound }).born_at(place);
        match ended {
            Ok(Err(own)) => Group(vec![error, own]).into(),
            _ => error,
        }
    }

    /// The thread ended without a word: the host has panicked.
    fn panicked(self) -> Result<()> {
        self.thread.join().map_err(Error::from_panic)
    }
}
