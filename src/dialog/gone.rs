//! How the other side of a dialog has left it.

use std::fmt;

use crate::Error;
use crate::error::{FailureId, Reason};

/// How the other side of a dialog has left it, see [`Near::gone`](super::Near::gone) and [`Far::gone`](super::Far::gone).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SideGone {
    /// It was cancelled; or, for a far task, its dialog was.
    Cancelled(Reason),
    /// It has failed. Whoever is told so need not report it: it has been reported.
    Failed {
        /// The identity of the failure.
        failure: FailureId,
        /// What it says; the beginning of it, if that is long.
        what: String,
    },
    /// It is done, and all is well.
    Finished,
}

impl SideGone {
    /// It was cancelled for this reason, which may be that it has failed.
    pub(crate) fn because(reason: Reason) -> Self {
        match reason {
            Reason::SiblingFailed { failure, what } => Self::Failed { failure, what },
            Reason::ParentCancelled { because, .. } if matches!(*because, Reason::SiblingFailed { .. }) => {
                Self::because(*because)
            }
            other => Self::Cancelled(other),
        }
    }

    /// It ended with this.
    pub(crate) fn with(error: &Error) -> Self {
        match error.mark() {
            Some(mark) => Self::Cancelled(mark.reason.clone()),
            None => Self::because(Reason::failed(error)),
        }
    }
}

impl fmt::Display for SideGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(reason) => write!(f, "cancelled: {reason}"),
            Self::Failed { what, .. } => write!(f, "failed: {what}"),
            Self::Finished => write!(f, "finished"),
        }
    }
}
