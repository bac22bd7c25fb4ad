//! A dialog with another actor on the side that has opened it, from its start to its outcome.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde::Serialize;

use super::value::encode_all;
use super::{Waiting, Wire, register};
use crate::Result;
use crate::actor::endpoint::Target;
use crate::dialog::{NeverStarted, SideGone, Stuck};
use crate::error::{Misuse, Reason};
use crate::proto::event::{DialogId, OpenError, Outcome};
use crate::proto::segments::Segments;
use crate::proto::start::Start;
use crate::task::not_cancelled;

/// A dialog of ours with the peer, from its start to its outcome; forgotten when the last end is dropped.
pub(super) struct Open {
    pub(super) wire: Arc<Wire>,
    pub(super) id: DialogId,
    endpoint: String,
    /// The outcome is there to be taken.
    pub(super) ended: Arc<AtomicBool>,
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

    pub(super) fn name(&self) -> String {
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

/// The dialog, and its outcome from when it is known until it is taken.
pub(super) struct Shared {
    pub(super) open: Open,
    outcome: Mutex<Seen>,
    /// The opener has left: whoever carried the near end out of the body waits for nothing.
    pub(super) over: AtomicBool,
}

#[derive(Default)]
pub(super) struct Seen {
    pub(super) outcome: Option<Result<Segments>>,
    ended: bool,
    pub(super) failed: bool,
    /// The same for whoever only asks.
    gone: Option<SideGone>,
}

impl Shared {
    pub(super) fn new(open: Open) -> Self {
        Self { open, outcome: Mutex::default(), over: AtomicBool::new(false) }
    }

    /// Which dialog it is, as long as it is there.
    pub(super) fn identity(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.outcome.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Whether it has ended, and whether it failed.
    pub(super) fn look(&self) -> Option<bool> {
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
    pub(super) fn gone(&self) -> Option<SideGone> {
        self.look()?;
        self.seen().gone.clone()
    }

    /// Registers for the outcome; `true` if it is there.
    pub(super) fn register(&self, slot: impl FnOnce(&mut Waiting) -> &mut Option<Waker>, cx: &Context<'_>) -> bool {
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
