//! The name of what a thread does, for another thread to read.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Says what it is called.
pub(crate) type Named = fn() -> &'static str;

/// One word, so that who reads it needs no lock and stops nobody.
#[derive(Debug, Default)]
pub(crate) struct Job(AtomicUsize);

impl Job {
    /// It does this now, or nothing that has a name. Gives what it did before.
    #[inline]
    pub(crate) fn set(&self, name: Option<Named>) -> Option<Named> {
        // There is one writer.
        let before = self.0.load(Ordering::Relaxed);
        self.0.store(name.map_or(0, |name| name as usize), Ordering::Relaxed);
        named(before)
    }

    /// What it does.
    pub(crate) fn get(&self) -> Option<Named> {
        named(self.0.load(Ordering::Relaxed))
    }
}

#[inline]
fn named(word: usize) -> Option<Named> {
    // SAFETY: the word is 0, which is no function and becomes `None`, or was made of such a function pointer by `set`; a function
    // is never unloaded, because nobody unloads the program.
    unsafe { std::mem::transmute::<usize, Option<Named>>(word) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let job = Job::default();
        assert!(job.get().is_none());
        assert!(job.set(Some(std::any::type_name::<String>)).is_none());
        assert_eq!(job.get().map(|name| name()), Some("alloc::string::String"));
        assert!(job.set(None).is_some() && job.get().is_none());
    }
}
