//! The future of a strand: runs user code, and drops it where the rules R3, R4 and R6 say so.

use std::future::Future;
use std::num::NonZeroU32;
use std::panic::Location;
use std::pin::Pin;
use std::ptr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::clock::Alarm;
use super::ending::Ending;
use super::outcome::{self, cancelled};
use super::panics;
use super::running::{self, Entered, current, last_waits};
use super::scope::{Scope, level};
use super::strand::{Place, Strand, doing};
use super::waits_for::{Waits, WaitsFor};
use crate::error::Closed;
use crate::{Error, Result};

pin_project! {
    /// Ready when the user's future has ended or was dropped by a cancel, *and* its tail has ended.
    pub(crate) struct Body<F, T> {
        #[pin]
        future: Option<F>,
        // Only away while user code of the strand runs: it is the thread's current strand then.
        place: Option<Place>,
        // Its place in its scope, once it waits: most children never do.
        key: Option<NonZeroU32>,
        // The line in which it waits, as the strand knows it.
        waits_at: Option<&'static Location<'static>>,
        is_child: bool,
        started: bool,
        late: Option<Box<Late<T>>>,
    }

    impl<F, T> PinnedDrop for Body<F, T> {
        fn drop(this: Pin<&mut Self>) {
            this.drop_from_outside();
        }
    }
}

/// What a strand needs only when it is cancelled, or leaves something to be done.
struct Late<T> {
    linger: Option<Alarm>,
    ending: Option<Ending<T>>,
}

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self { linger: None, ending: None }
    }
}

impl<F, T> Body<F, T> {
    /// A nursery child: one that was never polled before the request does not start.
    pub(crate) fn child(place: Place, future: F) -> Self {
        Self {
            future: Some(future),
            place: Some(place),
            key: None,
            waits_at: None,
            is_child: true,
            started: false,
            late: None,
        }
    }

    /// The body of a scope, which starts in any case and meets the request at its first await.
    pub(crate) fn of_scope(place: Place, future: F) -> Self {
        Self {
            future: Some(future),
            place: Some(place),
            key: None,
            waits_at: None,
            is_child: false,
            started: true,
            late: None,
        }
    }

    fn place(&self) -> &Place {
        self.place.as_ref().expect("it is only away while user code runs")
    }

    /// The scope that the strand belongs to.
    pub(crate) fn scope(&self) -> &Arc<Scope> {
        self.place().scope()
    }

    /// A failure of the strand, with the name that it has.
    pub(crate) fn named(&self, error: Error) -> Error {
        match self.place().made().and_then(|strand| strand.name()) {
            Some(name) if error.mark().is_none() => error.context(format!("task `{name}`")),
            _ => error,
        }
    }

    /// The strand around waits for this one.
    #[inline]
    pub(crate) fn is_waited_for(&self) {
        running::waits(Waits { what: WaitsFor::Scope, at: Some(self.place().location()) });
    }

    /// Drops the user's future as its strand, so that what its `Drop` does belongs to it.
    fn drop_future(self: Pin<&mut Self>) -> Result<()> {
        let mut this = self.project();
        if this.future.is_none() {
            return Ok(());
        }
        let _entered = Entered::drop(this.place);
        panics::catch(|| this.future.set(None))
    }

    /// R7: without grace. What cannot end at once goes to the strand around.
    pub(crate) fn drop_from_outside(mut self: Pin<&mut Self>) {
        if self.place.is_none() {
            return; // it is dropped by user code that it runs itself
        }
        let mut failures: Vec<Error> = self.as_mut().drop_future().err().into_iter().collect();
        let this = self.project();
        if let Some(late) = this.late.take() {
            let _entered = Entered::drop(this.place);
            panics::dispose(late, |panic| failures.push(panic));
        }
        let Some(place) = this.place.as_mut() else { return };
        unlist(place, this.key);
        if place.has_tail() || !failures.is_empty() {
            hand_over(place.make(), failures);
        }
    }
}

/// The strand waits with this waker, which its scope did not know.
#[inline(never)]
fn enlist(strand: &Arc<Strand>, key: &mut Option<NonZeroU32>, news: u32, cx: &Context<'_>) {
    strand.keep(cx.waker());
    if key.is_none() {
        *key = Some(strand.scope().add_strand(strand));
    }
    if strand.scope().level_and_news().1 != news {
        cx.waker().wake_by_ref();
    }
}

/// The strand waits no more, so its scope need not wake it.
fn unlist(place: &Place, key: &mut Option<NonZeroU32>) {
    if let Some(key) = key.take() {
        place.scope().remove_strand(key);
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
        let (level, news) = self.scope().level_and_news();
        if level == level::OVER || level != level::OPEN && !self.started {
            return Poll::Ready(self.end(level, None));
        }
        if let Poll::Ready(result) = self.as_mut().poll_future(cx) {
            return Poll::Ready(self.end(level, Some(result)));
        }
        self.as_mut().wait(news, cx);
        // Judged by the level that the poll began at: awaits that it did not reach had been woken by then.
        if level >= level::ARMED && self.as_mut().is_doomed(cx) {
            return Poll::Ready(self.end(level, None));
        }
        let strand = self.place().made().expect("it waits");
        if strand.has_tail() {
            strand.poll_entrusted(cx);
        }
        Poll::Pending
    }

    /// The strand waits with this waker: from here on a request finds it. One that came since the poll began may not have.
    #[inline(always)]
    fn wait(self: Pin<&mut Self>, news: u32, cx: &Context<'_>) {
        let this = self.project();
        let strand = this.place.as_mut().expect("it was just polled").make();
        let waits = last_waits();
        strand.does(waits.map_or(doing::FOREIGN, |waits| waits.what as u8));
        let at = waits.and_then(|waits| waits.at);
        // The same place is the same address; to compare what it says would compare the name of the file.
        if this.waits_at.map(ptr::from_ref) != at.map(ptr::from_ref) {
            *this.waits_at = at;
            strand.keep_waits_at(at);
        }
        if this.key.is_none() || !strand.keeps(cx.waker()) {
            enlist(strand, this.key, news, cx);
        }
    }

    fn poll_future(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let mut this = self.project();
        *this.started = true;
        if let Some(strand) = this.place.as_ref().and_then(Place::made) {
            strand.does(doing::RUNNING);
        }
        let mut returned = None;
        let caught = {
            let _entered = match *this.is_child {
                true => Entered::poll_child(this.place, cx.waker()),
                false => Entered::poll(this.place, cx.waker()),
            };
            panics::catch(|| {
                let future = this.future.as_mut().as_pin_mut().expect("polled after it was ready");
                if let Poll::Ready(result) = future.poll(cx) {
                    returned = Some(result);
                    this.future.set(None);
                }
            })
        };
        match (returned, caught) {
            (Some(result), Ok(())) => Poll::Ready(result),
            (Some(Err(error)), Err(panic)) => Poll::Ready(Err(outcome::join(error, panic))),
            (_, Err(panic)) => Poll::Ready(Err(panic)),
            (None, Ok(())) => Poll::Pending,
        }
    }

    /// R3 and R4: whether a strand that is still pending is dropped now.
    fn is_doomed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let this = self.project();
        let strand = this.place.as_ref().and_then(Place::made).expect("it waits");
        if strand.is_entitled() {
            if let Some(late) = this.late {
                late.linger = None;
            }
            return false;
        }
        if !strand.is_observed() && !strand.has_registered() {
            return true;
        }
        let at = strand.last_touch() + strand.scope().limits().linger;
        let linger = this.late.get_or_insert_default().linger.get_or_insert_with(|| Alarm::at(at));
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
            (None, Ok(())) => Err(self.scope().mark().map_or_else(|| Closed.into(), cancelled)),
        };
        if level != level::OPEN && self.place().made().is_some_and(|strand| strand.is_observed()) {
            mark_late(&mut result);
        }
        result
    }

    /// The strand is over: nothing of it is left in its scope.
    fn leave(self: Pin<&mut Self>) {
        let this = self.project();
        let place = this.place.as_ref().expect("it was just polled");
        debug_assert!(place.made().is_none_or(|strand| strand.is_done()), "a strand ends after its tail");
        unlist(place, this.key);
        *this.late = None;
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
        if self.late.as_ref().is_none_or(|late| late.ending.is_none()) {
            let result = ready!(self.as_mut().step(cx));
            if !self.place().has_tail() {
                self.leave();
                return Poll::Ready(result);
            }
            let strand = self.place().made().expect("it has a tail");
            let ending = Ending::new(strand, result);
            let (_, news) = strand.scope().level_and_news();
            self.as_mut().project().late.get_or_insert_default().ending = Some(ending);
            self.as_mut().wait(news, cx);
        }
        let this = self.as_mut().project();
        let ending = this.late.as_mut().and_then(|late| late.ending.as_mut()).expect("it was just made");
        let result = ready!(ending.poll(this.place, cx));
        self.leave();
        Poll::Ready(result)
    }
}
