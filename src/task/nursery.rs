//! Nurseries: children that do not outlive the block they were started in.

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};

use async_executor::Executor;

use super::body::Body;
use super::child::{Child, ChildFuture};
use super::link::{Grace, Link};
use super::panics;
use super::roster::Watch;
use super::scope::{Kind, Scope};
use super::snapshot::{ScopeNode, snapshot_of};
use super::strand::{self, Place, is_wholly_spent};
use super::wait::{Waits, WaitsFor};
use crate::error::{Closed, Reason};
use crate::{Error, Result};

/// How many children are polled per poll of the nursery, before its host gets a turn.
const TURN: usize = 64;

/// Nobody has been spawned yet.
const EMPTY: u8 = 0;
/// There are children, or there were.
const PARENT: u8 = 1;
/// There are none, and it is too late for any.
const BARREN: u8 = 2;

/// What a nursery and its handles share. Only the future of the nursery keeps it.
struct Inner<'env> {
    scope: Arc<Scope>,
    phase: AtomicU8,
    /// Made with the first child.
    children: OnceLock<Children<'env>>,
    first_child: Watch,
}

struct Children<'env> {
    scope: Arc<Scope>,
    executor: Executor<'env>,
}

impl<'env> Inner<'env> {
    fn new(scope: Arc<Scope>) -> Self {
        Self { scope, phase: AtomicU8::new(EMPTY), children: OnceLock::new(), first_child: Watch::default() }
    }

    /// Where children are, which the nursery looks at from now on.
    fn children(&self) -> Result<&Children<'env>, Closed> {
        match self.children.get() {
            Some(children) => Ok(children),
            None => self.begin(),
        }
    }

    #[cold]
    fn begin(&self) -> Result<&Children<'env>, Closed> {
        if self.become_(PARENT) == BARREN {
            return Err(Closed);
        }
        let make = || Children { scope: Scope::of_children(&self.scope), executor: Executor::new() };
        let children = self.children.get_or_init(make);
        self.first_child.wake();
        Ok(children)
    }

    /// Leaves the phase in which there are no children, and says what it is now.
    fn become_(&self, phase: u8) -> u8 {
        match self.phase.compare_exchange(EMPTY, phase, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => phase,
            Err(other) => other,
        }
    }

    /// The children if there are any; otherwise the first of them will wake `cx`.
    fn children_or_wait(&self, cx: &Context<'_>) -> Option<&Children<'env>> {
        self.children.get().or_else(|| {
            self.first_child.wait(cx);
            self.children.get()
        })
    }

    /// The body has ended. Nobody is left if there are no children.
    fn body_over(&self, error: Option<Error>) {
        let children = if self.become_(BARREN) == PARENT { self.children().ok() } else { None };
        if let Some(error) = error {
            self.scope.fell(error, children.map(|children| &*children.scope));
        }
        if let Some(children) = children {
            children.scope.count.leave();
        }
    }

    /// Whether nobody is left.
    fn is_quiet(&self) -> bool {
        match self.children.get() {
            Some(children) => children.scope.count.live() == 0,
            None => self.phase.load(Ordering::SeqCst) == BARREN,
        }
    }

    fn outcome<T>(&self, value: Option<T>) -> Result<T> {
        let children = self.children.get().map(|children| &*children.scope);
        debug_assert!(
            children.is_none_or(Scope::is_quiescent) && self.scope.is_quiescent(),
            "a strand was left behind"
        );
        self.scope.outcome(value, children)
    }
}

/// Closes a nursery when its future ends or is dropped.
struct Closing<'a, 'env>(&'a Inner<'env>);

impl Drop for Closing<'_, '_> {
    fn drop(&mut self) {
        if self.0.become_(BARREN) == PARENT
            && let Ok(children) = self.0.children()
        {
            children.scope.close();
        }
    }
}

/// Polls the children. It is kept from poll to poll: a dropped `tick` loses its wake.
async fn drive(children: &Children<'_>) {
    loop {
        for _ in 0..TURN {
            children.executor.tick().await;
            if children.scope.count.live() == 0 {
                return;
            }
            if is_wholly_spent() {
                break;
            }
        }
        futures_lite::future::yield_now().await;
    }
}

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
    open(f, Location::caller())
}

async fn open<'env, T, F, Fut>(f: F, opened_at: &'static Location<'static>) -> Result<T>
where
    F: FnOnce(Nursery<'env>) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let mut link = Link::new(Scope::new(Kind::Nursery));
    let inner = Arc::new(Inner::new(link.scope().clone()));
    let handle = Nursery { inner: Arc::downgrade(&inner) };
    let body = panics::catch(|| f(handle))?;
    let value = run(&mut link, &inner, opened_at, body).await;
    let result = inner.outcome(value);
    link.finish(result)
}

/// Until nobody is left. Gives the value of the body, if it returned one.
async fn run<'env, T>(
    link: &mut Link,
    inner: &Inner<'env>,
    opened_at: &'static Location<'static>,
    body: impl Future<Output = Result<T>>,
) -> Option<T> {
    let place = Place::at(link.scope(), opened_at);
    let mut body = pin!(Some(Body::of_scope(place, body)));
    let mut driver = pin!(None);
    let mut grace = Grace::default();
    let mut value = None;
    let _closing = Closing(inner);
    poll_fn(|cx| {
        link.tick(cx);
        if let Some(children) = inner.children.get() {
            grace.tick(&children.scope, cx);
        }
        if let Some(result) = poll_body(body.as_mut(), cx) {
            value = keep(inner, result);
        }
        if driver.is_none()
            && let Some(children) = inner.children_or_wait(cx)
        {
            driver.set(Some(drive(children)));
        }
        if !inner.is_quiet()
            && let Some(driver) = driver.as_mut().as_pin_mut()
        {
            let _ = driver.poll(cx);
        }
        if inner.is_quiet() {
            return Poll::Ready(());
        }
        link.entitle();
        strand::waits(Waits { what: WaitsFor::Scope, at: Some(opened_at) });
        Poll::Pending
    })
    .await;
    value
}

fn poll_body<B: Future>(mut body: Pin<&mut Option<B>>, cx: &mut Context<'_>) -> Option<B::Output> {
    let Poll::Ready(result) = body.as_mut().as_pin_mut()?.poll(cx) else { return None };
    body.set(None);
    Some(result)
}

fn keep<T>(inner: &Inner<'_>, result: Result<T>) -> Option<T> {
    let (value, error) = match result {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error)),
    };
    inner.body_over(error);
    value
}

/// The handle of a nursery, to start children with. Clones are the same nursery; none keeps it open.
#[derive(Clone)]
pub struct Nursery<'env> {
    inner: Weak<Inner<'env>>,
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
    #[track_caller]
    pub fn spawn<T, F>(&self, future: F) -> Result<Child<T>>
    where
        F: Future<Output = Result<T>> + Send + 'env,
        T: Send + 'env,
    {
        self.start_child(future, Place::new)
    }

    #[inline]
    #[track_caller]
    fn start_child<T, F>(&self, future: F, place: impl FnOnce(&Arc<Scope>) -> Place) -> Result<Child<T>>
    where
        F: Future<Output = Result<T>> + Send + 'env,
        T: Send + 'env,
    {
        let inner = self.inner.upgrade().ok_or(Closed)?;
        let Children { scope, executor } = inner.children()?;
        scope.count_in()?;
        let body = Body::child(place(scope), future);
        Ok(Child::new(executor.spawn(ChildFuture::new(body)), inner.scope.id()))
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
        if let Some(inner) = self.inner.upgrade()
            && let Ok(children) = inner.children()
        {
            let message = "the children of the nursery were cancelled".to_owned();
            children.scope.request(Reason::Explicit { by: String::new(), message });
        }
    }
}

impl fmt::Debug for Nursery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.upgrade();
        let live =
            inner.and_then(|inner| inner.children.get().map(|children| children.scope.count.live())).unwrap_or(0);
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
}
