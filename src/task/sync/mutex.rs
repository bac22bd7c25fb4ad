//! A lock that may be held over awaits.

use std::fmt;
use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::semaphore::{Acquiring, Permit, Semaphore};
use crate::Result;
use crate::shim;
use crate::task::waits_for::WaitsFor;

/// A value that one task at a time has, also over its awaits.
///
/// For a value that nobody keeps over an await, the mutex of std is faster. One that is released by a panic is not poisoned.
///
/// ```
/// use pleach::task::{checkpoint, nursery, sync::Mutex, time::VirtualClock};
///
/// let count = Mutex::new(0);
/// VirtualClock::block_on(nursery(async |n| {
///     for _ in 0..10 {
///         n.spawn(async {
///             let mut count = count.lock().await?;
///             let before = *count;
///             checkpoint().await?; // somebody else runs, and does not have it
///             *count = before + 1;
///             Ok(())
///         })?;
///     }
///     Ok(())
/// }))
/// .unwrap();
/// assert_eq!(count.into_inner(), 10);
/// ```
pub struct Mutex<T> {
    permit: Semaphore,
    /// Away while somebody has it: a guard owns the value, and so can be sent between threads.
    value: shim::Mutex<Option<Box<T>>>,
}

impl<T> Mutex<T> {
    /// A value that nobody has.
    pub fn new(value: T) -> Self {
        Self { permit: Semaphore::new(1), value: shim::Mutex::new(Some(Box::new(value))) }
    }

    /// Waits until nobody else has it.
    ///
    /// # Errors
    /// `Cancelled` if the scope around was cancelled.
    ///
    /// # Cancel safety
    /// Cancelled or dropped it has nothing, and loses its place in the queue.
    #[track_caller]
    pub fn lock(&self) -> Locking<'_, T> {
        Locking { mutex: self, acquiring: self.permit.acquire_for(WaitsFor::Lock) }
    }

    /// Takes it if nobody has it now. Nothing cancels it.
    pub fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.permit.try_acquire().map(|permit| self.guard(permit))
    }

    /// The value, without a lock: nobody else can have it.
    ///
    /// # Panics
    /// If a guard was leaked by `mem::forget`.
    pub fn into_inner(self) -> T {
        let value = self.value.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
        *value.expect("no guard was leaked")
    }

    fn guard<'a>(&'a self, permit: Permit<'a>) -> Guard<'a, T> {
        let value = self.value.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        Guard { value, mutex: self, _permit: permit }
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").field("locked", &(self.permit.available() == 0)).finish_non_exhaustive()
    }
}

/// The value, until it is dropped.
#[must_use = "the lock is released when it is dropped"]
pub struct Guard<'a, T> {
    value: Option<Box<T>>,
    mutex: &'a Mutex<T>,
    // Dropped last: whoever gets it finds the value.
    _permit: Permit<'a>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("only its drop takes it")
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("only its drop takes it")
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        let value = self.value.take();
        *self.mutex.value.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = value;
    }
}

impl<T: fmt::Debug> fmt::Debug for Guard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// The value on its way; see [`Mutex::lock`].
#[must_use = "futures do nothing unless polled"]
pub struct Locking<'a, T> {
    mutex: &'a Mutex<T>,
    acquiring: Acquiring<'a>,
}

impl<'a, T> Future for Locking<'a, T> {
    type Output = Result<Guard<'a, T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let permit = ready!(Pin::new(&mut self.acquiring).poll(cx))?;
        Poll::Ready(Ok(self.mutex.guard(permit)))
    }
}

impl<T> fmt::Debug for Locking<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locking").field("acquiring", &self.acquiring).finish()
    }
}
