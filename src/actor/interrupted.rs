//! What SIGINT and SIGTERM mean to a root: its own scope, which they cancel.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use super::process::RootEvents;
use crate::dialog::Stuck;
use crate::error::{Cancelled, Group, Mark, Reason};
use crate::task::CancelScope;
use crate::{Error, Result};

/// The scope of a root, and what has been asked of it.
#[derive(Default)]
pub(super) struct Interruption {
    scope: CancelScope,
    signal: AtomicI32,
}

impl Interruption {
    /// Runs the root in its scope. `None` if it ended because a signal asked for it.
    pub(super) async fn run<T>(self: Arc<Self>, root: impl Future<Output = Result<T>>) -> Result<Option<T>> {
        self.scope.run(root).await
    }

    /// The signal that asked for the end, if one did.
    pub(super) fn signal(&self) -> Option<i32> {
        Some(self.signal.load(Ordering::SeqCst)).filter(|number| *number != 0)
    }

    /// What the root ended with, to be asked for when its processes are reaped.
    pub(super) fn outcome<T>(&self, ended: Result<Option<T>>) -> Result<T> {
        match ended {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.cancelled()),
            Err(error) if self.signal().is_some() => Err(self.without_what_is_over(error)),
            Err(error) => Err(error),
        }
    }

    fn cancelled(&self) -> Error {
        let otherwise = || Mark { scope: self.scope.id(), reason: Reason::Shutdown };
        Cancelled { mark: self.scope.mark().unwrap_or_else(otherwise) }.into()
    }

    /// A task in an actor that could not be waited for has ended with its process.
    fn without_what_is_over(&self, error: Error) -> Error {
        let is_over = |leaf: &Error| leaf.downcast_ref::<Stuck>().is_some_and(|stuck| stuck.actor.is_some());
        if !error.failures().iter().any(is_over) {
            return error;
        }
        let mut left: Vec<_> = error.into_failures().into_iter().filter(|leaf| !is_over(leaf)).collect();
        match left.len() {
            0 => self.cancelled(),
            1 => left.remove(0),
            _ => Group(left).into(),
        }
    }
}

impl RootEvents for Interruption {
    fn interrupted(&self, signal: i32) {
        self.signal.store(signal, Ordering::SeqCst);
        self.scope.request(Reason::Signal(signal));
    }

    fn hurried(&self) {
        self.scope.hurry();
    }
}
