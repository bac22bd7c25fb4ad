//! What the protocol itself encodes: msgpack with named fields, read no deeper than a small stack allows.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Deepest nesting of anything the protocol reads. What it writes is far flatter.
const MAX_DEPTH: usize = 64;

/// Appends a value.
pub(crate) fn put<T: Serialize>(out: &mut Vec<u8>, value: &T) -> Result<(), rmp_serde::encode::Error> {
    rmp_serde::encode::write_named(out, value)
}

/// Reads a value. Fields that it does not know are ignored; nothing is allocated from a length that is only declared.
pub(crate) fn get<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut reader)
}
