//! The opener's control of a dialog in this process, and the word of whoever runs the far task.

use std::task::{Context, Poll};

use super::{LocalNear, Shared, lock, register, wake};
use crate::dialog::{Near, Opener};
use crate::error::{Cancelled, Mark, Reason, ScopeId};
use crate::task::Wait;
use crate::{Error, Result};

/// The opener's control of a dialog inside this process.
pub struct LocalOpener<First, In, Out, R> {
    pub(super) shared: Shared<First, In, Out, R>,
}

impl<First, In, Out, R> LocalOpener<First, In, Out, R>
where
    First: Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
    R: Send + 'static,
{
    /// The end for the opener's body.
    pub fn near(&self) -> Near<In, Out, R> {
        Near::new(LocalNear { shared: self.shared.clone(), wait: Wait::default() })
    }

    /// The far task's result, once, when it has ended well.
    pub fn take_result(&mut self) -> Option<R> {
        lock(&self.shared).outcome.take_if(|outcome| outcome.is_ok())?.ok()
    }

    /// Whether the far task has been given the cancel or is parked where it gets it; one that has not, and is still
    /// there, must be dropped by its loop.
    pub fn is_told(&self) -> bool {
        lock(&self.shared).told
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
        let mut core = lock(&self.shared);
        if let Some(first) = core.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if core.ended {
            return Poll::Ready(None);
        }
        register(&mut core.opener, cx);
        Poll::Pending
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut core = lock(&self.shared);
        if core.ended {
            return Poll::Ready(core.failed);
        }
        register(&mut core.opener, cx);
        Poll::Pending
    }

    fn take_failure(&mut self) -> Option<Error> {
        let mut core = lock(&self.shared);
        if !core.failed {
            return None;
        }
        core.outcome.take()?.err()
    }

    fn stop(&mut self) {
        let reader = {
            let mut core = lock(&self.shared);
            core.stopped = true;
            core.to_far.reader.take()
        };
        wake(reader);
    }

    fn cancel(&mut self, reason: Reason) {
        let wakers = {
            let mut core = lock(&self.shared);
            if core.cancel.is_some() || core.ended {
                return;
            }
            core.cancel = Some(Mark { scope: ScopeId::fresh(), reason });
            // Whoever is parked in one of our operations, or waits for the signal, is told by this very wake.
            let parked = [core.to_far.reader.take(), core.to_near.writer.take(), core.signal.take()];
            core.told = parked.iter().any(Option::is_some);
            parked
        };
        wakers.into_iter().for_each(wake);
    }
}

impl<First, In, Out, R> Drop for LocalOpener<First, In, Out, R> {
    fn drop(&mut self) {
        let (wakers, unread) = {
            let mut core = lock(&self.shared);
            core.gone = true;
            let unread = std::mem::take(&mut core.to_near.values);
            let [far_reader, near_writer] = core.to_far.wakers();
            let [near_reader, far_writer] = core.to_near.wakers();
            ([far_reader, far_writer, near_reader, near_writer], unread)
        };
        wakers.into_iter().for_each(wake);
        drop(unread);
    }
}

/// Says how the far task ended, once. Dropped without a word, it says that the task was dropped by its loop.
///
/// Hold it outside the far future, so that everything the far task owned is gone when the outcome is seen.
pub struct Report<First, In, Out, R> {
    pub(super) shared: Shared<First, In, Out, R>,
    pub(super) done: bool,
}

impl<First, In, Out, R> Report<First, In, Out, R> {
    /// The far task ended like this.
    pub fn ended(mut self, outcome: Result<R>) {
        self.put(outcome);
    }

    fn put(&mut self, outcome: Result<R>) {
        self.done = true;
        let wakers = {
            let mut core = lock(&self.shared);
            // Refused only a second time, and a report is consumed by its first.
            let _ = core.phase.finish();
            core.failed = outcome.is_err();
            core.outcome = Some(outcome);
            core.ended = true;
            let [near_reader, _] = core.to_near.wakers();
            let [_, near_writer] = core.to_far.wakers();
            [near_reader, near_writer, core.opener.take()]
        };
        wakers.into_iter().for_each(wake);
    }
}

impl<First, In, Out, R> Drop for Report<First, In, Out, R> {
    fn drop(&mut self) {
        if !self.done {
            let cancel = lock(&self.shared).cancel.clone();
            let outcome = match cancel {
                Some(mark) => Err(Cancelled { mark }.into()),
                None => Err(Dropped.into()),
            };
            self.put(outcome);
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
