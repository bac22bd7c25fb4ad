//! Nurseries: children that do not outlive the block they were started in.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use async_executor::Executor;

use super::body::Body;
use super::child::{Child, ChildFuture, Leave};
use super::link::{Grace, Link};
use super::panics;
use super::roster::{Closing, Inner};
use super::scope::Scope;
use super::strand::Strand;
use crate::Result;
use crate::error::{Closed, Reason};

/// How many children are polled per poll of the nursery, before its host gets a turn.
const TURN: usize = 64;

/// Polls the children. It is kept from poll to poll: a dropped `tick` loses its wake.
async fn drive<'env>(executor: Arc<Executor<'env>>, inner: &Inner<'env>) {
    loop {
        for _ in 0..TURN {
            executor.tick().await;
            if inner.is_quiet() {
                return;
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
pub async fn nursery<'env, T, F, Fut>(f: F) -> Result<T>
where
    F: FnOnce(Nursery<'env>) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let mut link = Link::new(Scope::new(false));
    let inner = Arc::new(Inner::new(link.scope().clone()));
    let handle = Nursery { inner: Arc::downgrade(&inner) };
    let body = panics::catch(|| f(handle))?;
    let value = run(&mut link, &inner, body).await;
    let result = inner.outcome(value);
    link.finish(result)
}

/// Until nobody is left. Gives the value of the body, if it returned one.
async fn run<'env, T>(link: &mut Link, inner: &Inner<'env>, body: impl Future<Output = Result<T>>) -> Option<T> {
    let strand = Strand::new(link.scope());
    let mut body = pin!(Some(Body::of_scope(strand, body)));
    let mut children = pin!(None);
    let mut grace = Grace::default();
    let mut value = None;
    let _closing = Closing(inner);
    poll_fn(|cx| {
        link.tick(cx);
        if let Some(scope) = inner.started() {
            grace.tick(scope, cx);
        }
        if let Some(result) = poll_body(body.as_mut(), cx) {
            value = keep(inner, result);
        }
        if children.is_none()
            && let Some(executor) = inner.executor_or_wake(cx)
        {
            children.set(Some(drive(executor, inner)));
        }
        if !inner.is_quiet()
            && let Some(children) = children.as_mut().as_pin_mut()
        {
            let _ = children.poll(cx);
        }
        if inner.is_quiet() {
            return Poll::Ready(());
        }
        link.entitle();
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
    inner.over(error);
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
        let inner = self.inner.upgrade().ok_or(Closed)?;
        let strand = Strand::new(inner.children());
        let executor = inner.count_in()?;
        let leave = Leave::new(self.inner.clone());
        let task = executor.spawn(ChildFuture::new(Body::child(strand, future), leave));
        Ok(Child::new(task, inner.scope().id()))
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
            let message = "the children of the nursery were cancelled".to_owned();
            inner.children().request(Reason::Explicit { by: String::new(), message });
        }
    }
}

impl fmt::Debug for Nursery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.inner.upgrade().map_or(0, |inner| inner.live());
        f.debug_struct("Nursery").field("live", &live).finish()
    }
}
