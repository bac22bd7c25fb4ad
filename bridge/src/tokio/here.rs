//! The loop that hosts the running actor, for links on its own thread.

use std::cell::Cell;
use std::fmt;
use std::future::Future;

use pleach::{Error, Result};
use tokio::runtime::Handle;
use tokio::task::JoinError;

use crate::{ForeignLoop, ForeignTask, Translated, call};

thread_local! {
    /// Set while this thread runs an actor on tokio.
    static INFECTED: Cell<bool> = const { Cell::new(false) };
}

/// The tokio runtime of the actor that asked for it; see [`Tokio::here`](super::Tokio::here).
#[derive(Clone, Copy, Debug)]
pub struct Here {
    _private: (),
}

impl Here {
    pub(super) fn new() -> Result<Self> {
        if INFECTED.get() { Ok(Self { _private: () }) } else { Err(NotInfected.into()) }
    }

    /// Runs one piece of tokio code as a task of this runtime, see [`run`](crate::run).
    ///
    /// # Errors
    /// Those of [`run`](crate::run).
    ///
    /// # Cancel safety
    /// That of [`run`](crate::run).
    pub async fn run<F, Fut, T>(&self, work: F) -> Result<T>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>> + 'static,
        T: Send + 'static,
    {
        call(*self, work).await
    }
}

/// Whether this thread runs an actor on a foreign loop, so that [`Tokio::here`](super::Tokio::here) gives it.
///
/// For code that serves both kinds of actors. Code that needs the loop asks for it, and passes the error on: that names the
/// remedy.
///
/// ```
/// use pleach::host::Host;
/// use pleach_bridge::{Tokio, is_infected};
///
/// assert!(!is_infected());
/// assert!(Tokio::current_thread().block_on(async { is_infected() }).unwrap());
/// ```
pub fn is_infected() -> bool {
    INFECTED.get()
}

impl ForeignLoop for Here {
    fn start(&self, task: ForeignTask) -> Result<()> {
        if !INFECTED.get() {
            // It was carried to another thread.
            return Err(Error::from(NotInfected));
        }
        // The task belongs to its link, and hears of its end by itself.
        drop(tokio::task::spawn_local(task()));
        Ok(())
    }

    fn noun(&self) -> &'static str {
        "tokio task"
    }

    fn alive() -> Option<usize> {
        Handle::try_current().ok().map(|tokio| tokio.metrics().num_alive_tasks())
    }

    fn translate(error: Error) -> Translated {
        translate(error)
    }
}

/// tokio's word for how another task ended, which a far function has passed on.
pub(super) fn translate(error: Error) -> Translated {
    match error.downcast::<JoinError>().map(JoinError::try_into_panic) {
        Ok(Ok(payload)) => Translated::Failed(Error::from_panic(payload)),
        Ok(Err(_cancelled)) => Translated::Cancelled,
        Err(other) => Translated::Failed(other),
    }
}

/// There is no tokio to link to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotInfected;

impl fmt::Display for NotInfected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this actor is not infected, there is no tokio to link to: \
             start it with `.host(Tokio::current_thread())`, the root with `pleach::actor::run(Tokio::current_thread(), ..)`"
        )
    }
}

impl std::error::Error for NotInfected {}

/// Says that this thread runs an actor on tokio, until it is dropped.
///
/// A second one at the same time, of a host that is refused by the first, leaves it as it was.
pub(super) struct Infected {
    before: bool,
}

impl Infected {
    pub(super) fn new() -> Self {
        Self { before: INFECTED.replace(true) }
    }
}

impl Drop for Infected {
    fn drop(&mut self) {
        INFECTED.set(self.before);
    }
}
