//! Which strand runs on this thread, what it waits for, and what it may still do before others have their turn.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::task::Waker;

use super::budget::Budget;
use super::strand::{Identity, NOBODY, Place, Strand, identity};
use super::waits_for::Waits;

/// What runs on a thread.
struct Running {
    strand: RefCell<Option<Place>>,
    /// The waker that it is polled with: whoever waits with that is woken together with the strand.
    waker: Cell<Identity>,
    /// What the last await that was found pending waits for.
    waits: Cell<Option<Waits>>,
    budget: Budget,
}

thread_local! {
    static RUNNING: Running = const {
        Running {
            strand: RefCell::new(None),
            waker: Cell::new(NOBODY),
            waits: Cell::new(None),
            budget: Budget::new(),
        }
    };
}

/// The innermost strand on the poll stack of this thread.
pub(crate) fn current() -> Option<Arc<Strand>> {
    let current = |running: &Running| running.strand.borrow_mut().as_mut().map(|place| place.make().clone());
    RUNNING.try_with(current).ok().flatten()
}

/// Looks at the current strand without counting a reference, and at what is left to it; `f` must not wake, drop a waker, or
/// call user code.
#[inline]
pub(crate) fn with_current<R>(f: impl FnOnce(Option<&Place>, &Budget) -> R) -> R {
    let mut f = Some(f);
    let look = |running: &Running| f.take().map(|f| f(running.strand.borrow().as_ref(), &running.budget));
    match RUNNING.try_with(look) {
        Ok(Some(seen)) => seen,
        // The thread is ending and its locals are gone: outside every strand.
        _ => f.take().expect("it was not called")(None, &Budget::new()),
    }
}

/// The strand that runs on this thread is about to wait, in something that is polled with `waker`: whether that is its own,
/// which a request wakes anyway.
#[inline]
pub(crate) fn parks(waits: Waits, waker: &Waker) -> bool {
    let parks = |running: &Running| {
        running.waits.set(Some(waits));
        running.budget.give_back();
        running.waker.get() == identity(waker)
    };
    RUNNING.try_with(parks).unwrap_or(false)
}

/// The strand that runs on this thread is about to wait for a scope inside it.
#[inline]
pub(crate) fn waits(waits: Waits) {
    let _ = RUNNING.try_with(|running| running.waits.set(Some(waits)));
}

/// What the strand waits for that was just polled on this thread.
#[inline]
pub(crate) fn last_waits() -> Option<Waits> {
    RUNNING.try_with(|running| running.waits.get()).ok().flatten()
}

/// What strands of this thread may do from now on before others have their turn.
pub(crate) fn set_share(share: u32) {
    let _ = RUNNING.try_with(|running| running.budget.set_share(share));
}

/// Whether the tree that is polled on this thread has done so much that its host must have a turn.
#[inline]
pub(crate) fn is_wholly_spent() -> bool {
    RUNNING.try_with(|running| running.budget.is_wholly_spent()).unwrap_or(false)
}

/// Moves the strand of a wrapper into the thread's cell, and back when dropped, also by unwinding: a poll costs no
/// reference count.
pub(crate) struct Entered<'a> {
    previous: Option<Place>,
    home: &'a mut Option<Place>,
    waker: Identity,
    /// What the strand around has left, if this one has a budget of its own.
    around: Option<u32>,
}

impl<'a> Entered<'a> {
    /// A strand that spends what the one around it has left: the body of a scope.
    #[inline]
    pub(crate) fn poll(home: &'a mut Option<Place>, waker: &Waker) -> Self {
        Self::enter(home, identity(waker), false)
    }

    /// A strand with a budget of its own: a child of a nursery, whose polls come from an executor.
    #[inline]
    pub(crate) fn poll_child(home: &'a mut Option<Place>, waker: &Waker) -> Self {
        Self::enter(home, identity(waker), true)
    }

    /// Something of the strand's is dropped.
    pub(crate) fn drop(home: &'a mut Option<Place>) -> Self {
        Self::enter(home, NOBODY, false)
    }

    #[inline]
    fn enter(home: &'a mut Option<Place>, waker: Identity, own_budget: bool) -> Self {
        let entered = RUNNING.try_with(|running| {
            let previous = running.strand.replace(home.take());
            let outermost = previous.is_none();
            let around = (own_budget || outermost).then(|| running.budget.begin(outermost));
            running.waits.set(None);
            (previous, running.waker.replace(waker), around)
        });
        let (previous, waker, around) = entered.unwrap_or((None, NOBODY, None));
        Self { previous, home, waker, around }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let _ = RUNNING.try_with(|running| {
            *self.home = running.strand.replace(self.previous.take());
            running.waker.set(self.waker);
            if let Some(around) = self.around {
                running.budget.end(around);
            }
        });
    }
}

/// The same for code that belongs to no strand.
pub(crate) struct Outside {
    previous: Option<Place>,
}

impl Outside {
    pub(crate) fn enter() -> Self {
        Self { previous: RUNNING.try_with(|running| running.strand.take()).ok().flatten() }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = RUNNING.try_with(|running| running.strand.replace(self.previous.take()));
    }
}
