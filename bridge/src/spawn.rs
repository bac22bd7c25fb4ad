//! Foreign work that a linked task starts beside itself, and that belongs to its link.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_lite::FutureExt;
use futures_util::stream::{FuturesUnordered, Stream};
use pleach::{Error, Result};

/// Children that end in one poll before the loop has a turn, and the link is heard: each may have started the next one.
const ENDS: usize = 128;

type Child = Pin<Box<dyn Future<Output = Result<()>>>>;
/// What was spawned and has not had a turn yet.
type Newborn = Rc<RefCell<Vec<Child>>>;

thread_local! {
    /// Those of the linked task that is being polled on this thread.
    static CURRENT: RefCell<Option<Newborn>> = const { RefCell::new(None) };
}

/// Starts `future` beside the linked foreign task that calls this, or beside one that was started so, at any depth.
///
/// It belongs to the link, or to the [`run`](crate::run): the foreign side has ended only when all of it has. If it fails or
/// panics, that is the failure of the link, and the rest is dropped; when the link drops its task, it is dropped with it. All
/// of a link takes turns on one thread, so it need not be `Send`.
///
/// # Errors
/// [`NotLinked`] where no linked task runs: outside of links, or in what `tokio::spawn` started.
///
/// ```
/// use pleach::prelude::*;
/// use pleach_bridge::{Tokio, run, spawn};
///
/// let sum = run(Tokio::thread(), async || {
///     let halves = [spawn(async { Ok(20) })?, spawn(async { Ok(22) })?];
///     let mut sum = 0;
///     for half in halves {
///         sum += half.await;
///     }
///     Ok(sum)
/// });
/// assert_eq!(futures_lite::future::block_on(sum).unwrap(), 42);
/// ```
pub fn spawn<T, F>(future: F) -> Result<Spawned<T>>
where
    F: Future<Output = Result<T>> + 'static,
    T: 'static,
{
    let newborn = CURRENT.try_with(|current| current.borrow().clone()).ok().flatten().ok_or(NotLinked)?;
    let slot = Rc::new(RefCell::new(Slot { value: None, waker: None }));
    let filled = slot.clone();
    newborn.borrow_mut().push(Box::pin(async move {
        let value =
            AssertUnwindSafe(future).catch_unwind().await.unwrap_or_else(|panic| Err(Error::from_panic(panic)))?;
        let waiting = {
            let mut slot = filled.borrow_mut();
            slot.value = Some(value);
            slot.waker.take()
        };
        waiting.into_iter().for_each(Waker::wake);
        Ok(())
    }));
    Ok(Spawned { slot })
}

/// The value of what was [spawned](spawn): waits for it. Without it, the link waits all the same.
///
/// It does not complete if the spawned future fails: then the link does, and whoever waits here is dropped.
///
/// # Panics
/// If it is polled after it was ready.
pub struct Spawned<T> {
    slot: Rc<RefCell<Slot<T>>>,
}

struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

impl<T> Future for Spawned<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.slot.borrow_mut();
        if let Some(value) = slot.value.take() {
            return Poll::Ready(value);
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> fmt::Debug for Spawned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawned").field("ended", &self.slot.borrow().value.is_some()).finish()
    }
}

/// No linked foreign task runs here, so there is no link that what is spawned could belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotLinked;

impl fmt::Display for NotLinked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no linked task runs here, so nothing would own what is spawned: call `pleach_bridge::spawn` in the far \
             function of `open_link`, in the future of `run`, or in what they spawned with it, and not in what \
             `tokio::spawn` started"
        )
    }
}

impl std::error::Error for NotLinked {}

/// All that was spawned in one link.
#[derive(Default)]
pub(crate) struct Children {
    newborn: Newborn,
    /// Made with the first: most tasks have none.
    running: Option<FuturesUnordered<Child>>,
}

impl Children {
    /// Runs `poll` with [`spawn`] open.
    pub(crate) fn open<T>(&self, poll: impl FnOnce() -> T) -> T {
        let _open = Open(CURRENT.replace(Some(self.newborn.clone())));
        poll()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.newborn.borrow().is_empty() && self.running.as_ref().is_none_or(FuturesUnordered::is_empty)
    }

    /// Ready when there are none left, or when one has failed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if self.is_empty() {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..ENDS {
            let Self { newborn, running } = self;
            let running = running.get_or_insert_default();
            running.extend(newborn.take());
            let _open = Open(CURRENT.replace(Some(newborn.clone())));
            match Pin::new(running).poll_next(cx) {
                Poll::Ready(Some(Ok(()))) => {}
                Poll::Ready(Some(Err(failure))) => return Poll::Ready(Err(failure)),
                ended if newborn.borrow().is_empty() => return ended.map(|_| Ok(())),
                _ => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Drops them all; the panics of their `Drop`s are failures like others.
    pub(crate) fn drop_all(&mut self, mut failed: impl FnMut(Error)) {
        let running = self.running.take().into_iter().flatten();
        for child in self.newborn.take().into_iter().chain(running) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(child))) {
                failed(Error::from_panic(panic));
            }
        }
    }
}

/// Closes [`spawn`] again, or gives it back to the task around.
struct Open(Option<Newborn>);

impl Drop for Open {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
