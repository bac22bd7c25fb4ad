//! A child of a nursery: its future, and the handle of it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use async_task::{FallibleTask, Task};
use pin_project_lite::pin_project;

use super::body::Body;
use super::cancellable::{Cancellable, cancellable_as};
use super::outcome::cancelled;
use super::scope::Scope;
use super::waits_for::WaitsFor;
use crate::error::{FailureId, Kind, Mark, Reason, ScopeId};
use crate::{Error, Result};

/// How a child ended that has no value: what its joiner is told. The nursery has the error itself.
pub(crate) enum Verdict {
    Cancelled(Mark),
    Failed { id: FailureId, kind: Kind, text: String },
}

impl Verdict {
    pub(crate) fn failed(error: &Error) -> Self {
        Self::Failed { id: error.id(), kind: error.kind(), text: error.text() }
    }

    fn into_error(self) -> Error {
        match self {
            Self::Cancelled(mark) => cancelled(mark),
            Self::Failed { id, kind, text } => Error::from(ChildFailed(text)).with_id(id).with_kind(kind),
        }
    }
}

/// The child that was joined has failed.
///
/// The failure itself is reported by the nursery of the child. This error has the same [`FailureId`], so that the two
/// are one failure wherever they meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildFailed(String);

impl ChildFailed {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for ChildFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the child failed: {}", self.0)
    }
}

impl std::error::Error for ChildFailed {}

/// Who hears how a child has ended, once nothing of it is left but its outcome.
pub(crate) trait Hears<T> {
    /// What is left for whoever joins the child.
    type Left;

    fn hear(&mut self, children: &Scope, result: Result<T>) -> Self::Left;
}

/// The nursery hears of what failed, a joiner of the rest.
pub(crate) struct ByNursery;

impl<T> Hears<T> for ByNursery {
    type Left = Outcome<T>;

    fn hear(&mut self, children: &Scope, result: Result<T>) -> Outcome<T> {
        result.map_err(|error| children.child_fell(error))
    }
}

pin_project! {
    /// One hand-written future: an `async` block around the user's would store it twice.
    pub(crate) struct ChildFuture<F, T, H = ByNursery> {
        #[pin]
        body: Body<F, T>,
        hears: H,
        left: bool,
    }

    impl<F, T, H> PinnedDrop for ChildFuture<F, T, H> {
        /// A child has left when it is gone.
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.body.as_mut().drop_from_outside();
            if !*this.left {
                this.body.scope().count.leave();
            }
        }
    }
}

impl<F, T> ChildFuture<F, T> {
    /// Of a child that was counted in.
    pub(crate) fn new(body: Body<F, T>) -> Self {
        Self::heard_by(ByNursery, body)
    }
}

impl<F, T, H> ChildFuture<F, T, H> {
    /// The same for one whose nursery hears nothing of it.
    pub(crate) fn heard_by(hears: H, body: Body<F, T>) -> Self {
        Self { body, hears, left: false }
    }
}

impl<T, F: Future<Output = Result<T>>, H: Hears<T>> Future for ChildFuture<F, T, H> {
    type Output = H::Left;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let result = ready!(this.body.as_mut().poll(cx));
        let result = result.map_err(|error| this.body.named(error));
        let heard = this.hears.hear(this.body.scope(), result);
        *this.left = true;
        this.body.scope().count.leave();
        Poll::Ready(heard)
    }
}

/// What a child gives its joiner.
pub(crate) type Outcome<T> = Result<T, Option<Box<Verdict>>>;

/// The handle of a child.
///
/// Dropping it neither cancels nor detaches: the child belongs to its nursery, which waits for it.
pub struct Child<T> {
    handle: Handle<T>,
    nursery: ScopeId,
}

impl<T> Child<T> {
    pub(crate) fn new(task: Task<Outcome<T>>, nursery: ScopeId) -> Self {
        Self { handle: Handle::Here(Some(task.fallible())), nursery }
    }

    /// One that another thread polls.
    pub(crate) fn parallel(slot: Arc<Slot<T>>, nursery: ScopeId) -> Self {
        Self { handle: Handle::There(slot), nursery }
    }

    /// Waits for the child and takes its value.
    ///
    /// # Errors
    /// [`ChildFailed`] with the identity of the child's failure; `Cancelled` if the child was cancelled, or, with the
    /// mark of the joiner's own scope, if the joiner was.
    ///
    /// # Cancel safety
    /// When it is cancelled or dropped the child goes on; only its value is lost.
    ///
    /// ```
    /// use pleach::task::{nursery, time::VirtualClock};
    ///
    /// let sum = VirtualClock::block_on(nursery(async |n| {
    ///     let (one, two) = (n.spawn(async { Ok(1) })?, n.spawn(async { Ok(2) })?);
    ///     Ok(one.join().await? + two.join().await?)
    /// }));
    /// assert_eq!(sum.unwrap(), 3);
    /// ```
    #[track_caller]
    pub fn join(self) -> Joining<T> {
        Joining { ended: cancellable_as(WaitsFor::Child, self.handle), nursery: self.nursery }
    }
}

pin_project! {
    /// The value of a child on its way; see [`Child::join`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Joining<T> {
        #[pin]
        ended: Cancellable<Handle<T>>,
        nursery: ScopeId,
    }
}

impl<T> Future for Joining<T> {
    type Output = Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let this = self.project();
        Poll::Ready(match ready!(this.ended.poll(cx))? {
            Some(Ok(value)) => Ok(value),
            Some(Err(Some(verdict))) => Err(verdict.into_error()),
            Some(Err(None)) | None => Err(cancelled(Mark { scope: *this.nursery, reason: Reason::NurseryDropped })),
        })
    }
}

impl<T> fmt::Debug for Joining<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joining").field("nursery", &self.nursery).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Child<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("nursery", &self.nursery).finish_non_exhaustive()
    }
}

/// A task that is left alone when its handle is dropped.
enum Handle<T> {
    Here(Option<FallibleTask<Outcome<T>>>),
    There(Arc<Slot<T>>),
}

/// The outcome of a child on another thread.
pub(crate) struct Slot<T>(Mutex<SlotState<T>>);

pub(crate) struct SlotState<T> {
    pub(crate) outcome: Option<Outcome<T>>,
    pub(crate) ended: bool,
    pub(crate) waker: Option<Waker>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(SlotState { outcome: None, ended: false, waker: None }))
    }
}

impl<T> Slot<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, SlotState<T>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Option<Outcome<T>>> {
        let mut state = self.lock();
        if state.ended {
            return Poll::Ready(state.outcome.take());
        }
        let old = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<T> Unpin for Handle<T> {}

impl<T> Future for Handle<T> {
    type Output = Option<Outcome<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Here(task) => Pin::new(task.as_mut().expect("only its drop takes it")).poll(cx),
            Self::There(slot) => slot.poll(cx),
        }
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        if let Self::Here(task) = self
            && let Some(task) = task.take()
        {
            task.detach();
        }
    }
}
