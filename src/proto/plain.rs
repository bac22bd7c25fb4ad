//! What the protocol itself encodes: msgpack with named fields, read no deeper than a small stack allows.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Deepest nesting of anything the protocol reads. What it writes is far flatter.
const MAX_DEPTH: usize = 64;

/// Appends a value.
pub(super) fn put<T: Serialize>(out: &mut Vec<u8>, value: &T) -> Result<(), rmp_serde::encode::Error> {
    rmp_serde::encode::write_named(out, value)
}

/// Reads a value. Fields that it does not know are ignored; nothing is allocated from a length that is only declared.
pub(super) fn get<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, rmp_serde::decode::Error> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    reader.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut reader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reason;

    /// A reason in a reason, `depth` times, as only a liar writes it.
    fn nested(depth: usize) -> Vec<u8> {
        let mut reason = Reason::Deadline;
        for _ in 0..depth {
            reason = Reason::ParentCancelled { actor: String::new(), because: Box::new(reason) };
        }
        let mut bytes = Vec::new();
        put(&mut bytes, &reason).unwrap();
        bytes
    }

    #[test]
    fn x06_what_is_nested_too_deep_is_refused_on_a_small_stack() {
        let small = std::thread::Builder::new().stack_size(512 * 1024);
        let read = small.spawn(|| {
            assert!(get::<Reason>(&nested(10)).is_ok());
            assert!(get::<Reason>(&nested(400)).is_err());
            assert!(get::<Reason>(&[0x91; 100_000]).is_err());
        });
        read.unwrap().join().expect("the stack is large enough");
    }
}
