//! Which strand runs on this thread, what it waits for, and what it may still do before others have their turn.

use std::cell::{Cell, RefCell};
use std::mem::{self, ManuallyDrop};
use std::sync::Arc;
use std::task::Waker;

use super::budget::Budget;
use super::strand::{Identity, NOBODY, Place, Strand, identity};
use super::waits_for::Waits;

/// What runs on a thread.
struct Running {
    /// Never dropped, so that the thread keeps no account of it: outside a poll there is nothing in it.
    strand: ManuallyDrop<RefCell<Option<Place>>>,
    /// The waker that it is polled with: whoever waits with that is woken together with the strand.
    waker: Cell<Identity>,
    /// What the last await that was found pending waits for.
    waits: Cell<Option<Waits>>,
    budget: Budget,
}

thread_local! {
    static RUNNING: Running = const {
        Running {
            strand: ManuallyDrop::new(RefCell::new(None)),
            waker: Cell::new(NOBODY),
            waits: Cell::new(None),
            budget: Budget::new(),
        }
    };
}

/// The innermost strand on the poll stack of this thread.
pub(crate) fn current() -> Option<Arc<Strand>> {
    RUNNING.with(|running| running.strand.borrow_mut().as_mut().map(|place| place.make().clone()))
}

/// Looks at the current strand without counting a reference, and at what is left to it; `f` must not wake, drop a waker, or
/// call user code.
#[inline]
pub(crate) fn with_current<R>(f: impl FnOnce(Option<&Place>, &Budget) -> R) -> R {
    RUNNING.with(|running| f(running.strand.borrow().as_ref(), &running.budget))
}

/// The strand that runs on this thread is about to wait, in something that is polled with `waker`: whether that is its own,
/// which a request wakes anyway.
#[inline]
pub(crate) fn parks(waits: Waits, waker: &Waker) -> bool {
    RUNNING.with(|running| {
        running.waits.set(Some(waits));
        running.budget.give_back();
        running.waker.get() == identity(waker)
    })
}

/// The strand that runs on this thread is about to wait for a scope inside it.
#[inline]
pub(crate) fn waits(waits: Waits) {
    RUNNING.with(|running| running.waits.set(Some(waits)));
}

/// What the strand waits for that was just polled on this thread.
#[inline]
pub(crate) fn last_waits() -> Option<Waits> {
    RUNNING.with(|running| running.waits.get())
}

/// What strands of this thread may do from now on before others have their turn.
pub(crate) fn set_share(share: u32) {
    RUNNING.with(|running| running.budget.set_share(share));
}

/// Whether the tree that is polled on this thread has done so much that its host must have a turn.
#[inline]
pub(crate) fn is_wholly_spent() -> bool {
    RUNNING.with(|running| running.budget.is_wholly_spent())
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
        RUNNING.with(|running| {
            let previous = running.strand.replace(home.take());
            let outermost = previous.is_none();
            let around = (own_budget || outermost).then(|| running.budget.begin(outermost));
            running.waits.set(None);
            Self { previous, home, waker: running.waker.replace(waker), around }
        })
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        RUNNING.with(|running| {
            let own = running.strand.replace(self.previous.take());
            // Nothing is there, which the compiler does not know: it would look for what to drop.
            mem::forget(mem::replace(self.home, own));
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
        Self { previous: RUNNING.with(|running| running.strand.take()) }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        RUNNING.with(|running| running.strand.replace(self.previous.take()));
    }
}
