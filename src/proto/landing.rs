//! The payload of one large fragment while it arrives, in a buffer of its own, so that whoever reads from the transport can
//! read straight into the memory from which it will be decoded.
//!
//! It is as large as the fragment announces, so a peer can make a connection allocate one fragment in advance, and no more.

use super::fragment::{Header, Kind};
use super::recycle::{LARGE, Recycler};

/// Room behind the fragment: a message a little longer than one fragment needs no other buffer for its rest.
pub(crate) const ROOM: usize = 1024;

/// A payload of which a part has arrived.
#[derive(Debug)]
pub(crate) struct Landing {
    header: Header,
    /// As long as the payload will be.
    bytes: Vec<u8>,
    /// How much of it has arrived.
    filled: usize,
}

impl Landing {
    /// Whether a fragment is worth a buffer of its own.
    pub(crate) fn suits(header: Header) -> bool {
        matches!(header.kind, Kind::Item | Kind::Return) && header.len as usize >= LARGE
    }

    /// For the payload behind this header.
    pub(crate) fn new(header: Header, recycler: &mut Recycler) -> Self {
        let len = header.len as usize;
        let mut bytes = recycler.take(len + ROOM);
        bytes.resize(len, 0);
        Self { header, bytes, filled: 0 }
    }

    /// Where the next bytes belong.
    pub(crate) fn rest(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// So many bytes have been read into [`rest`](Self::rest) and behind it; gives how many were behind it.
    pub(crate) fn advance(&mut self, read: usize) -> usize {
        let taken = read.min(self.bytes.len() - self.filled);
        self.filled += taken;
        read - taken
    }

    /// Takes bytes from `input`, as far as they belong here; `true` once it is whole.
    pub(crate) fn fill(&mut self, input: &mut &[u8]) -> bool {
        let rest = self.rest();
        let (taken, behind) = input.split_at(rest.len().min(input.len()));
        rest[..taken.len()].copy_from_slice(taken);
        self.filled += taken.len();
        *input = behind;
        self.filled == self.bytes.len()
    }

    /// The fragment, which is whole.
    pub(crate) fn into_parts(self) -> (Header, Vec<u8>) {
        (self.header, self.bytes)
    }

    /// The memory it has.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}
