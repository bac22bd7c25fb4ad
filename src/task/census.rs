//! How many things of the runtime there are, by the thread that counts them: for the testing kit, which runs on one thread and
//! looks whether a scenario leaves something behind (law C8).

use std::cell::{Cell, RefCell};

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// Scopes: of nurseries, cancels, limits, shields.
    pub(crate) scopes: isize,
    /// Tasks that something referred to.
    pub(crate) strands: isize,
    /// Permits and places that somebody has.
    pub(crate) leases: isize,
}

thread_local! {
    static SCOPES: Cell<isize> = const { Cell::new(0) };
    static STRANDS: Cell<isize> = const { Cell::new(0) };
    static LEASES: Cell<isize> = const { Cell::new(0) };
    static TRAP: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

fn add(to: &'static std::thread::LocalKey<Cell<isize>>, change: isize) {
    let _ = to.try_with(|count| count.set(count.get() + change));
}

pub(crate) fn scopes(change: isize) {
    add(&SCOPES, change);
}

pub(crate) fn strands(change: isize) {
    add(&STRANDS, change);
}

pub(crate) fn leases(change: isize) {
    add(&LEASES, change);
}

/// What there is now on this thread.
pub(crate) fn take() -> Census {
    Census { scopes: SCOPES.get(), strands: STRANDS.get(), leases: LEASES.get() }
}

/// Calls `trap` at each poll of a runtime await of this thread, until the guard is dropped. The awaits of a thread with a trap
/// have no budget: it is the way by which they come here.
pub(crate) fn set_trap(trap: impl FnMut() + 'static) -> Trap {
    TRAP.set(Some(Box::new(trap)));
    super::running::set_share(0);
    Trap(())
}

pub(crate) struct Trap(());

impl Drop for Trap {
    fn drop(&mut self) {
        super::running::set_share(super::budget::OWN);
        TRAP.set(None);
    }
}

/// Calls the trap of this thread; `false` if there is none. One that awaits something itself is not called again.
#[cold]
pub(crate) fn spring() -> bool {
    let Some(mut trap) = TRAP.try_with(|trap| trap.borrow_mut().take()).ok().flatten() else { return false };
    trap();
    TRAP.set(Some(trap));
    true
}
