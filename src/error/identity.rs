//! Which failure it is, and of what sort.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Names one failure, from its birth on, in every process that hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FailureId(u64);

impl FailureId {
    /// A number no other failure of the tree has: this process in the upper bits, a count in the lower ones.
    pub(crate) fn fresh() -> Self {
        Self(fresh_id())
    }
}

pub(super) fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Asked for once: every scope takes a number, and the process's own is a system call away.
    static PROCESS: OnceLock<u64> = OnceLock::new();
    let process = *PROCESS.get_or_init(|| u64::from(std::process::id()) << 40);
    process | (NEXT.fetch_add(1, Ordering::Relaxed) & 0xFF_FFFF_FFFF)
}

/// What sort of failure an [`Error`](super::Error) is, wherever it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Kind {
    /// User code, or a runtime operation, returned an error.
    Failed,
    /// A scope was cancelled; see [`Cancelled`](super::Cancelled).
    Cancelled,
    /// User code panicked; see [`Panicked`](super::Panicked).
    Panicked,
    /// A deadline of this side ran out; see [`TimedOut`](super::TimedOut).
    TimedOut,
    /// A process is gone, with or without a last word.
    Died,
    /// The runtime was used in a way it refuses; the text names the remedy.
    Misuse,
    /// Several independent failures; see [`Group`](super::Group).
    Group,
}
