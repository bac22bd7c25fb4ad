//! What actors fail with.

use std::fmt;

use super::process::{Death, Outcome};
use crate::Error;
use crate::error::{FailureId, Kind, RemoteError};
use crate::proto::blocked::Blocked;

/// An actor's process ended without having been asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorDied {
    /// The path of the actor.
    pub actor: String,
    /// Its process.
    pub pid: u32,
    /// The signal that killed it, if one did.
    pub signal: Option<i32>,
    /// The status it exited with, if it exited.
    pub status: Option<i32>,
    /// The endpoints of the dialogs that were open to it.
    pub dialogs: Vec<String>,
    /// What it last wrote to its standard error.
    pub stderr_tail: String,
    /// What its thread was blocked by when it ended, if it was.
    pub blocked: Option<Blocked>,
    text: String,
}

impl ActorDied {
    pub(super) fn new(death: &Death, dialogs: Vec<String>, blocked: Option<Blocked>) -> Self {
        let (signal, status) = match death.outcome {
            Outcome::Signaled { signal, .. } => (Some(signal), None),
            Outcome::Exited(status) => (None, Some(status)),
            _ => (None, None),
        };
        let stderr_tail = String::from_utf8_lossy(&death.stderr_tail).into_owned();
        let mut text = death.to_string();
        if let Some(blocked) = &blocked {
            text += &format!("\n   its thread was {blocked}");
        }
        Self { actor: death.path.clone(), pid: death.pid, signal, status, dialogs, stderr_tail, blocked, text }
    }
}

impl fmt::Display for ActorDied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if !self.dialogs.is_empty() {
            write!(f, "\n   open dialogs: {}", self.dialogs.join(", "))?;
        }
        Ok(())
    }
}

impl std::error::Error for ActorDied {}

/// The failure of one death: the same identity for the nursery and for every dialog that it ended.
pub(super) struct Verdict {
    id: FailureId,
    died: ActorDied,
    incarnation: u64,
    /// The actor's own last word, if it failed and said so.
    last_word: Option<RemoteError>,
}

impl Verdict {
    pub(super) fn new(death: &Death, incarnation: u64, dialogs: Vec<String>, blocked: Option<Blocked>) -> Self {
        let last_word = death.bye.clone().flatten();
        let id = last_word.as_ref().map_or_else(FailureId::fresh, |error| error.id);
        Self { id, died: ActorDied::new(death, dialogs, blocked), incarnation, last_word }
    }

    /// Whether the actor itself said what it failed with.
    pub(super) fn has_last_word(&self) -> bool {
        self.last_word.is_some()
    }

    /// What the actor nursery fails with.
    pub(super) fn error(&self) -> Error {
        match &self.last_word {
            Some(error) => error.clone().into(),
            None => Error::from(self.died.clone()).with_id(self.id).with_kind(Kind::Died),
        }
    }

    /// What each open dialog ends with.
    pub(super) fn remote(&self) -> RemoteError {
        if let Some(error) = &self.last_word {
            return error.clone();
        }
        RemoteError {
            id: self.id,
            kind: Kind::Died,
            actor: self.died.actor.clone(),
            incarnation: self.incarnation,
            location: None,
            relay: Vec::new(),
            type_name: std::any::type_name::<ActorDied>().to_owned(),
            message: self.died.text.clone(),
            chain: Vec::new(),
            trace: None,
            mark: None,
        }
    }
}
