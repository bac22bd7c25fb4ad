//! The messages of a dialog that wait for their turn on the wire, in one buffer.
//!
//! Each stands behind 6 bytes: its kind, what is known of it, and its length. A large one that was given with its buffer
//! stays there, and has only these 6 bytes here.

use std::collections::VecDeque;
use std::sync::Arc;

use super::credit::message_cost;
use super::fragment::{Header, Kind, MAX_PAYLOAD};
use super::gather::Gather;
use super::recycle::{LARGE, Recycler};

/// Bytes in front of a message.
const PREFIX: usize = 6;
/// With more than this in buffers of their own, further large messages wait with their senders: what is written soon after it
/// was encoded is still in the cache, and its buffer is used for the next one.
const ENOUGH: usize = 8 * LARGE;
/// Its credit has been taken.
const CHARGED: u8 = 1;
/// It is in a buffer of its own.
const OWN: u8 = 2;

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
    /// Whether it is in a buffer of its own.
    own: bool,
}

/// A queue of messages as bytes.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// The messages with buffers of their own.
    own: VecDeque<Arc<Vec<u8>>>,
    /// The bytes of these.
    owned: usize,
    /// Somebody waits until there are fewer.
    awaited: bool,
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
        let known = if charged { CHARGED } else { 0 };
        self.push_prefix(kind, known, parts[0].len() + parts[1].len());
        self.bytes.extend_from_slice(parts[0]);
        self.bytes.extend_from_slice(parts[1]);
    }

    /// Appends a message in its buffer.
    pub(crate) fn push_own(&mut self, kind: Kind, message: Vec<u8>, charged: bool) {
        self.push_prefix(kind, if charged { CHARGED | OWN } else { OWN }, message.len());
        self.owned += message.len();
        self.own.push_back(Arc::new(message));
    }

    /// Whether another large message may be queued; if not, [`has_room_again`](Self::has_room_again) will tell.
    pub(crate) fn has_room(&mut self) -> bool {
        self.awaited = self.owned >= ENOUGH;
        !self.awaited
    }

    /// Whether there is room that somebody waits for; once.
    pub(crate) fn has_room_again(&mut self) -> bool {
        self.awaited && self.owned < ENOUGH && std::mem::take(&mut self.awaited)
    }

    fn push_prefix(&mut self, kind: Kind, known: u8, len: usize) {
        self.uncharged += usize::from(known & CHARGED == 0);
        self.bytes.extend_from_slice(&[kind as u8, known]);
        self.bytes.extend_from_slice(&(len as u32).to_le_bytes());
    }

    /// The first message.
    pub(crate) fn head(&self) -> Option<Head> {
        let prefix = self.bytes.get(self.head..self.head + PREFIX)?;
        let kind = Kind::from_byte(prefix[0]).expect("it was written by push");
        let len = u32::from_le_bytes(prefix[2..].try_into().expect("four bytes")) as usize;
        Some(Head { kind, charged: prefix[1] & CHARGED != 0, len, own: prefix[1] & OWN != 0 })
    }

    /// Notes that the credit of the first message was taken.
    pub(crate) fn charge_head(&mut self) {
        self.bytes[self.head + 1] |= CHARGED;
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
    pub(crate) fn next_fragment(&mut self, dialog: u64, out: &mut Gather) {
        let Some(head) = self.head() else { return };
        let left = head.len - self.sent;
        let size = left.min(MAX_PAYLOAD);
        let header = Header { len: size as u32, kind: head.kind, more: left > size, cpu: 0, dialog };
        out.bytes.extend_from_slice(&header.to_bytes());
        let range = self.sent..self.sent + size;
        match self.own.front().filter(|_| head.own) {
            Some(message) => out.lend(message, range),
            None => out.bytes.extend_from_slice(&self.bytes[self.head + PREFIX..][range]),
        }
        self.sent += size;
        if left == size {
            self.advance(head);
            self.compact();
        }
    }

    /// The first message is done with.
    fn advance(&mut self, head: Head) {
        self.head += PREFIX;
        self.sent = 0;
        if head.own {
            self.own.pop_front();
            self.owned -= head.len;
        } else {
            self.head += head.len;
        }
    }

    /// Throws everything away; gives the credit back that was taken for what has not left.
    pub(crate) fn clear(&mut self) -> u64 {
        let mut refund = 0;
        while let Some(head) = self.head() {
            if head.charged {
                refund += message_cost(head.kind, head.len - self.sent);
            }
            self.advance(head);
        }
        self.uncharged = 0;
        self.awaited = false;
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
    use crate::proto::fragment::HEADER;

    #[test]
    fn a_message_leaves_in_fragments_and_the_unsent_rest_is_refunded() {
        let large = vec![1; 2 * MAX_PAYLOAD + 1];
        for own in [false, true] {
            let mut outbox = Outbox::default();
            if own {
                outbox.push_own(Kind::Item, large.clone(), true);
            } else {
                outbox.push(Kind::Item, [&[1], &large[1..]], true);
            }
            outbox.push(Kind::Return, [b"", &[2; 5000]], false);
            assert!(outbox.is_starved());
            let mut out = Gather::default();
            outbox.next_fragment(9, &mut out);
            assert_eq!((out.len(), out.plain().is_some()), (HEADER + MAX_PAYLOAD, !own));
            assert_eq!(outbox.clear(), message_cost(Kind::Item, MAX_PAYLOAD + 1));
            assert!(outbox.is_empty() && !outbox.is_starved() && outbox.own.is_empty());
        }
    }

    #[test]
    fn messages_with_and_without_buffers_of_their_own_leave_in_the_order_in_which_they_came() {
        let mut outbox = Outbox::default();
        let sizes = [3, MAX_PAYLOAD + 3, LARGE, 0, 2 * MAX_PAYLOAD, 7];
        for (n, size) in sizes.into_iter().enumerate() {
            match vec![n as u8; size] {
                large if size >= LARGE => outbox.push_own(Kind::Item, large, true),
                small => outbox.push(Kind::Item, [&small, b""], true),
            }
        }
        let mut out = Gather::default();
        while !outbox.is_empty() {
            outbox.next_fragment(2, &mut out);
        }
        let stream = out.pieces(0).collect::<Vec<_>>().concat();
        let (mut left, mut messages, mut message) = (&stream[..], Vec::new(), Vec::new());
        while let Some((head, rest)) = left.split_first_chunk::<HEADER>() {
            let header = Header::parse(head).unwrap();
            let (payload, rest) = rest.split_at(header.len as usize);
            message.extend_from_slice(payload);
            if !header.more {
                messages.push(std::mem::take(&mut message));
            }
            left = rest;
        }
        let expected: Vec<_> = sizes.into_iter().enumerate().map(|(n, size)| vec![n as u8; size]).collect();
        assert!(messages == expected);
    }
}
