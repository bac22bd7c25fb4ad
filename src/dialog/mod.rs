//! The conversation between an opener and the task it started, whatever carries it.
//!
//! ```text
//!        start(args)                        opener                 far task
//!        ───────────────────────────────────►                        │
//!        started(first), exactly once       ◄────────────────────────┤
//!        values, bounded, both ways         ◄──────────────────────► │
//!        exactly one outcome                ◄────────────────────────┘
//!        cancel with a reason, at any time  ────────────────────────►
//! ```
//!
//! A **connection** carries it when the far task is in another actor; it is then called a context, and values are
//! encoded. In-memory queues carry it when the far task is in a foreign loop of the same process; it is then called a
//! link, and values move. The far function has the same type on both, [`Far`], and so has the opener's end, [`Near`].
//!
//! | | context | link |
//! |---|---|---|
//! | a value | encoded by the connection's codec, decoded by the receiver | moved, unless the link has a codec |
//! | a failure | data: [`RemoteError`](crate::error::RemoteError) | the live error |
//! | a cancel | a frame on the control connection | a signal to the foreign task |
//! | bound of a direction | bytes of credit | number of values |

mod broken;
mod coded;
mod converse;
mod far;
mod gone;
pub(crate) mod local;
mod near;
mod stay;
mod traits;

#[cfg(test)]
mod tests;

pub use broken::{Escalated, NeverStarted, StartTimeout, Stuck};
pub use converse::{Opener, Options, attend, converse};
pub use far::Far;
pub(crate) use far::FarEnd;
pub use gone::SideGone;
pub use local::{CallOpener, Local, LocalOpener, Report, local, local_call, local_in_tree};
pub use near::Near;
pub(crate) use near::NearEnd;
pub(crate) use stay::{End, stay};

pub use crate::task::channel::SendError;

use std::fmt;

use crate::Error;

/// The far task has returned and takes no more values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FarReturned;

impl fmt::Display for FarReturned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the far task has returned and takes no more values: ask for its result with `finish`")
    }
}

impl std::error::Error for FarReturned {}

/// The far task has failed. What it failed with is the result of the whole dialog, this only ends a wait that the dialog's
/// cancel does not reach: one in a shield, or outside the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FarFailed {
    /// Which dialog's, in this process; links of bytes are all 0.
    dialog: usize,
}

impl fmt::Display for FarFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the far task has failed; its failure is the result of the dialog")
    }
}

impl std::error::Error for FarFailed {}

/// A value that was not sent, see [`Near::try_send`] and [`Far::try_send`].
pub enum TrySendError<T> {
    /// There is no room now: here is the value.
    Full(T),
    /// It can never be sent, for this reason: here is the value.
    Refused(T, Error),
}

impl<T> TrySendError<T> {
    /// The value.
    pub fn into_value(self) -> T {
        match self {
            Self::Full(value) | Self::Refused(value, _) => value,
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full(..)"),
            Self::Refused(_, error) => write!(f, "Refused(.., {error})"),
        }
    }
}

impl<T> From<TrySendError<T>> for Error {
    fn from(refused: TrySendError<T>) -> Self {
        match refused {
            TrySendError::Full(_) => Full.into(),
            TrySendError::Refused(_, error) => error,
        }
    }
}

/// The dialog has no room for another value now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the dialog is full: use `send`, which waits, or try again later")
    }
}

impl std::error::Error for Full {}

/// A value that was not sent comes back.
#[cold]
fn refused<T>(value: &mut Option<T>, error: Error) -> SendError<T> {
    SendError::because(value.take().expect("only a sent value is taken"), error)
}

/// The opener has left the dialog; nobody reads what is sent. A far task that returns this has ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NearGone;

impl fmt::Display for NearGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the opener of this dialog is gone, nobody reads what is sent")
    }
}

impl std::error::Error for NearGone {}
