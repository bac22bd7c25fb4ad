//! Codecs by name.
//!
//! The list is a linker section, like that of the hosts: each crate that owns a codec adds it, and a program has those of the
//! crates it uses. Declaring the section needs an attribute that the compiler counts as unsafe; nothing here is executed.
#![allow(unsafe_code)]

use super::Codec;

/// The codecs of one's own that an actor of this program knows.
///
/// The crate of a codec adds it with linkme, which it must depend on itself:
///
/// ```
/// use pleach::codec::{CODECS, Codec, Encoding, Slot, Value};
///
/// /// Every value is nothing.
/// struct Void;
///
/// impl Encoding for Void {
///     fn name(&self) -> &'static str {
///         "example/void"
///     }
///
///     fn encode(&self, _: Value<'_>, _: &mut Vec<u8>) -> pleach::Result<()> {
///         Ok(())
///     }
///
///     fn decode(&self, _: &[u8], slot: Slot<'_>) -> pleach::Result<()> {
///         slot.fill(serde::de::value::UnitDeserializer::<serde::de::value::Error>::new())
///     }
/// }
///
/// #[linkme::distributed_slice(CODECS)]
/// static VOID: Codec = Codec::Own(&Void);
///
/// assert_eq!(Codec::from_name("example/void"), Some(VOID));
/// ```
#[linkme::distributed_slice]
pub static CODECS: [Codec];
