//! The opener's control of a dialog in this process, and the word of whoever runs the far task.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Shared;
use super::link::{Side, news};
use super::near::LocalNear;
use crate::dialog::converse::happened;
use crate::dialog::{Near, Opener};
use crate::error::{Cancelled, Mark, Reason, ScopeId};
use crate::task::{sift, stray};
use crate::{Error, Result};

/// How the far task has ended, beside its outcome.
#[derive(Default)]
pub(super) struct Ending {
    /// When the outcome was stored.
    at: u64,
    /// By a report that was dropped.
    dropped: bool,
}

/// The opener's control of a dialog inside this process.
pub struct LocalOpener<First, In, Out, R> {
    shared: Arc<Shared<First, In, Out, R>>,
    /// The last waker it went to sleep with.
    waker: Option<Waker>,
}

impl<First, In, Out, R> LocalOpener<First, In, Out, R> {
    pub(super) fn new(shared: Arc<Shared<First, In, Out, R>>) -> Self {
        Self { shared, waker: None }
    }

    /// Sleeps, and says whether it has begun to: then it must look once more.
    fn sleep(&mut self, cx: &Context<'_>) -> bool {
        let opener = &self.shared.link.opener;
        if opener.is_asleep() && self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return false;
        }
        self.waker = Some(cx.waker().clone());
        opener.sleep(cx.waker());
        true
    }

    fn attempt_first(&self) -> Option<Option<Result<First>>> {
        let news = self.shared.link.news();
        if news & (news::STARTED | news::ENDED) == 0 {
            return None;
        }
        Some(self.shared.lock().first.take().map(Ok))
    }

    fn attempt_ended(&self) -> Option<bool> {
        let news = self.shared.link.news();
        (news & news::ENDED != 0).then_some(news & news::FAILED != 0)
    }
}

impl<First, In, Out, R> LocalOpener<First, In, Out, R>
where
    First: Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
    R: Send + 'static,
{
    /// The end for the opener's body.
    ///
    /// # Panics
    /// The second time: a dialog has one.
    pub fn near(&self) -> Near<In, Out, R> {
        let (writer, reader) = self.shared.lock().near.take().expect("`near` is asked for once");
        Near::new(LocalNear::new(self.shared.clone(), writer, reader))
    }

    /// The far task's result, once, when it has ended well.
    pub fn take_result(&mut self) -> Option<R> {
        self.shared.lock().outcome.take_if(|outcome| outcome.is_ok())?.ok()
    }
}

impl<First, In, Out, R> std::fmt::Debug for LocalOpener<First, In, Out, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalOpener").finish_non_exhaustive()
    }
}

impl<First, In, Out, R> Opener<First> for LocalOpener<First, In, Out, R>
where
    First: Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
    R: Send + 'static,
{
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<First>>> {
        let first = self.attempt_first().or_else(|| self.sleep(cx).then(|| self.attempt_first()).flatten());
        first.map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let ended = self.attempt_ended().or_else(|| self.sleep(cx).then(|| self.attempt_ended()).flatten());
        ended.map_or(Poll::Pending, Poll::Ready)
    }

    fn take_failure(&mut self) -> Option<Error> {
        self.shared.lock().outcome.take_if(|outcome| outcome.is_err())?.err()
    }

    fn failed_at(&self) -> Option<u64> {
        let failed = self.shared.link.news() & news::FAILED != 0;
        failed.then(|| self.shared.lock().ending.at)
    }

    fn was_dropped(&self) -> bool {
        self.shared.lock().ending.dropped
    }

    fn stop(&mut self) {
        self.shared.link.announce(news::STOPPED | news::FINISHED);
        self.shared.link.gate(Side::Near).reader.wake();
        self.shared.link.gate(Side::Far).writer.wake();
    }

    fn cancel(&mut self, reason: Reason) {
        {
            let mut core = self.shared.lock();
            if core.cancel.is_some() || self.shared.link.news() & news::ENDED != 0 {
                return;
            }
            core.cancel = Some(Mark { scope: ScopeId::fresh(), reason });
            // Whoever waits in one of our operations, or for the signal, is told by being woken.
            core.told = self.shared.link.cancel();
        }
        self.shared.link.wake(Side::Far);
    }
}

impl<First, In, Out, R> Drop for LocalOpener<First, In, Out, R> {
    fn drop(&mut self) {
        let link = &self.shared.link;
        link.announce(news::GONE);
        link.wake(Side::Far);
        link.wake(Side::Near);
    }
}

/// Says how the far task ended, once. Dropped without a word, it says that the task was dropped by its loop.
///
/// Hold it outside the far future, so that everything the far task owned is gone when the outcome is seen.
pub struct Report<First, In, Out, R> {
    pub(super) shared: Arc<Shared<First, In, Out, R>>,
    pub(super) done: bool,
}

impl<First, In, Out, R> Report<First, In, Out, R> {
    /// The far task ended like this.
    pub fn ended(mut self, outcome: Result<R>) {
        self.put(outcome, false);
    }

    /// The far task returned because it was cancelled, with nothing else to say.
    pub fn obeyed(mut self) {
        let outcome = Err(self.echo());
        self.put(outcome, false);
    }

    /// The far task was dropped, and this came of it.
    pub fn dropped(mut self, failure: Option<Error>) {
        let outcome = Err(failure.unwrap_or_else(|| self.echo()));
        self.put(outcome, true);
    }

    fn echo(&self) -> Error {
        match self.shared.lock().cancel.clone() {
            Some(mark) => Cancelled { mark }.into(),
            None => Dropped.into(),
        }
    }

    /// Whether the opener has cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.shared.lock().cancel.is_some()
    }

    /// Whether the far task has been given the cancel or waits where it gets it.
    pub fn is_told(&self) -> bool {
        self.shared.lock().told
    }

    fn put(&mut self, outcome: Result<R>, dropped: bool) {
        self.done = true;
        let link = &self.shared.link;
        {
            let mut core = self.shared.lock();
            // Refused only a second time, and a report is consumed by its first.
            let _ = core.phase.finish();
            let outcome = outcome.map_err(|error| own_view(error, core.cancel.as_ref()));
            core.ending = Ending { at: happened(), dropped };
            let failed = if outcome.is_err() { news::FAILED } else { 0 };
            core.outcome = Some(outcome);
            link.announce(news::ENDED | failed);
        }
        link.wake(Side::Near);
        link.opener.wake();
    }
}

/// What the far task's error is to its opener: an echo of the opener's cancel if it is nothing else. No other cancel means
/// anything there, and none may be taken for an echo.
fn own_view(error: Error, cancel: Option<&Mark>) -> Error {
    match sift(error, |mark| cancel.is_some_and(|cancel| cancel.scope == mark.scope)) {
        (_, Some(failure)) => stray(failure),
        (Some(echo), None) => echo,
        (None, None) => unreachable!("an error has at least one leaf"),
    }
}

impl<First, In, Out, R> Drop for Report<First, In, Out, R> {
    fn drop(&mut self) {
        if !self.done {
            let outcome = Err(self.echo());
            self.put(outcome, true);
        }
    }
}

impl<First, In, Out, R> std::fmt::Debug for Report<First, In, Out, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Report").field("done", &self.done).finish_non_exhaustive()
    }
}

/// The far task was dropped before it ended, and this side had not asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the far task was dropped before it ended, by its own loop or by somebody who holds its handle")
    }
}

impl std::error::Error for Dropped {}
