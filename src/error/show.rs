//! What an error says: in one line, to whoever debugs, and to code that wants a `std::error::Error`.

use std::error::Error as StdError;
use std::fmt;

use super::{Error, Group};

impl Error {
    fn write_context(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.context.iter().rev().try_for_each(|what| write!(f, "{what}: "))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_context(f)?;
        write!(f, "{}", self.0.source)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(group) = self.downcast_ref::<Group>() {
            self.write_context(f)?;
            return write!(f, "{group:?}");
        }
        write!(f, "{self}")?;
        if self.remote().is_none()
            && let Some(place) = self.birth_place()
        {
            write!(f, "\n   at {place}")?;
        }
        let mut next = self.0.source.source();
        while let Some(cause) = next {
            write!(f, "\n   because {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

/// An [`Error`] in the clothes of `std::error::Error`.
pub(super) struct Boxed(pub(super) Error);

impl fmt::Debug for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for Boxed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0.0.source)
    }
}
