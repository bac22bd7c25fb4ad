//! A call: a dialog without `started` and without items, which is over when it has its outcome.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Wire;
use super::open::{Open, Shared};
use super::value::decode_all;
use crate::actor::endpoint::Target;
use crate::dialog::local::runtime_await;
use crate::error::{Kind, Reason};
use crate::task::clock::Alarm;
use crate::task::{Wait, entrust_or, reason_below, remaining_grace, shield};
use crate::{Error, Result};

/// Runs a function of arguments only in the peer, and completes when it has ended there. `bound` is how long it may take
/// to end after a cancel.
pub(in crate::actor) async fn call<A, R>(wire: &Arc<Wire>, target: &Target, arguments: A, bound: Duration) -> Result<R>
where
    A: Serialize + Send + 'static,
    R: DeserializeOwned + Send + 'static,
{
    let shared = Shared::new(Open::start(wire, target, arguments, true).await?);
    let mut held = Held { shared: Some(shared), bound };
    let mut wait = Wait::default();
    // An outcome that is already there wins over a cancel: the call has happened.
    let ended = poll_fn(|cx| {
        let shared = held.shared.as_ref().expect("taken only below");
        if shared.poll_ended(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        runtime_await!(wait, cx);
        wait.park(cx);
        Poll::Pending
    })
    .await;
    match ended {
        Ok(()) => {
            wait.done();
            held.outcome(wire).await
        }
        Err(cancelled) => Err(held.cancel(cancelled).await),
    }
}

/// A call that does not go away before it has ended over there.
struct Held {
    shared: Option<Shared>,
    bound: Duration,
}

impl Held {
    async fn outcome<R: DeserializeOwned + Send + 'static>(&mut self, wire: &Wire) -> Result<R> {
        let shared = self.shared.take().expect("the outcome is taken once");
        let outcome = shared.seen().outcome.take().expect("it has ended");
        decode_all(wire.codec, outcome?, 0).await.map_err(|error| wire.not_decoded(error))
    }

    /// We are cancelled: so is the call, and it is waited for. Its own failure is worth more than our cancel.
    async fn cancel(&mut self, cancelled: Error) -> Error {
        let shared = self.shared.as_ref().expect("cancelled before it ended");
        shared.open.cancel(&reason_below());
        // A part of what the scope around has left is kept, so that there is somebody to say that it did not work.
        let bound = remaining_grace().map_or(self.bound, |rest| self.bound.min(rest / 10 * 9));
        let ended = shield(bound, async { Ok(ended_within(shared, bound).await) }).await.unwrap_or(false);
        let shared = self.shared.take().expect("still there");
        if !ended {
            return shared.open.stuck(bound).into();
        }
        match shared.seen().outcome.take() {
            Some(Err(error)) if error.kind() != Kind::Cancelled => error,
            _ => cancelled,
        }
    }
}

async fn ended_within(shared: &Shared, bound: Duration) -> bool {
    let mut sleep = Alarm::after(bound);
    poll_fn(|cx| {
        if shared.poll_ended(cx).is_ready() {
            return Poll::Ready(true);
        }
        sleep.poll(cx).map(|()| false)
    })
    .await
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        shared.open.cancel(&Reason::NurseryDropped);
        let bound = self.bound;
        let stuck = shared.open.stuck(bound);
        // Without a scope around there is nobody to wait; the peer has been told all the same.
        entrust_or(stuck.clone().into(), async move {
            if ended_within(&shared, bound).await { Ok(()) } else { Err(stuck.into()) }
        });
    }
}
