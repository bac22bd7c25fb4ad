//! Panics of user code become errors, with payload, location and backtrace (law C14).

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Error;

/// Runs user code; a panic is an error.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Error> {
    catch_unwind(AssertUnwindSafe(f)).map_err(Error::from_panic)
}

/// Drops something of the user's, whose `Drop` may panic.
pub(crate) fn dispose<T>(value: T, on_panic: impl FnOnce(Error)) {
    if let Err(panic) = catch(move || drop(value)) {
        on_panic(panic);
    }
}
