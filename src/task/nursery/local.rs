//! A nursery whose children stay on their thread.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::{Arc, Weak};

use super::inner::{Children, Inner, open};
use super::start::{self, TaskStatus};
use crate::Result;
use crate::error::Closed;
use crate::sys::LocalRunQueue;
use crate::task::body::Body;
use crate::task::child::{Child, ChildFuture};
use crate::task::panics;
use crate::task::snapshot::{ScopeNode, snapshot_of};
use crate::task::strand::Place;

/// A [`nursery`](super::nursery()) whose children need not be `Send`, and neither is its future.
///
/// So it runs under a `block_on`, or in another local nursery, and not in a child of an ordinary one, nor in what
/// `#[pleach::main]`, `#[pleach::test]` and endpoints run: those are `Send`.
///
/// # Errors
/// Those of [`nursery`](super::nursery()).
///
/// # Cancel safety
/// That of [`nursery`](super::nursery()).
///
/// ```
/// use pleach::task::{local_nursery, time::VirtualClock};
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// let sum = Rc::new(Cell::new(0));
/// VirtualClock::block_on(local_nursery(async |n| {
///     for number in 1..=4 {
///         let sum = sum.clone();
///         n.spawn(async move {
///             sum.set(sum.get() + number);
///             Ok(())
///         })?;
///     }
///     Ok(())
/// }))
/// .unwrap();
/// assert_eq!(sum.get(), 10);
/// ```
#[track_caller]
pub fn local_nursery<'env, T, F, Fut>(f: F) -> impl Future<Output = Result<T>> + use<'env, T, F, Fut>
where
    F: FnOnce(LocalNursery<'env>) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    open(|inner| LocalNursery { inner: Arc::downgrade(inner) }, f, Location::caller())
}

/// The handle of a nursery whose children stay on their thread. Clones are the same nursery; none keeps it open.
#[derive(Clone)]
pub struct LocalNursery<'env> {
    inner: Weak<Inner<LocalRunQueue<'env>>>,
}

impl<'env> LocalNursery<'env> {
    /// Starts a child, see [`Nursery::spawn`](super::Nursery::spawn).
    ///
    /// # Errors
    /// Those of [`Nursery::spawn`](super::Nursery::spawn).
    #[track_caller]
    pub fn spawn<T, F>(&self, future: F) -> Result<Child<T>>
    where
        F: Future<Output = Result<T>> + 'env,
        T: 'env,
    {
        let at = Location::caller();
        self.start_child(future, |scope| Place::at(scope, at))
    }

    /// Starts a child with a name, see [`Nursery::named`](super::Nursery::named).
    ///
    /// # Errors
    /// Those of [`Nursery::spawn`](super::Nursery::spawn).
    #[track_caller]
    pub fn spawn_named<T, F>(&self, name: impl Into<Arc<str>>, future: F) -> Result<Child<T>>
    where
        F: Future<Output = Result<T>> + 'env,
        T: 'env,
    {
        let at = Location::caller();
        self.start_child(future, |scope| Place::named(scope, at, name.into()))
    }

    fn start_child<T, F>(
        &self,
        future: F,
        place: impl FnOnce(&Arc<crate::task::scope::Scope>) -> Place,
    ) -> Result<Child<T>>
    where
        F: Future<Output = Result<T>> + 'env,
        T: 'env,
    {
        let inner = self.inner.upgrade().ok_or(Closed)?;
        let Children { scope, queue } = inner.children()?;
        scope.count_in()?;
        let body = Body::child(place(scope), future);
        Ok(Child::new(queue.spawn(ChildFuture::new(body)), inner.scope.id()))
    }

    /// Starts a child and waits until it has started, see [`Nursery::start`](super::Nursery::start).
    ///
    /// # Errors
    /// Those of [`Nursery::start`](super::Nursery::start).
    ///
    /// # Cancel safety
    /// That of [`Nursery::start`](super::Nursery::start).
    #[track_caller]
    pub fn start<V, T, F, Fut>(&self, f: F) -> impl Future<Output = Result<(V, Child<T>)>> + use<'env, V, T, F, Fut>
    where
        F: FnOnce(TaskStatus<V>) -> Fut,
        Fut: Future<Output = Result<T>> + 'env,
        T: 'env,
        V: 'env,
    {
        let at = Location::caller();
        let (status, pending) = start::pair();
        let spawned = panics::catch(|| f(status))
            .and_then(|future| self.start_child(pending.child(future), |scope| Place::at(scope, at)));
        pending.wait(spawned)
    }

    /// Cancels the children, see [`Nursery::cancel`](super::Nursery::cancel).
    pub fn cancel(&self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.cancel_children();
        }
    }

    /// What is in it now, see [`snapshot`](crate::task::snapshot); `None` once it has ended.
    pub fn snapshot(&self) -> Option<ScopeNode> {
        Some(snapshot_of(&self.inner.upgrade()?.scope))
    }
}

impl fmt::Debug for LocalNursery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalNursery").field("live", &self.inner.upgrade().map_or(0, |inner| inner.live())).finish()
    }
}
