//! The runtime's own small errors.

use std::error::Error as StdError;
use std::fmt;

use super::Error;

/// A time limit of this side ran out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedOut {
    /// What did not happen in time.
    pub what: String,
    /// The limit.
    pub after: std::time::Duration,
}

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} took longer than {:?}", self.what, self.after)
    }
}

impl StdError for TimedOut {}

/// The other end, or the nursery, is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "closed: the other end is gone, or the scope has completed")
    }
}

impl StdError for Closed {}

/// The stream ended where a value was needed: `far.recv().await?.ok_or(Ended)?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream ended where another value was expected")
    }
}

impl StdError for Ended {}

/// The runtime refuses this use of it. The text says what, where and what to do instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misuse(pub(crate) String);

impl Misuse {
    /// A refusal with this text, which should end in the remedy.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl StdError for Misuse {}

/// Several failures that have nothing to do with each other, the first one first.
pub struct Group(pub(crate) Vec<Error>);

impl Group {
    /// A group of these, in the order in which they happened.
    pub fn new(failures: Vec<Error>) -> Self {
        Self(failures)
    }

    /// The failures, in the order in which they happened.
    pub fn failures(&self) -> &[Error] {
        &self.0
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failures:", self.0.len())?;
        for failure in &self.0 {
            write!(f, "\n - {failure}")?;
        }
        Ok(())
    }
}

/// The same with where each of them was born, and how it came here.
impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failures:", self.0.len())?;
        let mut failures = self.0.iter().map(|failure| format!("{failure:?}").replace('\n', "\n   "));
        failures.try_for_each(|failure| write!(f, "\n - {failure}"))
    }
}

impl StdError for Group {}

/// A failure that is only a text, see [`Error::msg`].
#[derive(Debug)]
pub(super) struct Message(pub(super) String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Message {}
