//! The far end of a dialog with another actor.

use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::value::{Incoming, Outgoing};
use super::{Wire, register};
use crate::Result;
use crate::dialog::local::{runtime_await, started_unready};
use crate::dialog::{End, FarEnd, SideGone, Stuck, TrySendError};
use crate::error::{Closed, Misuse};
use crate::proto::event::{DialogId, Received, SendError, Sent};
use crate::proto::segments::Segments;
use crate::task::{CancelScope, Wait, entrust_or, grace_here};

pub(super) struct RemoteFar<First: Send + 'static, In: Send + 'static, Out: Send + 'static> {
    wire: Arc<Wire>,
    id: DialogId,
    scope: CancelScope,
    receives: Wait,
    sends: Wait,
    first: Outgoing<First>,
    incoming: Incoming<In>,
    outgoing: Outgoing<Out>,
    /// What a sink has taken and has not been sent yet.
    kept: Outgoing<Out>,
}

impl<First: Send + 'static, In: Send + 'static, Out: Send + 'static> RemoteFar<First, In, Out> {
    pub(super) fn new(wire: Arc<Wire>, id: DialogId, scope: CancelScope) -> Self {
        Self {
            wire,
            id,
            scope,
            receives: Wait::default(),
            sends: Wait::default(),
            first: Outgoing::default(),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            kept: Outgoing::default(),
        }
    }

    /// Waits until a large first value has been encoded, as a send does.
    fn poll_first(&mut self, cx: &mut Context<'_>, first: &mut Option<First>) -> Poll<Result<()>> {
        let told = ready!(self.sends.check(cx));
        if told.is_err() {
            ready!(self.first.poll_cancelled(first, cx));
            return Poll::Ready(told);
        }
        let encoded = self.first.poll_end(&self.wire, first, cx);
        self.sent(encoded, cx)
    }

    /// After an attempt to send: what it came to, in words that say whose it was.
    fn sent(&mut self, sent: Poll<Result<()>>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match sent {
            Poll::Ready(result) => {
                self.sends.done();
                Poll::Ready(result.map_err(|error| error.context(self.wire.name_of(self.id))))
            }
            Poll::Pending => {
                self.sends.park(cx);
                Poll::Pending
            }
        }
    }
}

/// A refusal of the protocol, in the words of the runtime.
pub(super) fn refused(error: SendError) -> crate::Error {
    match error {
        SendError::Refused(refused) => Misuse::new(refused.to_string()).into(),
        SendError::Lost(remote) => (*remote).into(),
        other => Misuse::new(other.to_string()).into(),
    }
}

/// What is wrong with a value that nobody sends just now. That its dialog takes nothing any more is for whoever sends.
fn of_its_value(error: SendError) -> Result<()> {
    if matches!(error, SendError::TooLarge { .. }) { Err(refused(error)) } else { Ok(()) }
}

impl<First: Send + 'static, In: Send + 'static, Out: Send + 'static> End for RemoteFar<First, In, Out> {
    fn leave(&mut self) {
        self.first.leave();
        self.outgoing.leave();
    }
}

impl<First: Send + 'static, In: Send + 'static, Out: Send + 'static> Drop for RemoteFar<First, In, Out> {
    fn drop(&mut self) {
        self.wire.deliver(self.id, &mut self.kept);
    }
}

impl<First, In, Out> FarEnd<First, In, Out> for RemoteFar<First, In, Out>
where
    First: Serialize + Send + 'static,
    In: DeserializeOwned + Send + 'static,
    Out: Serialize + Send + 'static,
{
    /// What is encoded at once is said at once, also by a task that is being cancelled.
    fn poll_started(&mut self, cx: &mut Context<'_>, first: &mut Option<First>) -> Poll<Result<()>> {
        if self.first.is_empty() {
            self.first.begin(&self.wire, first)?;
            let checked = self.wire.check_aside(self.id, true, &mut self.first);
            checked.map_err(|error| error.context(self.wire.name_of(self.id)))?;
        }
        if self.first.is_aside() {
            ready!(self.poll_first(cx, first))?;
        }
        // There is one, so its memory is of no more use.
        let mut encoded = mem::take(&mut self.first);
        let started = self.wire.step(|state| state.proto.started_from(self.id, encoded.bytes()));
        Poll::Ready(started.map_err(|error| refused(error).context(self.wire.name_of(self.id))))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<In>>> {
        runtime_await!(self.receives, cx);
        let driven = self.wire.drive_kept(self.id, &mut self.kept, cx);
        driven.map_err(|error| error.context(self.wire.name_of(self.id)))?;
        let received = match self.incoming.is_aside() {
            true => Some(Received::Item(())),
            false => self.wire.poll_item(self.id, self.incoming.bytes(), cx),
        };
        let received = match received {
            Some(Received::Item(())) => self.incoming.poll_decode(&self.wire, cx).map(|value| value.map(Some)),
            Some(Received::End) => Poll::Ready(Ok(None)),
            Some(Received::Empty | Received::Failed) => Poll::Ready(Err(Closed.into())),
            None => Poll::Pending,
        };
        match received {
            Poll::Ready(_) => self.receives.done(),
            Poll::Pending => self.receives.park(cx),
        }
        received
    }

    fn begin_send(&mut self) {
        self.first.forget();
        self.outgoing.forget();
    }

    fn try_send(&mut self, value: Out) -> Result<(), TrySendError<Out>> {
        self.wire.try_put(self.id, value, &mut self.outgoing, &mut self.kept)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, value: &mut Option<Out>) -> Poll<Result<()>> {
        let told = ready!(self.sends.check(cx));
        if told.is_err() {
            ready!(self.outgoing.poll_cancelled(value, cx));
            return Poll::Ready(told);
        }
        let sent = self.wire.poll_put(self.id, value, &mut self.outgoing, &mut self.kept, cx);
        self.sent(sent, cx)
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_flush(cx)
    }

    fn start_send(&mut self, value: Out) -> Result<()> {
        let started = self.wire.put_or_keep(self.id, value, &mut self.kept);
        started.map_err(|error| error.context(self.wire.name_of(self.id)))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        runtime_await!(self.sends, cx);
        let sent = self.wire.poll_kept(self.id, &mut self.kept, cx);
        self.sent(sent, cx)
    }

    fn poll_cancelled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // First of all the strand has to count as told, or it would be dropped at its next foreign await.
        match self.receives.check(cx) {
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Ready(Ok(())) if self.scope.mark().is_some() => return Poll::Ready(()),
            Poll::Ready(Ok(())) => self.receives.park(cx),
            Poll::Pending => {}
        }
        Poll::Pending
    }

    fn gone(&self) -> Option<SideGone> {
        match self.scope.mark() {
            Some(mark) => Some(SideGone::because(mark.reason)),
            None => self.wire.step(|state| state.proto.is_peer_closed(self.id)).then_some(SideGone::Finished),
        }
    }
}

impl Wire {
    /// Takes the next item's bytes, or registers and gives `None`.
    pub(super) fn poll_item(&self, id: DialogId, bytes: &mut Segments, cx: &Context<'_>) -> Option<Received<()>> {
        let mut old = None;
        let received = self.step(|state| {
            let received = state.proto.recv(id, bytes);
            if received == Received::Empty {
                old = state.waiting.get_mut(&id).and_then(|waiting| register(&mut waiting.reader, cx));
                return None;
            }
            Some(received)
        });
        drop(old);
        received
    }

    /// Encodes the value, outside the lock, and sends it if there is credit.
    pub(super) fn try_put<T: Serialize + Send + 'static>(
        &self,
        id: DialogId,
        value: T,
        outgoing: &mut Outgoing<T>,
        kept: &mut Outgoing<T>,
    ) -> Result<(), TrySendError<T>> {
        match self.put_kept(id, kept) {
            Ok(true) => {}
            Ok(false) => return Err(TrySendError::Full(value)),
            Err(error) => return Err(TrySendError::Refused(value, error)),
        }
        if let Err(error) = outgoing.encode(self, &value) {
            return Err(TrySendError::Refused(value, error));
        }
        match self.step(|state| state.proto.send_from(id, outgoing.bytes())) {
            Ok(Sent::Queued) => Ok(()),
            Ok(Sent::NoCredit) => Err(TrySendError::Full(value)),
            Err(error) => Err(TrySendError::Refused(value, refused(error).context(self.name_of(id)))),
        }
    }

    /// Encodes the value, outside the lock and a large one aside, and sends it, or registers.
    ///
    /// The value is taken when it has been accepted.
    pub(super) fn poll_put<T: Serialize + Send + 'static>(
        &self,
        id: DialogId,
        value: &mut Option<T>,
        outgoing: &mut Outgoing<T>,
        kept: &mut Outgoing<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        ready!(self.poll_kept(id, kept, cx))?;
        ready!(outgoing.poll_encode(self, value, cx))?;
        ready!(self.poll_bytes(id, outgoing.bytes(), cx)).map_err(refused)?;
        outgoing.forget();
        *value = None;
        Poll::Ready(Ok(()))
    }

    /// Sends what a sink has kept, if it has, once it has been encoded; or registers.
    pub(super) fn poll_kept<T: Send + 'static>(
        &self,
        id: DialogId,
        kept: &mut Outgoing<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        if kept.is_empty() {
            return Poll::Ready(Ok(()));
        }
        ready!(kept.poll_end(self, &mut None, cx))?;
        let sent = ready!(self.poll_bytes(id, kept.bytes(), cx));
        kept.forget();
        Poll::Ready(sent.map_err(refused))
    }

    /// The same while something else is waited for.
    pub(super) fn drive_kept<T: Send + 'static>(
        &self,
        id: DialogId,
        kept: &mut Outgoing<T>,
        cx: &mut Context<'_>,
    ) -> Result<()> {
        if kept.is_empty() {
            return Ok(());
        }
        match kept.poll_end(self, &mut None, cx) {
            Poll::Ready(encoded) => encoded?,
            Poll::Pending => return Ok(()),
        }
        let Poll::Ready(sent) = self.poll_bytes(id, kept.bytes(), cx) else { return Ok(()) };
        kept.forget();
        sent.or_else(of_its_value)
    }

    /// Whoever had the sink is gone, and the scope around waits until what it has taken is encoded. Then it is sent, if there is
    /// credit for it.
    pub(super) fn deliver<T: Send + 'static>(self: &Arc<Self>, id: DialogId, kept: &mut Outgoing<T>) {
        if !kept.is_aside() {
            return;
        }
        let (wire, mut kept) = (self.clone(), mem::take(kept));
        let who = format!("what a sink of {} has taken", self.name_of(id));
        let late = Stuck { who, after: grace_here(), actor: None };
        entrust_or(late.into(), async move {
            let encoded = poll_fn(|cx| kept.poll_end(&wire, &mut None, cx)).await;
            let sent = encoded.and_then(|()| {
                let sent = wire.step(|state| state.proto.send_from(id, kept.bytes()));
                sent.map(drop).or_else(of_its_value)
            });
            sent.map_err(|error| error.context(wire.name_of(id)))
        });
    }

    /// Refuses what has gone aside if it could not be sent anyway, as what is small is refused.
    fn check_aside<T: Send + 'static>(&self, id: DialogId, first: bool, outgoing: &mut Outgoing<T>) -> Result<()> {
        if !outgoing.is_aside() {
            return Ok(());
        }
        self.step(|state| state.proto.may_send(id, first)).map_err(|error| {
            outgoing.forget();
            refused(error)
        })
    }

    /// Sends what a sink has kept if it has been encoded and there is credit now: whether nothing is kept any more.
    pub(super) fn put_kept<T: Send + 'static>(&self, id: DialogId, kept: &mut Outgoing<T>) -> Result<bool> {
        if kept.is_empty() || !kept.has_ended(self)? {
            return Ok(kept.is_empty());
        }
        let sent = self.step(|state| state.proto.send_from(id, kept.bytes()));
        if matches!(sent, Ok(Sent::NoCredit)) {
            return Ok(false);
        }
        kept.forget();
        sent.map(|_| true).map_err(refused)
    }

    /// Encodes the value, a large one aside, and sends it, or keeps it until that is done and there is credit.
    pub(super) fn put_or_keep<T: Serialize + Send + 'static>(
        &self,
        id: DialogId,
        value: T,
        kept: &mut Outgoing<T>,
    ) -> Result<()> {
        if !self.put_kept(id, kept)? {
            return Err(started_unready(TrySendError::Full(())));
        }
        kept.begin(self, &mut Some(value))?;
        self.check_aside(id, false, kept)?;
        if kept.is_aside() {
            return Ok(());
        }
        self.put_kept(id, kept).map(drop)
    }

    fn poll_bytes(&self, id: DialogId, bytes: &mut Vec<u8>, cx: &Context<'_>) -> Poll<Result<(), SendError>> {
        let mut old = None;
        let sent = self.step(|state| {
            let sent = state.proto.send_in_turn(id, bytes);
            if matches!(sent, Ok(Sent::NoCredit)) {
                old = state.waiting.get_mut(&id).and_then(|waiting| register(&mut waiting.writer, cx));
            }
            sent
        });
        drop(old);
        match sent {
            Ok(Sent::NoCredit) => Poll::Pending,
            Ok(Sent::Queued) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}
