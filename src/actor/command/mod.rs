//! Foreign programs, each owned by a scope.
//!
//! ```text
//! launch.rs   from a description to a process     running.rs   a process until it is reaped
//! reaper.rs   what async-process needs meanwhile  program.rs   the handle of one that runs beside its owner
//! ```

mod launch;
mod program;
mod reaper;
mod running;

use std::ffi::OsStr;
use std::fmt;
use std::future::{Future, poll_fn};
use std::path::Path;
use std::pin::{Pin, pin};
use std::process::{Command as Process, ExitStatus, Output, Stdio};
use std::task::Poll;
use std::time::Duration;

use futures_lite::future::zip;
use futures_lite::{AsyncRead, AsyncReadExt};

pub use launch::{Lack, NotStarted};
pub use program::Program;
pub(super) use reaper::Programs;
pub use running::NotEnded;

use super::ambient;
use crate::Result;
use crate::task::{Nursery, move_on_after, not_cancelled};
use running::Running;

/// How long a program may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);
/// How long its output may stay open once it has ended: somebody else may have it.
const DRAIN: Duration = Duration::from_millis(250);

/// A foreign program that is being described, configured as [`std::process::Command`] is.
///
/// Whoever runs it owns it: a scope does not complete before its programs are reaped. When the scope is cancelled, the
/// program is sent SIGTERM, after its grace SIGKILL. It leads a process group of its own, which is sent SIGKILL when the
/// program ends, however it ends; a helper that leaves the group escapes. If this process dies, the program is killed by
/// the system, but not what it has started.
///
/// Its standard input is empty unless it is set: a program in a group of its own would be stopped when it reads a terminal.
/// Its standard output and error are those of this process, unless set.
///
/// ```no_run
/// use pleach::prelude::*;
/// use pleach::tree::Command;
///
/// #[pleach::main]
/// async fn main() -> Result<()> {
///     let output = Command::new("uname").arg("-r").output().await?;
///     println!("Linux {}", String::from_utf8_lossy(&output.stdout));
///     // Two seconds, and it is gone.
///     move_on_after(std::time::Duration::from_secs(2), Command::new("sleep").arg("60").run()).await?;
///     Ok(())
/// }
/// ```
#[must_use = "a program is run by `.run()`, `.output()` or `.spawn(&nursery)`"]
pub struct Command {
    inner: Process,
    stdio: [Option<Stdio>; 3],
    grace: Duration,
}

impl Command {
    /// The program of this name, looked for in `PATH`, or at this path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self { inner: Process::new(program), stdio: [None, None, None], grace: GRACE }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.inner.arg(argument);
        self
    }

    /// Adds several arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.inner.args(arguments);
        self
    }

    /// Sets a variable of its environment, which otherwise is that of this process.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.inner.env(name, value);
        self
    }

    /// Leaves out a variable of the environment.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.inner.env_remove(name);
        self
    }

    /// Leaves out all variables of the environment.
    pub fn env_clear(mut self) -> Self {
        self.inner.env_clear();
        self
    }

    /// The directory that it runs in, otherwise that of this process.
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.inner.current_dir(directory);
        self
    }

    /// Its standard input; empty by default.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdio[0] = Some(stdin.into());
        self
    }

    /// Its standard output; that of this process by default, collected by [`output`](Self::output).
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdio[1] = Some(stdout.into());
        self
    }

    /// Its standard error; that of this process by default, collected by [`output`](Self::output).
    pub fn stderr(mut self, stderr: impl Into<Stdio>) -> Self {
        self.stdio[2] = Some(stderr.into());
        self
    }

    /// How long it may take to end after SIGTERM, before it is sent SIGKILL; 3 s by default. The scope around may leave less.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Runs it to its end. A status that says that it failed is no error.
    ///
    /// # Errors
    /// [`NotStarted`], with what is lacking; a cancel, once the program has ended; [`NotEnded`] if SIGKILL did not end it;
    /// [`Misuse`](crate::error::Misuse) outside an actor tree.
    ///
    /// # Cancel safety
    /// If it is dropped, the program has been sent SIGKILL, and the scope around does not complete before it is reaped.
    pub async fn run(self) -> Result<ExitStatus> {
        let mut running = self.start([Stdio::null, Stdio::inherit, Stdio::inherit]).await?;
        running.close_stdin();
        running.supervise().await.into_result()
    }

    /// Runs it to its end, and collects its standard output and standard error, all of it in memory.
    ///
    /// If somebody who has left its group holds them open, what they say later than 250 ms after its end is not waited for.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As for [`run`](Self::run).
    pub async fn output(self) -> Result<Output> {
        let running = self.start([Stdio::null, Stdio::piped, Stdio::piped]).await?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let status = collect(running, &mut stdout, &mut stderr).await?;
        Ok(Output { status, stdout, stderr })
    }

    /// Starts it beside the caller, as a child of this nursery, which waits for its end; a cancel of the nursery ends it.
    ///
    /// # Errors
    /// [`NotStarted`], with what is lacking; a cancel; [`Closed`](crate::error::Closed) if the nursery has ended;
    /// [`Misuse`](crate::error::Misuse) outside an actor tree.
    ///
    /// # Cancel safety
    /// If it is dropped, the program has been sent SIGKILL, and the scope around does not complete before it is reaped.
    ///
    /// ```no_run
    /// use futures_lite::{AsyncReadExt, AsyncWriteExt};
    /// use pleach::prelude::*;
    /// use pleach::tree::Command;
    /// use std::process::Stdio;
    ///
    /// async fn sorted(words: &str) -> Result<String> {
    ///     nursery(async |n| {
    ///         let mut sort = Command::new("sort").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn(&n).await?;
    ///         let (mut to, mut from) = (sort.stdin.take().ok_or(Ended)?, sort.stdout.take().ok_or(Ended)?);
    ///         cancellable(to.write_all(words.as_bytes())).await??;
    ///         drop(to);
    ///         let mut sorted = String::new();
    ///         cancellable(from.read_to_string(&mut sorted)).await??;
    ///         sort.wait().await?;
    ///         Ok(sorted)
    ///     })
    ///     .await
    /// }
    /// ```
    pub async fn spawn(self, nursery: &Nursery<'_>) -> Result<Program> {
        let running = self.start([Stdio::null, Stdio::inherit, Stdio::inherit]).await?;
        Program::spawn(running, nursery).await
    }

    async fn start(self, otherwise: [fn() -> Stdio; 3]) -> Result<Running> {
        not_cancelled().await?;
        let me = ambient::me()?;
        launch::set_up(&self.name())?;
        me.programs.ready(&me.services).await?;
        let Self { inner, stdio, grace } = self;
        let mut stdio = stdio.into_iter().zip(otherwise).map(|(set, otherwise)| set.unwrap_or_else(otherwise));
        let stdio = std::array::from_fn(|_| stdio.next().expect("three of each"));
        launch::start(inner, stdio, grace).await
    }

    fn name(&self) -> String {
        self.inner.get_program().to_string_lossy().into_owned()
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command").field("program", &self.name()).finish_non_exhaustive()
    }
}

/// Reads both until the program has ended, and then what it has left.
async fn collect(mut running: Running, stdout: &mut Vec<u8>, stderr: &mut Vec<u8>) -> Result<ExitStatus> {
    let (_, out, err) = running.take_streams();
    let mut reads = pin!(zip(read(out, stdout), read(err, stderr)));
    let (ended, all) = beside(reads.as_mut(), pin!(running.supervise())).await;
    let status = ended.into_result()?;
    if !all {
        let rest = async {
            reads.await;
            Ok(())
        };
        move_on_after(DRAIN, rest).await?;
    }
    Ok(status)
}

/// All that comes. What cannot be read has ended.
async fn read(stream: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    if let Some(mut stream) = stream {
        let _ = stream.read_to_end(into).await;
    }
}

/// Polls both until the second has ended: what it gave, and whether the first had ended as well.
async fn beside<T>(mut first: Pin<&mut impl Future>, mut second: Pin<&mut impl Future<Output = T>>) -> (T, bool) {
    let mut ended = false;
    poll_fn(|cx| {
        ended = ended || first.as_mut().poll(cx).is_ready();
        match second.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready((value, ended)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
