//! What a scenario is given, by which its driver knows what it has left behind.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::Error;
use crate::error::FailureId;

/// One run of a scenario: makes things that must be gone when it is over, and failures that must not be lost. Clones belong to
/// the same run.
#[derive(Clone, Default)]
pub struct Trial {
    ledger: Arc<Mutex<Ledger>>,
}

#[derive(Default)]
struct Ledger {
    /// Names of what is alive, by number.
    alive: Vec<(u64, &'static str)>,
    made: u64,
    failures: Vec<(FailureId, String)>,
}

impl Trial {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Something that must be dropped before the scenario is over, whatever happens to it.
    pub fn probe(&self, name: &'static str) -> Probe {
        let number = {
            let mut ledger = self.ledger();
            ledger.made += 1;
            let number = ledger.made;
            ledger.alive.push((number, name));
            number
        };
        Probe { ledger: self.ledger.clone(), number }
    }

    /// A failure that a task of the scenario is about to **return**: the outcome must have it. Nothing may come between this
    /// call and the return, or a cancel might.
    #[track_caller]
    pub fn failure(&self, text: &str) -> Error {
        let error = Error::msg(text);
        self.ledger().failures.push((error.id(), text.to_owned()));
        error
    }

    /// What is alive.
    pub(super) fn alive(&self) -> Vec<&'static str> {
        self.ledger().alive.iter().map(|(_, name)| *name).collect()
    }

    /// The failures that `outcome` does not have.
    pub(super) fn lost(&self, outcome: Option<&Error>) -> Vec<String> {
        let has = |id: FailureId| outcome.is_some_and(|error| error.failures().iter().any(|leaf| leaf.id() == id));
        let ledger = self.ledger();
        ledger.failures.iter().filter(|(id, _)| !has(*id)).map(|(_, text)| text.clone()).collect()
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("alive", &self.alive()).finish_non_exhaustive()
    }
}

/// Something that is alive until it is dropped; see [`Trial::probe`].
#[must_use = "it is gone when it is dropped"]
pub struct Probe {
    ledger: Arc<Mutex<Ledger>>,
    number: u64,
}

impl Drop for Probe {
    fn drop(&mut self) {
        let mut ledger = self.ledger.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        ledger.alive.retain(|(number, _)| *number != self.number);
    }
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probe").field("number", &self.number).finish_non_exhaustive()
    }
}
