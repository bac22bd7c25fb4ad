//! How a child ended, as data.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::error::RemoteError;
use crate::proto::control::ControlError;
use crate::proto::handshake::HandshakeError;

/// The one outcome of a child process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Death {
    /// The actor.
    pub(crate) path: String,
    /// The program it ran.
    pub(crate) program: String,
    /// The number it had. It may belong to another process by now.
    pub(crate) pid: u32,
    /// What became of the process.
    pub(crate) outcome: Outcome,
    /// The last bytes it wrote to stderr, at most 8 KiB.
    pub(crate) stderr_tail: Vec<u8>,
    /// Its last word, if it said one: how its actor ended.
    pub(crate) bye: Option<Option<RemoteError>>,
    /// Whether this side had asked for its end.
    pub(crate) requested: bool,
    /// What this side did to end it, in order.
    pub(crate) steps: Vec<Step>,
    /// Whether it never answered the handshake.
    pub(crate) before_handshake: bool,
    /// What was wrong with it, as far as this side could see, before it ended.
    pub(crate) fault: Option<Fault>,
}

/// What became of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It ended itself with this status.
    Exited(i32),
    /// A signal ended it.
    Signaled {
        /// The number of the signal.
        signal: i32,
        /// Whether it left a core dump.
        core: bool,
    },
    /// It still runs: SIGKILL was sent and did not end it in time. It is reaped if it ever ends.
    Unkillable {
        /// What the kernel says it is doing, as in `ps`.
        state: char,
    },
    /// It is gone, but something else in this process took its exit status.
    Lost,
}

/// What was done to end a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It was told over its control connection.
    Asked,
    /// SIGTERM and SIGCONT were sent.
    Terminated,
    /// SIGKILL was sent, to it and its group.
    Killed,
    /// It was waited for no longer.
    GaveUp,
}

/// What this side held against a child before it ended.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Fault {
    #[error("it did not answer the handshake within {0:?}")]
    NoAnswer(Duration),
    #[error("the handshake failed: {0}")]
    Handshake(HandshakeError),
    #[error("it broke the protocol of its control connection: {0}")]
    Protocol(ControlError),
    #[error("it closed its control connection and went on running")]
    HungUp,
    #[error("it stopped reading its control connection")]
    Stuck,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "exited with status {status}"),
            Self::Signaled { signal, core: false } => write!(f, "was ended by {}", signal_name(*signal)),
            Self::Signaled { signal, core: true } => {
                write!(f, "was ended by {} and left a core dump", signal_name(*signal))
            }
            Self::Unkillable { state } => write!(f, "does not end although SIGKILL was sent (its state is {state})"),
            Self::Lost => write!(
                f,
                "ended, and its exit status was taken by someone else: look for waitpid(-1), or SIGCHLD set to ignore"
            ),
        }
    }
}

/// The name of a signal, or its number.
fn signal_name(signal: i32) -> String {
    const NAMES: [&str; 16] = [
        "", "SIGHUP", "SIGINT", "SIGQUIT", "SIGILL", "SIGTRAP", "SIGABRT", "SIGBUS", "SIGFPE", "SIGKILL", "SIGUSR1",
        "SIGSEGV", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM",
    ];
    let name = usize::try_from(signal).ok().and_then(|signal| NAMES.get(signal));
    name.map_or_else(|| format!("signal {signal}"), |name| format!("{name} ({signal})"))
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "actor {} ({}, pid {}) {}", self.path, self.program, self.pid, self.outcome)?;
        if self.before_handshake {
            write!(f, " before it was ready")?;
        }
        if let Some(fault) = &self.fault {
            write!(f, "; {fault}")?;
        }
        if let Some(Some(error)) = &self.bye {
            write!(f, "\n   it said: {error}")?;
        }
        self.write_tail(f)
    }
}

impl Death {
    /// Adds the last lines of its stderr, if there are any. All of them went to our stderr when they were written; here
    /// they only help to tell which death this is.
    fn write_tail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LINES: usize = 12;
        let tail = String::from_utf8_lossy(&self.stderr_tail);
        let tail = tail.trim_end();
        if tail.is_empty() {
            return Ok(());
        }
        write!(f, "\n   the end of its stderr:")?;
        let skipped = tail.lines().count().saturating_sub(LINES);
        tail.lines().skip(skipped).try_for_each(|line| write!(f, "\n   | {line}"))
    }
}

impl std::error::Error for Death {}
