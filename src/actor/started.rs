//! Which actors the tasks of a root have started, for whoever asks what that root waits for.

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::child::Child;

/// The actors that were started and are known to somebody.
#[derive(Default)]
pub(crate) struct Started(Mutex<Vec<Weak<Child>>>);

impl Started {
    pub(super) fn add(&self, child: &Arc<Child>) {
        let mut children = self.children();
        children.retain(|child| child.strong_count() > 0);
        children.push(Arc::downgrade(child));
    }

    /// The actors that live, and what may be waited for in each.
    pub(super) fn waited_for(&self) -> Vec<String> {
        // As a list of its own: an actor is asked while no lock is held here.
        let children: Vec<_> = self.children().iter().filter_map(Weak::upgrade).collect();
        children.iter().filter_map(|child| child.waited_for()).collect()
    }

    fn children(&self) -> MutexGuard<'_, Vec<Weak<Child>>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
