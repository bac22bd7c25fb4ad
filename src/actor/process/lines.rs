//! The stderr of a child: cut into lines, and the end of it remembered.

/// How much of the end is kept.
pub(super) const TAIL: usize = 8 * 1024;
/// A line longer than this is passed on in parts.
const MAX_LINE: usize = 8 * 1024;

/// What a child wrote to stderr so far.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The end, and up to as much again in front of it, so that it is seldom moved.
    tail: Vec<u8>,
    /// The line that has no end yet.
    open: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes and gives every line that they complete to `each`, with its newline.
    pub(super) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        self.remember(bytes);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let whole = part.ends_with(b"\n");
            if self.open.is_empty() && whole {
                each(part);
                continue;
            }
            self.open.extend_from_slice(part);
            if whole || self.open.len() >= MAX_LINE {
                each(&self.open);
                self.open.clear();
            }
        }
    }

    /// Gives what is left to `each`, with a newline added: there will be no more.
    pub(super) fn finish(&mut self, mut each: impl FnMut(&[u8])) {
        if !self.open.is_empty() {
            self.open.push(b'\n');
            each(&self.open);
            self.open.clear();
        }
    }

    /// The end of it.
    pub(super) fn tail(&self) -> &[u8] {
        &self.tail[self.tail.len().saturating_sub(TAIL)..]
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(pieces: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.feed(piece, |line| seen.push(String::from_utf8_lossy(line).into_owned()));
        }
        lines.finish(|line| seen.push(String::from_utf8_lossy(line).into_owned()));
        seen
    }

    #[test]
    fn lines_are_whole_whatever_the_pieces() {
        for at in 0..=10 {
            let (front, back) = b"ab\n\ncd\nefg".split_at(at);
            assert_eq!(lines_of(&[front, back]), ["ab\n", "\n", "cd\n", "efg\n"], "cut at {at}");
        }
    }

    #[test]
    fn a_line_without_end_is_passed_on_in_parts() {
        let long = vec![b'x'; MAX_LINE];
        assert_eq!(lines_of(&[&long, b"y\n"]).iter().map(String::len).collect::<Vec<_>>(), [MAX_LINE, 2]);
    }

    #[test]
    fn p04_the_tail_is_the_last_of_all_bytes() {
        let mut lines = Lines::default();
        let all: Vec<u8> = (0..TAIL * 5).map(|number| (number % 251) as u8).collect();
        for piece in all.chunks(1_000) {
            lines.feed(piece, |_| {});
            assert!(lines.tail.len() <= 2 * TAIL + piece.len());
        }
        assert_eq!(lines.tail(), &all[all.len() - TAIL..]);
    }
}
