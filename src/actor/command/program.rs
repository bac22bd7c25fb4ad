//! A program that runs beside its owner.

use std::fmt;
use std::process::ExitStatus;

use async_process::{ChildStderr, ChildStdin, ChildStdout};

use super::running::Running;
use crate::Result;
use crate::error::{Closed, Error};
use crate::task::{CancelScope, Child, Nursery, oneshot};

/// A running program, see [`Command::spawn`](super::Command::spawn). Dropping the handle does nothing to the program, which
/// belongs to its nursery; but a stream that is dropped with it is closed.
///
/// The streams are there where they were set to [`Stdio::piped`](std::process::Stdio::piped). They are read and written as
/// foreign futures: put what must end with the scope into [`cancellable`](crate::task::cancellable).
pub struct Program {
    /// To its standard input.
    pub stdin: Option<ChildStdin>,
    /// From its standard output.
    pub stdout: Option<ChildStdout>,
    /// From its standard error.
    pub stderr: Option<ChildStderr>,
    id: u32,
    scope: CancelScope,
    task: Child<ExitStatus>,
}

impl Program {
    pub(super) async fn spawn(mut running: Running, nursery: &Nursery<'_>) -> Result<Self> {
        let (stdin, stdout, stderr) = running.take_streams();
        let (id, scope) = (running.id(), CancelScope::new());
        let (up, mut is_up) = oneshot::channel();
        let supervised = live(running, scope.clone());
        let task = nursery.spawn(async {
            let _ = up.send(());
            supervised.await
        })?;
        // A task that was never polled is dropped by a cancel, and a program that the caller knows must be asked first.
        is_up.recv().await?.ok_or(Closed)?;
        Ok(Self { stdin, stdout, stderr, id, scope, task })
    }

    /// The number of its process, which may be another's once it has ended.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Sends it SIGTERM, and after its grace SIGKILL; returns at once.
    pub fn end(&self) {
        self.scope.cancel("the program was asked to end");
    }

    /// Closes its standard input, and waits for its end. A status that says that it failed is no error.
    ///
    /// # Errors
    /// A cancel of the caller or of the nursery; [`NotEnded`](super::NotEnded) if SIGKILL did not end it.
    ///
    /// # Cancel safety
    /// If it is dropped the program runs on; its streams are closed.
    pub async fn wait(self) -> Result<ExitStatus> {
        let Self { stdin, stdout, stderr, task, .. } = self;
        drop(stdin);
        let status = task.join().await;
        drop((stdout, stderr));
        status
    }
}

/// Its life as a task: a cancel of its own scope ends it and is no failure, any other is.
async fn live(running: Running, scope: CancelScope) -> Result<ExitStatus> {
    let mut status = None;
    scope
        .run(async {
            let (ended, cancelled) = running.supervise().await.into_both();
            status = Some(ended?);
            cancelled.map_or(Ok(()), Err)
        })
        .await?;
    status.ok_or_else(|| Error::msg("it was asked to end before it was looked after"))
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("id", &self.id).finish_non_exhaustive()
    }
}
