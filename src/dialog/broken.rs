//! What can go wrong with a dialog as such: errors that are neither the opener's nor the far task's own.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// The far task returned without ever calling `started`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeverStarted {
    pub(crate) who: String,
}

impl fmt::Display for NeverStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} returned without starting: call `far.started(first)` before it returns", self.who)
    }
}

impl StdError for NeverStarted {}

/// The far task did not call `started` in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartTimeout {
    pub(crate) who: String,
    pub(crate) after: Duration,
}

impl fmt::Display for StartTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, after } = self;
        write!(f, "{who} did not call `started` within {after:?}: let it call `far.started(..)` before its slow work")
    }
}

impl StdError for StartTimeout {}

/// The far task did not end within its grace and was dropped in the middle of what it did.
///
/// It is beside whatever else the dialog ended with: alone if the opener's body was done, in a [`Group`] with a failure,
/// or with the cancel, whose scope absorbs that and leaves this.
///
/// [`Group`]: crate::error::Group
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalated {
    /// The far task.
    pub who: String,
    /// The grace that it did not use.
    pub after: Duration,
}

impl fmt::Display for Escalated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, after } = self;
        write!(
            f,
            "{who} was still there {after:?} after it was to end, and was dropped: let it return, and what it has \
             spawned, when `far.recv()` gives `None` or an error, or `far.cancelled()` completes"
        )
    }
}

impl StdError for Escalated {}

/// The far task was cancelled and aborted and is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    pub(crate) who: String,
    pub(crate) after: Duration,
    /// The actor it is in, if that is another one.
    pub(crate) actor: Option<String>,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, after, .. } = self;
        write!(
            f,
            "{who} has not ended in the time it had after its cancel, {after:?} at most: it blocks its thread, and only its process can be \
             ended, or it takes longer to clean up than the scope that waits for it has"
        )
    }
}

impl StdError for Stuck {}
