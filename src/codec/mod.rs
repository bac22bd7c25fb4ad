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
#![forbid(unsafe_code)]

mod error;
mod json_read;
mod json_write;

use std::io::ErrorKind;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

pub use error::{DecodeError, EncodeError};

/// Levels of nesting that are decoded from MessagePack. JSON has 128.
const DEPTH: usize = 64;

/// A way to encode values. Both ends of a connection agree on one in the handshake.
#[non_exhaustive]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub enum Codec {
    /// MessagePack with named fields: compact and fast, bytes as they are. The default.
    #[default]
    MsgPack,
    /// JSON: readable, and known to every language. Bytes are base64 text; infinities, NaN and keys that are no text are refused.
    Json,
}

impl Codec {
    /// Its name in the handshake.
    pub fn name(self) -> &'static str {
        match self {
            Self::MsgPack => "msgpack",
            Self::Json => "json",
        }
    }

    /// The codec with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::MsgPack, Self::Json].into_iter().find(|codec| codec.name() == name)
    }

    /// Appends the encoded value to `out`.
    ///
    /// # Errors
    /// [`EncodeError`] if the codec cannot carry the value, or it fails to serialize itself; `out` is then as before.
    pub fn encode<T: Serialize + ?Sized>(self, value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let before = out.len();
        let result = match self {
            Self::MsgPack => rmp_serde::encode::write_named(out, value).map_err(|error| error.to_string()),
            Self::Json => json_write::write(value, out).map_err(|error| error.to_string()),
        };
        result.map_err(|cause| {
            out.truncate(before);
            EncodeError::new::<T>(self, cause)
        })
    }

    /// Decodes a value, which must take up all the bytes.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not a `T`, are nested too deep, or more than one value.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        let result = match self {
            Self::MsgPack => decode_msgpack(bytes),
            Self::Json => json_read::read(bytes).map_err(|error| error.to_string()),
        };
        result.map_err(|cause| DecodeError::new::<T>(self, cause, bytes))
    }
}

fn decode_msgpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    // In place: the reader of streams allocates a buffer for every value.
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(DEPTH);
    let value = T::deserialize(&mut deserializer).map_err(|error| error.to_string())?;
    // It does not say what is left; where nothing is, there is no next value, which is an error of its own.
    match IgnoredAny::deserialize(&mut deserializer) {
        Err(rmp_serde::decode::Error::InvalidMarkerRead(end)) if end.kind() == ErrorKind::UnexpectedEof => Ok(value),
        _ => Err("more bytes follow the value".to_owned()),
    }
}

#[cfg(test)]
mod tests;
