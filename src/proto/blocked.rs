//! What a process says of a thread of its own that does not turn.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The thread of an infected actor did not turn: something that it ran did not give way.
///
/// Nothing of its tree runs meanwhile, so it neither hears a cancel nor answers anybody. What blocks belongs on a thread of its
/// own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Blocked {
    /// The function of the linked foreign task, if it is one that blocks.
    pub task: Option<String>,
    /// For how long, at least.
    pub time: Duration,
    /// What the kernel says of the thread: that it runs, or what it waits in.
    pub state: String,
    /// The functions that it is in, innermost first; empty if the thread did not say.
    #[serde(default)]
    pub stack: Vec<String>,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocked for {:.1?} by ", self.time)?;
        match &self.task {
            Some(task) => write!(f, "the linked task `{task}`")?,
            None => write!(f, "something that is no linked task")?,
        }
        write!(f, ", which {}", self.state)?;
        self.stack.iter().try_for_each(|line| write!(f, "\n   | {line}"))
    }
}
