//! The side of a user, from its coming to its leave.

use std::future::poll_fn;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::life::{Life, Phase, Watcher};
use crate::error::Closed;
use crate::task::cancel::CancelScope;
use crate::task::limit::shield;
use crate::task::outcome;
use crate::task::running::current;
use crate::task::strand::Entrusted;
use crate::task::wait::Wait;
use crate::task::waits_for::WaitsFor;
use crate::{Error, Result};

/// A resource: its life, and its value as long as that may be asked for.
pub(in crate::task) struct Slot<V> {
    pub(super) life: Arc<Life>,
    /// Shared, so that a user makes its copy outside the lock.
    value: Mutex<Option<Arc<V>>>,
}

impl<V> Default for Slot<V> {
    fn default() -> Self {
        Self { life: Arc::default(), value: Mutex::default() }
    }
}

impl<V> Slot<V> {
    fn lock(&self) -> MutexGuard<'_, Option<Arc<V>>> {
        self.value.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(super) fn watch(&self) -> Watcher {
        self.life.watch()
    }

    /// The value for those who wait for it, if anybody does.
    pub(super) fn publish(&self, value: V) {
        *self.lock() = Some(Arc::new(value));
        if !self.life.open() {
            self.withdraw();
        }
    }

    /// Nobody gets the value any more. A cleanup may wait for the last copy of it to be gone.
    pub(super) fn withdraw(&self) {
        let value = self.lock().take();
        drop(value);
    }
}

/// One who uses a resource.
pub(in crate::task) struct User<V> {
    slot: Arc<Slot<V>>,
    /// Only its drop takes it.
    watcher: Option<Watcher>,
    /// Its body among those of the resource.
    body: usize,
    stage: Stage,
    opening: Wait,
    ending: Wait,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Using,
    /// It has left as the last one, and waits for the cleanup.
    Last,
    Gone,
}

impl<V> User<V> {
    /// One user more, whose body is in `scope`; `None` if the resource is being closed.
    pub(in crate::task) fn join(
        slot: &Arc<Slot<V>>,
        scope: &CancelScope,
        at: &'static Location<'static>,
    ) -> Option<Self> {
        let (watcher, body) = slot.life.join(scope)?;
        Some(Self {
            slot: slot.clone(),
            watcher: Some(watcher),
            body,
            stage: Stage::Using,
            opening: Wait::at(WaitsFor::Start, at),
            ending: Wait::at(WaitsFor::Child, at),
        })
    }

    pub(super) fn slot(&self) -> &Arc<Slot<V>> {
        &self.slot
    }

    fn watcher(&self) -> &Watcher {
        self.watcher.as_ref().expect("only its drop takes it")
    }

    /// Waits until the resource is open: `None` if it has ended instead.
    pub(in crate::task) async fn value(&mut self) -> Result<Option<V>>
    where
        V: Clone,
    {
        let watcher = self.watcher.as_ref().expect("only its drop takes it");
        poll_fn(|cx| self.opening.attempt(cx, |cx| watcher.poll(Phase::Open, cx))).await?;
        let value = self.slot.lock().clone();
        Ok(value.map(Arc::unwrap_or_clone))
    }

    fn leave(&mut self) {
        if self.stage == Stage::Using {
            self.stage = if self.slot.life.leave(self.body) { Stage::Last } else { Stage::Gone };
        }
    }

    /// Waits for the cleanup, if that is for this one to do.
    async fn ended(&mut self) -> Result<()> {
        if self.stage != Stage::Last {
            return Ok(());
        }
        let watcher = self.watcher.as_ref().expect("only its drop takes it");
        let ended = poll_fn(|cx| self.ending.attempt(cx, |cx| watcher.poll(Phase::Over, cx))).await;
        self.stage = Stage::Gone; // also if there is no time left to wait
        ended
    }
}

impl<V> Drop for User<V> {
    /// What it could not wait for is for the scope around.
    fn drop(&mut self) {
        self.leave();
        if self.stage == Stage::Last
            && let (Some(strand), Some(watcher)) = (current(), self.watcher.take())
        {
            let ended = async move {
                poll_fn(|cx| watcher.poll(Phase::Over, cx)).await;
                watcher.failure().map_or(Ok(()), Err)
            };
            strand.adopt(vec![Entrusted { future: Box::pin(ended), late: None }], Vec::new());
        }
    }
}

/// All of `users` leave their resources at once, after a use with this outcome: `None` if a resource has ended under it.
///
/// They wait for what they were the last to use, out of reach of a cancel. A failure of a resource that they have used or
/// waited for beats the cancel, and is told beside any other failure.
pub(in crate::task) async fn leave<T, V>(users: &mut [User<V>], outcome: Result<Option<T>>) -> Result<T> {
    users.iter_mut().for_each(User::leave);
    let is_last = users.iter().any(|user| user.stage == Stage::Last);
    let waited = if is_last { shield(Duration::MAX, all_ended(users)).await } else { Ok(()) };
    let failures = users.iter().filter_map(|user| user.watcher().failure()).collect();
    match (outcome, outcome::gather(failures)) {
        (Err(error), Some(failure)) if error.mark().is_none() => Err(outcome::join(error, failure)),
        (_, Some(failure)) => Err(failure),
        (Ok(Some(value)), None) => waited.map(|()| value),
        (Ok(None), None) => Err(Error::from(Closed).context("the shared resource ended while it was needed")),
        (Err(error), None) => Err(error),
    }
}

async fn all_ended<V>(users: &mut [User<V>]) -> Result<()> {
    for user in users {
        user.ended().await?;
    }
    Ok(())
}
