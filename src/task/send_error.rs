//! Errors that give a value back.

use std::fmt;

use crate::Error;
use crate::error::Closed;

/// A value that was not sent, given back.
///
/// It is deliberately no `std::error::Error`: so it becomes an [`Error`] by `?` for every `T`, also one that is not
/// `Sync` or borrows.
pub struct SendError<T> {
    value: T,
    why: Why,
}

pub(crate) enum Why {
    Closed,
    Cancelled(Error),
}

impl<T> SendError<T> {
    pub(crate) fn new(value: T, why: Why) -> Self {
        Self { value, why }
    }

    pub(crate) fn closed(value: T) -> Self {
        Self { value, why: Why::Closed }
    }

    /// The value.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Whether the scope was cancelled; otherwise the channel is closed.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.why, Why::Cancelled(_))
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}

impl<T> From<SendError<T>> for Error {
    #[track_caller]
    fn from(error: SendError<T>) -> Self {
        match error.why {
            Why::Closed => Closed.into(),
            Why::Cancelled(cancelled) => cancelled,
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
