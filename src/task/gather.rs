//! Several resources for one body.

use std::future::Future;
use std::panic::Location;
use std::sync::Arc;

use super::cancel::CancelScope;
use super::nursery::{Nursery, nursery};
use super::shared::{Holder, Slot, User, launch, leave};
use crate::Result;
use crate::error::Misuse;

/// Opens several resources at the same time, runs `body` with their values, and closes them at the same time.
///
/// A resource is what [`Shared`](super::Shared) takes it to be. The values come in the order of the openers. The first
/// failure, of a resource or of `body`, cancels what is being opened; what is open is cleaned up.
///
/// # Errors
/// What failed, a [`Group`](crate::error::Group) of several; without a failure the `Cancelled` of a scope around.
/// [`Misuse`] if there are no openers, as then there would be nothing to wait for, or if one returns without having
/// provided a value.
///
/// # Cancel safety
/// Dropping it drops the body and all resources, without grace.
///
/// ```
/// use pleach::task::{Holder, gather, sleep, time::VirtualClock};
/// use std::time::Duration;
///
/// let open = |number: u64| {
///     async move |holder: Holder<u64>| {
///         sleep(Duration::from_secs(10 - number)).await?; // the last one is there first
///         holder.provide(number).await
///     }
/// };
/// let values = VirtualClock::block_on(gather((1..=3).map(open), async |values| Ok(values)));
/// assert_eq!(values.unwrap(), [1, 2, 3]);
/// ```
#[track_caller]
pub fn gather<'env, V, I, O, Opening, T, F, Fut>(
    openers: I,
    body: F,
) -> impl Future<Output = Result<T>> + use<'env, V, I, O, Opening, T, F, Fut>
where
    I: IntoIterator<Item = O>,
    O: FnOnce(Holder<V>) -> Opening,
    Opening: Future<Output = Result<()>> + Send + 'env,
    V: Clone + Send + Sync + 'env,
    F: FnOnce(Vec<V>) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let at = Location::caller();
    let openers: Vec<O> = openers.into_iter().collect();
    nursery(async move |n| {
        if openers.is_empty() {
            return Err(Misuse::new("there is nothing to gather; call the body without it").into());
        }
        let scope = CancelScope::new();
        let mut users: Vec<_> = openers.into_iter().map(|opener| open(&n, at, opener, &scope)).collect();
        let used = scope.run(async {
            match values(&mut users).await? {
                Some(values) => body(values).await.map(Some),
                None => Ok(None),
            }
        });
        let outcome = used.await.map(Option::flatten);
        leave(&mut users, outcome).await
    })
}

/// A resource of its own for each opener; the failure of any cancels `scope`.
fn open<'env, V, O, Opening>(
    n: &Nursery<'env>,
    at: &'static Location<'static>,
    opener: O,
    scope: &CancelScope,
) -> User<V>
where
    O: FnOnce(Holder<V>) -> Opening,
    Opening: Future<Output = Result<()>> + Send + 'env,
    V: Send + Sync + 'env,
{
    let slot = Arc::new(Slot::default());
    let user = User::join(&slot, scope, at).expect("it is new");
    launch(n, at, &slot, opener, || ());
    user
}

/// Waits until all are open: `None` if one has ended instead.
async fn values<V: Clone>(users: &mut [User<V>]) -> Result<Option<Vec<V>>> {
    let mut values = Vec::with_capacity(users.len());
    for user in users {
        let Some(value) = user.value().await? else { return Ok(None) };
        values.push(value);
    }
    Ok(Some(values))
}
