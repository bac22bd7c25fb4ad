//! Codecs for pleach beyond msgpack and JSON. Each is one value:
//!
//! ```no_run
//! use pleach::codec::Codec;
//! use pleach::prelude::*;
//!
//! #[pleach::endpoint]
//! async fn double(n: u64) -> Result<u64> {
//!     Ok(2 * n)
//! }
//!
//! #[pleach::main]
//! async fn main() -> Result<()> {
//!     actor_nursery(async |n| {
//!         let worker = n.actor("worker").codecs([pleach_codecs::POSTCARD, Codec::MsgPack]).expose(double).start().await?;
//!         assert_eq!(worker.run(double, (21,)).await?, 42);
//!         worker.cancel_actor().await
//!     })
//!     .await
//! }
//! ```
//!
//! What each of them can carry is in `docs/codecs.md`.
#![forbid(unsafe_code)]

mod cbor;
mod lz4;
mod postcard;

use pleach::codec::{CODECS, Codec};

pub use self::cbor::Cbor;
pub use self::lz4::Lz4;
pub use self::postcard::Postcard;

/// postcard: small and fast. It writes no names, so that it cannot carry types that look at what comes: untagged and internally
/// tagged enums, flattened structs, JSON values.
pub const POSTCARD: Codec = Codec::Own(&Postcard);

/// CBOR (RFC 8949), with the names of fields: a standard that most languages have.
pub const CBOR: Codec = Codec::Own(&Cbor);

/// msgpack, and values from 1 KiB on compressed by lz4.
pub const MSGPACK_LZ4: Codec = Codec::Own(&Lz4::new("msgpack+lz4", Codec::MsgPack));

/// JSON, and values from 1 KiB on compressed by lz4.
pub const JSON_LZ4: Codec = Codec::Own(&Lz4::new("json+lz4", Codec::Json));

#[linkme::distributed_slice(CODECS)]
static KNOWN_POSTCARD: Codec = POSTCARD;

#[linkme::distributed_slice(CODECS)]
static KNOWN_CBOR: Codec = CBOR;

#[linkme::distributed_slice(CODECS)]
static KNOWN_MSGPACK_LZ4: Codec = MSGPACK_LZ4;

#[linkme::distributed_slice(CODECS)]
static KNOWN_JSON_LZ4: Codec = JSON_LZ4;
