//! The items of a dialog that have arrived and were not taken yet, in one buffer.
//!
//! Each item stands behind 8 bytes: its length and its cost. The last one may still be incomplete; its fragments are
//! appended where it will be read, and memory grows with what arrives, not with what was announced. An item whose first
//! fragment is large has a buffer of its own, which whoever reads it takes as it is; here it has only the 8 bytes.

use std::collections::VecDeque;

use super::landing::ROOM;
use super::recycle::{LARGE, Recycler};
use super::segments::Segments;

/// Bytes in front of an item.
const PREFIX: usize = 8;
/// Space in front that is not worth moving the rest for.
const SLACK: usize = 4 * 1024;
/// Beside the length: it is in a buffer of its own.
const OWN: u32 = 1 << 31;

/// A fragment, where it has arrived.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// Among others, from where it must be copied.
    Shared(&'a [u8]),
    /// In a buffer that has nothing else in it.
    Own(Vec<u8>),
}

impl Piece<'_> {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Own(bytes) => bytes,
        }
    }

    /// Puts it behind these bytes; its buffer takes their place if there are none.
    pub(crate) fn append_to(self, bytes: &mut Vec<u8>, recycler: &mut Recycler) {
        match self {
            Self::Own(own) if bytes.is_empty() => recycler.give(std::mem::replace(bytes, own)),
            piece => {
                recycler.reserve(bytes, piece.bytes().len());
                bytes.extend_from_slice(piece.bytes());
                piece.discard(recycler);
            }
        }
    }

    /// Gives its buffer back, if it has one.
    pub(crate) fn discard(self, recycler: &mut Recycler) {
        if let Self::Own(bytes) = self {
            recycler.give(bytes);
        }
    }

    /// As the beginning of an item with a buffer of its own.
    fn into_own(self, recycler: &mut Recycler) -> Vec<u8> {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(shared) => {
                let mut bytes = recycler.take(shared.len() + ROOM);
                bytes.clear();
                bytes.extend_from_slice(shared);
                bytes
            }
        }
    }
}

/// A queue of items as bytes.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    /// The items with buffers of their own.
    own: VecDeque<Segments>,
    /// Where the first item begins.
    head: usize,
    /// Where the last complete item ends.
    sealed: usize,
    /// The cost of all that is in it.
    held: u64,
}

impl Inbox {
    /// Appends a fragment; without `more` it completes its item.
    pub(crate) fn push(&mut self, fragment: Piece<'_>, cost: u64, more: bool, recycler: &mut Recycler) {
        let at = self.sealed;
        if self.bytes.len() == at {
            self.begin(fragment, recycler);
        } else {
            self.go_on(fragment, recycler);
        }
        self.held += cost;
        let cost = self.read(at + 4) + cost as u32;
        self.write(at + 4, cost);
        if !more {
            let own = self.read(at) & OWN;
            self.write(at, own | self.incomplete() as u32);
            self.sealed = self.bytes.len();
        }
    }

    /// The first fragment of an item.
    fn begin(&mut self, fragment: Piece<'_>, recycler: &mut Recycler) {
        let own = fragment.bytes().len() >= LARGE;
        recycler.reserve(&mut self.bytes, PREFIX + if own { 0 } else { fragment.bytes().len() });
        let mark = if own { OWN } else { 0 };
        self.bytes.extend_from_slice(&u64::from(mark).to_le_bytes());
        if own {
            self.own.push_back(Segments::new(fragment.into_own(recycler)));
        } else {
            self.bytes.extend_from_slice(fragment.bytes());
        }
    }

    /// A later one.
    fn go_on(&mut self, fragment: Piece<'_>, recycler: &mut Recycler) {
        if self.read(self.sealed) & OWN == 0 {
            fragment.append_to(&mut self.bytes, recycler);
        } else {
            self.own.back_mut().expect("it was put there by begin").push(fragment, recycler);
        }
    }

    /// Takes the first item out, into `out` instead of what was there. Gives its cost.
    pub(crate) fn pop(&mut self, out: &mut Segments, recycler: &mut Recycler) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        let (len, cost) = (self.read(self.head), u64::from(self.read(self.head + 4)));
        self.head += PREFIX;
        if len & OWN == 0 {
            let end = self.head + len as usize;
            out.copy(&self.bytes[self.head..end]);
            self.head = end;
        } else if let Some(item) = self.own.pop_front() {
            out.replace(item, recycler);
        }
        self.held -= cost;
        self.compact();
        Some(cost)
    }

    /// Whether no complete item is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.head == self.sealed
    }

    /// Bytes of the item that is still incomplete.
    pub(crate) fn incomplete(&self) -> usize {
        let bytes = self.bytes.len() - self.sealed;
        match self.own.back() {
            Some(own) if bytes > 0 && self.read(self.sealed) & OWN != 0 => own.len(),
            _ => bytes.saturating_sub(PREFIX),
        }
    }

    /// Throws everything away; gives its cost.
    pub(crate) fn clear(&mut self) -> u64 {
        self.head = 0;
        self.sealed = 0;
        self.bytes.clear();
        self.own.clear();
        std::mem::take(&mut self.held)
    }

    /// Moves what is left to the front, when that is at most as much as what is gone.
    fn compact(&mut self) {
        let left = self.bytes.len() - self.head;
        if left == 0 {
            self.bytes.clear();
        } else if self.head > SLACK && self.head >= left {
            self.bytes.copy_within(self.head.., 0);
            self.bytes.truncate(left);
        } else {
            return;
        }
        self.sealed -= self.head;
        self.head = 0;
    }

    /// Gives a large buffer away, once it is empty.
    pub(crate) fn release(&mut self, recycler: &mut Recycler) {
        recycler.reclaim(&mut self.bytes);
    }

    fn read(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"))
    }

    fn write(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_out_in_order_and_whole_while_the_buffer_is_compacted() {
        let (mut inbox, mut recycler) = (Inbox::default(), Recycler::default());
        let item = |n: usize| vec![n as u8; n % 700];
        let (mut pushed, mut popped, mut out) = (0, 0, Segments::default());
        while popped < 3000 {
            for _ in 0..3 {
                inbox.push(Piece::Shared(&item(pushed)), 1, false, &mut recycler);
                pushed += 1;
            }
            inbox.push(Piece::Shared(&[7; 10]), 5, true, &mut recycler);
            while inbox.pop(&mut out, &mut recycler).is_some() {
                assert_eq!(out.single(), Some(item(popped).as_slice()));
                popped += 1;
            }
            inbox.push(Piece::Shared(&[8; 3]), 6, false, &mut recycler);
            assert_eq!(inbox.pop(&mut out, &mut recycler), Some(11));
            assert_eq!(out.single(), Some([[7; 10].as_slice(), &[8; 3]].concat().as_slice()));
        }
        assert!(inbox.bytes.capacity() < 64 * 1024);
        assert_eq!(inbox.clear(), 0);
    }

    #[test]
    fn items_with_and_without_buffers_of_their_own_come_out_as_they_went_in() {
        let (mut inbox, mut recycler) = (Inbox::default(), Recycler::default());
        // The fragments of each item, and whether they came in buffers of their own.
        let items: [&[(usize, bool)]; 6] = [
            &[(3, false)],
            &[(LARGE, false), (5, false)],
            &[(LARGE, true), (5, false)],
            &[(5, false), (LARGE, true), (0, false)],
            &[(LARGE + 1, true), (LARGE, true), (2 * LARGE, false)],
            &[(0, false)],
        ];
        for round in 0..3 {
            for fragments in items {
                let mut whole = 0;
                for (at, (size, own)) in fragments.iter().enumerate() {
                    assert_eq!(inbox.incomplete(), whole);
                    let bytes = vec![at as u8; *size];
                    let fragment = if *own { Piece::Own(bytes.clone()) } else { Piece::Shared(&bytes) };
                    inbox.push(fragment, 7, at + 1 < fragments.len(), &mut recycler);
                    whole += size;
                }
            }
            let mut out = Segments::new(vec![9; 100]);
            for fragments in items {
                let cost = inbox.pop(&mut out, &mut recycler);
                assert_eq!(cost, Some(7 * fragments.len() as u64));
                let parts = fragments.iter().enumerate().map(|(at, (size, _))| vec![at as u8; *size]);
                let whole = std::mem::take(&mut out).join();
                assert!(whole == parts.flatten().collect::<Vec<_>>(), "round {round}, {fragments:?}");
            }
            assert!(inbox.is_empty() && inbox.own.is_empty() && inbox.pop(&mut out, &mut recycler).is_none());
        }
        inbox.push(Piece::Own(vec![0; LARGE]), 30, true, &mut recycler);
        assert_eq!((inbox.clear(), inbox.incomplete()), (30, 0));
    }
}
