//! The opener's end of a dialog in this process.

use std::task::{Context, Poll};

use super::{Shared, lock, register, runtime_await, wake};
use crate::Result;
use crate::dialog::{NearEnd, TrySendError};
use crate::task::Wait;

pub(super) struct LocalNear<First, In, Out, R> {
    pub(super) shared: Shared<First, In, Out, R>,
    pub(super) wait: Wait,
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
        let mut core = lock(&self.shared);
        if let Some((value, writer)) = core.to_near.pop() {
            drop(core);
            wake(writer);
            self.wait.done();
            return Poll::Ready(Ok(Some(value)));
        }
        if core.ended && !core.failed {
            return Poll::Ready(Ok(None));
        }
        if let Some(error) = core.near_error() {
            return Poll::Ready(Err(error));
        }
        register(&mut core.to_near.reader, cx);
        drop(core);
        self.wait.park(cx);
        Poll::Pending
    }

    fn try_send(&mut self, value: In) -> Result<(), TrySendError<In>> {
        let mut core = lock(&self.shared);
        if let Some(refusal) = core.near_refusal() {
            return Err(TrySendError::Refused(value, refusal));
        }
        let reader = core.to_far.try_push(value).map_err(TrySendError::Full)?;
        drop(core);
        wake(reader);
        Ok(())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, value: &mut Option<In>) -> Poll<Result<()>> {
        runtime_await!(self.wait, cx);
        let mut core = lock(&self.shared);
        if let Some(refusal) = core.near_refusal() {
            return Poll::Ready(Err(refusal));
        }
        match core.to_far.poll_push(value, cx) {
            Poll::Ready(reader) => {
                drop(core);
                wake(reader);
                self.wait.done();
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                drop(core);
                self.wait.park(cx);
                Poll::Pending
            }
        }
    }

    fn stop(&mut self) {
        let reader = {
            let mut core = lock(&self.shared);
            core.stopped = true;
            core.to_far.reader.take()
        };
        wake(reader);
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<R>> {
        runtime_await!(self.wait, cx);
        let mut core = lock(&self.shared);
        if let Some(error) = core.near_error() {
            return Poll::Ready(Err(error));
        }
        // Nobody will read what is there, and the far task may be waiting for room.
        while let Some((unread, writer)) = core.to_near.pop() {
            drop(core);
            wake(writer);
            drop(unread);
            core = lock(&self.shared);
        }
        if core.ended {
            let result = core.outcome.take().expect("only `finish`, which takes the end by value, takes a result");
            return Poll::Ready(result);
        }
        register(&mut core.to_near.reader, cx);
        drop(core);
        self.wait.park(cx);
        Poll::Pending
    }
}
