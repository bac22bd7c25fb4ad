//! The far task's end of a dialog in this process.

use std::task::{Context, Poll};

use super::{Shared, lock, register, wake};
use crate::Result;
use crate::dialog::{FarEnd, TrySendError};
use crate::error::Misuse;

pub(super) struct LocalFar<First, In, Out, R> {
    pub(super) shared: Shared<First, In, Out, R>,
}

impl<First, In, Out, R> FarEnd<First, In, Out> for LocalFar<First, In, Out, R>
where
    First: Send,
    In: Send,
    Out: Send,
    R: Send,
{
    fn started(&mut self, first: First) -> Result<()> {
        let opener = {
            let mut core = lock(&self.shared);
            if let Some(cancelled) = core.cancelled() {
                return Err(cancelled);
            }
            core.phase.started().map_err(|refused| Misuse::new(refused.to_string()))?;
            core.first = Some(first);
            core.opener.take()
        };
        wake(opener);
        Ok(())
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<In>>> {
        let mut core = lock(&self.shared);
        if let Some(cancelled) = core.cancelled() {
            return Poll::Ready(Err(cancelled));
        }
        if let Some((value, writer)) = core.to_far.pop() {
            drop(core);
            wake(writer);
            return Poll::Ready(Ok(Some(value)));
        }
        if core.stopped || core.gone {
            return Poll::Ready(Ok(None));
        }
        register(&mut core.to_far.reader, cx);
        Poll::Pending
    }

    fn try_send(&mut self, value: Out) -> Result<(), TrySendError<Out>> {
        let mut core = lock(&self.shared);
        if let Some(refusal) = core.far_refusal() {
            return Err(TrySendError::Refused(value, refusal));
        }
        let reader = core.to_near.try_push(value).map_err(TrySendError::Full)?;
        drop(core);
        wake(reader);
        Ok(())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, value: &mut Option<Out>) -> Poll<Result<()>> {
        let mut core = lock(&self.shared);
        if let Some(refusal) = core.far_refusal() {
            return Poll::Ready(Err(refusal));
        }
        core.to_near.poll_push(value, cx).map(|reader| {
            drop(core);
            wake(reader);
            Ok(())
        })
    }

    fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut core = lock(&self.shared);
        if core.cancelled().is_some() || core.gone {
            return Poll::Ready(());
        }
        register(&mut core.signal, cx);
        Poll::Pending
    }
}
