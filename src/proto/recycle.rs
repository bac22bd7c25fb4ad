//! Large buffers that go from one dialog to the next, so that a stream of many bytes does not ask the system for memory
//! again and again, and an idle dialog holds little.

/// From this length on a message is not copied: the buffer that it was encoded into is what is written, and the buffer that it
/// was read into is what is decoded. Fuzzers get there sooner.
pub(crate) const LARGE: usize = if cfg!(fuzzing) { 64 } else { 16 * 1024 };
/// The largest buffer that an empty dialog keeps.
const KEEP: usize = 64 * 1024;
/// The largest buffer that is passed on.
const LARGEST: usize = 4 * 1024 * 1024;
/// Bytes of all that are held.
const HELD: usize = 4 * LARGEST;
/// How many are held.
const COUNT: usize = 16;

/// Large buffers that nobody uses now. What is in them is of no use, but need not be written again where a buffer has to
/// be full of something before it is read into.
#[derive(Debug, Default)]
pub(crate) struct Recycler {
    spare: Vec<Vec<u8>>,
    /// The memory of all.
    held: usize,
}

impl Recycler {
    /// Makes room for `more` bytes, in a used buffer rather than in a new one.
    pub(crate) fn reserve(&mut self, bytes: &mut Vec<u8>, more: usize) {
        let size = bytes.len() + more;
        if size <= bytes.capacity().max(KEEP) {
            return;
        }
        let Some(mut used) = self.used(size, usize::MAX) else { return };
        used.clear();
        used.extend_from_slice(bytes);
        self.give(std::mem::replace(bytes, used));
    }

    /// A buffer for this many bytes, not far too large, with whatever is in it.
    pub(crate) fn take(&mut self, size: usize) -> Vec<u8> {
        self.used(size, size.saturating_mul(8)).unwrap_or_else(|| Vec::with_capacity(size))
    }

    /// The one of these sizes that was used last: it is still in the cache.
    fn used(&mut self, least: usize, most: usize) -> Option<Vec<u8>> {
        let fits = |spare: &Vec<u8>| (least..=most).contains(&spare.capacity());
        let at = self.spare.iter().rposition(fits)?;
        let used = self.spare.remove(at);
        self.held -= used.capacity();
        Some(used)
    }

    /// Takes a large buffer away from a dialog that has emptied it.
    pub(crate) fn reclaim(&mut self, bytes: &mut Vec<u8>) {
        if bytes.capacity() > KEEP && bytes.is_empty() {
            self.give(std::mem::take(bytes));
        }
    }

    /// Takes a buffer that nobody needs any more, unless it is too small, too large, or one too many.
    pub(crate) fn give(&mut self, used: Vec<u8>) {
        let size = used.capacity();
        if (LARGE..=LARGEST).contains(&size) && self.spare.len() < COUNT && self.held + size <= HELD {
            self.held += size;
            self.spare.push(used);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_is_used_again_and_a_huge_one_is_not_kept() {
        let mut recycler = Recycler::default();
        let (mut first, mut second) = (Vec::with_capacity(1 << 20), vec![1; 10]);
        recycler.reclaim(&mut first);
        assert_eq!(first.capacity(), 0);
        recycler.reserve(&mut second, 100_000);
        assert!(second.capacity() >= 1 << 20 && second == [1; 10]);
        recycler.reclaim(&mut Vec::with_capacity(LARGEST + 1));
        assert!(recycler.spare.is_empty());
    }

    #[test]
    fn what_is_held_is_bounded_in_number_and_in_bytes() {
        let mut recycler = Recycler::default();
        (0..100).for_each(|_| recycler.give(Vec::with_capacity(LARGE)));
        assert_eq!((recycler.spare.len(), recycler.held), (COUNT, COUNT * LARGE));
        let mut recycler = Recycler::default();
        (0..100).for_each(|_| recycler.give(Vec::with_capacity(LARGEST)));
        assert_eq!(recycler.held, HELD);
        assert_eq!(recycler.take(LARGE).capacity(), LARGE, "a buffer of 4 MiB is not for 16 KiB");
        assert_eq!(recycler.take(LARGEST).capacity(), LARGEST);
        assert_eq!(recycler.held, HELD - LARGEST);
    }
}
