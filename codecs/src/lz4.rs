//! A codec around another one, which compresses what is large.
//!
//! ```text
//! 0        the bytes of the inner codec
//! 1        their number, 4 bytes, little-endian; a block of lz4
//! ```

use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use pleach::codec::{Codec, Encoding, Slot, Value};
use pleach::{Error, Result};

const PLAIN: u8 = 0;
const PACKED: u8 = 1;
/// The mark and the length before a block.
const HEADER: usize = 5;
/// Smaller values are not worth it.
const FROM: usize = 1024;
/// The most that a message may become.
const LIMIT: usize = 64 << 20;
/// A block cannot become more than this for each of its bytes, whatever length is written before it.
const RATIO: usize = 255;

/// Another codec, whose values are compressed by lz4 if they are large.
///
/// ```
/// use pleach::codec::Codec;
/// use pleach_codecs::{CBOR, Lz4};
///
/// /// For actors it would be in the list `CODECS`.
/// const CBOR_LZ4: Codec = Codec::Own(&Lz4::new("example/cbor+lz4", CBOR).from(200));
///
/// let (text, mut bytes) = ("willow ".repeat(100), Vec::new());
/// CBOR_LZ4.encode(&text, &mut bytes)?;
/// assert!(bytes.len() < 50);
/// assert_eq!(CBOR_LZ4.decode::<String>(&bytes)?, text);
/// # Ok::<(), pleach::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Lz4 {
    name: &'static str,
    inner: Codec,
    from: usize,
    limit: usize,
}

impl Lz4 {
    /// `inner` under a name of its own: values of 1 KiB and more are compressed, and none that becomes more than 64 MiB is
    /// decompressed.
    pub const fn new(name: &'static str, inner: Codec) -> Self {
        Self { name, inner, from: FROM, limit: LIMIT }
    }

    /// The size in bytes from which on values are compressed.
    pub const fn from(mut self, bytes: usize) -> Self {
        self.from = bytes;
        self
    }

    /// The most bytes that a value may become when it is decompressed: more is refused at both ends.
    pub const fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// The block in place of the plain bytes from `start` on, if it is smaller.
    fn pack(&self, out: &mut Vec<u8>, start: usize) -> Result<()> {
        let plain = out.len() - start - 1;
        if plain > self.limit {
            return Err(Error::msg(format!("{plain} bytes are over the limit of {} before lz4", self.limit)));
        }
        let mut packed = vec![0; HEADER + get_maximum_output_size(plain)];
        packed[0] = PACKED;
        packed[1..HEADER].copy_from_slice(&u32::try_from(plain)?.to_le_bytes());
        let length = HEADER + compress_into(&out[start + 1..], &mut packed[HEADER..])?;
        if length <= plain {
            out.truncate(start);
            out.extend_from_slice(&packed[..length]);
        }
        Ok(())
    }

    fn unpack(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let (length, block) = bytes.split_first_chunk().ok_or_else(|| Error::msg("no length before the block"))?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > self.limit.min(block.len().saturating_mul(RATIO)) {
            let text = format!(
                "a block of {} bytes is not decompressed to {length}, the limit is {}",
                block.len(),
                self.limit
            );
            return Err(Error::msg(text));
        }
        let mut plain = vec![0; length];
        match decompress_into(block, &mut plain)? {
            written if written == length => Ok(plain),
            written => Err(Error::msg(format!("the block is {written} bytes and not {length}"))),
        }
    }
}

impl Encoding for Lz4 {
    fn name(&self) -> &'static str {
        self.name
    }

    fn has_field_names(&self) -> bool {
        self.inner.has_field_names()
    }

    fn has_flat_options(&self) -> bool {
        self.inner.has_flat_options()
    }

    fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.push(PLAIN);
        self.inner.encode(&value, out).map_err(|error| Error::msg(error.cause))?;
        if out.len() - start > self.from { self.pack(out, start) } else { Ok(()) }
    }

    fn decode(&self, bytes: &[u8], slot: Slot<'_>) -> Result<()> {
        match bytes.split_first() {
            Some((&PLAIN, plain)) => self.inner.decode_into(plain, slot),
            Some((&PACKED, packed)) => self.inner.decode_into(&self.unpack(packed)?, slot),
            Some((mark, _)) => {
                Err(Error::msg(format!("{mark} stands where 0 or 1 says whether the value is compressed")))
            }
            None => Err(Error::msg("there are no bytes")),
        }
    }
}
