//! Whether this program looked, at its entry point, for the role of a child.
//!
//! A program that does not would run its whole `main` again in every child it starts, and so start children without end.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Misuse;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// Notes that the entry point looks for the role of a child.
pub(crate) fn take_entry() {
    TAKEN.store(true, Ordering::Release);
}

/// Whether [`take_entry`] was called.
pub(crate) fn entry_taken() -> bool {
    TAKEN.load(Ordering::Acquire)
}

/// Refuses to start the actor `path` where the entry point was not taken.
pub(crate) fn require_entry(path: &str) -> Result<(), Misuse> {
    if entry_taken() {
        return Ok(());
    }
    Err(Misuse::new(format!(
        "actor {path}: nothing was started, because this program's entry point was not taken and its child would run \
         `main` from the start again. Add the line `#[pleach::main]` above `async fn main`"
    )))
}
