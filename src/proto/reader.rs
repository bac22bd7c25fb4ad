//! Cuts a stream of bytes into fragments, wherever it was split on its way.

use super::fragment::{BadHeader, HEADER, Header};
use super::landing::Landing;
use super::recycle::Recycler;

/// The fragment that has arrived in part.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    partial: Vec<u8>,
    /// It is a large one.
    landing: Option<Landing>,
}

/// How far a fragment is of which a part was held.
pub(crate) enum Held {
    /// All of it has come: its header and its payload.
    Whole(Vec<u8>),
    /// The same of a large one.
    Landed(Landing),
    /// More must come.
    Part,
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
    /// Whether no part of a fragment is held.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.partial.is_empty() && self.landing.is_none()
    }

    /// Moves bytes from `input` to the held part, up to the end of the fragment.
    pub(crate) fn complete(&mut self, input: &mut &[u8], recycler: &mut Recycler) -> Result<Held, BadHeader> {
        if self.landing.is_some() {
            return Ok(self.land(input));
        }
        self.fill(input, HEADER);
        let Some(head) = self.partial.first_chunk::<HEADER>() else { return Ok(Held::Part) };
        let header = Header::parse(head)?;
        // The header alone makes no memory be taken.
        if Landing::suits(header) && !input.is_empty() {
            self.landing = Some(Landing::new(header, recycler));
            self.partial.clear();
            return Ok(self.land(input));
        }
        let whole = HEADER + header.len as usize;
        self.fill(input, whole);
        Ok(if self.partial.len() == whole { Held::Whole(std::mem::take(&mut self.partial)) } else { Held::Part })
    }

    fn land(&mut self, input: &mut &[u8]) -> Held {
        self.landing.take_if(|landing| landing.fill(input)).map_or(Held::Part, Held::Landed)
    }

    fn fill(&mut self, input: &mut &[u8], size: usize) {
        let missing = size.saturating_sub(self.partial.len()).min(input.len());
        let (taken, rest) = input.split_at(missing);
        self.partial.extend_from_slice(taken);
        *input = rest;
    }

    /// Holds the beginning of a fragment.
    pub(crate) fn hold(&mut self, mut part: &[u8], recycler: &mut Recycler) -> Result<(), BadHeader> {
        let begun = part.len().min(HEADER);
        self.partial.extend_from_slice(&part[..begun]);
        part = &part[begun..];
        if !part.is_empty() {
            self.complete(&mut part, recycler)?;
        }
        Ok(())
    }

    /// Puts the buffer of a whole fragment back, empty.
    pub(crate) fn put_back(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.partial = buffer;
    }

    /// Takes out the large fragment that is arriving, to be read into.
    pub(crate) fn lend(&mut self) -> Option<Landing> {
        self.landing.take()
    }

    /// Takes it back.
    pub(crate) fn take_back(&mut self, landing: Landing) {
        self.landing = Some(landing);
    }

    /// Forgets the held part, and its memory.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The memory it has.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.partial.capacity() + self.landing.as_ref().map_or(0, Landing::capacity)
    }
}
