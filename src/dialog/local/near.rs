//! The opener's end of a dialog in this process.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::link::{Link, Side, news};
use super::queue::{Reader, Writer, poll_attempts};
use super::{Shared, near_error, runtime_await};
use crate::Result;
use crate::dialog::{End, NearEnd, SideGone, TrySendError};
use crate::task::Wait;

pub(super) struct LocalNear<First, In, Out, R> {
    shared: Arc<Shared<First, In, Out, R>>,
    link: Arc<Link>,
    writer: Writer<In>,
    reader: Reader<Out>,
    wait: Wait,
}

impl<First, In, Out, R> LocalNear<First, In, Out, R> {
    pub(super) fn new(shared: Arc<Shared<First, In, Out, R>>, writer: Writer<In>, reader: Reader<Out>) -> Self {
        Self { link: shared.link.clone(), shared, writer, reader, wait: Wait::default() }
    }

    #[inline]
    fn attempt_recv(&mut self) -> Option<Result<Option<Out>>> {
        // Before the ring: what was sent before the end is in it when the end is seen.
        let news = self.link.news();
        if news & news::GONE == 0
            && let Some(value) = self.reader.pop()
        {
            return Some(Ok(Some(value)));
        }
        if news & (news::ENDED | news::FAILED) == news::ENDED {
            return Some(Ok(None));
        }
        near_error(news).map(Err)
    }

    #[inline]
    fn attempt_send(&mut self, value: &mut Option<In>) -> Option<Result<()>> {
        let news = self.link.news();
        if news & (news::ENDED | news::GONE | news::STOPPED) != 0
            && let Some(refusal) = self.shared.near_refusal(news)
        {
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

    fn attempt_finish(&mut self) -> Option<Result<R>> {
        let news = self.link.news();
        if let Some(error) = near_error(news) {
            return Some(Err(error));
        }
        // Nobody will read what is there, and the far task may be waiting for room.
        while self.reader.pop().is_some() {}
        if news & news::ENDED == 0 {
            return None;
        }
        Some(
            self.shared
                .lock()
                .ended
                .outcome
                .take()
                .expect("only `finish`, which takes the end by value, takes a result"),
        )
    }

    /// Others have their turn, then it is polled again.
    #[cold]
    fn turn<T>(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        cx.waker().wake_by_ref();
        self.pending(cx)
    }

    fn pending<T>(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        self.wait.park(cx);
        Poll::Pending
    }
}

impl<First, In, Out, R> End for LocalNear<First, In, Out, R> {
    fn leave(&mut self) {
        self.writer.leave();
        self.reader.leave();
        self.wait.done();
    }
}

impl<First, In, Out, R> NearEnd<In, Out, R> for LocalNear<First, In, Out, R>
where
    First: Send,
    In: Send,
    Out: Send,
    R: Send,
{
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Out>>> {
        runtime_await!(self.wait, cx);
        if self.reader.is_spent() {
            return self.turn(cx);
        }
        match poll_attempts(self, cx, Self::attempt_recv, |near, cx| near.reader.rest(cx)) {
            Poll::Pending => self.pending(cx),
            received => {
                self.reader.done();
                self.wait.done();
                received
            }
        }
    }

    fn try_send(&mut self, value: In) -> Result<(), TrySendError<In>> {
        if let Some(refusal) = self.shared.near_refusal(self.link.news()) {
            return Err(TrySendError::Refused(value, refusal));
        }
        self.writer.push(value).map_err(TrySendError::Full)?;
        self.reader.answered();
        Ok(())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, value: &mut Option<In>) -> Poll<Result<()>> {
        runtime_await!(self.wait, cx);
        if self.writer.is_spent() {
            return self.turn(cx);
        }
        match poll_attempts(self, cx, |near| near.attempt_send(value), |near, cx| near.writer.rest(cx)) {
            Poll::Pending => self.pending(cx),
            sent => {
                self.writer.done();
                self.wait.done();
                sent
            }
        }
    }

    fn stop(&mut self) {
        self.link.announce(news::STOPPED);
        self.link.gate(Side::Near).reader.wake();
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<R>> {
        runtime_await!(self.wait, cx);
        match poll_attempts(self, cx, Self::attempt_finish, |near, cx| near.reader.rest(cx)) {
            Poll::Pending => self.pending(cx),
            finished => {
                self.reader.done();
                self.wait.done();
                finished
            }
        }
    }

    fn gone(&self) -> Option<SideGone> {
        self.shared.lock().gone.clone()
    }
}
