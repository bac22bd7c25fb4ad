//! What can go wrong with a value on its way to bytes and back.
#![forbid(unsafe_code)]

use std::any::type_name;
use std::fmt;
use std::ops::Deref;

use thiserror::Error;

use super::{Codec, path};

/// How many of the offending bytes are kept.
const SHOWN: usize = 32;

/// The codec cannot carry this value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a value of type {type_name} cannot be encoded as {}: {cause}{}", .codec.name(), At(.path))]
#[non_exhaustive]
pub struct EncodeError {
    /// The type of the value.
    pub type_name: &'static str,
    /// The codec.
    pub codec: Codec,
    /// What it could not carry.
    pub cause: String,
    /// Where in the value that is, as `readings[..].celsius`; empty for the value itself. Elements and entries have no number, a codec
    /// of one's own may hide more.
    pub path: String,
}

impl EncodeError {
    #[cold]
    pub(super) fn new<T: ?Sized>(codec: Codec, text: &str) -> Self {
        let (path, cause) = path::split(text);
        Self { type_name: type_name::<T>(), codec, cause: cause.to_owned(), path: path::shortened(path) }
    }
}

/// The bytes are not a value of the expected type. Its fields are those of [`Undecoded`].
// In a box: beside an error of many words a small value is moved once more on its way out of the result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(transparent)]
pub struct DecodeError(Box<Undecoded>);

/// What is known of a [`DecodeError`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected {expected} as {}: {cause}; the {len} bytes begin with {}", .codec.name(), Shown(.start))]
#[non_exhaustive]
pub struct Undecoded {
    /// The type that was expected.
    pub expected: &'static str,
    /// The codec.
    pub codec: Codec,
    /// What is wrong with the bytes.
    pub cause: String,
    /// The first bytes, at most 32.
    pub start: Vec<u8>,
    /// How many bytes there were.
    pub len: usize,
}

impl DecodeError {
    #[cold]
    pub(super) fn new<T>(codec: Codec, cause: String, bytes: &[u8]) -> Self {
        let start = bytes[..bytes.len().min(SHOWN)].to_vec();
        Self(Box::new(Undecoded { expected: type_name::<T>(), codec, cause, start, len: bytes.len() }))
    }
}

impl Deref for DecodeError {
    type Target = Undecoded;

    fn deref(&self) -> &Undecoded {
        &self.0
    }
}

/// The place of something in a value, unless it is the value.
struct At<'a>(&'a str);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " (in `{}`)", self.0) }
    }
}

/// Bytes for a reader: text as text, all else escaped.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
