//! Large buffers that go from one dialog to the next, so that a stream of many bytes does not ask the system for memory
//! again and again, and an idle dialog holds little.

/// The largest buffer that an empty dialog keeps.
const KEEP: usize = 64 * 1024;
/// The largest buffer that is passed on.
const LARGEST: usize = 4 * 1024 * 1024;
/// How many are held.
const COUNT: usize = 4;

/// Large buffers that nobody uses now.
#[derive(Debug, Default)]
pub(crate) struct Recycler {
    spare: Vec<Vec<u8>>,
}

impl Recycler {
    /// Makes room for `more` bytes, in a used buffer rather than in a new one.
    pub(crate) fn reserve(&mut self, bytes: &mut Vec<u8>, more: usize) {
        let size = bytes.len() + more;
        if size <= bytes.capacity().max(KEEP) {
            return;
        }
        let Some(at) = self.spare.iter().position(|spare| spare.capacity() >= size) else { return };
        let mut used = self.spare.swap_remove(at);
        used.extend_from_slice(bytes);
        std::mem::swap(&mut used, bytes);
    }

    /// Takes a large buffer away from a dialog that has emptied it.
    pub(crate) fn reclaim(&mut self, bytes: &mut Vec<u8>) {
        if bytes.capacity() <= KEEP || !bytes.is_empty() {
            return;
        }
        let used = std::mem::take(bytes);
        if used.capacity() <= LARGEST && self.spare.len() < COUNT {
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
}
