//! The opener's end of a dialog in this process.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::link::{Link, Side, news};
use super::queue::{Reader, Writer, poll_attempts};
use super::{Shared, runtime_await, started_unready};
use crate::dialog::{End, NearEnd, SideGone, TrySendError};
use crate::task::Wait;
use crate::{Error, Result};

pub(super) struct LocalNear<First, In, Out, R> {
    shared: Arc<Shared<First, In, Out, R>>,
    link: Arc<Link>,
    writer: Writer<In>,
    reader: Reader<Out>,
    receives: Wait,
    sends: Wait,
}

impl<First, In, Out, R> LocalNear<First, In, Out, R> {
    pub(super) fn new(shared: Arc<Shared<First, In, Out, R>>, writer: Writer<In>, reader: Reader<Out>) -> Self {
        Self { link: shared.link.clone(), shared, writer, reader, receives: Wait::default(), sends: Wait::default() }
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
        self.shared.near_error(news).map(Err)
    }

    #[inline]
    fn refusal(&self) -> Option<Error> {
        let news = self.link.news();
        if news & (news::ENDED | news::GONE | news::STOPPED) == 0 {
            return None;
        }
        self.shared.near_refusal(news)
    }

    fn attempt_room(&mut self) -> Option<Result<()>> {
        let refusal = self.refusal().map(Err);
        refusal.or_else(|| self.writer.has_room().then_some(Ok(())))
    }

    #[inline]
    fn attempt_send(&mut self, value: &mut Option<In>) -> Option<Result<()>> {
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

    fn attempt_finish(&mut self) -> Option<Result<R>> {
        let news = self.link.news();
        if let Some(error) = self.shared.near_error(news) {
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

    /// A value is sent by `attempt`, or there is room for one.
    #[inline]
    fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl FnMut(&mut Self) -> Option<Result<()>>,
    ) -> Poll<Result<()>> {
        runtime_await!(self.sends, cx);
        if self.writer.is_spent() {
            return turn(&mut self.sends, cx);
        }
        match poll_attempts(self, cx, attempt, |near, cx| near.writer.rest(cx)) {
            Poll::Pending => pending(&mut self.sends, cx),
            sent => {
                self.writer.done();
                self.sends.done();
                sent
            }
        }
    }
}

/// Others have their turn, then it is polled again.
#[cold]
fn turn<T>(wait: &mut Wait, cx: &mut Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    pending(wait, cx)
}

fn pending<T>(wait: &mut Wait, cx: &mut Context<'_>) -> Poll<T> {
    wait.park(cx);
    Poll::Pending
}

impl<First, In, Out, R> End for LocalNear<First, In, Out, R> {
    fn leave(&mut self) {
        self.writer.leave();
        self.reader.leave();
        self.receives.done();
        self.sends.done();
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
        runtime_await!(self.receives, cx);
        if self.reader.is_spent() {
            return turn(&mut self.receives, cx);
        }
        match poll_attempts(self, cx, Self::attempt_recv, |near, cx| near.reader.rest(cx)) {
            Poll::Pending => pending(&mut self.receives, cx),
            received => {
                self.reader.done();
                self.receives.done();
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
        self.poll_out(cx, |near| near.attempt_send(value))
    }

    /// Nobody else sends here: the room stays.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_out(cx, Self::attempt_room)
    }

    fn start_send(&mut self, value: In) -> Result<()> {
        self.try_send(value).map_err(started_unready)
    }

    fn stop(&mut self) {
        self.link.announce(news::STOPPED);
        self.link.gate(Side::Near).reader.wake();
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<R>> {
        runtime_await!(self.receives, cx);
        match poll_attempts(self, cx, Self::attempt_finish, |near, cx| near.reader.rest(cx)) {
            Poll::Pending => pending(&mut self.receives, cx),
            finished => {
                self.reader.done();
                self.receives.done();
                finished
            }
        }
    }

    fn gone(&self) -> Option<SideGone> {
        self.shared.lock().gone.clone()
    }
}
