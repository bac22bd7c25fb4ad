//! Codecs of one's own.
#![forbid(unsafe_code)]

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeOwned, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::path;
use super::read::read;
use super::rules::Own;
use super::write::Checked;
use crate::{Error, Result};

/// A codec of one's own, to be used as [`Codec::Own`](super::Codec::Own).
///
/// Any serde format makes one: it gets the value as something that is `Serialize`, and hands a `Deserializer` back. What the
/// runtime promises of every codec it adds itself: values that nest deeper than 100 levels are refused at both ends, and what
/// would arrive as something else at the sender. That no bytes are left over only the codec can see: [`decode`](Self::decode) must.
///
/// ```
/// use pleach::codec::{Codec, Encoding, Slot, Value};
///
/// /// JSON over several lines.
/// struct Pretty;
///
/// impl Encoding for Pretty {
///     fn name(&self) -> &'static str {
///         "example/pretty"
///     }
///
///     fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> pleach::Result<()> {
///         Ok(serde_json::to_writer_pretty(out, &value)?)
///     }
///
///     fn decode(&self, bytes: &[u8], slot: Slot<'_>) -> pleach::Result<()> {
///         let mut json = serde_json::Deserializer::from_slice(bytes);
///         slot.fill(&mut json)?;
///         Ok(json.end()?)
///     }
/// }
///
/// const PRETTY: Codec = Codec::Own(&Pretty);
///
/// let mut bytes = Vec::new();
/// PRETTY.encode(&[1, 2], &mut bytes)?;
/// assert_eq!(bytes, b"[\n  1,\n  2\n]");
/// assert_eq!(PRETTY.decode::<[u8; 2]>(&bytes)?, [1, 2]);
/// # Ok::<(), pleach::Error>(())
/// ```
///
/// For actors it must be in the list [`CODECS`](super::CODECS), where a child finds it by its name.
pub trait Encoding: Any + Send + Sync {
    /// Its name in the handshake, one of its own; `crate/codec` by custom.
    fn name(&self) -> &'static str;

    /// Whether it writes structs with the names of their fields, as JSON does; `true` by default.
    ///
    /// If it says `false`, as a codec does that writes values where their types say (postcard, bincode, msgpack with structs as lists), a
    /// struct is refused at the sender that leaves out a field, because the next one would be taken for it.
    fn has_field_names(&self) -> bool {
        true
    }

    /// Whether it writes an option as its value or as nothing, as JSON does; `true` by default.
    ///
    /// Then `Some(None)` is refused at the sender, as it would arrive as `None`, and `()` is written as `None`, as which most types
    /// read it that look at what comes. If it says `false`, as a codec does that writes whether there is a value (postcard, bincode, RON), both
    /// go as they are.
    fn has_flat_options(&self) -> bool {
        true
    }

    /// Writes the value to `out`, which is empty. If it fails, what it has written is removed.
    ///
    /// Whatever the value is, to serialize it may fail: of one that turns out to be large, which then comes once more on another thread.
    ///
    /// # Errors
    /// That it cannot carry the value, or what its serializing has failed with.
    fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<()>;

    /// Reads the value that takes up all of the bytes into the slot. The bytes can be anybody's: no length in them is to be believed
    /// before the bytes are there.
    ///
    /// # Errors
    /// That the bytes are no such value, or more than one.
    fn decode(&self, bytes: &[u8], slot: Slot<'_>) -> Result<()>;
}

/// A value that is to be encoded, whatever its type is. It is `Serialize`.
#[derive(Clone, Copy)]
pub struct Value<'a>(&'a dyn erased_serde::Serialize);

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        erased_serde::serialize(self.0, serializer)
    }
}

/// Where a decoded value goes, whatever its type is.
pub struct Slot<'a>(&'a mut dyn Fill);

impl Slot<'_> {
    /// Deserializes the value.
    ///
    /// # Errors
    /// With the text of the deserializer's, not with that itself; that the value nests too deep.
    pub fn fill<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<()> {
        let mut erased = <dyn erased_serde::Deserializer<'_>>::erase(deserializer);
        self.0.fill(&mut erased).map_err(Error::from)
    }
}

trait Fill {
    fn fill(&mut self, deserializer: &mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error>;
}

/// A place for a value of a known type.
struct Place<'a, T> {
    value: Option<T>,
    rules: Own<'a>,
}

impl<T: DeserializeOwned> Fill for Place<'_, T> {
    fn fill(&mut self, deserializer: &mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error> {
        self.value = Some(read(deserializer, self.rules)?);
        Ok(())
    }
}

/// Does something by the rules of a codec of one's own, and gives the best account of what goes wrong.
fn by_rules<T>(
    own: &dyn Encoding,
    room: &Cell<Option<usize>>,
    work: impl FnOnce(Own<'_>) -> Result<T>,
) -> Result<T, String> {
    let trouble = RefCell::new(None);
    let (has_names, is_flat) = (own.has_field_names(), own.has_flat_options());
    let way = RefCell::default();
    let rules = Own { has_names, is_flat, trouble: &trouble, way: &way, room };
    work(rules).map_err(|error| path::join(&way.take(), &trouble.take().unwrap_or_else(|| error.to_string())))
}

/// Whether they are one codec: of the same type, and with the same name. Where in memory it lies says nothing of a type without fields.
pub(super) fn are_one(this: &dyn Encoding, that: &dyn Encoding) -> bool {
    let types = [this as &dyn Any, that].map(Any::type_id);
    types[0] == types[1] && this.name() == that.name()
}

pub(super) fn encode<T: Serialize + ?Sized>(own: &dyn Encoding, value: &T, out: &mut Vec<u8>) -> Result<(), String> {
    by_rules(own, &without_end(), |rules| append(own, Value(&Checked::new(value, rules)), out))
}

/// What is in `out` already is none of the codec's business: a mistake in it would make something else of the frame around.
fn append(own: &dyn Encoding, value: Value<'_>, out: &mut Vec<u8>) -> Result<()> {
    if out.is_empty() {
        return own.encode(value, out);
    }
    let mut part = Vec::new();
    own.encode(value, &mut part)?;
    out.append(&mut part);
    Ok(())
}

/// Encodes a value for which there is so much room. The codec writes where it likes, so what is measured is the value: its text, its
/// bytes, and [`PART`](super::rules::PART) for each part. Says whether there was enough.
pub(super) fn encode_within<T: Serialize + ?Sized>(
    own: &dyn Encoding,
    value: &T,
    out: &mut Vec<u8>,
    room: usize,
) -> (bool, Result<(), String>) {
    let room = Cell::new(Some(room));
    let result = by_rules(own, &room, |rules| append(own, Value(&Checked::new(value, rules)), out));
    (room.get().is_some(), result)
}

fn without_end() -> Cell<Option<usize>> {
    Cell::new(Some(usize::MAX))
}

pub(super) fn decode<T: DeserializeOwned>(own: &dyn Encoding, bytes: &[u8]) -> Result<T, String> {
    by_rules(own, &without_end(), |rules| {
        let mut place = Place { value: None, rules };
        own.decode(bytes, Slot(&mut place))?;
        place.value.ok_or_else(|| Error::msg(format!("the codec `{}` has left its slot empty", own.name())))
    })
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").finish_non_exhaustive()
    }
}

impl fmt::Debug for Slot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}
