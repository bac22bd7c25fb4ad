//! What foreign code spawns while it is dropped, for whoever counts its tasks.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

thread_local! {
    static WATCH: RefCell<Option<Rc<Drops>>> = const { RefCell::new(None) };
}

/// Counts what is spawned on its thread by foreign code that is being dropped, as long as it is there.
pub(crate) struct Drops {
    alive: Box<dyn Fn() -> usize>,
    spawned: Cell<usize>,
}

/// Ends the watch of its thread.
pub(crate) struct Watch(Rc<Drops>);

impl Watch {
    /// `alive` gives the number of tasks on the loop of this thread.
    pub(crate) fn new(alive: impl Fn() -> usize + 'static) -> Self {
        let drops = Rc::new(Drops { alive: Box::new(alive), spawned: Cell::new(0) });
        WATCH.set(Some(drops.clone()));
        Self(drops)
    }

    pub(crate) fn spawned(&self) -> usize {
        self.0.spawned.get()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        WATCH.set(None);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("spawned", &self.spawned()).finish_non_exhaustive()
    }
}

/// Does `work`, which drops foreign code.
pub(crate) fn watched<T>(work: impl FnOnce() -> T) -> T {
    // A thread that ends has nothing left to count for.
    let Some(drops) = WATCH.try_with(|watch| watch.borrow().clone()).ok().flatten() else { return work() };
    let before = (drops.alive)();
    let done = work();
    let spawned = (drops.alive)().saturating_sub(before);
    drops.spawned.set(drops.spawned.get() + spawned);
    done
}
