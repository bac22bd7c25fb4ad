//! The future of a strand: runs user code, and drops it where the rules R3, R4 and R6 say so.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::clock::Alarm;
use super::ending::Ending;
use super::outcome::{self, cancelled};
use super::panics;
use super::scope::level;
use super::strand::{Entered, Strand, current};
use crate::error::Closed;
use crate::{Error, Result};

pin_project! {
    /// Ready when the user's future has ended or was dropped by a cancel, *and* its tail has ended.
    pub(crate) struct Body<F, T> {
        #[pin]
        future: Option<F>,
        // Only away while user code of the strand runs: it is the thread's current strand then.
        strand: Option<Arc<Strand>>,
        key: usize,
        started: bool,
        linger: Option<Box<Alarm>>,
        ending: Option<Box<Ending<T>>>,
    }

    impl<F, T> PinnedDrop for Body<F, T> {
        fn drop(this: Pin<&mut Self>) {
            this.drop_from_outside();
        }
    }
}

impl<F, T> Body<F, T> {
    /// A nursery child: one that was never polled before the request does not start.
    pub(crate) fn child(strand: Arc<Strand>, future: F) -> Self {
        Self::new(strand, future, false)
    }

    /// The body of a scope, which starts in any case and meets the request at its first await.
    pub(crate) fn of_scope(strand: Arc<Strand>, future: F) -> Self {
        Self::new(strand, future, true)
    }

    fn new(strand: Arc<Strand>, future: F, started: bool) -> Self {
        let key = strand.scope().add_strand(&strand);
        Self { future: Some(future), strand: Some(strand), key, started, linger: None, ending: None }
    }

    /// Drops the user's future as its strand, so that what its `Drop` does belongs to it.
    fn drop_future(self: Pin<&mut Self>) -> Result<()> {
        let mut this = self.project();
        let _entered = Entered::new(this.strand);
        panics::catch(|| this.future.set(None))
    }

    /// R7: without grace. What cannot end at once goes to the strand around.
    fn drop_from_outside(mut self: Pin<&mut Self>) {
        if self.strand.is_none() {
            return;
        }
        let mut failures: Vec<Error> = self.as_mut().drop_future().err().into_iter().collect();
        let this = self.project();
        if let Some(ending) = this.ending.take() {
            let _entered = Entered::new(this.strand);
            panics::dispose(ending, |panic| failures.push(panic));
        }
        let Some(strand) = this.strand.take() else { return };
        strand.scope().remove_strand(*this.key);
        if strand.has_tail() || !failures.is_empty() {
            hand_over(&strand, failures);
        }
    }

    fn strand(&self) -> &Arc<Strand> {
        self.strand.as_ref().expect("polled after it was ready")
    }
}

/// Gives the tail of a strand that was dropped from outside to the strand that is current at this moment.
fn hand_over(strand: &Strand, mut failures: Vec<Error>) {
    let tail = strand.take_tail();
    if !tail.finalizers.is_empty() {
        let count = tail.finalizers.len();
        tracing::warn!(count, spawned_at = %strand.location(), "finalizers were dropped with their strand, unrun");
        panics::dispose(tail.finalizers, |panic| failures.push(panic));
    }
    failures.extend(tail.failures);
    match current() {
        Some(outer) => outer.adopt(tail.entrusted, failures),
        None => {
            for failure in failures {
                tracing::error!(spawned_at = %strand.location(), "nobody is left to report to: {failure}");
            }
        }
    }
}

impl<T, F: Future<Output = Result<T>>> Body<F, T> {
    /// Runs the user's future; ready once it has ended or was dropped.
    fn step(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let level = self.strand().begin_poll(cx.waker());
        if level == level::OVER || level != level::OPEN && !self.started {
            return Poll::Ready(self.end(level, None));
        }
        match self.as_mut().poll_future(cx) {
            Poll::Ready(result) => Poll::Ready(self.end(level, Some(result))),
            // Judged by the level that the poll began at: awaits that it did not reach had been woken by then.
            Poll::Pending if level >= level::ARMED && self.as_mut().is_doomed(cx) => Poll::Ready(self.end(level, None)),
            Poll::Pending => {
                if self.strand().has_tail() {
                    self.strand().poll_entrusted(cx);
                }
                Poll::Pending
            }
        }
    }

    fn poll_future(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let mut this = self.project();
        *this.started = true;
        let _entered = Entered::new(this.strand);
        let future = this.future.as_mut().as_pin_mut().expect("polled after it was ready");
        panics::catch(|| future.poll(cx)).unwrap_or_else(|panic| Poll::Ready(Err(panic)))
    }

    /// R3 and R4: whether a strand that is still pending is dropped now.
    fn is_doomed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let this = self.project();
        let strand = this.strand.as_ref().expect("it was just polled");
        if strand.is_entitled() {
            *this.linger = None;
            return false;
        }
        if !strand.is_observed() && !strand.has_registered() {
            return true;
        }
        let at = strand.last_touch() + strand.scope().limits().linger;
        let linger = this.linger.get_or_insert_with(|| Box::new(Alarm::at(at)));
        linger.set(at);
        linger.poll(cx).is_ready()
    }

    /// Drops the future; `None` if it was the cancel that ended it.
    fn end(mut self: Pin<&mut Self>, level: u8, returned: Option<Result<T>>) -> Result<T> {
        let dropped = self.as_mut().drop_future();
        let mut result = match (returned, dropped) {
            (Some(Err(error)), Err(panic)) => Err(outcome::join(error, panic)),
            (_, Err(panic)) => Err(panic),
            (Some(result), Ok(())) => result,
            (None, Ok(())) => Err(self.strand().scope().mark().map_or_else(|| Closed.into(), cancelled)),
        };
        if level != level::OPEN && self.strand().is_observed() {
            mark_late(&mut result);
        }
        result
    }

    /// The strand is over: nothing of it is left in its scope.
    fn leave(self: Pin<&mut Self>) {
        let this = self.project();
        if let Some(strand) = this.strand.take() {
            strand.scope().remove_strand(*this.key);
        }
    }
}

/// A failure of a strand that had been told of a cancel may only be what it made of it.
fn mark_late<T>(result: &mut Result<T>) {
    if let Err(error) = result
        && error.mark().is_none()
    {
        error.mark_after_cancel();
    }
}

impl<T, F: Future<Output = Result<T>>> Future for Body<F, T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        if self.ending.is_none() {
            let result = ready!(self.as_mut().step(cx));
            if !self.strand().has_tail() {
                self.leave();
                return Poll::Ready(result);
            }
            let ending = Ending::new(self.strand(), result);
            *self.as_mut().project().ending = Some(Box::new(ending));
        }
        let this = self.as_mut().project();
        let result = ready!(this.ending.as_mut().expect("it was just made").poll(this.strand, cx));
        self.leave();
        Poll::Ready(result)
    }
}
