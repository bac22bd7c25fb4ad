//! What the start of a dialog says: which endpoint, in which version, with which arguments, and how long it may take.
//!
//! ```text
//! 0..8    hash of the signature, little endian
//! 8..12   version of the endpoint, 0 = unchecked
//! 12..20  remaining milliseconds plus one, 0 = no deadline
//! 20..22  length of the name
//! 22..    name, UTF-8; then the arguments, encoded with the codec of the connection, to the end
//! ```
//!
//! Bytes behind a longer fixed part cannot be added without a new protocol version: the arguments reach to the end.

use thiserror::Error;

/// Bytes in front of the name.
const FIXED: usize = 22;

/// The start of a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start<'a> {
    /// The stable name of the endpoint.
    pub(crate) endpoint: &'a str,
    /// The hash of the tokens of its signature.
    pub(crate) signature: u64,
    /// Its version, 0 if it is not to be checked.
    pub(crate) version: u32,
    /// What is left of the caller's deadline, in milliseconds.
    pub(crate) remaining_ms: Option<u64>,
    /// The encoded arguments.
    pub(crate) args: &'a [u8],
}

/// Bytes that are no start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum BadStart {
    /// It ends too early.
    #[error("the start of a dialog is cut off")]
    Short,
    /// The name is not text.
    #[error("the name of the endpoint is not UTF-8")]
    Name,
}

/// The name of an endpoint is longer than a start can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the name of the endpoint has {0} bytes, at most 65535 are allowed")]
pub(crate) struct NameTooLong(usize);

impl<'a> Start<'a> {
    /// Appends it to `out`.
    #[cfg(test)]
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), NameTooLong> {
        self.encode_head(out)?;
        out.extend_from_slice(self.args);
        Ok(())
    }

    /// Appends everything but the arguments, so that these can be encoded right behind it.
    pub(crate) fn encode_head(&self, out: &mut Vec<u8>) -> Result<(), NameTooLong> {
        let len = self.endpoint.len();
        let short = u16::try_from(len).map_err(|_| NameTooLong(len))?;
        let remaining = self.remaining_ms.map_or(0, |ms| ms.saturating_add(1));
        out.extend_from_slice(&self.signature.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&remaining.to_le_bytes());
        out.extend_from_slice(&short.to_le_bytes());
        out.extend_from_slice(self.endpoint.as_bytes());
        Ok(())
    }

    /// Reads it; nothing is copied.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, BadStart> {
        let (fixed, rest) = bytes.split_first_chunk::<FIXED>().ok_or(BadStart::Short)?;
        let len = usize::from(u16::from_le_bytes([fixed[20], fixed[21]]));
        let (name, args) = rest.split_at_checked(len).ok_or(BadStart::Short)?;
        let number = |from: usize| u64::from_le_bytes(fixed[from..from + 8].try_into().expect("eight bytes"));
        Ok(Self {
            endpoint: std::str::from_utf8(name).map_err(|_| BadStart::Name)?,
            signature: number(0),
            version: u32::from_le_bytes(fixed[8..12].try_into().expect("four bytes")),
            remaining_ms: number(12).checked_sub(1),
            args,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_read_as_it_was_written_and_every_cut_is_noticed() {
        for remaining_ms in [None, Some(0), Some(1500)] {
            let start =
                Start { endpoint: "greet", signature: u64::MAX - 7, version: 3, remaining_ms, args: &[1, 2, 3] };
            let mut bytes = Vec::new();
            start.encode(&mut bytes).unwrap();
            assert_eq!(Start::decode(&bytes), Ok(start));
            for cut in 0..FIXED + 5 {
                assert_eq!(Start::decode(&bytes[..cut]), Err(BadStart::Short));
            }
            bytes[FIXED] = 0xFF;
            assert_eq!(Start::decode(&bytes), Err(BadStart::Name));
        }
    }

    #[test]
    fn a_name_that_does_not_fit_is_refused() {
        let name = "x".repeat(65_536);
        let start = Start { endpoint: &name, signature: 0, version: 0, remaining_ms: None, args: &[] };
        assert_eq!(start.encode(&mut Vec::new()), Err(NameTooLong(65_536)));
    }
}
