//! What an opener gets: the way to provide its value.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::life::Phase;
use super::user::Slot;
use crate::Result;
use crate::task::wait::Wait;
use crate::task::waits_for::WaitsFor;

/// The side of a resource, for its opener; see [`Shared`](super::Shared).
pub struct Holder<V> {
    slot: Arc<Slot<V>>,
}

impl<V> Holder<V> {
    pub(super) fn new(slot: Arc<Slot<V>>) -> Self {
        Self { slot }
    }

    /// Gives `value` to those who wait for it, and waits until nobody needs it any more. Then it is time to clean up.
    ///
    /// So a resource that has something to do meanwhile does it in a child, or in a `join`, as the one at
    /// [`Shared`](super::Shared) does; what comes after this is the cleanup.
    ///
    /// What the users have are clones. The last of them is gone by then, unless a user has carried one away.
    ///
    /// # Errors
    /// `Cancelled` if nobody waits for it any more, or when the grace of a cancelled nursery is over. A cancel of the
    /// nursery alone does not end it: the users are cancelled, and it waits for them.
    ///
    /// # Cancel safety
    /// Dropping it ends the use of the resource: the users are cancelled. So an opener may wait in a `select` for the
    /// failure of what it holds.
    #[track_caller]
    pub fn provide(self, value: V) -> impl Future<Output = Result<()>> + use<V> {
        let mut wait = Wait::new(WaitsFor::Other);
        let mut value = Some(value);
        let provided = Provided(self.slot);
        poll_fn(move |cx| wait.attempt(cx, |cx| provided.poll_unneeded(&mut value, cx)))
    }
}

/// A value that is provided until nobody needs it, or this is gone.
struct Provided<V>(Arc<Slot<V>>);

impl<V> Provided<V> {
    /// Until no user is left; the first time it gives them the value.
    fn poll_unneeded(&self, value: &mut Option<V>, cx: &Context<'_>) -> Poll<()> {
        if let Some(value) = value.take() {
            self.0.publish(value);
        }
        ready!(self.0.life.poll_unneeded(cx));
        self.0.withdraw();
        Poll::Ready(())
    }
}

impl<V> Drop for Provided<V> {
    fn drop(&mut self) {
        self.0.life.close(Phase::Open);
        self.0.withdraw();
    }
}

impl<V> fmt::Debug for Holder<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holder").finish_non_exhaustive()
    }
}
