//! Secrets of 256 bits: the key of a tree, and what is derived from it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a key.
pub(crate) const KEY: usize = 32;

/// A secret. It is wiped from memory when it is dropped, and no text of it can be made.
///
/// It is boxed, so that moving it leaves no copy behind.
#[derive(Clone)]
pub(crate) struct Key(Box<Zeroizing<[u8; KEY]>>);

impl Key {
    /// These bytes, which are wiped where they were.
    pub(crate) fn take(bytes: &mut [u8; KEY]) -> Self {
        let mut key = Box::new(Zeroizing::new([0; KEY]));
        key.copy_from_slice(bytes);
        bytes.zeroize();
        Self(key)
    }

    /// Another key, for one purpose and one bearer. Who has it cannot find out this one.
    pub(crate) fn derive(&self, purpose: &str, parts: &[&[u8]]) -> Self {
        let mut mac = self.mac();
        // Each part with its length, so that no two lists are the same bytes.
        for part in [purpose.as_bytes()].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        Self::take(&mut mac.finalize().into_bytes().into())
    }

    /// The key under which an actor proves to its parent, and the other way round, that a connection is theirs.
    pub(crate) fn derive_data(&self, path: &str, incarnation: u64) -> Self {
        self.derive("data", &[path.as_bytes(), &incarnation.to_le_bytes()])
    }

    /// A keyed hash that begins.
    pub(crate) fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0[..]).expect("a MAC takes a key of any length")
    }

    /// The bytes, for whoever must hand them on.
    pub(crate) fn expose(&self) -> &[u8; KEY] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Looks at all bytes, wherever the first difference is.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0.iter()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
    }
}

impl Eq for Key {}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.expose())
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Bytes)
    }
}

/// Takes the bytes from where they are read to where they stay, with no copy between.
struct Bytes;

impl Visitor<'_> for Bytes {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{KEY} bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Key, E> {
        let mut key = Box::new(Zeroizing::new([0; KEY]));
        if bytes.len() != KEY {
            return Err(E::invalid_length(bytes.len(), &self));
        }
        key.copy_from_slice(bytes);
        Ok(Key(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x01_a_key_shows_nothing_and_leaves_nothing() {
        let mut bytes = [0xA7; KEY];
        let key = Key::take(&mut bytes);
        assert_eq!(bytes, [0; KEY], "the bytes that it was made of are wiped");
        assert_eq!(format!("{key:?}"), "Key(..)");
        assert_eq!(key.expose(), &[0xA7; KEY]);
    }

    #[test]
    fn x01_a_derived_key_is_of_its_purpose_and_of_each_part() {
        let key = Key::take(&mut [1; KEY]);
        let of = |purpose, parts: &[&[u8]]| *key.derive(purpose, parts).expose();
        let first = of("data", &[b"root/a", b"1"]);
        assert_eq!(first, of("data", &[b"root/a", b"1"]));
        for other in [of("join", &[b"root/a", b"1"]), of("data", &[b"root/a1"]), of("data", &[b"root/", b"a1"])] {
            assert_ne!(first, other);
        }
        assert_ne!(first, *Key::take(&mut [2; KEY]).derive("data", &[b"root/a", b"1"]).expose());
        assert_ne!(first, *key.expose());
    }

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let key = Key::take(&mut std::array::from_fn(|at| at as u8));
        let bytes = rmp_serde::to_vec_named(&key).unwrap();
        assert_eq!(bytes.len(), 2 + KEY, "bytes as bytes");
        assert_eq!(rmp_serde::from_slice::<Key>(&bytes).unwrap(), key);
        assert!(rmp_serde::from_slice::<Key>(&bytes[..20]).is_err());
    }
}
