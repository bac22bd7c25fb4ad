//! How values become bytes: the codecs, chosen per connection at run time.
//!
//! ```
//! use pleach::codec::Codec;
//!
//! let mut bytes = Vec::new();
//! Codec::Json.encode(&("port", 80), &mut bytes)?;
//! assert_eq!(bytes, br#"["port",80]"#);
//! let (name, number): (String, u16) = Codec::Json.decode(&bytes)?;
//! assert_eq!((name.as_str(), number), ("port", 80));
//! # Ok::<(), pleach::Error>(())
//! ```
//!
//! What a codec cannot carry is an error at the sender, never something else at the receiver. Bytes are bytes only if serde is
//! told so (`serde_bytes`); a plain `Vec<u8>` is a list of numbers to it.

mod brim;
mod error;
mod level;
mod own;
mod path;
mod read;
mod registry;
mod rules;
mod write;

use std::cell::Cell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;

use serde::Serialize;
use serde::de::{DeserializeOwned, Deserializer, Visitor};

use brim::Brim;
pub use error::{DecodeError, EncodeError, Undecoded};
pub use own::{Encoding, Slot, Value};
pub use registry::CODECS;
use rules::Rules;
use write::Checked;

/// A way to encode values. Both ends of a connection agree on one in the handshake.
///
/// Two codecs are equal if they have the same name.
#[non_exhaustive]
#[derive(Clone, Copy, Default)]
pub enum Codec {
    /// MessagePack with named fields: compact and fast, bytes as they are. The default.
    #[default]
    MsgPack,
    /// JSON: readable, and known to every language. Bytes are base64 text; infinities, NaN and keys that are no text are refused.
    Json,
    /// One of another crate, or of your own.
    Own(&'static dyn Encoding),
}

impl Codec {
    /// Its name in the handshake.
    pub fn name(self) -> &'static str {
        match self {
            Self::MsgPack => "msgpack",
            Self::Json => "json",
            Self::Own(own) => own.name(),
        }
    }

    /// The codecs that this program knows: msgpack, JSON and those in [`CODECS`].
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::MsgPack, Self::Json].into_iter().chain(CODECS.iter().copied())
    }

    /// The codec with this name, of those that this program knows.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|codec| codec.name() == name)
    }

    /// Whether a process of this program that looks for its name finds it, and not another one of this name.
    pub(crate) fn is_listed(self) -> bool {
        Self::from_name(self.name()).is_some_and(|found| match (self, found) {
            (Self::Own(this), Self::Own(found)) => own::are_one(this, found),
            (Self::Own(_), _) | (_, Self::Own(_)) => false,
            _ => true,
        })
    }

    /// Whether structs have the names of their fields, see [`Encoding::has_field_names`].
    pub fn has_field_names(self) -> bool {
        match self {
            Self::MsgPack | Self::Json => true,
            Self::Own(own) => own.has_field_names(),
        }
    }

    /// Whether an option is its value or nothing, see [`Encoding::has_flat_options`].
    pub fn has_flat_options(self) -> bool {
        match self {
            Self::MsgPack | Self::Json => true,
            Self::Own(own) => own.has_flat_options(),
        }
    }

    /// Appends the encoded value to `out`.
    ///
    /// # Errors
    /// [`EncodeError`] if the codec cannot carry the value, or it fails to serialize itself; `out` is then as before.
    // Msgpack is compiled into the caller, as the bare crate is: a frame of its own costs as much as three numbers. JSON takes longer
    // than a frame, and would only keep registers from msgpack.
    #[inline(always)]
    pub fn encode<T: Serialize + ?Sized>(self, value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let before = out.len();
        match self {
            Self::MsgPack => {
                to_msgpack(value, &mut *out).map_err(|cause| refused::<T>(Self::MsgPack, cause, out, before))
            }
            Self::Json => {
                to_json(value, &mut *out, rules::Json).map_err(|cause| refused::<T>(Self::Json, cause, out, before))
            }
            Self::Own(own) => own_of(own, value, out),
        }
    }

    /// Appends the encoded value to `out` if it has not more bytes than `room`, and says whether it has; of a codec that is not one
    /// of these two, if the value itself has not.
    ///
    /// # Errors
    /// Those of [`encode`](Self::encode), as far as it has got; `out` is as before then, and if it has not encoded the value.
    pub(crate) fn encode_within<T: Serialize + ?Sized>(
        self,
        value: &T,
        out: &mut Vec<u8>,
        room: usize,
    ) -> Result<bool, EncodeError> {
        let before = out.len();
        let mut brim = Brim::new(out, room);
        let (fits, result) = match self {
            Self::MsgPack => {
                let result = to_msgpack(value, &mut brim).map_err(|cause| cause.to_string());
                (!brim.is_over(), result)
            }
            Self::Json => {
                let over = Cell::new(false);
                let result = to_json(value, &mut brim, rules::JsonWithin { room, over: &over });
                (!brim.is_over() && !over.get(), result.map_err(|cause| cause.to_string()))
            }
            Self::Own(own) => own::encode_within(own, value, out, room),
        };
        // Whatever the value has made of being refused.
        if !fits {
            out.truncate(before);
            return Ok(false);
        }
        result.map(|()| true).map_err(|cause| refused::<T>(self, cause, out, before))
    }

    /// Decodes a value, which must take up all the bytes.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not a `T`, are nested too deep, or more than one value.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        match self {
            Self::MsgPack => from_msgpack(bytes),
            Self::Json => from_json(bytes),
            Self::Own(own) => own::decode(own, bytes).map_err(|cause| DecodeError::new::<T>(self, cause, bytes)),
        }
    }

    /// Decodes a value into a slot: what [`decode`](Self::decode) does for a codec that wraps another one.
    ///
    /// # Errors
    /// Those of [`decode`](Self::decode).
    pub fn decode_into(self, bytes: &[u8], slot: Slot<'_>) -> crate::Result<()> {
        match self {
            Self::MsgPack => {
                let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
                slot.fill(&mut deserializer)?;
                if is_at_end(&mut deserializer) { Ok(()) } else { Err(crate::Error::msg(MORE)) }
            }
            Self::Json => {
                let mut json = serde_json::Deserializer::from_slice(bytes);
                slot.fill(read::wrap(&mut json, rules::Json))?;
                Ok(json.end()?)
            }
            Self::Own(own) => own.decode(bytes, slot),
        }
    }
}

#[inline(always)]
fn to_msgpack<T: Serialize + ?Sized>(value: &T, out: impl io::Write) -> Result<(), rmp_serde::encode::Error> {
    let mut serializer = rmp_serde::Serializer::new(out).with_struct_map();
    Checked::new(value, rules::MsgPack).serialize(&mut serializer)
}

// Not into the caller, see `Codec::encode`; nor is what follows.
#[inline(never)]
fn to_json<T: Serialize + ?Sized>(value: &T, out: impl io::Write, rules: impl Rules) -> serde_json::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, write::Base64);
    Checked::new(value, rules).serialize(&mut serializer)
}

#[inline(never)]
fn own_of<T: Serialize + ?Sized>(own: &'static dyn Encoding, value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let before = out.len();
    own::encode(own, value, out).map_err(|cause| refused::<T>(Codec::Own(own), cause, out, before))
}

/// The error of a value whose beginning is to be taken back. Apart, so that encoding keeps no room and no registers for it.
#[cold]
#[inline(never)]
fn refused<T: ?Sized>(codec: Codec, cause: impl ToString, out: &mut Vec<u8>, before: usize) -> EncodeError {
    out.truncate(before);
    EncodeError::new::<T>(codec, &cause.to_string())
}

// The value is made where it is returned: to move it once more costs as much as to read a small one.

fn from_msgpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    match read::read(&mut deserializer, rules::MsgPack) {
        Ok(value) if is_at_end(&mut deserializer) => Ok(value),
        Ok(_) => Err(trouble::<T>(Codec::MsgPack, MORE, deserializer.get_ref())),
        Err(error) => Err(trouble::<T>(Codec::MsgPack, error, deserializer.get_ref())),
    }
}

fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    match read::read(&mut json, rules::Json) {
        Ok(value) => match json.end() {
            Ok(()) => Ok(value),
            Err(error) => Err(trouble::<T>(Codec::Json, error, bytes)),
        },
        Err(error) => Err(trouble::<T>(Codec::Json, error, bytes)),
    }
}

#[cold]
#[inline(never)]
fn trouble<T>(codec: Codec, cause: impl ToString, bytes: &[u8]) -> DecodeError {
    DecodeError::new::<T>(codec, cause.to_string(), bytes)
}

/// rmp-serde's deserializer of bytes that it borrows.
type FromSlice<'a> = rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'a, [u8]>>;

const MORE: &str = "more bytes follow the value";

/// A deserializer that borrows does not say how far it is. But the only error before the first byte of a value is that there is
/// none.
#[inline]
fn is_at_end(rest: &mut FromSlice<'_>) -> bool {
    let Err(rmp_serde::decode::Error::InvalidMarkerRead(end)) = rest.deserialize_option(Anything) else { return false };
    // A slice that has come to its end says so with a constant of the standard library, in which there is nothing to drop; to find
    // that out takes a call. If there were, the test that counts the allocations of a stream would say so.
    std::mem::forget(end);
    true
}

/// Takes an option and does not look at what is in it: of all visitors the one for which least is read.
struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Ok(())
    }
}

impl PartialEq for Codec {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Codec {}

impl Hash for Codec {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codec({})", self.name())
    }
}

#[cfg(test)]
mod tests;
