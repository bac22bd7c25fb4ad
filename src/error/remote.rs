//! A failure of another actor.

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{FailureId, Kind, Mark};

/// A failure of another actor, as data.
///
/// Nothing of the other process is needed to read it: where it was born, through whom it came, what it said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteError {
    /// The identity it got at its birth.
    pub id: FailureId,
    /// What sort of failure it is.
    pub kind: Kind,
    /// The path of the actor in which it was born.
    pub actor: String,
    /// Which start of an actor it was, among all that its parent has made.
    pub incarnation: u64,
    /// The source location at which it became an [`Error`](super::Error), if known.
    pub location: Option<String>,
    /// The actors that handed it on, from its birth place to here.
    pub relay: Vec<String>,
    /// The type of the original error.
    pub type_name: String,
    /// Its message.
    pub message: String,
    /// The messages of its causes, nearest first.
    pub chain: Vec<String>,
    /// Of a panic: where it happened and through what, as far as that was recorded there (`RUST_BACKTRACE`), 8 KiB at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// If it is a cancel, which one.
    pub mark: Option<Mark>,
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The runtime's own refusals and verdicts have the address in their text already.
        if !self.message.contains(&self.actor) {
            write!(f, "{}: ", self.actor)?;
        }
        write!(f, "{}", self.message)?;
        for cause in &self.chain {
            write!(f, ": {cause}")?;
        }
        if let Some(location) = &self.location {
            write!(f, "\n   born at {location}")?;
        }
        if !self.relay.is_empty() {
            write!(f, "\n   relayed by {}", self.relay.join(" -> "))?;
        }
        Ok(())
    }
}

impl StdError for RemoteError {}
