//! The far task's end of a dialog in this process.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::link::{Link, news};
use super::queue::{Reader, Rest, Writer, poll_attempts};
use super::{Shared, started_unready};
use crate::dialog::{End, FarEnd, SideGone, TrySendError};
use crate::error::Misuse;
use crate::task::Wait;
use crate::{Error, Result};

/// Which of its two waits an operation uses.
const IN: usize = 0;
const OUT: usize = 1;

/// Whether an operation that waits is there until it is ready or says that it leaves: then a cancel that finds it waiting
/// has been told. What waits at a stream or a sink may go away without a word, and has been told when it is given the cancel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stays {
    Said,
    Unsaid,
}

pub(super) struct LocalFar<First, In, Out, R> {
    shared: Arc<Shared<First, In, Out, R>>,
    link: Arc<Link>,
    writer: Writer<Out>,
    reader: Reader<In>,
    waits: bool,
    /// Of a far function that is a task of the tree: while it receives, and while it sends.
    tree: Option<[Wait; 2]>,
}

impl<First, In, Out, R> LocalFar<First, In, Out, R> {
    pub(super) fn new(
        shared: Arc<Shared<First, In, Out, R>>,
        writer: Writer<Out>,
        reader: Reader<In>,
        tree: Option<[Wait; 2]>,
    ) -> Self {
        Self { link: shared.link.clone(), shared, writer, reader, waits: false, tree }
    }

    /// Looks at the cancel of its own scope, if it is a task of the tree.
    #[inline]
    fn check(&mut self, way: usize, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.tree {
            None => Poll::Ready(Ok(())),
            Some(waits) => waits[way].check(cx),
        }
    }

    /// After an attempt.
    #[inline]
    fn attempted<T>(&mut self, way: usize, cx: &mut Context<'_>, polled: &Poll<T>) {
        if let Some(waits) = &mut self.tree {
            match polled {
                Poll::Ready(_) => waits[way].done(),
                Poll::Pending => waits[way].park(cx),
            }
        }
    }

    #[inline]
    fn attempt_recv(&mut self) -> Option<Result<Option<In>>> {
        // Before the ring: what was sent before the stop is in it when the stop is seen.
        let news = self.link.news();
        if news & news::CANCELLED != 0 {
            return self.cancelled().map(Err);
        }
        if let Some(value) = self.reader.pop() {
            return Some(Ok(Some(value)));
        }
        (news & (news::STOPPED | news::GONE) != 0).then_some(Ok(None))
    }

    #[inline]
    fn refusal(&self) -> Option<Error> {
        const CLOSED: u8 = news::CANCELLED | news::ENDED | news::FINISHED | news::GONE;
        let news = self.link.news();
        if news & (news::STARTED | CLOSED) == news::STARTED {
            return None;
        }
        self.shared.far_refusal(news)
    }

    fn attempt_room(&mut self) -> Option<Result<()>> {
        let refusal = self.refusal().map(Err);
        refusal.or_else(|| self.writer.has_room().then_some(Ok(())))
    }

    #[inline]
    fn attempt_send(&mut self, value: &mut Option<Out>) -> Option<Result<()>> {
        if let Some(refusal) = self.refusal() {
            return Some(Err(refusal));
        }
        let sent = value.take().expect("a send is not polled after it has completed");
        match self.writer.push(sent) {
            Ok(()) => {
                self.reader.answered();
                Some(Ok(()))
            }
            Err(back) => {
                *value = Some(back);
                None
            }
        }
    }

    fn attempt_cancelled(&mut self) -> Option<()> {
        if self.link.news() & (news::CANCELLED | news::GONE) == 0 {
            return None;
        }
        let _ = self.cancelled();
        Some(())
    }

    #[cold]
    fn cancelled(&self) -> Option<Error> {
        self.shared.lock().cancelled()
    }

    /// A value that comes in.
    #[inline]
    fn poll_in(&mut self, cx: &mut Context<'_>, stays: Stays) -> Poll<Result<Option<In>>> {
        ready!(self.check(IN, cx))?;
        if self.reader.is_spent() && self.gives_turn(stays, cx) {
            return Poll::Pending;
        }
        let received =
            poll_attempts(self, cx, Self::attempt_recv, |far, cx| far.rest(stays, |far| far.reader.rest(cx)));
        if received.is_ready() {
            self.goes_on();
            self.reader.done();
        }
        self.attempted(IN, cx, &received);
        received
    }

    /// A value is sent by `attempt`, or there is room for one.
    #[inline]
    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        stays: Stays,
        attempt: impl FnMut(&mut Self) -> Option<Result<()>>,
    ) -> Poll<Result<()>> {
        ready!(self.check(OUT, cx))?;
        if self.writer.is_spent() && self.gives_turn(stays, cx) {
            return Poll::Pending;
        }
        let sent = poll_attempts(self, cx, attempt, |far, cx| far.rest(stays, |far| far.writer.rest(cx)));
        if sent.is_ready() {
            self.goes_on();
            self.writer.done();
        }
        self.attempted(OUT, cx, &sent);
        sent
    }

    /// Waits where a cancel finds it. That it does is said before the last attempt, which may find the cancel itself.
    #[inline]
    fn rest(&mut self, stays: Stays, rest: impl FnOnce(&mut Self) -> Rest) -> Rest {
        if self.waits || stays == Stays::Unsaid {
            return rest(self);
        }
        self.waits = true;
        self.link.far_waits();
        Rest::Again
    }

    /// Others have their turn, then it is polled again; unless it must hear of a cancel first.
    #[cold]
    fn gives_turn(&mut self, stays: Stays, cx: &Context<'_>) -> bool {
        if stays == Stays::Said {
            self.waits = true;
            self.link.far_waits();
        }
        let gives = self.link.news() & news::CANCELLED == 0;
        if gives {
            cx.waker().wake_by_ref();
        }
        gives
    }

    #[inline]
    fn goes_on(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.link.far_goes_on();
        }
    }
}

impl<First, In, Out, R> End for LocalFar<First, In, Out, R> {
    fn leave(&mut self) {
        self.goes_on();
        self.writer.leave();
        self.reader.leave();
        self.link.signal.leave();
        self.tree.iter_mut().flatten().for_each(Wait::done);
    }
}

impl<First, In, Out, R> FarEnd<First, In, Out> for LocalFar<First, In, Out, R>
where
    First: Send,
    In: Send,
    Out: Send,
    R: Send,
{
    fn poll_started(&mut self, _: &mut Context<'_>, first: &mut Option<First>) -> Poll<Result<()>> {
        {
            let mut core = self.shared.lock();
            if let Some(cancelled) = core.cancelled() {
                return Poll::Ready(Err(cancelled));
            }
            core.phase.started().map_err(|refused| Misuse::new(refused.to_string()))?;
            core.first = first.take();
            self.link.announce(news::STARTED);
        }
        self.link.opener.wake();
        Poll::Ready(Ok(()))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<In>>> {
        self.poll_in(cx, Stays::Said)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<In>>> {
        self.poll_in(cx, Stays::Unsaid)
    }

    fn try_send(&mut self, value: Out) -> Result<(), TrySendError<Out>> {
        if let Some(refusal) = self.refusal() {
            return Err(TrySendError::Refused(value, refusal));
        }
        self.writer.push(value).map_err(TrySendError::Full)?;
        self.reader.answered();
        Ok(())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, value: &mut Option<Out>) -> Poll<Result<()>> {
        self.poll_out(cx, Stays::Said, |far| far.attempt_send(value))
    }

    /// Nobody else sends here: the room stays.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_out(cx, Stays::Unsaid, Self::attempt_room)
    }

    fn start_send(&mut self, value: Out) -> Result<()> {
        self.try_send(value).map_err(started_unready)
    }

    fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let rest = |far: &mut Self, cx: &mut Context<'_>| {
            far.rest(Stays::Said, |far| {
                far.link.signal.sleep(cx.waker());
                Rest::Asleep
            })
        };
        let cancelled = poll_attempts(self, cx, Self::attempt_cancelled, rest);
        if cancelled.is_ready() {
            self.goes_on();
            self.link.signal.leave();
        }
        cancelled
    }

    fn gone(&self) -> Option<SideGone> {
        if let Some(mark) = &self.shared.lock().cancel {
            return Some(SideGone::because(mark.reason.clone()));
        }
        (self.link.news() & (news::FINISHED | news::GONE) != 0).then_some(SideGone::Finished)
    }
}
