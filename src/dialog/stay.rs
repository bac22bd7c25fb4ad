//! A wait in an operation of an end, and what happens when it is dropped.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What both kinds of ends have in common.
pub(crate) trait End {
    /// The operation that was waiting has been dropped: forget its wakers.
    fn leave(&mut self) {}
}

/// Polls an operation of `end` until it is ready; dropped before that, it leaves.
pub(crate) fn stay<E, T, F>(end: &mut E, operation: F) -> Stay<'_, E, F>
where
    E: End + ?Sized,
    F: FnMut(&mut E, &mut Context<'_>) -> Poll<T>,
{
    Stay { end, operation, waits: false }
}

/// A future by hand: it is made for every value that is sent or received.
#[must_use = "it does nothing unless it is awaited"]
pub(crate) struct Stay<'a, E: End + ?Sized, F> {
    end: &'a mut E,
    operation: F,
    waits: bool,
}

/// Nothing in it is ever pinned.
impl<E: End + ?Sized, F> Unpin for Stay<'_, E, F> {}

impl<E, T, F> Future for Stay<'_, E, F>
where
    E: End + ?Sized,
    F: FnMut(&mut E, &mut Context<'_>) -> Poll<T>,
{
    type Output = T;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let Self { end, operation, waits } = self.get_mut();
        let polled = operation(end, cx);
        *waits = polled.is_pending();
        polled
    }
}

impl<E: End + ?Sized, F> Drop for Stay<'_, E, F> {
    #[inline]
    fn drop(&mut self) {
        if self.waits {
            self.end.leave();
        }
    }
}
