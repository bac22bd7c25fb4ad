//! postcard: every value where its type says, nothing else.

use pleach::codec::{Encoding, Slot, Value};
use pleach::{Error, Result};
use postcard::ser_flavors::Flavor;

/// See [`POSTCARD`](crate::POSTCARD).
#[derive(Clone, Copy, Debug)]
pub struct Postcard;

impl Encoding for Postcard {
    fn name(&self) -> &'static str {
        "postcard"
    }

    fn has_field_names(&self) -> bool {
        false
    }

    fn has_flat_options(&self) -> bool {
        false
    }

    fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<()> {
        Ok(postcard::serialize_with_flavor(&value, Onto(out))?)
    }

    fn decode(&self, bytes: &[u8], slot: Slot<'_>) -> Result<()> {
        let mut deserializer = postcard::Deserializer::from_bytes(bytes);
        slot.fill(&mut deserializer)?;
        match deserializer.finalize()?.len() {
            0 => Ok(()),
            more => Err(Error::msg(format!("{more} bytes follow the value"))),
        }
    }
}

/// Where postcard writes to.
struct Onto<'a>(&'a mut Vec<u8>);

impl Flavor for Onto<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
