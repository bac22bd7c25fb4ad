//! What an await waits for, for whoever looks at the tasks.

use std::fmt;
use std::panic::Location;

/// What a runtime await waits for, as a [snapshot](super::snapshot) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// A value that somebody sends.
    Value,
    /// Room for a value.
    Room,
    /// A point in time.
    Time,
    /// A child of a nursery.
    Child,
    /// What runs in a scope of its own: its tasks are in the snapshot.
    Scope,
    /// The first word of something that was started.
    Start,
    /// A permit.
    Permit,
    /// A lock.
    Lock,
    /// Something that happens once.
    Event,
    /// The other end of a dialog.
    Dialog,
    /// Something of another library, see [`cancellable`](super::cancellable()).
    Foreign,
    /// Its next turn.
    Turn,
    /// Something else.
    Other,
}

impl WaitsFor {
    const ALL: [Self; 13] = [
        Self::Value,
        Self::Room,
        Self::Time,
        Self::Child,
        Self::Scope,
        Self::Start,
        Self::Permit,
        Self::Lock,
        Self::Event,
        Self::Dialog,
        Self::Foreign,
        Self::Turn,
        Self::Other,
    ];

    /// The one that `what as u8` came from.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|what| *what as u8 == number)
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "a value",
            Self::Room => "room for a value",
            Self::Time => "a point in time",
            Self::Child => "a child",
            Self::Scope => "a scope of its own",
            Self::Start => "a start",
            Self::Permit => "a permit",
            Self::Lock => "a lock",
            Self::Event => "an event",
            Self::Dialog => "the other end of a dialog",
            Self::Foreign => "something foreign",
            Self::Turn => "its turn",
            Self::Other => "something",
        })
    }
}

/// A wait as it is kept: for what, and in which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) what: WaitsFor,
    pub(crate) at: Option<&'static Location<'static>>,
}
