//! What is to be written next, in pieces: bytes of its own, and between them parts of large messages, where these lie.

use std::ops::Range;
use std::sync::Arc;

use super::recycle::{LARGE, Recycler};

/// Bytes of several messages, in order.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// All but the parts.
    pub(crate) bytes: Vec<u8>,
    parts: Vec<Part>,
    /// How many bytes the parts have together.
    lent: usize,
}

/// A piece of a large message.
#[derive(Debug)]
struct Part {
    /// How many of the bytes go before it.
    at: usize,
    message: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Gather {
    /// How many bytes it has in all.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() + self.lent
    }

    /// Appends a piece of a large message: the piece itself, or a copy if it is short.
    pub(crate) fn lend(&mut self, message: &Arc<Vec<u8>>, range: Range<usize>) {
        if range.len() < LARGE {
            return self.bytes.extend_from_slice(&message[range]);
        }
        self.lent += range.len();
        self.parts.push(Part { at: self.bytes.len(), message: message.clone(), range });
    }

    /// All bytes as they are, if there are no parts among them.
    pub(crate) fn plain(&self) -> Option<&[u8]> {
        self.parts.is_empty().then_some(&self.bytes)
    }

    /// The pieces, in order, without the first `skip` bytes. None is empty.
    pub(crate) fn pieces(&self, mut skip: usize) -> impl Iterator<Item = &[u8]> {
        let ends = self.parts.iter().map(|part| part.at).chain([self.bytes.len()]);
        let begins = [0].into_iter().chain(self.parts.iter().map(|part| part.at));
        let own = begins.zip(ends).map(|(begin, end)| &self.bytes[begin..end]);
        let lent = self.parts.iter().map(|part| &part.message[part.range.clone()]).chain([&[][..]]);
        own.zip(lent).flat_map(|(own, lent)| [own, lent]).filter_map(move |piece| {
            let left = &piece[skip.min(piece.len())..];
            skip -= piece.len() - left.len();
            (!left.is_empty()).then_some(left)
        })
    }

    /// Empties it. The buffers of messages that have left as a whole can be used again.
    pub(crate) fn clear(&mut self, recycler: &mut Recycler) {
        self.bytes.clear();
        self.lent = 0;
        for part in self.parts.drain(..) {
            if let Some(message) = Arc::into_inner(part.message) {
                recycler.give(message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_are_all_bytes_in_order_from_wherever_the_last_write_ended() {
        let (first, second) = (Arc::new(vec![1; LARGE + 3]), Arc::new(vec![2; 2 * LARGE]));
        let mut gather = Gather::default();
        assert_eq!(gather.plain(), Some(&[][..]));
        gather.bytes.extend_from_slice(b"ab");
        gather.lend(&first, 0..LARGE);
        gather.lend(&first, LARGE..LARGE + 3);
        gather.bytes.extend_from_slice(b"c");
        gather.lend(&second, 0..LARGE);
        gather.lend(&second, LARGE..2 * LARGE);
        let whole = [b"ab", &first[..], b"c", &second[..]].concat();
        assert_eq!(gather.len(), whole.len());
        for skip in (0..whole.len()).step_by(101).chain([1, 2, 3, whole.len()]) {
            let pieces: Vec<_> = gather.pieces(skip).collect();
            assert!(pieces.concat() == whole[skip..] && pieces.iter().all(|piece| !piece.is_empty()));
        }
        let mut recycler = Recycler::default();
        drop(first);
        gather.clear(&mut recycler);
        assert_eq!((gather.len(), gather.pieces(0).count()), (0, 0));
        assert_eq!(recycler.take(LARGE), vec![1; LARGE + 3], "nobody else has it");
        assert!(recycler.take(LARGE).is_empty(), "the second message is still in its dialog");
    }
}
