//! Byte credit: how much may be under way, per dialog and per connection.
//!
//! A fragment costs its payload and 16 bytes, so that empty ones are bounded too. The last fragment of a message that
//! a dialog has only one of (start, started, outcome) is free up to [`FREE`] bytes: a call, or the news of a failure, then
//! never waits for somebody to read a stream. The cost of a fragment depends on nothing but its header; that is why both
//! ends agree on it even when one of them has already forgotten the dialog.

use thiserror::Error;

use super::fragment::{HEADER, Kind, MAX_PAYLOAD};

/// Most payload of a message's last fragment that needs no credit, if its dialog has only one such message.
pub(crate) const FREE: usize = 4 * 1024;

/// What a fragment costs.
pub(crate) fn fragment_cost(kind: Kind, len: usize, more: bool) -> u64 {
    match kind {
        Kind::Item => (HEADER + len) as u64,
        Kind::Start | Kind::Started | Kind::Return | Kind::Error if more || len > FREE => (HEADER + len) as u64,
        _ => 0,
    }
}

/// What a message of `len` bytes costs when it is cut into the largest fragments.
pub(crate) fn message_cost(kind: Kind, len: usize) -> u64 {
    let full = len.saturating_sub(1) / MAX_PAYLOAD;
    full as u64 * fragment_cost(kind, MAX_PAYLOAD, true) + fragment_cost(kind, len - full * MAX_PAYLOAD, false)
}

/// The other end does not keep to the credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum CreditError {
    /// It sent more than it was allowed to.
    #[error("more was sent than the credit allows")]
    Overdrawn,
    /// It returned more than was sent to it.
    #[error("more credit was returned than was used")]
    Overpaid,
}

/// The sender's half: what it has sent and not got back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    size: u64,
    used: u64,
}

impl Window {
    /// A window of `size` bytes, all of it free.
    pub(crate) fn new(size: u64) -> Self {
        Self { size, used: 0 }
    }

    /// Whether a message of this cost may go.
    ///
    /// One that is too large for what is left goes when less than half is used: that is all that a receiver who has
    /// consumed everything may still owe, so waiting for more could be waiting for ever.
    pub(crate) fn admits(&self, cost: u64) -> bool {
        self.used + cost <= self.size || self.used * 2 < self.size
    }

    /// Uses credit.
    pub(crate) fn take(&mut self, cost: u64) {
        self.used += cost;
    }

    /// Gets credit back.
    pub(crate) fn give_back(&mut self, amount: u64) -> Result<(), CreditError> {
        self.used = self.used.checked_sub(amount).ok_or(CreditError::Overpaid)?;
        Ok(())
    }

    /// What is under way.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.used
    }
}

/// The sender's half for a whole connection.
///
/// A large message may overdraw it, one at a time; the small ones of other dialogs then still have the window that
/// they had, because a receiver can consume the large one only when all of it has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pool {
    size: u64,
    reserve: u64,
    small: u64,
    used: u64,
    large: bool,
}

impl Pool {
    /// A window of `size` bytes over dialogs of `per_dialog` bytes, and room for one message of `largest`.
    pub(crate) fn new(size: u64, per_dialog: u64, largest: u64) -> Self {
        Self { size, reserve: largest, small: per_dialog.min(size / 2), used: 0, large: false }
    }

    /// Whether a message of this cost may go.
    pub(crate) fn admits(&self, cost: u64) -> bool {
        if cost <= self.small { self.used + cost <= self.limit() } else { self.used < self.size }
    }

    /// Whether some message may go.
    pub(crate) fn has_room(&self) -> bool {
        self.used < self.limit()
    }

    fn limit(&self) -> u64 {
        if self.large { self.size.saturating_add(self.reserve) } else { self.size }
    }

    /// Uses credit.
    pub(crate) fn take(&mut self, cost: u64) {
        self.used += cost;
        self.large |= cost > self.small;
    }

    /// Gets credit back.
    pub(crate) fn give_back(&mut self, amount: u64) -> Result<(), CreditError> {
        self.used = self.used.checked_sub(amount).ok_or(CreditError::Overpaid)?;
        self.large &= self.used >= self.size;
        Ok(())
    }

    /// What is under way.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.used
    }
}

/// The receiver's half: what it holds, and what it has consumed and not yet returned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ledger {
    size: u64,
    cap: u64,
    used: u64,
    owed: u64,
}

impl Ledger {
    /// The counterpart of [`Window::new`], for messages of at most `largest` cost.
    pub(crate) fn new(size: u64, largest: u64) -> Self {
        Self { size, cap: size.saturating_add(largest), used: 0, owed: 0 }
    }

    /// Counts a fragment of a connection: all of its window, and one large message.
    pub(crate) fn receive(&mut self, cost: u64) -> Result<(), CreditError> {
        if self.used + cost > self.cap {
            return Err(CreditError::Overdrawn);
        }
        self.used += cost;
        Ok(())
    }

    /// Counts a fragment of a dialog; the mirror of [`Window::admits`], as far as the first fragment tells.
    pub(crate) fn receive_item(&mut self, cost: u64, first: bool) -> Result<(), CreditError> {
        if first && self.used + cost > self.size && self.used * 2 >= self.size {
            return Err(CreditError::Overdrawn);
        }
        self.receive(cost)
    }

    /// Something was consumed; `true` if it is time to return what is owed: once per half window.
    pub(crate) fn consume(&mut self, cost: u64) -> bool {
        let before = self.is_due();
        self.owed += cost;
        !before && self.is_due()
    }

    fn is_due(&self) -> bool {
        self.owed * 2 >= self.size
    }

    /// Returns what is owed.
    pub(crate) fn settle(&mut self) -> u64 {
        let amount = std::mem::take(&mut self.owed);
        self.used -= amount;
        amount
    }

    /// What was received and not returned.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn used(&self) -> u64 {
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_costs_the_sum_of_its_fragments() {
        assert_eq!(message_cost(Kind::Item, 0), 16);
        assert_eq!(message_cost(Kind::Item, MAX_PAYLOAD), 16 + MAX_PAYLOAD as u64);
        assert_eq!(message_cost(Kind::Item, MAX_PAYLOAD + 1), 32 + MAX_PAYLOAD as u64 + 1);
        assert_eq!(message_cost(Kind::Return, FREE), 0);
        assert_eq!(message_cost(Kind::Return, FREE + 1), 16 + FREE as u64 + 1);
        assert_eq!(message_cost(Kind::Error, MAX_PAYLOAD + 5), 16 + MAX_PAYLOAD as u64, "the rest of 5 bytes is free");
        assert_eq!(message_cost(Kind::Stop, 0), 0);
    }

    #[test]
    fn a_large_message_goes_once_a_receiver_who_read_all_can_owe_no_more() {
        let (mut window, mut ledger) = (Window::new(100), Ledger::new(100, 1000));
        window.take(49);
        ledger.receive_item(49, true).unwrap();
        assert!(!ledger.consume(49), "less than half is not returned");
        assert!(window.admits(1000));
        window.take(1000);
        assert!(!window.admits(1));
        ledger.receive_item(1000, true).unwrap();
        assert!(ledger.consume(1000));
        window.give_back(ledger.settle()).unwrap();
        assert_eq!((window.used(), ledger.used()), (0, 0));
        assert_eq!(window.give_back(1), Err(CreditError::Overpaid));
    }

    #[test]
    fn a_sender_beyond_its_credit_is_noticed() {
        let mut ledger = Ledger::new(100, 50);
        ledger.receive_item(90, true).unwrap();
        assert_eq!(ledger.receive_item(11, true), Err(CreditError::Overdrawn));
        ledger.receive_item(10, true).unwrap();
        ledger.receive_item(50, false).unwrap();
        assert_eq!(ledger.receive_item(1, false), Err(CreditError::Overdrawn));
    }

    #[test]
    fn a_large_message_leaves_the_small_ones_their_window() {
        let mut pool = Pool::new(100, 10, 1000);
        pool.take(1000);
        assert!(!pool.admits(11), "one large message at a time");
        assert!(pool.admits(10));
        pool.take(100);
        assert!(!pool.admits(1) && !pool.has_room());
        pool.give_back(1001).unwrap();
        assert!(pool.admits(1) && !pool.admits(2) && pool.admits(1000), "the window is what it was");
    }
}
