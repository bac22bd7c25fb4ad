//! A buffer that is only to be filled so far.

use std::io;

/// Appends to a buffer up to a length, and refuses what would go beyond it.
pub(super) struct Brim<'a> {
    out: &'a mut Vec<u8>,
    end: usize,
    over: bool,
}

impl<'a> Brim<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, room: usize) -> Self {
        let end = out.len().saturating_add(room);
        Self { out, end, over: false }
    }

    /// Whether something was refused.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }
}

impl io::Write for Brim<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.end - self.out.len() {
            self.over = true;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
