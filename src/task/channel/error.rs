//! Errors that give a value back, and why a channel takes none.

use std::fmt;
use std::sync::Arc;

use crate::Error;
use crate::error::Closed;

/// A value that was not sent, given back: by a channel, or by an end of a dialog.
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
    /// A cancel, or what an end of a dialog says.
    Because(Error),
}

/// Why a channel takes nothing in.
#[derive(Clone)]
pub(crate) enum Why {
    /// The other end is gone, or it was closed without a word.
    Closed,
    /// It was closed with a reason.
    Because(Arc<str>),
}

impl Refusal {
    #[track_caller]
    fn error(self) -> Error {
        match self {
            Self::Closed(why) => why.error(),
            Self::Because(error) => error,
        }
    }
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

    /// One with the error that it becomes.
    pub(crate) fn because(value: T, error: Error) -> Self {
        Self::new(value, Refusal::Because(error))
    }

    pub(crate) fn closed(value: T) -> Self {
        Self { value, refusal: Refusal::Closed(Why::Closed) }
    }

    /// The value.
    pub fn into_value(self) -> T {
        self.value
    }

    /// The value, and why it was not sent.
    #[track_caller]
    pub fn into_parts(self) -> (T, Error) {
        (self.value, self.refusal.error())
    }

    /// Whether it was a cancel. Otherwise the channel is closed, or the other end of the dialog takes nothing, or the value
    /// could not be carried.
    pub fn is_cancelled(&self) -> bool {
        matches!(&self.refusal, Refusal::Because(error) if error.is_cancelled())
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("SendError");
        match &self.refusal {
            Refusal::Closed(_) => shown.field("because", &"closed"),
            Refusal::Because(error) => shown.field("because", &format_args!("{error}")),
        };
        shown.finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.refusal {
            Refusal::Closed(Why::Closed) => Closed.fmt(f),
            Refusal::Closed(Why::Because(reason)) => ClosedBecause { reason: reason.clone() }.fmt(f),
            Refusal::Because(error) => error.fmt(f),
        }
    }
}

impl<T> From<SendError<T>> for Error {
    #[track_caller]
    fn from(refused: SendError<T>) -> Self {
        refused.refusal.error()
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
