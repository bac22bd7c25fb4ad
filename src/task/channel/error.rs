//! Errors that give a value back, and why a channel takes none.

use std::fmt;
use std::sync::Arc;

use crate::Error;
use crate::error::Closed;

/// A value that was not sent, given back.
///
/// It is deliberately no `std::error::Error`: so it becomes an [`Error`] by `?` for every `T`, also one that is not
/// `Sync` or borrows.
pub struct SendError<T> {
    value: T,
    refusal: Refusal,
}

/// Why a value was not taken.
pub(crate) enum Refusal {
    Closed(Why),
    Cancelled(Error),
}

/// Why a channel takes nothing in.
#[derive(Clone)]
pub(crate) enum Why {
    /// The other end is gone, or it was closed without a word.
    Closed,
    /// It was closed with a reason.
    Because(Arc<str>),
}

impl Why {
    #[track_caller]
    pub(super) fn error(self) -> Error {
        match self {
            Self::Closed => Closed.into(),
            Self::Because(reason) => ClosedBecause { reason }.into(),
        }
    }
}

/// A channel was closed, and this is why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedBecause {
    /// What was said when it was closed.
    pub reason: Arc<str>,
}

impl fmt::Display for ClosedBecause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "closed: {}", self.reason)
    }
}

impl std::error::Error for ClosedBecause {}

impl<T> SendError<T> {
    pub(crate) fn new(value: T, refusal: Refusal) -> Self {
        Self { value, refusal }
    }

    pub(crate) fn closed(value: T) -> Self {
        Self { value, refusal: Refusal::Closed(Why::Closed) }
    }

    /// The value.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Whether the scope was cancelled; otherwise the channel is closed.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.refusal, Refusal::Cancelled(_))
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

impl<T> From<SendError<T>> for Error {
    #[track_caller]
    fn from(refused: SendError<T>) -> Self {
        match refused.refusal {
            Refusal::Closed(why) => why.error(),
            Refusal::Cancelled(cancelled) => cancelled,
        }
    }
}

/// Why a value was not taken, with the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// The channel has no room now.
    Full(T),
    /// Nobody will ever receive it.
    Closed(T),
}
