//! Nurseries: children that do not outlive the block they were started in.

mod inner;
mod local;
mod parallel;
mod start;

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::time::Instant;

use self::inner::{Children, Inner, open};
pub use self::local::{LocalNursery, local_nursery};
pub use self::parallel::{Parallel, enter as enter_parallel};
pub use self::start::{NeverStarted, TaskStatus};
use super::body::Body;
use super::child::{Child, ChildFuture, Hears};
use super::panics;
use super::scope::{Deadline, Scope};
use super::snapshot::{ScopeNode, snapshot_of};
use super::strand::Place;
use crate::Result;
use crate::error::{Closed, Reason};
use crate::sys::RunQueue;

/// Runs `f` with a nursery, and returns when it and all children have ended.
///
/// Children may borrow from the function around, also exclusively and each something else. They run while the nursery is
/// polled, on the thread that polls it, never two at a time. The first failure, of a child or of the body, cancels all
/// others; a cancelled child is not a failure.
///
/// # Errors
/// The failure, or a [`Group`](crate::error::Group) of several: original causes first, those that came after a cancel
/// last, one per identity. A panic is a failure too. Without a failure, the `Cancelled` of a scope around.
///
/// An error that a strand holds in a `join!` beside something that is not ready is lost when the strand is dropped:
/// nobody has returned it.
///
/// # Cancel safety
/// Dropping it drops the body and all children, without grace.
///
/// ```
/// use pleach::task::{nursery, time::VirtualClock};
///
/// let (mut left, mut right) = (Vec::new(), Vec::new());
/// VirtualClock::block_on(nursery(async |n| {
///     n.spawn(async {
///         left.push(1);
///         Ok(())
///     })?;
///     n.spawn(async {
///         right.push(2);
///         Ok(())
///     })?;
///     Ok(())
/// }))
/// .unwrap();
/// assert_eq!((left, right), (vec![1], vec![2]));
/// ```
#[track_caller]
pub fn nursery<'env, T, F, Fut>(f: F) -> impl Future<Output = Result<T>> + use<'env, T, F, Fut>
where
    F: FnOnce(Nursery<'env>) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    nursery_at(Location::caller(), f)
}

/// [`nursery`] in the name of another line.
pub(crate) fn nursery_at<'env, T, F, Fut>(
    at: &'static Location<'static>,
    f: F,
) -> impl Future<Output = Result<T>> + use<'env, T, F, Fut>
where
    F: FnOnce(Nursery<'env>) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    open(|inner| Nursery { inner: Arc::downgrade(inner) }, f, at)
}

/// The handle of a nursery, to start children with. Clones are the same nursery; none keeps it open.
#[derive(Clone)]
pub struct Nursery<'env> {
    inner: Weak<Inner<RunQueue<'env>>>,
}

impl<'env> Nursery<'env> {
    /// Starts a child.
    ///
    /// It runs when the nursery is polled next; if the nursery is cancelled before that, it never starts.
    ///
    /// # Errors
    /// `Cancelled` if the nursery was cancelled, [`Closed`] if it has ended. `future` has been dropped then.
    ///
    /// ```
    /// use pleach::task::{Nursery, nursery, time::VirtualClock};
    ///
    /// async fn count<'env>(n: Nursery<'env>, names: &'env [&'env str]) -> pleach::Result<usize> {
    ///     let mut sum = 0;
    ///     for name in names {
    ///         sum += n.spawn(async move { Ok(name.len()) })?.join().await?;
    ///     }
    ///     Ok(sum)
    /// }
    /// let names = ["ash", "elm"];
    /// assert_eq!(VirtualClock::block_on(nursery(|n| count(n, &names))).unwrap(), 6);
    /// ```
    ///
    /// A child that starts more of its kind says so in its type, as an `async fn` that spawns itself cannot be proven `Send`:
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// use pleach::task::{Nursery, nursery, time::VirtualClock};
    ///
    /// fn visit<'env>(n: Nursery<'env>, depth: u32, seen: &'env AtomicU32) -> impl Future<Output = pleach::Result<()>> + Send + 'env {
    ///     async move {
    ///         seen.fetch_add(1, Ordering::Relaxed);
    ///         for _ in 0..depth {
    ///             n.spawn(visit(n.clone(), depth - 1, seen))?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// let seen = AtomicU32::new(0);
    /// VirtualClock::block_on(nursery(async |n| visit(n, 3, &seen).await)).unwrap();
    /// assert_eq!(seen.into_inner(), 16);
    /// ```
    #[track_caller]
    pub fn spawn<T, F>(&self, future: F) -> Result<Child<T>>
    where
        F: Future<Output = Result<T>> + Send + 'env,
        T: Send + 'env,
    {
        let at = Location::caller();
        self.start_child(future, |scope| Place::at(scope, at))
    }

    /// Starts a child that may run on another thread at the same time, where the host has several.
    ///
    /// It has the same life as any other child: the nursery waits for it, its failure cancels the others, a cancel reaches it.
    /// It cannot borrow. On a host with one thread, and where no host is known, it is an ordinary child.
    ///
    /// If the future of the nursery is dropped while another thread is just polling the child, the child is dropped when that
    /// poll is over, which the scope around waits for.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn).
    ///
    /// ```
    /// use pleach::host::{Host, Smol};
    /// use pleach::task::nursery;
    ///
    /// let sum = Smol::threads(2).block_on(nursery(async |n| {
    ///     let left = n.spawn_parallel(async { Ok((1..=1_000_u64).sum::<u64>()) })?;
    ///     let right = n.spawn_parallel(async { Ok((1_001..=2_000_u64).sum::<u64>()) })?;
    ///     Ok(left.join().await? + right.join().await?)
    /// }));
    /// assert_eq!(sum.unwrap().unwrap(), 2_001_000);
    /// ```
    #[track_caller]
    pub fn spawn_parallel<T, F>(&self, future: F) -> Result<Child<T>>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let at = Location::caller();
        self.start_parallel(future, |scope| Place::at(scope, at))
    }

    #[track_caller]
    fn start_parallel<T, F>(&self, future: F, place: impl FnOnce(&Arc<Scope>) -> Place) -> Result<Child<T>>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let Some(host) = parallel::ambient() else { return self.start_child(future, place) };
        let inner = self.inner.upgrade().ok_or(Closed)?;
        let Children { scope, queue } = inner.children()?;
        scope.count_in()?;
        let child = ChildFuture::new(Body::child(place(scope), future));
        let child = inner.crew.hire(&host, child, inner.scope.id());
        // A nursery that sleeps does not know yet that it has to watch for the end of this one.
        queue.nudge();
        Ok(child)
    }

    /// Starts a child, and waits until it says that it has started: by [`TaskStatus::started`], with a value.
    ///
    /// Until then it is the caller's affair: its failure is the result of this call and nobody else's, and it is cancelled
    /// when the caller is. From then on it is a child like any other.
    ///
    /// # Errors
    /// What the child failed with before it had started; [`NeverStarted`] if it returned before; `Cancelled` if the caller was
    /// cancelled, once the child has ended; those of [`spawn`](Self::spawn).
    ///
    /// # Cancel safety
    /// Dropping it cancels a child that has not started.
    ///
    /// ```
    /// use pleach::task::{TaskStatus, nursery, sleep, time::VirtualClock};
    /// use std::time::Duration;
    ///
    /// async fn serve(status: TaskStatus<u16>) -> pleach::Result<()> {
    ///     sleep(Duration::from_secs(1)).await?; // binds its socket
    ///     status.started(4000);
    ///     sleep(Duration::from_secs(3600)).await // serves
    /// }
    ///
    /// let port = VirtualClock::block_on(nursery(async |n| {
    ///     let (port, _) = n.start(serve).await?;
    ///     n.cancel();
    ///     Ok(port)
    /// }));
    /// assert_eq!(port.unwrap(), 4000);
    /// ```
    #[track_caller]
    pub fn start<V, T, F, Fut>(&self, f: F) -> impl Future<Output = Result<(V, Child<T>)>> + use<'env, V, T, F, Fut>
    where
        F: FnOnce(TaskStatus<V>) -> Fut,
        Fut: Future<Output = Result<T>> + Send + 'env,
        T: Send + 'env,
        V: Send + 'env,
    {
        let at = Location::caller();
        let (status, pending) = start::pair();
        let spawned = panics::catch(|| f(status))
            .and_then(|future| self.start_child(pending.child(future), |scope| Place::at(scope, at)));
        pending.wait(spawned)
    }

    #[inline]
    #[track_caller]
    pub(crate) fn start_child<T, F>(&self, future: F, place: impl FnOnce(&Arc<Scope>) -> Place) -> Result<Child<T>>
    where
        F: Future<Output = Result<T>> + Send + 'env,
        T: Send + 'env,
    {
        let inner = self.inner.upgrade().ok_or(Closed)?;
        let Children { scope, queue } = inner.children()?;
        scope.count_in()?;
        let body = Body::child(place(scope), future);
        Ok(Child::new(queue.spawn(ChildFuture::new(body)), inner.scope.id()))
    }

    /// Starts a child of which `hears` is told, and this nursery nothing: its failure is not one of the nursery.
    pub(crate) fn spawn_heard<T, F, H>(&self, at: &'static Location<'static>, future: F, hears: H) -> Result<()>
    where
        F: Future<Output = Result<T>> + Send + 'env,
        T: Send + 'env,
        H: Hears<T> + Send + 'env,
        H::Left: Send + 'env,
    {
        let inner = self.inner.upgrade().ok_or(Closed)?;
        let Children { scope, queue } = inner.children()?;
        scope.count_in()?;
        let body = Body::child(Place::at(scope, at), future);
        queue.spawn(ChildFuture::heard_by(hears, body)).detach();
        Ok(())
    }

    /// The same nursery, for a child with a name: in snapshots, and in front of its failure.
    ///
    /// ```
    /// use pleach::task::{nursery, time::VirtualClock};
    ///
    /// let outcome = VirtualClock::block_on(nursery(async |n| {
    ///     n.named("parser").spawn(async { Ok("ten".parse::<u32>()?) })?;
    ///     Ok(())
    /// }));
    /// assert_eq!(outcome.unwrap_err().to_string(), "task `parser`: invalid digit found in string");
    /// ```
    pub fn named(&self, name: impl Into<Arc<str>>) -> Named<'_, 'env> {
        Named { nursery: self, name: name.into() }
    }

    /// What is in it now, see [`snapshot`](super::snapshot); `None` once it has ended.
    pub fn snapshot(&self) -> Option<ScopeNode> {
        Some(snapshot_of(&self.inner.upgrade()?.scope))
    }

    /// Cancels the children, those there are and those to come. The body goes on.
    ///
    /// A child that ends because of it is not a failure; if nothing else fails the nursery returns what its body does.
    /// After the end of the nursery it is a no-op.
    ///
    /// ```
    /// use pleach::task::{nursery, sleep, time::VirtualClock};
    /// use std::time::Duration;
    ///
    /// let outcome = VirtualClock::block_on(nursery(async |n| {
    ///     n.spawn(sleep(Duration::from_secs(3600)))?;
    ///     n.cancel();
    ///     Ok("done")
    /// }));
    /// assert_eq!(outcome.unwrap(), "done");
    /// ```
    pub fn cancel(&self) {
        if let Some(inner) = self.inner.upgrade() {
            inner.cancel_children();
        }
    }

    /// [`cancel`](Self::cancel) for another reason.
    pub(crate) fn request_children(&self, reason: Reason) {
        if let Some(inner) = self.inner.upgrade() {
            inner.request_children(reason);
        }
    }

    /// Lets the children know until when they have time. Whoever calls this cancels them then.
    pub(crate) fn announce_deadline(&self, at: Instant) {
        if let Some(inner) = self.inner.upgrade()
            && let Ok(children) = inner.children()
        {
            children.scope.set_deadline(Some(Deadline::At(at)));
        }
    }
}

impl fmt::Debug for Nursery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.upgrade();
        let live = inner.map_or(0, |inner| inner.live());
        f.debug_struct("Nursery").field("live", &live).finish()
    }
}

/// A nursery with the name for a child, see [`Nursery::named`].
#[derive(Debug)]
#[must_use = "it starts nothing by itself"]
pub struct Named<'a, 'env> {
    nursery: &'a Nursery<'env>,
    name: Arc<str>,
}

impl<'env> Named<'_, 'env> {
    /// Starts a child of that name, see [`Nursery::spawn`].
    ///
    /// # Errors
    /// Those of [`Nursery::spawn`].
    #[track_caller]
    pub fn spawn<T, F>(self, future: F) -> Result<Child<T>>
    where
        F: Future<Output = Result<T>> + Send + 'env,
        T: Send + 'env,
    {
        let at = Location::caller();
        self.nursery.start_child(future, |scope| Place::named(scope, at, self.name))
    }

    /// Starts a child of that name that may run on another thread, see [`Nursery::spawn_parallel`].
    ///
    /// # Errors
    /// Those of [`Nursery::spawn`].
    #[track_caller]
    pub fn spawn_parallel<T, F>(self, future: F) -> Result<Child<T>>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let at = Location::caller();
        self.nursery.start_parallel(future, |scope| Place::named(scope, at, self.name))
    }

    /// Starts a child of that name, and waits until it says that it has started, see [`Nursery::start`].
    ///
    /// # Errors
    /// Those of [`Nursery::start`].
    ///
    /// # Cancel safety
    /// That of [`Nursery::start`].
    #[track_caller]
    pub fn start<V, T, F, Fut>(self, f: F) -> impl Future<Output = Result<(V, Child<T>)>> + use<'env, V, T, F, Fut>
    where
        F: FnOnce(TaskStatus<V>) -> Fut,
        Fut: Future<Output = Result<T>> + Send + 'env,
        T: Send + 'env,
        V: Send + 'env,
    {
        let at = Location::caller();
        let (status, pending) = start::pair();
        let spawned = panics::catch(|| f(status)).and_then(|future| {
            self.nursery.start_child(pending.child(future), |scope| Place::named(scope, at, self.name))
        });
        pending.wait(spawned)
    }
}
