//! CBOR, by cbor4ii.
//!
//! Of the crates that are kept, it is the one that keeps most: minicbor-serde writes a `char` as a number, which a tagged enum does not
//! read back; ciborium gives its deserializer to nobody, and has had no release for long.

use cbor4ii::core::dec::Read;
use cbor4ii::core::utils::{IoWriter, SliceReader};
use cbor4ii::serde::{Deserializer, EncodeError, Serializer};
use pleach::codec::{Encoding, Slot, Value};
use pleach::{Error, Result};
use serde::Serialize;

/// See [`CBOR`](crate::CBOR).
#[derive(Clone, Copy, Debug)]
pub struct Cbor;

impl Encoding for Cbor {
    fn name(&self) -> &'static str {
        "cbor"
    }

    fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<()> {
        match value.serialize(&mut Serializer::new(&mut IoWriter::new(out))) {
            Err(EncodeError::Custom(text)) => Err(Error::msg(text)),
            other => Ok(other?),
        }
    }

    fn decode(&self, bytes: &[u8], slot: Slot<'_>) -> Result<()> {
        let mut deserializer = Deserializer::new(SliceReader::new(bytes));
        slot.fill(&mut deserializer)?;
        match deserializer.into_inner().fill(1)?.as_ref() {
            [] => Ok(()),
            _ => Err(Error::msg("more bytes follow the value")),
        }
    }
}
