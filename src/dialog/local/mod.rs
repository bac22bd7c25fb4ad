//! The carrier for two tasks of one process: one lock, two bounded queues, values that move.

mod far;
mod near;
mod opener;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use self::far::LocalFar;
use self::near::LocalNear;
pub use self::opener::{LocalOpener, Report};
use super::{Far, FarFailed, FarReturned, NearGone};
use crate::error::{Cancelled, Closed, Kind, Mark, Misuse};
use crate::proto::dialog::Callee;
use crate::{Error, Result};

/// Makes the two ends of a dialog inside this process, with room for `capacity` values in each direction.
///
/// The three parts are for whoever starts the far task: the [`LocalOpener`] goes to
/// [`converse`](super::converse), the [`Far`] to the far function, and the [`Report`] says how that function ended.
///
/// # Panics
/// If `capacity` is 0.
pub fn local<First, In, Out, R>(capacity: usize) -> Local<First, In, Out, R>
where
    First: Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
    R: Send + 'static,
{
    assert!(capacity > 0, "a dialog needs room for one value");
    let shared = Arc::new(Mutex::new(Core::new(capacity)));
    let opener = LocalOpener { shared: shared.clone() };
    let far = Far::new(LocalFar { shared: shared.clone() });
    Local { opener, far, report: Report { shared, done: false } }
}

/// The parts of a dialog inside this process, see [`local`].
#[derive(Debug)]
pub struct Local<First, In, Out, R> {
    /// For [`converse`](super::converse).
    pub opener: LocalOpener<First, In, Out, R>,
    /// For the far function.
    pub far: Far<First, In, Out>,
    /// For whoever runs the far function.
    pub report: Report<First, In, Out, R>,
}

/// One direction: values, and who waits for them or for room.
struct Queue<T> {
    values: VecDeque<T>,
    capacity: usize,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl<T> Queue<T> {
    fn new(capacity: usize) -> Self {
        Self { values: VecDeque::with_capacity(capacity.min(64)), capacity, reader: None, writer: None }
    }

    /// Puts the value in and gives the reader to wake, or gives the value back.
    fn try_push(&mut self, value: T) -> Result<Option<Waker>, T> {
        if self.values.len() >= self.capacity {
            return Err(value);
        }
        self.values.push_back(value);
        Ok(self.reader.take())
    }

    /// Puts the value in and gives the reader to wake, or registers the writer.
    fn poll_push(&mut self, value: &mut Option<T>, cx: &Context<'_>) -> Poll<Option<Waker>> {
        if self.values.len() >= self.capacity {
            register(&mut self.writer, cx);
            return Poll::Pending;
        }
        self.values.push_back(value.take().expect("a send is not polled after it has completed"));
        Poll::Ready(self.reader.take())
    }

    /// Takes a value out and gives the writer to wake: also for a single place, as the reader may take no second value
    /// before it has heard of something that the writer does after its send.
    fn pop(&mut self) -> Option<(T, Option<Waker>)> {
        let value = self.values.pop_front()?;
        Some((value, self.writer.take()))
    }

    fn wakers(&mut self) -> [Option<Waker>; 2] {
        [self.reader.take(), self.writer.take()]
    }
}

/// Everything both sides look at, behind one lock.
struct Core<First, In, Out, R> {
    phase: Callee,
    first: Option<First>,
    to_far: Queue<In>,
    to_near: Queue<Out>,
    /// The opener sends no more.
    stopped: bool,
    /// The opener has left for good.
    gone: bool,
    cancel: Option<Mark>,
    /// Whether the far task has been given the cancel, or waits where it will be.
    told: bool,
    outcome: Option<Result<R>>,
    /// Set with the outcome and never reset: `outcome` itself is taken by whoever needs it.
    ended: bool,
    failed: bool,
    opener: Option<Waker>,
    signal: Option<Waker>,
}

type Shared<First, In, Out, R> = Arc<Mutex<Core<First, In, Out, R>>>;

impl<First, In, Out, R> Core<First, In, Out, R> {
    fn new(capacity: usize) -> Self {
        Self {
            phase: Callee::new(false),
            first: None,
            to_far: Queue::new(capacity),
            to_near: Queue::new(capacity),
            stopped: false,
            gone: false,
            cancel: None,
            told: false,
            outcome: None,
            ended: false,
            failed: false,
            opener: None,
            signal: None,
        }
    }

    /// Why the opener's side can send nothing, if it cannot.
    fn near_refusal(&self) -> Option<Error> {
        if self.ended && !self.failed {
            return Some(FarReturned.into());
        }
        self.near_error().or_else(|| self.stopped.then(stopped))
    }

    /// What the opener's side is told where the far task has failed, or the end was carried out of its dialog.
    fn near_error(&self) -> Option<Error> {
        if self.gone {
            return Some(Closed.into());
        }
        self.failed.then(far_failed)
    }

    /// Why the far side can send nothing, if it cannot.
    fn far_refusal(&mut self) -> Option<Error> {
        if let Some(cancelled) = self.cancelled() {
            return Some(cancelled);
        }
        if let Err(misuse) = self.phase.send() {
            return Some(Misuse::new(misuse.to_string()).into());
        }
        self.gone.then(|| NearGone.into())
    }

    /// The far side's view of a cancel: an error that is a cancel of a scope no ancestor of a foreign task has.
    fn cancelled(&mut self) -> Option<Error> {
        let mark = self.cancel.clone()?;
        self.told = true;
        Some(Cancelled { mark }.into())
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        other => *other = Some(cx.waker().clone()),
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Looks at the cancel before the attempt; a runtime await of the opener's strand.
macro_rules! runtime_await {
    ($wait:expr, $cx:expr) => {
        match $wait.check($cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    };
}
pub(crate) use runtime_await;

/// Not a failure of its own: whoever sees it beside the far task's failure drops it.
pub(crate) fn far_failed() -> Error {
    Error::from(FarFailed).with_kind(Kind::Cancelled)
}

/// A value sent after the sender said that there would be none.
pub(crate) fn stopped() -> Error {
    Misuse::new("`send` after `stop`: send everything first, then stop").into()
}
