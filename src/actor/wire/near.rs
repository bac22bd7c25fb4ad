//! The opener's end of a dialog with another actor.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::far::refused;
use super::open::Shared;
use super::value::{Incoming, Outgoing};
use crate::dialog::local::{far_failed, runtime_await};
use crate::dialog::{End, FarReturned, NearEnd, SideGone, TrySendError};
use crate::error::Closed;
use crate::proto::dialog::Refused;
use crate::proto::event::Received;
use crate::task::Wait;
use crate::{Error, Result};

pub(super) struct RemoteNear<In: Send + 'static, Out: Send + 'static, R: Send + 'static> {
    shared: Arc<Shared>,
    receives: Wait,
    sends: Wait,
    incoming: Incoming<Out>,
    outgoing: Outgoing<In>,
    /// What a sink has taken and has not been sent yet.
    kept: Outgoing<In>,
    /// Nothing comes after that.
    stops: bool,
    result: Incoming<R>,
}

/// Waits, registered with the dialog, unless nothing can come any more.
fn park<T>(shared: &Shared, wait: &mut Wait, cx: &mut Context<'_>) -> Poll<Result<T>> {
    if shared.is_over() {
        return Poll::Ready(Err(Closed.into()));
    }
    wait.park(cx);
    Poll::Pending
}

impl<In: Send + 'static, Out: Send + 'static, R: Send + 'static> RemoteNear<In, Out, R> {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            receives: Wait::default(),
            sends: Wait::default(),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            kept: Outgoing::default(),
            stops: false,
            result: Incoming::default(),
        }
    }

    /// After an attempt to send: what it came to, and why, if the far task has ended.
    fn sent(&mut self, sent: Poll<Result<()>>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match sent {
            Poll::Ready(result) => {
                self.sends.done();
                Poll::Ready(result.map_err(|error| self.refusal(error.context(self.shared.open.name()))))
            }
            // The value comes back first.
            Poll::Pending if self.outgoing.is_aside() => {
                self.sends.park(cx);
                Poll::Pending
            }
            Poll::Pending => park(&self.shared, &mut self.sends, cx),
        }
    }

    /// Sends what a sink has taken, while something else is waited for.
    fn drive_kept(&mut self, cx: &mut Context<'_>) -> Result<()> {
        if self.kept.is_empty() {
            return Ok(()); // at each receive, so without the lock
        }
        let open = &self.shared.open;
        let driven = open.wire.drive_kept(open.id, &mut self.kept, cx);
        self.stop_if_empty();
        driven.map_err(|error| self.refusal(error.context(self.shared.open.name())))
    }

    /// In the words of the protocol, which has not heard yet of a stop that waits.
    fn not_stopped(&self) -> Result<()> {
        if !self.stops {
            return Ok(());
        }
        Err(self.refusal(refused(Refused::Closed.into()).context(self.shared.open.name())))
    }

    /// Says that it has stopped, once nothing is left to be sent.
    fn stop_if_empty(&self) {
        if self.stops && self.kept.is_empty() {
            let open = &self.shared.open;
            let _ = open.wire.step(|state| state.proto.stop(open.id));
        }
    }

    /// The better reason, where the far task has ended.
    fn refusal(&self, error: Error) -> Error {
        match self.shared.look() {
            Some(true) => self.failed(),
            Some(false) => FarReturned.into(),
            None => error,
        }
    }

    /// What is said where the far task has failed, which the cancel of the body mostly says before.
    fn failed(&self) -> Error {
        if self.shared.is_over() { Closed.into() } else { far_failed(self.shared.identity()) }
    }
}

impl<In: Send + 'static, Out: Send + 'static, R: DeserializeOwned + Send + 'static> RemoteNear<In, Out, R> {
    /// The far task has returned: its result, once, which is for `finish` alone.
    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Result<R>> {
        if !self.result.is_aside() {
            *self.result.bytes() = self.shared.seen().outcome.take().unwrap_or_else(|| Err(Closed.into()))?;
        }
        let result = self.result.poll_decode(&self.shared.open.wire, cx);
        if result.is_pending() {
            self.receives.park(cx);
        }
        result
    }
}

impl<In: Send + 'static, Out: Send + 'static, R: Send + 'static> End for RemoteNear<In, Out, R> {
    fn leave(&mut self) {
        self.outgoing.leave();
    }
}

impl<In: Send + 'static, Out: Send + 'static, R: Send + 'static> Drop for RemoteNear<In, Out, R> {
    fn drop(&mut self) {
        let open = &self.shared.open;
        open.wire.deliver(open.id, &mut self.kept);
    }
}

impl<In, Out, R> NearEnd<In, Out, R> for RemoteNear<In, Out, R>
where
    In: Serialize + Send + 'static,
    Out: DeserializeOwned + Send + 'static,
    R: DeserializeOwned + Send + 'static,
{
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Out>>> {
        runtime_await!(self.receives, cx);
        self.drive_kept(cx)?;
        let open = &self.shared.open;
        let received = match self.incoming.is_aside() {
            true => Some(Received::Item(())),
            false => open.wire.poll_item(open.id, self.incoming.bytes(), cx),
        };
        match received {
            Some(Received::Item(())) => match self.incoming.poll_decode(&open.wire, cx) {
                Poll::Ready(value) => {
                    self.receives.done();
                    Poll::Ready(value.map(Some))
                }
                // It was there when the dialog ended, if that has.
                Poll::Pending => {
                    self.receives.park(cx);
                    Poll::Pending
                }
            },
            Some(Received::End) => Poll::Ready(Ok(None)),
            Some(Received::Failed) => Poll::Ready(Err(self.failed())),
            Some(Received::Empty) | None => park(&self.shared, &mut self.receives, cx),
        }
    }

    fn begin_send(&mut self) {
        self.outgoing.forget();
    }

    fn try_send(&mut self, value: In) -> Result<(), TrySendError<In>> {
        if let Err(error) = self.not_stopped() {
            return Err(TrySendError::Refused(value, error));
        }
        let open = &self.shared.open;
        open.wire.try_put(open.id, value, &mut self.outgoing, &mut self.kept).map_err(|refused| match refused {
            TrySendError::Refused(value, error) => TrySendError::Refused(value, self.refusal(error)),
            full => full,
        })
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, value: &mut Option<In>) -> Poll<Result<()>> {
        let told = ready!(self.sends.check(cx));
        if told.is_err() {
            ready!(self.outgoing.poll_cancelled(value, cx));
            return Poll::Ready(told);
        }
        self.not_stopped()?;
        let open = &self.shared.open;
        let sent = open.wire.poll_put(open.id, value, &mut self.outgoing, &mut self.kept, cx);
        self.sent(sent, cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }

    fn start_send(&mut self, value: In) -> Result<()> {
        self.not_stopped()?;
        let open = &self.shared.open;
        let started = open.wire.put_or_keep(open.id, value, &mut self.kept);
        started.map_err(|error| self.refusal(error.context(open.name())))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        runtime_await!(self.sends, cx);
        let open = &self.shared.open;
        let sent = open.wire.poll_kept(open.id, &mut self.kept, cx);
        self.stop_if_empty();
        self.sent(sent, cx)
    }

    fn stop(&mut self) {
        let open = &self.shared.open;
        self.stops = true;
        if !self.kept.is_aside() {
            let _ = open.wire.put_kept(open.id, &mut self.kept);
        }
        self.stop_if_empty();
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<R>> {
        runtime_await!(self.receives, cx);
        self.drive_kept(cx)?;
        let open = &self.shared.open;
        // Nobody will read what is there, and the far task may be waiting for credit.
        while let Some(Received::Item(())) = open.wire.poll_item(open.id, self.incoming.bytes(), cx) {}
        self.shared.register(|waiting| &mut waiting.reader, cx);
        match self.shared.look() {
            Some(true) => Poll::Ready(Err(self.failed())),
            Some(false) => self.poll_result(cx),
            None => park(&self.shared, &mut self.receives, cx),
        }
    }

    fn gone(&self) -> Option<SideGone> {
        self.shared.gone()
    }
}
