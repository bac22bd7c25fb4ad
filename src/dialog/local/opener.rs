//! The opener's control of a dialog in this process.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Shared;
use super::link::{Side, news};
use super::near::LocalNear;
use super::report::{Ended, Hears, own_view, unheard};
use crate::dialog::{Near, Opener, SideGone};
use crate::error::{Mark, Reason, ScopeId};
use crate::{Error, Result};

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
        self.shared.lock().ended.take_result()
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
    fn identity(&self) -> usize {
        self.shared.identity()
    }

    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<First>>> {
        let first = self.attempt_first().or_else(|| self.sleep(cx).then(|| self.attempt_first()).flatten());
        first.map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let ended = self.attempt_ended().or_else(|| self.sleep(cx).then(|| self.attempt_ended()).flatten());
        ended.map_or(Poll::Pending, Poll::Ready)
    }

    fn take_failure(&mut self) -> Option<Error> {
        self.shared.lock().ended.take_failure()
    }

    fn failed_at(&self) -> Option<u64> {
        let failed = self.shared.link.news() & news::FAILED != 0;
        failed.then(|| self.shared.lock().ended.at)
    }

    fn was_dropped(&self) -> bool {
        self.shared.lock().ended.dropped
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
        let failure = self.shared.lock().ended.take_failure();
        unheard(failure);
    }
}

impl<First: Send, In: Send, Out: Send, R: Send> Hears<R> for Shared<First, In, Out, R> {
    fn cancel(&self) -> Option<Mark> {
        self.lock().cancel.clone()
    }

    fn is_told(&self) -> bool {
        self.lock().told
    }

    fn hear(&self, outcome: Result<R>, dropped: bool) {
        let unasked = {
            let mut core = self.lock();
            // Refused only a second time, and a report is consumed by its first.
            let _ = core.phase.finish();
            let outcome = outcome.map_err(|error| own_view(error, core.cancel.as_ref()));
            let failed = if outcome.is_err() { news::FAILED } else { 0 };
            core.gone = Some(outcome.as_ref().err().map_or(SideGone::Finished, SideGone::with));
            core.ended = Ended::now(outcome, dropped);
            self.link.announce(news::ENDED | failed);
            let is_alone = self.link.news() & news::GONE != 0;
            is_alone.then(|| core.ended.take_failure()).flatten()
        };
        unheard(unasked);
        self.link.wake(Side::Near);
        self.link.opener.wake();
    }
}
