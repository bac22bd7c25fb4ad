//! Cuts a stream of bytes into fragments, wherever it was split on its way.

use super::fragment::{BadHeader, HEADER, Header};

/// The fragment that has arrived in part.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    partial: Vec<u8>,
}

/// What is at the front of some bytes.
pub(crate) enum Front<'a> {
    /// A whole fragment, and how many bytes of the input it took.
    Whole(Header, &'a [u8], usize),
    /// Less than a fragment.
    Part,
}

/// Looks at the front of `bytes`.
pub(crate) fn front(bytes: &[u8]) -> Result<Front<'_>, BadHeader> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(Front::Part) };
    let header = Header::parse(head)?;
    match rest.get(..header.len as usize) {
        Some(payload) => Ok(Front::Whole(header, payload, HEADER + payload.len())),
        None => Ok(Front::Part),
    }
}

impl Reader {
    /// Whether a part of a fragment is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.partial.is_empty()
    }

    /// Moves bytes from `input` to the held part, up to the end of the fragment; `true` once it is whole.
    pub(crate) fn complete(&mut self, input: &mut &[u8]) -> Result<bool, BadHeader> {
        self.fill(input, HEADER);
        let Some(head) = self.partial.first_chunk::<HEADER>() else { return Ok(false) };
        let whole = HEADER + Header::parse(head)?.len as usize;
        self.fill(input, whole);
        Ok(self.partial.len() == whole)
    }

    fn fill(&mut self, input: &mut &[u8], size: usize) {
        let missing = size.saturating_sub(self.partial.len()).min(input.len());
        let (taken, rest) = input.split_at(missing);
        self.partial.extend_from_slice(taken);
        *input = rest;
    }

    /// Holds the beginning of a fragment.
    pub(crate) fn hold(&mut self, part: &[u8]) {
        self.partial.extend_from_slice(part);
    }

    /// Takes the buffer out while its fragment is looked at.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.partial)
    }

    /// Puts the buffer back, empty.
    pub(crate) fn put_back(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.partial = buffer;
    }

    /// Forgets the held part, and its memory.
    pub(crate) fn clear(&mut self) {
        self.partial = Vec::new();
    }

    /// The memory it has.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.partial.capacity()
    }
}
