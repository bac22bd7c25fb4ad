//! A program from its birth until it is reaped.

use std::fmt;
use std::future::Future;
use std::process::ExitStatus;
use std::time::Duration;

use async_io::Async;
use async_process::{Child, ChildStderr, ChildStdin, ChildStdout};

use crate::Result;
use crate::actor::process::Unreaped;
use crate::error::Error;
use crate::task::{cancellable, entrust, move_on_after, remaining_grace, shield};

/// How long SIGKILL has to work.
const KILL: Duration = Duration::from_secs(2);

/// A process that is not reaped. Dropped before that, it is killed, and the scope around waits until it is reaped.
pub(super) struct Running {
    name: String,
    /// Away once it is reaped.
    parts: Option<Parts>,
    grace: Duration,
}

struct Parts {
    child: Child,
    process: Async<Unreaped>,
}

impl Parts {
    /// Its exit status, when it has ended. Whoever is left in its group is killed while its number is still its own.
    async fn status(&mut self) -> Result<ExitStatus> {
        // A wait that was given up can make the next one return early.
        while !self.process.get_ref().has_ended() {
            self.process.readable().await?;
        }
        self.process.get_ref().kill_group();
        Ok(self.child.status().await?)
    }
}

/// How a program ended.
pub(super) struct EndOfProgram {
    status: Result<ExitStatus>,
    /// The cancel that ended it.
    cancelled: Option<Error>,
}

impl EndOfProgram {
    fn is_stuck(&self) -> bool {
        matches!(&self.status, Err(error) if error.downcast_ref::<NotEnded>().is_some())
    }

    /// The status, unless somebody else asked for the end.
    pub(super) fn into_result(self) -> Result<ExitStatus> {
        match self.cancelled {
            None => self.status,
            Some(cancelled) => self.status.and(Err(cancelled)),
        }
    }

    /// The status in any case, and the cancel.
    pub(super) fn into_both(self) -> (Result<ExitStatus>, Option<Error>) {
        (self.status, self.cancelled)
    }
}

impl Running {
    pub(super) fn new(name: &str, child: Child, process: Async<Unreaped>, grace: Duration) -> Self {
        Self { name: name.to_owned(), parts: Some(Parts { child, process }), grace }
    }

    pub(super) fn id(&self) -> u32 {
        self.parts.as_ref().map_or(0, |parts| parts.process.get_ref().number())
    }

    pub(super) fn take_streams(&mut self) -> (Option<ChildStdin>, Option<ChildStdout>, Option<ChildStderr>) {
        let Some(Parts { child, .. }) = &mut self.parts else { return (None, None, None) };
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    }

    /// Nobody will write to it: a program that reads to the end must come to one.
    pub(super) fn close_stdin(&mut self) {
        if let Some(Parts { child, .. }) = &mut self.parts {
            child.stdin = None;
        }
    }

    /// Waits for its end, and ends it when it is cancelled.
    pub(super) async fn supervise(mut self) -> EndOfProgram {
        let Some(parts) = &mut self.parts else { unreachable!("it is reaped once, and here") };
        let ended = match cancellable(parts.status()).await {
            Ok(status) => EndOfProgram { status, cancelled: None },
            Err(cancelled) => EndOfProgram { status: self.end().await, cancelled: Some(cancelled) },
        };
        // Once it is reaped, or somebody else has done that, its number may be another's.
        if !ended.is_stuck() {
            self.parts = None;
        }
        ended
    }

    /// SIGTERM, grace, SIGKILL.
    async fn end(&mut self) -> Result<ExitStatus> {
        let Some(parts) = &mut self.parts else { unreachable!("it is not reaped") };
        // A part of what the scope around has left is kept for the steps after it.
        let grace = remaining_grace().map_or(self.grace, |rest| self.grace.min(rest.mul_f32(0.8)));
        parts.process.get_ref().terminate();
        let ended = shield(grace.saturating_add(KILL), async {
            if let Some(status) = move_on_after(grace, within(parts.status())).await? {
                return Ok(status);
            }
            parts.process.get_ref().kill_group();
            within(parts.status()).await
        });
        ended.await.map_err(|error| if error.is_cancelled() { self.not_ended().into() } else { error })
    }

    fn not_ended(&self) -> NotEnded {
        NotEnded { program: self.name.clone(), pid: self.id() }
    }

    /// SIGKILL, and its end; for whoever cannot be cancelled.
    pub(super) async fn end_now(&mut self) {
        if let Some(mut parts) = self.parts.take() {
            parts.process.get_ref().kill_group();
            let _ = parts.status().await;
        }
    }
}

/// A future of which a cancel of the scope around makes an error, and what it gives otherwise.
async fn within(status: impl Future<Output = Result<ExitStatus>>) -> Result<ExitStatus> {
    cancellable(status).await?
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else { return };
        parts.process.get_ref().kill_group();
        // Without a scope around, async-process reaps it.
        let _ = entrust(async move { drop(parts.status().await) });
    }
}

/// A program that SIGKILL did not end in time: it waits in the kernel for something that does not come. It is reaped if it
/// ever ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotEnded {
    /// The program, as it was described.
    pub program: String,
    /// Its number.
    pub pid: u32,
}

impl fmt::Display for NotEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the program `{}` (pid {}) has not ended although SIGKILL was sent", self.program, self.pid)
    }
}

impl std::error::Error for NotEnded {}
