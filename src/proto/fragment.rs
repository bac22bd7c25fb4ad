//! The unit of the wire: a header of 16 bytes and at most 64 KiB of payload.
//!
//! ```text
//! 0..4    payload length, little endian
//! 4       kind
//! 5       flags: bit 0 = more fragments of this message follow
//! 6..8    the CPU the writer ran on, plus one, little endian; 0 = not told
//! 8..16   dialog, little endian; 0 = the connection itself
//! ```

use std::ops::Range;

use thiserror::Error;

/// Bytes of a header.
pub(crate) const HEADER: usize = 16;
/// Most payload of one fragment.
pub(crate) const MAX_PAYLOAD: usize = 64 * 1024;
const MORE: u8 = 1;
/// Where in a header the writer's CPU is.
const CPU: Range<usize> = 6..8;

/// What a fragment is for. 0x40..=0x7F is reserved for inspection and debugging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    Hello = 1,
    SpawnSpec = 2,
    Start = 3,
    StartAck = 4,
    Started = 5,
    Item = 6,
    Credit = 7,
    Stop = 8,
    Return = 9,
    Error = 10,
    Cancel = 11,
    CancelAck = 12,
    Ping = 13,
    Pong = 14,
    Bye = 15,
    Blocked = 16,
}

impl Kind {
    /// The kind with this number.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        const ALL: [Kind; 16] = [
            Kind::Hello,
            Kind::SpawnSpec,
            Kind::Start,
            Kind::StartAck,
            Kind::Started,
            Kind::Item,
            Kind::Credit,
            Kind::Stop,
            Kind::Return,
            Kind::Error,
            Kind::Cancel,
            Kind::CancelAck,
            Kind::Ping,
            Kind::Pong,
            Kind::Bye,
            Kind::Blocked,
        ];
        ALL.get(usize::from(byte).checked_sub(1)?).copied()
    }
}

/// The head of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of payload behind it.
    pub(crate) len: u32,
    /// What it is for.
    pub(crate) kind: Kind,
    /// Whether the message goes on in the next fragment of the same dialog and kind.
    pub(crate) more: bool,
    /// The writer's CPU plus one, 0 if not told.
    pub(crate) cpu: u16,
    /// The dialog, 0 for the connection itself.
    pub(crate) dialog: u64,
}

/// Bytes that are no header of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum BadHeader {
    #[error("unknown frame kind {0}")]
    Kind(u8),
    #[error("unknown flags {0:#04x}")]
    Flags(u8),
    #[error("a fragment of {0} bytes, at most {MAX_PAYLOAD} are allowed")]
    Length(u32),
}

impl Header {
    /// The CPU the writer ran on, if it was told.
    pub(crate) fn writer_cpu(self) -> Option<usize> {
        usize::from(self.cpu).checked_sub(1)
    }

    /// The 16 bytes of it.
    pub(crate) fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0..4].copy_from_slice(&self.len.to_le_bytes());
        bytes[4] = self.kind as u8;
        bytes[5] = if self.more { MORE } else { 0 };
        bytes[CPU].copy_from_slice(&self.cpu.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.dialog.to_le_bytes());
        bytes
    }

    /// Reads a header. Nothing is allocated from the length it declares.
    pub(crate) fn parse(bytes: &[u8; HEADER]) -> Result<Self, BadHeader> {
        let len = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if len as usize > MAX_PAYLOAD {
            return Err(BadHeader::Length(len));
        }
        let kind = Kind::from_byte(bytes[4]).ok_or(BadHeader::Kind(bytes[4]))?;
        if bytes[5] & !MORE != 0 {
            return Err(BadHeader::Flags(bytes[5]));
        }
        let dialog = u64::from_le_bytes(bytes[8..16].try_into().expect("eight bytes"));
        Ok(Self { len, kind, more: bytes[5] & MORE != 0, cpu: u16::from_le_bytes([bytes[6], bytes[7]]), dialog })
    }
}

/// Writes into the header that `fragments` begins with that they were written on this CPU; once per write is enough.
pub(crate) fn tell_cpu(fragments: &mut [u8], cpu: usize) {
    if let (Some(field), Ok(told)) = (fragments.get_mut(CPU), u16::try_from(cpu + 1)) {
        field.copy_from_slice(&told.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for kind in 1..=16 {
            let kind = Kind::from_byte(kind).unwrap();
            let header = Header { len: 65_536, kind, more: true, cpu: 3, dialog: u64::MAX };
            assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
        }
    }

    #[test]
    fn what_is_no_header_is_refused_with_its_reason() {
        let good = Header { len: 1, kind: Kind::Item, more: false, cpu: 0, dialog: 1 }.to_bytes();
        let with = |at: usize, byte: u8| {
            let mut bytes = good;
            bytes[at] = byte;
            Header::parse(&bytes)
        };
        assert_eq!(with(4, 0), Err(BadHeader::Kind(0)));
        assert_eq!(with(4, 17), Err(BadHeader::Kind(17)));
        assert_eq!(with(5, 2), Err(BadHeader::Flags(2)));
        assert_eq!(with(3, 1), Err(BadHeader::Length(0x0100_0001)));
    }
}
