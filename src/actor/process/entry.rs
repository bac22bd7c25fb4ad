//! Whether this program looked, at its entry point, for the role of a child.
//!
//! A program that does not would run its whole `main` again in every child it starts, and so start children without end.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Misuse;

static TAKEN: AtomicBool = AtomicBool::new(false);
/// A root of `#[pleach::test]` has run here: the remedy is another line.
static TESTS: AtomicBool = AtomicBool::new(false);

/// Notes that the entry point looks for the role of a child.
pub(crate) fn take_entry() {
    TAKEN.store(true, Ordering::Release);
}

/// Notes that this program is a binary of tests. Its roots may run without the entry point, their processes may not.
pub(crate) fn note_tests() {
    TESTS.store(true, Ordering::Release);
}

/// Whether this program may have a root.
pub(crate) fn may_be_root() -> bool {
    entry_taken() || TESTS.load(Ordering::Acquire)
}

fn entry_taken() -> bool {
    TAKEN.load(Ordering::Acquire)
}

/// Refuses to start the actor `path` where the entry point was not taken.
pub(crate) fn require_entry(path: &str) -> Result<(), Misuse> {
    if entry_taken() {
        return Ok(());
    }
    let (again, remedy) = if TESTS.load(Ordering::Acquire) {
        (
            "the tests",
            "`pleach::test_entry!();` at the top of this file of tests, or of `lib.rs` for the tests in a library",
        )
    } else {
        ("`main`", "`#[pleach::main]` above `async fn main`; in a file of tests, `pleach::test_entry!();` at its top")
    };
    Err(Misuse::new(format!(
        "actor {path}: nothing was started, because this program's entry point was not taken and its child would run \
         {again} from the start again. Add the line {remedy}"
    )))
}
