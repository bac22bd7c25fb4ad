//! The bytes of an item that has arrived: in one buffer, and where that would become very large in several. A buffer that
//! grows is moved now and then, and to move megabytes takes longer than others may wait.

use super::inbox::Piece;
use super::recycle::Recycler;

/// How large a buffer may become before the next one is begun. Fuzzers get there sooner.
pub(crate) const SEGMENT: usize = if cfg!(fuzzing) { 256 } else { 1024 * 1024 };

/// So many bytes are copied rather than given away.
const FEW: usize = 4096;

/// Bytes in one buffer or several.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    first: Vec<u8>,
    rest: Vec<Vec<u8>>,
    /// Of all of them.
    len: usize,
}

impl Segments {
    pub(crate) fn new(first: Vec<u8>) -> Self {
        Self { len: first.len(), first, rest: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a fragment.
    pub(crate) fn push(&mut self, fragment: Piece<'_>, recycler: &mut Recycler) {
        let last = self.rest.last_mut().unwrap_or(&mut self.first);
        let more = fragment.bytes().len();
        self.len += more;
        if last.len() + more <= SEGMENT {
            return fragment.append_to(last, recycler);
        }
        let mut next = recycler.take(SEGMENT.max(more));
        next.clear();
        next.extend_from_slice(fragment.bytes());
        fragment.discard(recycler);
        self.rest.push(next);
    }

    /// Copies the bytes to here, in place of what was here.
    pub(crate) fn copy(&mut self, bytes: &[u8]) {
        self.rest.clear();
        self.first.clear();
        self.first.extend_from_slice(bytes);
        self.len = bytes.len();
    }

    /// Puts other bytes here; the memory of these goes to `recycler`.
    pub(crate) fn replace(&mut self, with: Self, recycler: &mut Recycler) {
        let old = std::mem::replace(self, with);
        recycler.give(old.first);
        old.rest.into_iter().for_each(|segment| recycler.give(segment));
    }

    /// Gives them away, into `out`; a few are copied, so that both keep their memory.
    pub(crate) fn hand_over(&mut self, out: &mut Self) {
        match self.single() {
            Some(few) if few.len() <= FEW => {
                out.copy(few);
                self.clear(usize::MAX);
            }
            _ => *out = std::mem::take(self),
        }
    }

    /// Forgets them, and most of the memory beyond `keep`.
    pub(crate) fn clear(&mut self, keep: usize) {
        self.copy(&[]);
        self.first.shrink_to(keep);
    }

    /// The first of them: all, or more than fit into one fragment.
    pub(crate) fn front(&self) -> &[u8] {
        &self.first
    }

    /// The bytes, if they are in one buffer.
    pub(crate) fn single(&self) -> Option<&[u8]> {
        self.rest.is_empty().then_some(&self.first)
    }

    /// All in one buffer, which takes a while if there are several.
    pub(crate) fn join(self) -> Vec<u8> {
        if self.rest.is_empty() {
            return self.first;
        }
        let mut whole = Vec::with_capacity(self.len);
        for segment in [self.first].into_iter().chain(self.rest) {
            whole.extend_from_slice(&segment);
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_buffer_becomes_very_large_and_the_bytes_are_all_there_in_their_order() {
        let mut recycler = Recycler::default();
        let fragment = |at: usize| vec![at as u8; 60_000 + at];
        let mut segments = Segments::new(fragment(0));
        for at in 1..100 {
            let piece = fragment(at);
            segments.push(if at % 2 == 0 { Piece::Shared(&piece) } else { Piece::Own(piece.clone()) }, &mut recycler);
        }
        assert!(segments.rest.len() > 4 && segments.single().is_none());
        for segment in segments.rest.iter().chain([&segments.first]) {
            assert!(segment.capacity() <= 2 * SEGMENT, "{}", segment.capacity());
        }
        let whole: Vec<u8> = (0..100).flat_map(fragment).collect();
        assert_eq!(segments.len(), whole.len());
        assert!(segments.join() == whole);
    }

    #[test]
    fn what_was_there_is_gone_when_other_bytes_come() {
        let mut recycler = Recycler::default();
        let mut segments = Segments::new(vec![1; SEGMENT]);
        segments.push(Piece::Shared(&[2]), &mut recycler);
        segments.copy(&[3, 4]);
        assert_eq!((segments.len(), segments.single()), (2, Some([3, 4].as_slice())));
        segments.push(Piece::Own(vec![5; SEGMENT]), &mut recycler);
        segments.replace(Segments::new(vec![6]), &mut recycler);
        assert_eq!(segments.join(), [6]);
    }
}
