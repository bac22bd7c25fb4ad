//! The items of a dialog that have arrived and were not taken yet, in one buffer.
//!
//! Each item stands behind 8 bytes: its length and its cost. The last one may still be incomplete; its fragments are
//! appended where it will be read, so that an item is copied once, and memory grows with what arrives, not with what was
//! announced.

use super::recycle::Recycler;

/// Bytes in front of an item.
const PREFIX: usize = 8;
/// Space in front that is not worth moving the rest for.
const SLACK: usize = 4 * 1024;

/// A queue of items as bytes.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    /// Where the first item begins.
    head: usize,
    /// Where the last complete item ends.
    sealed: usize,
    /// The cost of all that is in it.
    held: u64,
}

impl Inbox {
    /// Appends a fragment; without `more` it completes its item.
    pub(crate) fn push(&mut self, fragment: &[u8], cost: u64, more: bool, recycler: &mut Recycler) {
        recycler.reserve(&mut self.bytes, PREFIX + fragment.len());
        let at = self.sealed;
        if self.bytes.len() == at {
            self.bytes.extend_from_slice(&[0; PREFIX]);
        }
        self.bytes.extend_from_slice(fragment);
        self.held += cost;
        let cost = self.read(at + 4) + cost as u32;
        self.write(at + 4, cost);
        if !more {
            self.write(at, (self.bytes.len() - at - PREFIX) as u32);
            self.sealed = self.bytes.len();
        }
    }

    /// Shows the first item to `f` and takes it out. Gives its cost beside what `f` made of it.
    pub(crate) fn pop<R>(&mut self, f: impl FnOnce(&[u8]) -> R) -> Option<(R, u64)> {
        if self.is_empty() {
            return None;
        }
        let (len, cost) = (self.read(self.head) as usize, u64::from(self.read(self.head + 4)));
        let from = self.head + PREFIX;
        let result = f(&self.bytes[from..from + len]);
        self.head = from + len;
        self.held -= cost;
        self.compact();
        Some((result, cost))
    }

    /// Whether no complete item is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.head == self.sealed
    }

    /// Bytes of the item that is still incomplete.
    pub(crate) fn incomplete(&self) -> usize {
        (self.bytes.len() - self.sealed).saturating_sub(PREFIX)
    }

    /// Throws everything away; gives its cost.
    pub(crate) fn clear(&mut self) -> u64 {
        self.head = 0;
        self.sealed = 0;
        self.bytes.clear();
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
        let (mut pushed, mut popped) = (0, 0);
        while popped < 3000 {
            for _ in 0..3 {
                inbox.push(&item(pushed), 1, false, &mut recycler);
                pushed += 1;
            }
            inbox.push(&[7; 10], 5, true, &mut recycler);
            while inbox.pop(|bytes| assert_eq!(bytes, item(popped))).is_some() {
                popped += 1;
            }
            inbox.push(&[8; 3], 6, false, &mut recycler);
            assert_eq!(inbox.pop(<[u8]>::to_vec), Some((vec![7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 8, 8], 11)));
        }
        assert!(inbox.bytes.capacity() < 64 * 1024);
        assert_eq!(inbox.clear(), 0);
    }
}
