//! The scope that owns actors.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use event_listener::{Event, listener};

use super::ambient::{self, Me};
use super::builder::ActorBuilder;
use super::child::Child;
use crate::dialog::Stuck;
use crate::error::{Cancelled, Group, Reason};
use crate::task::{CancelScope, cancellable, current_mark, entrust, reason_below, remaining_grace, shield};
use crate::{Error, Result};

/// How long an actor may take to unwind when it is cancelled.
pub(super) const ACTOR_GRACE: Duration = Duration::from_secs(5);
/// What the steps after the grace take together: SIGTERM, SIGKILL, drain, and some air.
const LADDER: Duration = Duration::from_secs(4);

/// Runs `f` with a nursery for actors, and completes when every actor started in it has ended and its process is
/// reaped.
///
/// An actor lives until it is cancelled, so a body that returns `Ok` still waits for the actors it has not cancelled.
/// When the body fails, when the scope around is cancelled, or when an actor ends without having been asked to, all
/// actors are cancelled, in parallel.
///
/// # Errors
/// The body's error; [`ActorDied`](super::ActorDied) for an actor that ended unasked, or what it said it failed with;
/// several of them as a [`Group`]; [`Misuse`](crate::error::Misuse), before anything is started, outside an actor tree.
///
/// # Cancel safety
/// If the future is dropped, its processes have been sent SIGKILL before the drop returns, and the enclosing scope does
/// not complete before they are reaped.
///
/// ```no_run
/// use pleach::prelude::*;
///
/// #[pleach::endpoint]
/// async fn double(n: u64) -> Result<u64> {
///     Ok(2 * n)
/// }
///
/// #[pleach::main]
/// async fn main() -> Result<()> {
///     actor_nursery(async |n| {
///         let worker = n.actor("worker").expose(double).start().await?;
///         assert_eq!(worker.run(double, (21,)).await?, 42);
///         worker.cancel_actor().await
///     })
///     .await
/// }
/// ```
pub async fn actor_nursery<T, F, Fut>(f: F) -> Result<T>
where
    F: FnOnce(ActorNursery) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let me = ambient::me()?;
    let shared = Arc::new(Shared::new(me));
    let _guard = Guard { shared: shared.clone() };
    let done = shared.scope.run(f(ActorNursery { shared: shared.clone() })).await;
    shared.settle(done).await
}

/// The handle with which actors are started, see [`actor_nursery`].
#[derive(Clone)]
pub struct ActorNursery {
    pub(super) shared: Arc<Shared>,
}

impl ActorNursery {
    /// Describes an actor of that name; `.start()` starts it.
    ///
    /// The name is one step of a path: it must not be empty nor contain `/` or a zero byte, and no living actor of this nursery may
    /// have it.
    pub fn actor(&self, name: impl Into<String>) -> ActorBuilder {
        ActorBuilder::new(self.shared.clone(), name.into())
    }

    /// Asks all actors that this nursery has now to end, and returns at once; the body goes on, and can start others.
    ///
    /// What they then end with is no failure of the nursery, except what they themselves say that they failed with.
    pub fn cancel_actors(&self, message: impl Into<String>) {
        let by = self.shared.me.path.clone();
        self.shared.cancel_all(&Reason::Explicit { by, message: message.into() });
    }
}

impl fmt::Debug for ActorNursery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorNursery").field("of", &self.shared.me.path).finish_non_exhaustive()
    }
}

/// What the nursery, its actors and the control thread share.
pub(super) struct Shared {
    pub(super) me: Arc<Me>,
    /// The body's scope: cancelled when an actor fails.
    scope: CancelScope,
    state: Mutex<State>,
    /// Something ended.
    changed: Event,
}

#[derive(Default)]
struct State {
    children: Vec<Arc<Child>>,
    failures: Vec<Error>,
    closed: bool,
    /// The body has ended well: the actors that it has not cancelled are waited for.
    waits: bool,
}

impl Shared {
    fn new(me: Arc<Me>) -> Self {
        Self { me, scope: CancelScope::new(), state: Mutex::default(), changed: Event::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes a new actor in, before it is started.
    ///
    /// # Errors
    /// If one of that name lives, or the nursery is being cancelled or is over.
    pub(super) fn adopt(&self, child: Arc<Child>) -> Result<()> {
        use crate::error::{Closed, Misuse};
        let mut state = self.state();
        if state.closed {
            return Err(Closed.into());
        }
        if let Some(mark) = self.scope.mark() {
            return Err(Cancelled { mark }.into());
        }
        if let Some(twin) = state.children.iter().find(|other| other.path() == child.path()) {
            let text = format!("{} lives already (pid {}): give the second one another name", twin.path(), twin.pid());
            return Err(Misuse::new(text).into());
        }
        self.me.started.add(&child);
        state.children.push(child);
        Ok(())
    }

    /// An actor has ended, with this failure if nobody had asked for it.
    pub(super) fn ended(&self, child: &Arc<Child>, failure: Option<Error>) {
        let request = {
            let mut state = self.state();
            state.children.retain(|other| !Arc::ptr_eq(other, child));
            failure.map(|error| {
                let reason = Reason::failed(&error);
                state.failures.push(error);
                reason
            })
        };
        if let Some(reason) = request {
            self.scope.request(reason);
        }
        self.changed.notify(usize::MAX);
    }

    fn cancel_all(&self, reason: &Reason) {
        // A part of what this side has left stays with it, for the steps after the grace.
        let limit = remaining_grace().map(|rest| rest.mul_f32(0.8));
        let children = self.state().children.clone();
        for child in children {
            child.cancel(reason.clone(), limit);
        }
    }

    /// A body that has ended and actors that nobody has cancelled may be meant so, or forgotten.
    fn say_who_is_left(&self) {
        let mut state = self.state();
        state.waits = true;
        let left: Vec<_> = state.children.iter().filter(|child| !child.was_asked()).map(|child| child.path()).collect();
        if !left.is_empty() {
            tracing::info!(actors = left.join(", "), "the body of an actor nursery has ended, its actors live on");
        }
    }

    /// Whether its body has ended, and its actors are waited for.
    pub(super) fn waits(&self) -> bool {
        self.state().waits
    }

    /// A task that could not be ended in an actor of ours has ended with it: the actors are reaped. If it was to be ended
    /// because an actor failed, or because we are cancelled, that is all that is left to be said.
    fn without_what_is_over<T>(&self, body: Result<Option<T>>) -> Result<Option<T>> {
        let below = format!("{}/", self.me.path);
        let over = |leaf: &Error| {
            let stuck = leaf.downcast_ref::<Stuck>().and_then(|stuck| stuck.actor.as_deref());
            stuck.is_some_and(|actor| actor.starts_with(&below))
        };
        let because = !self.state().failures.is_empty() || current_mark().is_some();
        let error = match body {
            Err(error) if because && error.failures().iter().any(over) => error,
            other => return other,
        };
        let mut left: Vec<_> = error.into_failures().into_iter().filter(|leaf| !over(leaf)).collect();
        match (left.len(), current_mark()) {
            (0, Some(mark)) => Err(Cancelled { mark }.into()),
            (0, None) => Ok(None),
            (1, _) => Err(left.remove(0)),
            _ => Err(Group(left).into()),
        }
    }

    /// The longest that the actors may take to unwind.
    fn grace(&self) -> Duration {
        self.state().children.iter().map(|child| child.grace()).max().unwrap_or_default()
    }

    /// Waits until `done` says so, looking after every end of an actor.
    async fn until(&self, done: impl Fn(&State) -> bool) {
        loop {
            listener!(self.changed => changed);
            if done(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    async fn empty(&self) {
        self.until(|state| state.children.is_empty()).await;
    }

    /// The body is over: wait for the actors, or end them, and make the result.
    async fn settle<T>(&self, body: Result<Option<T>>) -> Result<T> {
        let body = match body {
            Ok(Some(value)) => {
                self.say_who_is_left();
                let waited = cancellable(self.until(|state| state.children.is_empty() || !state.failures.is_empty()));
                waited.await.map(|()| Some(value))
            }
            other => other,
        };
        let reason = match (&body, self.state().failures.first()) {
            (Err(error), _) if !error.is_cancelled() => Some(Reason::failed(error)),
            (Err(_), _) => Some(reason_below()),
            (Ok(_), Some(failure)) => Some(Reason::failed(failure)),
            (Ok(_), None) => None,
        };
        if let Some(reason) = reason {
            self.state().closed = true;
            self.cancel_all(&reason.below(&self.me.path));
        }
        // The ladder ends by itself, on the control thread; the shield is as long as it can take.
        let waited = shield(self.grace().saturating_add(LADDER), async {
            self.empty().await;
            Ok(())
        });
        let waited = waited.await;
        self.state().closed = true;
        let body = if waited.is_ok() { self.without_what_is_over(body) } else { body };
        result(body, waited.err(), std::mem::take(&mut self.state().failures))
    }
}

/// The actors' failures come first: what the body says then is mostly their echo.
fn result<T>(body: Result<Option<T>>, waited: Option<Error>, mut failures: Vec<Error>) -> Result<T> {
    let own = match body {
        Ok(Some(value)) if failures.is_empty() => match waited {
            None => return Ok(value),
            Some(error) => Some(error),
        },
        Ok(_) => None,
        Err(error) => Some(error),
    };
    if let Some(own) = own {
        let echo = failures.iter().any(|failure| failure.id() == own.id());
        if failures.is_empty() {
            return Err(own);
        }
        if !own.is_cancelled() && !echo {
            failures.push(own);
        }
    }
    match failures.len() {
        0 => Err(crate::error::Closed.into()),
        1 => Err(failures.remove(0)),
        _ => Err(Group(failures).into()),
    }
}

/// Kills what is left when the nursery's future is dropped.
struct Guard {
    shared: Arc<Shared>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let left = {
            let mut state = self.shared.state();
            state.closed = true;
            state.children.clone()
        };
        if left.is_empty() {
            return;
        }
        for child in &left {
            child.kill();
        }
        let shared = self.shared.clone();
        // Without a scope around there is nobody to wait: the control thread reaps them all the same.
        let _ = entrust(async move { shared.empty().await });
    }
}
