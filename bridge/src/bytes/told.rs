//! What an end has told its side, for libraries that keep no more of an error than what it says.
//!
//! The reason of an end's `io::Error` is its source, and is found there through whatever is put around it. Some libraries,
//! h2 and with it all of gRPC, make a new error with the old one's text instead. So that text has a number that no other has:
//! an error that says it can only have come from here.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use pleach::Error;
use pleach::error::Mark;

/// The last error that an end of a link of bytes gave its side which was not that side's own.
#[derive(Default)]
pub(super) struct Told(Mutex<Option<Word>>);

#[derive(Clone)]
struct Word {
    text: String,
    mark: Option<Mark>,
}

impl Told {
    /// The reason inside an `io::Error`, as its source.
    pub(super) fn tell(&self, kind: ErrorKind, error: Error) -> io::Error {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let text = format!("{error} (said by end {})", NUMBER.fetch_add(1, Ordering::Relaxed));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Word { text: text.clone(), mark: error.mark().cloned() });
        io::Error::new(kind, Says { text, error })
    }

    /// Whether an error of that side is in truth what it was told, with the text of it as all that is left; and then the
    /// cancel, if it was told of one.
    pub(super) fn is_source_of(&self, error: &Error) -> Option<Option<Mark>> {
        let word = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let mut next: Option<&(dyn StdError + 'static)> = Some(&**error);
        while let Some(cause) = next {
            if cause.to_string().contains(&word.text) {
                return Some(word.mark);
            }
            next = cause.source();
        }
        None
    }
}

/// An error with its own number.
#[derive(Debug)]
struct Says {
    text: String,
    error: Error,
}

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Says {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.error)
    }
}
