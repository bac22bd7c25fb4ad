//! A value that is held up in the middle of being encoded, and tells who has decoded it.

use std::sync::{Arc, Mutex};

use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;

use super::gate::Gate;

/// More than is encoded at once.
pub(crate) const LARGE: usize = 1 << 20;
/// What becomes of a value once its gate is open.
#[derive(Clone, Copy)]
pub(crate) enum Fate {
    Encoded,
    Refused,
    Panics,
}

pub(crate) struct Item {
    pub(crate) number: u32,
    pub(crate) bytes: ByteBuf,
    /// Encoded only once this is open.
    held: Option<(Arc<Gate>, Fate)>,
}

impl Item {
    pub(crate) fn small(number: u32) -> Self {
        Self { number, bytes: ByteBuf::new(), held: None }
    }

    pub(crate) fn large(number: u32, gate: &Arc<Gate>, fate: Fate) -> Self {
        Self { number, bytes: ByteBuf::from(vec![7; LARGE]), held: Some((gate.clone(), fate)) }
    }
}

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some((gate, fate)) = &self.held
            && gate.pass()
        {
            match fate {
                Fate::Encoded => {}
                Fate::Refused => return Err(S::Error::custom("no such bytes")),
                Fate::Panics => panic!("no more bytes"),
            }
        }
        (self.number, &self.bytes).serialize(serializer)
    }
}

/// The numbers of all that were decoded.
pub(crate) static ARRIVED: Mutex<Vec<u32>> = Mutex::new(Vec::new());

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (number, bytes) = <(u32, ByteBuf)>::deserialize(deserializer)?;
        ARRIVED.lock().unwrap().push(number);
        Ok(Self { number, bytes, held: None })
    }
}
