//! The task of a resource, in its nursery.

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::holder::Holder;
use super::life::Phase;
use super::user::Slot;
use crate::error::Misuse;
use crate::task::limit::shield;
use crate::task::nursery::Nursery;
use crate::task::outcome::{sift, stray};
use crate::task::panics;
use crate::task::running::with_current;
use crate::task::strand::Place;
use crate::task::wait::current_mark;
use crate::{Error, Result};

/// Starts a resource as a child of `nursery`, with its first user there. If that takes nobody any more, the user finds
/// that the resource has ended.
pub(in crate::task) fn launch<'env, V, O, Fut, G>(
    nursery: &Nursery<'env>,
    at: &'static Location<'static>,
    slot: &Arc<Slot<V>>,
    opener: O,
    forget: G,
) where
    V: Send + Sync + 'env,
    O: FnOnce(Holder<V>) -> Fut,
    Fut: Future<Output = Result<()>> + Send + 'env,
    G: FnOnce() + Send + 'env,
{
    let resource = Resource { slot: slot.clone(), forget: Some(forget) };
    match panics::catch(|| opener(Holder::new(slot.clone()))) {
        Ok(opening) => drop(nursery.start_child(resource.run(opening), |scope| Place::at(scope, at))),
        Err(panic) => drop(resource.over(Some(panic))),
    }
}

/// Says that the resource is over when it is gone, also if it never ran.
struct Resource<V, G: FnOnce()> {
    slot: Arc<Slot<V>>,
    /// Takes it out of where new users would find it.
    forget: Option<G>,
}

impl<V, G: FnOnce()> Resource<V, G> {
    /// A cancel of the nursery reaches the opener only until the value is there. From then on it is for the users to
    /// leave, and the cleanup has what is left of the grace.
    async fn run(self, opening: impl Future<Output = Result<()>>) -> Result<()> {
        let life = self.slot.life.clone();
        let mut work = pin!(shield(Duration::MAX, life.opening().run(opening)));
        let outcome = poll_fn(|cx| {
            if current_mark().is_some() {
                life.close(Phase::Opening);
            }
            work.as_mut().poll(cx)
        })
        .await;
        let failure = match outcome {
            Ok(Some(())) if life.phase() == Phase::Opening => Some(never_provided()),
            Ok(_) => None,
            Err(error) => failure(error),
        };
        self.over(failure)
    }

    fn over(mut self, failure: Option<Error>) -> Result<()> {
        self.end(failure)
    }

    /// Whoever hears of the end must not find the resource any more.
    fn end(&mut self, failure: Option<Error>) -> Result<()> {
        let Some(forget) = self.forget.take() else { return Ok(()) };
        forget();
        self.slot.life.over(failure)
    }
}

impl<V, G: FnOnce()> Drop for Resource<V, G> {
    fn drop(&mut self) {
        let ended = self.end(None);
        debug_assert!(ended.is_ok(), "there is no failure to give back");
    }
}

fn never_provided() -> Error {
    Misuse::new("a resource returned and has provided no value; let its opener await `Holder::provide`").into()
}

/// What is left of an error without the cancels of scopes around.
fn failure(error: Error) -> Option<Error> {
    let scope = with_current(|current, _| current.map(|place| place.scope().clone()));
    let (_, failure) = sift(error, |mark| scope.as_ref().is_some_and(|scope| scope.encloses_request(mark.scope)));
    failure.map(stray)
}
