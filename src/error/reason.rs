//! Why something was cancelled, and what a cancelled wait returns.

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::identity::fresh_id;
use super::{Error, FailureId};

/// Names one cancel scope, unique in the tree for the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ScopeId(pub(crate) u64);

impl ScopeId {
    pub(crate) fn fresh() -> Self {
        Self(fresh_id())
    }
}

/// Why a scope was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reason {
    /// Somebody asked for it.
    Explicit {
        /// The path of the actor that asked, empty for this process.
        by: String,
        /// What it said.
        message: String,
    },
    /// A deadline passed.
    Deadline,
    /// A sibling failed, and one cancels all.
    SiblingFailed {
        /// The failure that did it.
        failure: FailureId,
        /// What it says; the beginning of it, if that is long.
        what: String,
    },
    /// A scope in an actor above was cancelled.
    ParentCancelled {
        /// The path of that actor.
        actor: String,
        /// Why.
        because: Box<Self>,
    },
    /// The other end of a dialog or link is gone.
    PeerGone,
    /// The process was sent a signal.
    Signal(i32),
    /// The actor is being shut down.
    Shutdown,
    /// The actor is being restarted.
    Restart,
    /// The future of the nursery was dropped.
    NurseryDropped,
}

/// No reason is longer than this many bytes by what a failure says.
const WHAT: usize = 512;

impl Reason {
    /// Because of this failure.
    pub(crate) fn failed(failure: &Error) -> Self {
        let mut what = failure.text();
        if what.len() > WHAT {
            what.truncate(what.floor_char_boundary(WHAT));
            what += " ..";
        }
        Self::SiblingFailed { failure: failure.id(), what }
    }

    /// The same for those in other actors: with the path of the actor in which it came up, over any number of them. A signal
    /// goes on as it is, because it was meant for the whole tree.
    #[must_use]
    pub(crate) fn below(self, actor: &str) -> Self {
        match self {
            Self::Explicit { by, message } if by.is_empty() => Self::Explicit { by: actor.to_owned(), message },
            Self::Explicit { .. } | Self::ParentCancelled { .. } | Self::Signal(_) => self,
            other => Self::ParentCancelled { actor: actor.to_owned(), because: Box::new(other) },
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Explicit { by, message } if by.is_empty() => write!(f, "{message}"),
            Self::Explicit { by, message } => write!(f, "{message} (asked by {by})"),
            Self::Deadline => write!(f, "its deadline passed"),
            Self::SiblingFailed { what, .. } => write!(f, "a sibling failed: {what}"),
            Self::ParentCancelled { actor, because } => write!(f, "{actor} was cancelled: {because}"),
            Self::PeerGone => write!(f, "the other end is gone"),
            Self::Signal(number) => write!(f, "signal {number} arrived"),
            Self::Shutdown => write!(f, "the actor shuts down"),
            Self::Restart => write!(f, "the actor restarts"),
            Self::NurseryDropped => write!(f, "the nursery was dropped"),
        }
    }
}

/// The identity of a cancel: which scope was cancelled, and why.
///
/// It is the `source()` of a [`Cancelled`], so that it is found even through wrappers that skip the error they hold
/// (`#[error(transparent)]`, `io::Error::other`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The scope that was cancelled.
    pub scope: ScopeId,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.reason)
    }
}

impl StdError for Mark {}

/// A runtime await was cut short because its scope was cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancelled {
    pub(crate) mark: Mark,
}

impl Cancelled {
    /// Which scope was cancelled, and why.
    pub fn mark(&self) -> &Mark {
        &self.mark
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cancelled")
    }
}

impl StdError for Cancelled {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.mark)
    }
}
