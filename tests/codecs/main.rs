//! Codecs: what they carry, what they refuse, how they are agreed on (laws T2, T3, T4).

mod actors;
mod choice;
mod fidelity;
#[path = "../harness/mod.rs"]
mod harness;
mod hostile;
mod preferred;
mod properties;
mod shapes;
mod values;

use pleach::codec::Codec;
use pleach_codecs::{CBOR, MSGPACK_LZ4, POSTCARD};

pleach::test_entry!();

/// The columns of the table in `docs/codecs.md`.
const CODECS: [Codec; 5] = [Codec::MsgPack, Codec::Json, POSTCARD, CBOR, MSGPACK_LZ4];
