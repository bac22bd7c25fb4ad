//! A wait in an operation of an end, and what happens when it is dropped.

use std::future::poll_fn;
use std::task::{Context, Poll};

/// What both kinds of ends have in common.
pub(crate) trait End {
    /// The operation that was waiting has been dropped: forget its wakers.
    fn leave(&mut self) {}
}

/// Polls an operation of `end` until it is ready; dropped before that, it leaves.
pub(crate) async fn stay<E, T>(end: &mut E, mut operation: impl FnMut(&mut E, &mut Context<'_>) -> Poll<T>) -> T
where
    E: End + ?Sized,
{
    let mut stay = Stay { end, waits: false };
    poll_fn(|cx| {
        let polled = operation(stay.end, cx);
        stay.waits = polled.is_pending();
        polled
    })
    .await
}

struct Stay<'a, E: End + ?Sized> {
    end: &'a mut E,
    waits: bool,
}

impl<E: End + ?Sized> Drop for Stay<'_, E> {
    fn drop(&mut self) {
        if self.waits {
            self.end.leave();
        }
    }
}
