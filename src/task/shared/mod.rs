//! Resources that many tasks use and none of them owns: opened for the first user, closed after the last.

mod holder;
mod life;
mod resource;
mod table;
mod user;

use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::panic::Location;
use std::sync::Arc;

pub use self::holder::Holder;
use self::life::Phase;
pub(super) use self::resource::launch;
use self::table::{Entered, Table};
pub(super) use self::user::{Slot, User, leave};
use super::cancel::CancelScope;
use super::cancellable::not_cancelled;
use super::nursery::Nursery;
use super::wait::Wait;
use super::waits_for::WaitsFor;
use crate::Result;

/// Resources by key, each open as long as somebody uses it. Clones are the same resources.
///
/// A resource is an async function that provides a value, waits until nobody needs it any more, and cleans up:
///
/// ```
/// use pleach::task::{Holder, Shared, channel, nursery, time::VirtualClock};
///
/// /// Adds up what its users send, until the last one has gone.
/// async fn sum(holder: Holder<channel::Sender<u32>>, report: &mut u32) -> pleach::Result<()> {
///     let (sender, mut receiver) = channel::bounded(4);
///     nursery(async |n| {
///         // Beside its users; the last sender is gone when the last of them is.
///         n.spawn(async {
///             while let Some(number) = receiver.recv().await? {
///                 *report += number;
///             }
///             Ok(())
///         })?;
///         holder.provide(sender).await
///     })
///     .await
/// }
///
/// let mut report = 0;
/// VirtualClock::block_on(nursery(async |n| {
///     let shared = Shared::new(&n);
///     let body = async |sender: channel::Sender<u32>| {
///         for number in 1..=10 {
///             sender.send(number).await?;
///         }
///         Ok(())
///     };
///     shared.with("sum", |holder| sum(holder, &mut report), body).await
/// }))
/// .unwrap();
/// assert_eq!(report, 55);
/// ```
///
/// It is a task of the nursery that the `Shared` was made with, and so of none of its users: one that is cancelled leaves it
/// to the others. The last one to leave waits for the cleanup, and is told if that fails. Whoever comes meanwhile waits for
/// it as well, and opens the resource anew.
///
/// If the nursery is cancelled, so is whatever is being opened, and whoever uses what is open. When these have left, the
/// cleanup runs, within the grace of the nursery and out of reach of its cancel.
pub struct Shared<'env, K, V> {
    nursery: Nursery<'env>,
    table: Arc<Table<K, V>>,
}

impl<'env, K, V> Shared<'env, K, V>
where
    K: Eq + Hash + Send + Sync + 'env,
    V: Clone + Send + Sync + 'env,
{
    /// None is open yet. All will be tasks of `nursery`, which waits for their end.
    pub fn new(nursery: &Nursery<'env>) -> Self {
        Self { nursery: nursery.clone(), table: Arc::default() }
    }

    /// Runs `body` with the resource of that key; `opener` opens it if nobody uses it now.
    ///
    /// Users of a key that are there at the same time have clones of one value. If the resource ends under them, they are
    /// cancelled. A resource that uses itself waits for ever.
    ///
    /// # Errors
    /// What `body` returned, a panic of it, or the `Cancelled` of a scope around. The failure of the resource, for all
    /// who wait for its value or use it; a failure of its cleanup for the last user alone, also instead of a `Cancelled`.
    /// [`Closed`](crate::error::Closed) if the resource ended without a failure before `body` did, or the nursery takes
    /// nobody any more. [`Misuse`](crate::error::Misuse) if `opener` returns without having provided a value.
    ///
    /// Several who are told of one failure have errors of the same identity; the first has the failure itself. If nobody is
    /// left to be told, it is a failure of the nursery.
    ///
    /// # Cancel safety
    /// Dropping it drops `body`, without grace. If it was the last user, the scope around waits for the cleanup.
    #[track_caller]
    pub fn with<T, O, Opening, F, Fut>(
        &self,
        key: K,
        opener: O,
        body: F,
    ) -> impl Future<Output = Result<T>> + use<'env, K, V, T, O, Opening, F, Fut>
    where
        O: FnOnce(Holder<V>) -> Opening,
        Opening: Future<Output = Result<()>> + Send + 'env,
        F: FnOnce(V) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let (shared, at) = (self.clone(), Location::caller());
        async move {
            not_cancelled().await?;
            let scope = CancelScope::new();
            let mut user = shared.enter(key, opener, &scope, at).await?;
            let used = scope.run(async {
                match user.value().await? {
                    Some(value) => body(value).await.map(Some),
                    None => Ok(None),
                }
            });
            let outcome = used.await.map(Option::flatten);
            leave(std::slice::from_mut(&mut user), outcome).await
        }
    }

    /// Becomes a user, the first if need be, whose body is in `scope`.
    async fn enter<O, Opening>(
        &self,
        key: K,
        opener: O,
        scope: &CancelScope,
        at: &'static Location<'static>,
    ) -> Result<User<V>>
    where
        O: FnOnce(Holder<V>) -> Opening,
        Opening: Future<Output = Result<()>> + Send + 'env,
    {
        let entry = self.table.entry(key);
        let mut wait = Wait::at(WaitsFor::Start, at);
        loop {
            match self.table.enter(&entry, scope, at) {
                Entered::Open(user) => return Ok(user),
                Entered::New(user) => {
                    let table = self.table.clone();
                    launch(&self.nursery, at, user.slot(), opener, move || table.remove(&entry));
                    return Ok(user);
                }
                Entered::Closing(end) => poll_fn(|cx| wait.attempt(cx, |cx| end.poll(Phase::Over, cx))).await?,
            }
        }
    }
}

impl<K, V> Clone for Shared<'_, K, V> {
    fn clone(&self) -> Self {
        Self { nursery: self.nursery.clone(), table: self.table.clone() }
    }
}

impl<K, V> fmt::Debug for Shared<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("resources", &self.table.len()).finish_non_exhaustive()
    }
}
