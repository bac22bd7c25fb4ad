//! Foreign futures as runtime awaits, and awaits for nothing but a turn.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::wait::{Wait, requested_strand};
use super::waits_for::WaitsFor;
use crate::Result;

pin_project! {
    /// A foreign future as a runtime await; see [`cancellable`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Cancellable<F> {
        #[pin]
        future: Option<F>,
        wait: Wait,
        started: bool,
    }
}

impl<F> fmt::Debug for Cancellable<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellable").field("started", &self.started).finish_non_exhaustive()
    }
}

/// Makes a foreign future a runtime await: it returns `Cancelled` when its scope is cancelled, instead of being dropped
/// together with the strand around it.
///
/// A future that was started and is ready wins over the cancel. One that was not started is not started any more.
///
/// # Errors
/// `Cancelled` if the scope around it was cancelled; `future` has been dropped then.
///
/// # Cancel safety
/// That of `future`, which is dropped with it.
///
/// ```
/// use pleach::task::{cancellable, time::VirtualClock};
///
/// let two = VirtualClock::block_on(cancellable(async { 1 + 1 }));
/// assert_eq!(two.unwrap(), 2);
/// ```
#[track_caller]
pub fn cancellable<F: Future>(future: F) -> Cancellable<F> {
    cancellable_as(WaitsFor::Foreign, future)
}

/// [`cancellable`] for something of the runtime's.
#[track_caller]
pub(crate) fn cancellable_as<F: Future>(what: WaitsFor, future: F) -> Cancellable<F> {
    Cancellable { future: Some(future), wait: Wait::new(what), started: false }
}

impl<F: Future> Future for Cancellable<F> {
    type Output = Result<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if *this.started
            && let Some(strand) = requested_strand()
        {
            // A last look: what has happened already must not be lost.
            if let Poll::Ready(output) = poll_some(this.future.as_mut(), cx) {
                this.wait.done();
                strand.touch();
                return Poll::Ready(Ok(output));
            }
        }
        if let Err(error) = ready!(this.wait.check(cx)) {
            this.future.set(None);
            return Poll::Ready(Err(error));
        }
        *this.started = true;
        let polled = poll_some(this.future.as_mut(), cx);
        match polled {
            Poll::Ready(_) => this.wait.done(),
            Poll::Pending => this.wait.park(cx),
        }
        polled.map(Ok)
    }
}

fn poll_some<F: Future>(future: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<F::Output> {
    future.as_pin_mut().expect("polled after it was ready").poll(cx)
}

/// Looks whether the scope was cancelled, before something is started that others would see.
pub(crate) async fn not_cancelled() -> Result<()> {
    let mut wait = Wait::default();
    poll_fn(move |cx| wait.check(cx)).await
}

/// Lets others run once, and looks whether the scope was cancelled.
///
/// # Errors
/// `Cancelled` if it was.
///
/// # Cancel safety
/// Nothing is lost by dropping it.
///
/// ```
/// use pleach::task::{checkpoint, time::VirtualClock};
///
/// VirtualClock::block_on(checkpoint()).unwrap();
/// ```
#[track_caller]
pub fn checkpoint() -> impl Future<Output = Result<()>> + Send {
    let mut wait = Wait::new(WaitsFor::Turn);
    let mut yielded = false;
    poll_fn(move |cx| {
        ready!(wait.check(cx))?;
        if yielded {
            wait.done();
            return Poll::Ready(Ok(()));
        }
        yielded = true;
        wait.park(cx);
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}
