//! The opener's end of a dialog with another actor.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::far::refused;
use super::value::{Incoming, Outgoing, encode_all};
use super::{Waiting, Wire, register};
use crate::actor::endpoint::Target;
use crate::dialog::local::{far_failed, runtime_await};
use crate::dialog::{End, FarReturned, Near, NearEnd, NeverStarted, Opener, SideGone, Stuck, TrySendError};
use crate::error::{Closed, Misuse, Reason};
use crate::proto::dialog::Refused;
use crate::proto::event::{DialogId, OpenError, Outcome, Received};
use crate::proto::segments::Segments;
use crate::proto::start::Start;
use crate::task::{Wait, not_cancelled};
use crate::{Error, Result};

/// A dialog of ours with the peer, from its start to its outcome; forgotten when the last end is dropped.
pub(super) struct Open {
    wire: Arc<Wire>,
    id: DialogId,
    endpoint: String,
    /// The outcome is there to be taken.
    ended: Arc<AtomicBool>,
}

impl Open {
    /// If the scope around is cancelled while the arguments are being encoded, nothing is opened.
    pub(super) async fn start<A>(wire: &Arc<Wire>, target: &Target, arguments: A, call: bool) -> Result<Self>
    where
        A: Serialize + Send + 'static,
    {
        let mut bytes = vec![u8::from(call)];
        let start = Start {
            endpoint: &target.name,
            signature: target.hash,
            version: target.version,
            remaining_ms: None,
            args: &[],
        };
        start.encode_head(&mut bytes).map_err(|error| Misuse::new(error.to_string()))?;
        let bytes = encode_all(wire, arguments, bytes).await?;
        not_cancelled().await?;
        Self::send(wire, target, bytes)
    }

    fn send(wire: &Arc<Wire>, target: &Target, mut bytes: Vec<u8>) -> Result<Self> {
        let waiting = Waiting { endpoint: target.name.clone(), ..Waiting::default() };
        let ended = waiting.ended.clone();
        let opened = wire.step(|state| {
            let id = state.proto.open_from(&mut bytes)?;
            state.waiting.insert(id, waiting);
            Ok(id)
        });
        let endpoint = target.name.clone();
        match opened {
            Ok(id) => Ok(Self { wire: wire.clone(), id, endpoint, ended }),
            Err(OpenError::Lost(remote)) => Err((*remote).into()),
            Err(error) => Err(Misuse::new(format!("`{endpoint}` of {}: {error}", wire.peer)).into()),
        }
    }

    fn name(&self) -> String {
        format!("`{}` of {}", self.endpoint, self.wire.peer)
    }

    pub(super) fn stuck(&self, after: Duration) -> Stuck {
        Stuck { who: self.name(), after, actor: Some(self.wire.peer.clone()) }
    }

    /// Takes the outcome: the result's bytes, or the failure.
    fn take_outcome(&self) -> Option<Result<Segments>> {
        let mut bytes = Segments::default();
        let outcome = self.wire.step(|state| state.proto.take_outcome(self.id, &mut bytes))?;
        Some(match outcome {
            Outcome::Return => Ok(bytes),
            Outcome::Error(remote) => Err((*remote).into()),
            Outcome::NeverStarted => Err(NeverStarted { who: self.name() }.into()),
        })
    }

    pub(super) fn cancel(&self, reason: &Reason) {
        let reason = reason.clone().below(&self.wire.here.path);
        self.wire.step(|state| state.proto.cancel(self.id, &reason));
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let waiting = self.wire.step(|state| {
            state.proto.forget(self.id);
            state.waiting.remove(&self.id)
        });
        drop(waiting);
    }
}

/// The opener's control of a dialog with another actor.
pub(in crate::actor) struct RemoteOpener<First: Send + 'static, R> {
    shared: Arc<Shared>,
    /// Whom the outcome wakes.
    registered: Option<Waker>,
    first: Incoming<First>,
    result: PhantomData<fn() -> R>,
}

/// The dialog, and its outcome from when it is known until it is taken.
pub(super) struct Shared {
    pub(super) open: Open,
    outcome: Mutex<Seen>,
    /// The opener has left: whoever carried the near end out of the body waits for nothing.
    over: AtomicBool,
}

#[derive(Default)]
pub(super) struct Seen {
    pub(super) outcome: Option<Result<Segments>>,
    ended: bool,
    failed: bool,
    /// The same for whoever only asks.
    gone: Option<SideGone>,
}

impl Shared {
    pub(super) fn new(open: Open) -> Self {
        Self { open, outcome: Mutex::default(), over: AtomicBool::new(false) }
    }

    /// Which dialog it is, as long as it is there.
    fn identity(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.outcome.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether it has ended, and whether it failed.
    fn look(&self) -> Option<bool> {
        let mut seen = self.seen();
        if !seen.ended
            && let Some(outcome) = self.open.take_outcome()
        {
            seen.ended = true;
            seen.failed = outcome.is_err();
            seen.gone = Some(outcome.as_ref().err().map_or(SideGone::Finished, SideGone::with));
            seen.outcome = Some(outcome);
        }
        seen.ended.then_some(seen.failed)
    }

    /// How it has ended, if it has.
    fn gone(&self) -> Option<SideGone> {
        self.look()?;
        self.seen().gone.clone()
    }

    /// Registers for the outcome; `true` if it is there.
    fn register(&self, slot: impl FnOnce(&mut Waiting) -> &mut Option<Waker>, cx: &Context<'_>) -> bool {
        let mut state = self.open.wire.state();
        let Some(waiting) = state.waiting.get_mut(&self.open.id) else { return true };
        let old = register(slot(waiting), cx);
        let ended = waiting.ended.load(Ordering::Acquire);
        drop(state);
        drop(old);
        ended
    }

    /// As `look`, but registers the opener's waker first, so that no outcome slips between.
    pub(super) fn poll_ended(&self, cx: &Context<'_>) -> Poll<bool> {
        if !self.register(|waiting| &mut waiting.opener, cx) {
            return Poll::Pending;
        }
        self.look().map_or(Poll::Pending, Poll::Ready)
    }
}

impl<First, R> RemoteOpener<First, R>
where
    First: DeserializeOwned + Send + 'static,
    R: DeserializeOwned + Send + 'static,
{
    /// Opens the dialog.
    ///
    /// # Errors
    /// Arguments that the codec cannot carry or that are over the limit; too many open dialogs; a peer that is gone.
    pub(in crate::actor) async fn open<A>(wire: &Arc<Wire>, target: &Target, arguments: A) -> Result<Self>
    where
        A: Serialize + Send + 'static,
    {
        let open = Open::start(wire, target, arguments, false).await?;
        let shared = Arc::new(Shared::new(open));
        Ok(Self { shared, registered: None, first: Incoming::default(), result: PhantomData })
    }

    /// The end for the opener's body.
    pub(in crate::actor) fn near<In, Out>(&self) -> Near<In, Out, R>
    where
        In: Serialize + Send + 'static,
        Out: DeserializeOwned + Send + 'static,
    {
        Near::new(RemoteNear {
            shared: self.shared.clone(),
            receives: Wait::default(),
            sends: Wait::default(),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            kept: Outgoing::default(),
            stops: false,
            result: Incoming::default(),
        })
    }
}

impl<First, R> Opener<First> for RemoteOpener<First, R>
where
    First: DeserializeOwned + Send + 'static,
    R: DeserializeOwned + Send + 'static,
{
    fn identity(&self) -> usize {
        self.shared.identity()
    }

    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<First>>> {
        self.shared.register(|waiting| &mut waiting.opener, cx);
        let open = &self.shared.open;
        let first = &mut self.first;
        if first.is_aside() || open.wire.step(|state| state.proto.take_started(open.id, first.bytes())) {
            return first.poll_decode(&open.wire, cx).map(Some);
        }
        match self.shared.look() {
            Some(_) => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// At each poll of the body, so without the lock where nothing has changed.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let ended = self.shared.open.ended.load(Ordering::Acquire);
        if !ended && self.registered.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        self.registered = Some(cx.waker().clone());
        self.shared.poll_ended(cx)
    }

    fn take_failure(&mut self) -> Option<Error> {
        let mut seen = self.shared.seen();
        if !seen.failed {
            return None;
        }
        seen.outcome.take()?.err()
    }

    fn stop(&mut self) {
        let open = &self.shared.open;
        // Refused if the stream was never opened or has ended, and then there is nothing to stop.
        let _ = open.wire.step(|state| state.proto.stop(open.id));
    }

    fn cancel(&mut self, reason: Reason) {
        self.shared.open.cancel(&reason);
    }

    fn name(&self) -> String {
        self.shared.open.name()
    }

    fn actor(&self) -> Option<String> {
        Some(self.shared.open.wire.peer.clone())
    }
}

impl<First: Send + 'static, R> Drop for RemoteOpener<First, R> {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        let open = &self.shared.open;
        let wakers = open.wire.state().waiting.get_mut(&open.id).map(Waiting::all);
        wakers.into_iter().flatten().flatten().for_each(Waker::wake);
    }
}

struct RemoteNear<In: Send + 'static, Out: Send + 'static, R: Send + 'static> {
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
            return Ok(());
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
