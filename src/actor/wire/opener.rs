//! The opener's control of a dialog with another actor.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::near::RemoteNear;
use super::open::{Open, Shared};
use super::value::Incoming;
use super::{Waiting, Wire};
use crate::actor::endpoint::Target;
use crate::dialog::{Near, Opener};
use crate::error::Reason;
use crate::{Error, Result};

/// The opener's control of a dialog with another actor.
pub(in crate::actor) struct RemoteOpener<First: Send + 'static, R> {
    shared: Arc<Shared>,
    /// Whom the outcome wakes.
    registered: Option<Waker>,
    first: Incoming<First>,
    result: PhantomData<fn() -> R>,
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
        Near::new(RemoteNear::new(self.shared.clone()))
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
