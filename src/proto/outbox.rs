//! The messages of a dialog that wait for their turn on the wire, in one buffer.
//!
//! Each stands behind 6 bytes: its kind, whether its credit has been taken, and its length.

use super::credit::message_cost;
use super::fragment::{HEADER, Header, Kind, MAX_PAYLOAD};
use super::recycle::Recycler;

/// Bytes in front of a message.
const PREFIX: usize = 6;

/// A message in two parts, which lets the caller put something in front without copying.
pub(crate) type Parts<'a> = [&'a [u8]; 2];

/// The first message of an [`Outbox`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// What it is.
    pub(crate) kind: Kind,
    /// Whether its credit was taken.
    pub(crate) charged: bool,
    /// Its length.
    pub(crate) len: usize,
}

/// A queue of messages as bytes.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// Where the first message begins.
    head: usize,
    /// How much of the first message has left.
    sent: usize,
    /// How many messages wait for credit.
    uncharged: usize,
}

impl Outbox {
    /// Makes room for a message.
    pub(crate) fn reserve(&mut self, len: usize, recycler: &mut Recycler) {
        recycler.reserve(&mut self.bytes, PREFIX + len);
    }

    /// Gives a large buffer away, once it is empty.
    pub(crate) fn release(&mut self, recycler: &mut Recycler) {
        recycler.reclaim(&mut self.bytes);
    }

    /// Appends a message.
    pub(crate) fn push(&mut self, kind: Kind, parts: Parts<'_>, charged: bool) {
        let len = (parts[0].len() + parts[1].len()) as u32;
        self.uncharged += usize::from(!charged);
        self.bytes.extend_from_slice(&[kind as u8, u8::from(charged)]);
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(parts[0]);
        self.bytes.extend_from_slice(parts[1]);
    }

    /// The first message.
    pub(crate) fn head(&self) -> Option<Head> {
        let prefix = self.bytes.get(self.head..self.head + PREFIX)?;
        let kind = Kind::from_byte(prefix[0]).expect("it was written by push");
        let len = u32::from_le_bytes(prefix[2..].try_into().expect("four bytes")) as usize;
        Some(Head { kind, charged: prefix[1] != 0, len })
    }

    /// Notes that the credit of the first message was taken.
    pub(crate) fn charge_head(&mut self) {
        self.bytes[self.head + 1] = 1;
        self.uncharged -= 1;
    }

    /// Whether a message in it waits for credit.
    pub(crate) fn is_starved(&self) -> bool {
        self.uncharged > 0
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.head == self.bytes.len()
    }

    /// Appends the next fragment of the first message to `out`.
    pub(crate) fn next_fragment(&mut self, dialog: u64, out: &mut Vec<u8>) {
        let Some(Head { kind, len, .. }) = self.head() else { return };
        let left = len - self.sent;
        let size = left.min(MAX_PAYLOAD);
        let header = Header { len: size as u32, kind, more: left > size, cpu: 0, dialog };
        let from = self.head + PREFIX + self.sent;
        out.reserve(HEADER + size);
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(&self.bytes[from..from + size]);
        self.sent += size;
        if left == size {
            self.head = from + size;
            self.sent = 0;
            self.compact();
        }
    }

    /// Throws everything away; gives the credit back that was taken for what has not left.
    pub(crate) fn clear(&mut self) -> u64 {
        let mut refund = 0;
        while let Some(Head { kind, charged, len }) = self.head() {
            if charged {
                refund += message_cost(kind, len - self.sent);
            }
            self.head += PREFIX + len;
            self.sent = 0;
        }
        self.uncharged = 0;
        self.compact();
        refund
    }

    fn compact(&mut self) {
        let left = self.bytes.len() - self.head;
        if left == 0 {
            self.bytes.clear();
        } else if self.head >= left {
            self.bytes.copy_within(self.head.., 0);
            self.bytes.truncate(left);
        } else {
            return;
        }
        self.head = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_leaves_in_fragments_and_the_unsent_rest_is_refunded() {
        let mut outbox = Outbox::default();
        let large = vec![1; 2 * MAX_PAYLOAD + 1];
        outbox.push(Kind::Item, [&[1], &large[1..]], true);
        outbox.push(Kind::Return, [b"", &[2; 5000]], false);
        assert!(outbox.is_starved());
        let mut out = Vec::new();
        outbox.next_fragment(9, &mut out);
        assert_eq!(out.len(), HEADER + MAX_PAYLOAD);
        assert_eq!(outbox.clear(), message_cost(Kind::Item, MAX_PAYLOAD + 1));
        assert!(outbox.is_empty() && !outbox.is_starved());
    }
}
