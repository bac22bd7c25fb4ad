//! What a codec cannot tell apart, and how deep values may nest: the same for both ends, so that the sender refuses what the
//! receiver could not take.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::fmt;

use super::path::Step;

/// The most levels a value may have. Each list, tuple, map, struct, option and newtype is one, a variant with a value too.
///
/// JSON's own limit is above it, and a stack of 1 MiB is enough for it.
pub(super) const DEPTH: u8 = 100;

/// What a part of a value counts for in a codec of one's own: to hand one over through `dyn` takes as long as to copy so many bytes, or longer.
pub(super) const PART: usize = 16;

/// What is peculiar to a codec.
pub(super) trait Rules: Copy {
    /// Whether it writes JSON: no infinities, keys are text, bytes are text with a mark.
    const JSON: bool = false;
    /// Whether [`failed`](Self::failed) is to hear of errors.
    const NOTES: bool = false;
    /// Whether a unit struct is an empty list, and nothing like `None`.
    const UNIT_STRUCTS_ARE_LISTS: bool = false;

    /// Whether `Some(x)` is written as `x`, so that what is written like `None` cannot be in it.
    fn has_flat_options(self) -> bool;

    /// Whether `()` is written like `None`.
    fn has_empty_units(self) -> bool {
        self.has_flat_options()
    }

    /// Whether a struct that is written without one of its fields can be read.
    fn has_named_fields(self) -> bool;

    /// Whether `()` is to be written as `None`, because the codec would make something else of it.
    fn makes_units_none(self) -> bool {
        false
    }

    /// Text or bytes come.
    ///
    /// # Errors
    /// There is no room for so many, and nothing is to be done with them.
    #[inline]
    fn takes<E: serde::ser::Error>(self, _bytes: usize) -> Result<(), E> {
        Ok(())
    }

    /// A part of the value comes.
    ///
    /// # Errors
    /// There is no room left.
    #[inline]
    fn takes_part<E: serde::ser::Error>(self) -> Result<(), E> {
        Ok(())
    }

    /// An error on its way out of a value.
    fn failed<E: serde::de::Error>(self, error: E) -> E {
        error
    }

    /// The error of a part of a value that is this step inside.
    #[cold]
    fn refused_in<E: serde::ser::Error>(self, error: E, step: Step) -> E {
        E::custom(step.put_into(&error.to_string()))
    }

    /// The error for a value that is refused.
    #[cold]
    fn refuse<E: serde::ser::Error>(self, why: fmt::Arguments<'_>) -> E {
        E::custom(why)
    }
}

/// Those of msgpack, by rmp-serde with named fields.
#[derive(Clone, Copy)]
pub(super) struct MsgPack;

impl Rules for MsgPack {
    const UNIT_STRUCTS_ARE_LISTS: bool = true;

    fn has_flat_options(self) -> bool {
        true
    }

    fn has_named_fields(self) -> bool {
        true
    }
}

#[cold]
fn too_large<E: serde::ser::Error>() -> E {
    E::custom("it is larger than it may be here")
}

/// Those of JSON.
#[derive(Clone, Copy)]
pub(super) struct Json;

/// The same where there is so much room: text is looked through before the first of it is written, so what cannot fit is refused before
/// that.
#[derive(Clone, Copy)]
pub(super) struct JsonWithin<'a> {
    pub(super) room: usize,
    /// Something did not fit.
    pub(super) over: &'a Cell<bool>,
}

impl Rules for JsonWithin<'_> {
    const JSON: bool = true;

    #[inline]
    fn takes<E: serde::ser::Error>(self, bytes: usize) -> Result<(), E> {
        if bytes <= self.room {
            return Ok(());
        }
        self.over.set(true);
        Err(too_large())
    }

    fn has_flat_options(self) -> bool {
        Json.has_flat_options()
    }

    fn has_named_fields(self) -> bool {
        Json.has_named_fields()
    }
}

impl Rules for Json {
    const JSON: bool = true;

    fn has_flat_options(self) -> bool {
        true
    }

    fn has_named_fields(self) -> bool {
        true
    }
}

/// Those of a codec that says so itself.
#[derive(Clone, Copy)]
pub(super) struct Own<'a> {
    pub(super) has_names: bool,
    pub(super) is_flat: bool,
    /// Why it does not work. Not every codec passes the text of an error on; some make it longer at each level, which doubles it
    /// if they escape it.
    pub(super) trouble: &'a RefCell<Option<String>>,
    /// Where in the value that is.
    pub(super) way: &'a RefCell<String>,
    /// What there is room for, of a value that may turn out to be too large; nothing once it has.
    pub(super) room: &'a Cell<Option<usize>>,
}

impl Rules for Own<'_> {
    const NOTES: bool = true;

    fn makes_units_none(self) -> bool {
        self.is_flat
    }

    fn takes<E: serde::ser::Error>(self, bytes: usize) -> Result<(), E> {
        self.room.set(self.room.get().and_then(|room| room.checked_sub(bytes)));
        self.room.get().map(drop).ok_or_else(too_large)
    }

    fn takes_part<E: serde::ser::Error>(self) -> Result<(), E> {
        self.takes(PART)
    }

    fn refuse<E: serde::ser::Error>(self, why: fmt::Arguments<'_>) -> E {
        self.trouble.replace(Some(why.to_string()));
        E::custom(why)
    }

    #[cold]
    fn failed<E: serde::de::Error>(self, error: E) -> E {
        self.trouble.borrow_mut().get_or_insert_with(|| error.to_string());
        E::custom("it cannot be read")
    }

    #[cold]
    fn refused_in<E: serde::ser::Error>(self, error: E, step: Step) -> E {
        // Its text is not to be had: that of a type that is erased is in the serializer.
        step.put_before(&mut self.way.borrow_mut());
        error
    }

    fn has_flat_options(self) -> bool {
        self.is_flat
    }

    fn has_named_fields(self) -> bool {
        self.has_names
    }
}

/// Bytes in JSON are base64 text behind this mark, which makes them bytes also for a reader that does not know what to expect: an
/// untagged enum, say.
pub(super) const BYTES: &str = "base64:";

/// Text that could be taken for bytes, or for such text, has this before it.
pub(super) const TEXT: &str = "text:";

/// Whether text looks like bytes, behind any number of marks that it is none.
#[inline]
pub(super) fn looks_like_bytes(text: &str) -> bool {
    // Many a word is shorter than a mark, and many begin with one of these letters, but hardly any with four of them.
    text.len() >= BYTES.len()
        && text.as_bytes().first_chunk().is_some_and(|start| start == b"base" || start == b"text")
        && begins_with_a_mark(text)
}

#[inline(never)]
fn begins_with_a_mark(text: &str) -> bool {
    text.starts_with(BYTES) || text.starts_with(TEXT) && text.trim_start_matches(TEXT).starts_with(BYTES)
}
