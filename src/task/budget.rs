//! How much a strand may do before others have their turn.
//!
//! Every runtime await that succeeds takes one from the budget of its strand; with nothing left the next await gives the
//! others a turn first. So a loop over a channel that is always ready starves nobody. A poll of the whole tree has a budget
//! as well, or the budgets of nested nurseries would multiply: with nothing left there, nurseries poll no further children
//! until their host has had its turn.

use std::cell::Cell;

/// Awaits of one strand in one poll.
pub(crate) const OWN: u32 = 128;
/// Awaits of a whole tree in one poll.
const WHOLE: u32 = 1024;

/// What is left on this thread.
pub(crate) struct Budget {
    /// What a strand gets.
    share: Cell<u32>,
    own: Cell<u32>,
    whole: Cell<u32>,
}

impl Budget {
    pub(crate) const fn new() -> Self {
        Self { share: Cell::new(OWN), own: Cell::new(OWN), whole: Cell::new(WHOLE) }
    }

    /// A strand that is polled for its own sake begins; gives what the strand around has left.
    #[inline]
    pub(crate) fn begin(&self, outermost: bool) -> u32 {
        if outermost {
            self.whole.set(WHOLE);
        }
        self.own.replace(self.share.get())
    }

    /// What strands get from now on, instead of the usual.
    pub(crate) fn set_share(&self, share: u32) {
        self.share.set(share);
        self.own.set(share);
    }

    /// It has ended, and the strand around goes on with what it had.
    #[inline]
    pub(crate) fn end(&self, around: u32) {
        self.own.set(around);
    }

    /// Whether the strand must give others a turn.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.own.get() == 0
    }

    /// An await makes an attempt.
    #[inline]
    pub(crate) fn take(&self) {
        self.own.set(self.own.get().saturating_sub(1));
        self.whole.set(self.whole.get().saturating_sub(1));
    }

    /// It was in vain: waiting takes nobody's turn.
    #[inline]
    pub(crate) fn give_back(&self) {
        self.own.set((self.own.get() + 1).min(self.share.get()));
        self.whole.set((self.whole.get() + 1).min(WHOLE));
    }

    /// Whether the host must have its turn.
    #[inline]
    pub(crate) fn is_wholly_spent(&self) -> bool {
        self.whole.get() == 0
    }
}
