//! How a resource and its users know of each other: a state, and who waits for the next.

use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::error::{FailureId, Kind, Reason};
use crate::task::cancel::CancelScope;
use crate::task::child::ChildFailed;
use crate::task::crowd::{Crowd, wake_all};
use crate::task::running::current;
use crate::task::wait::reason_below;
use crate::{Error, Result};

/// What a resource does. It goes on to any later phase, and never back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    #[default]
    Opening,
    /// It has provided its value.
    Open,
    /// Nobody may join any more: it waits for the users to leave, or cleans up.
    Closing,
    /// Its task has ended.
    Over,
}

/// All of a resource but its value, so that also those can wait for it who outlive what the value borrows.
#[derive(Default)]
pub(super) struct Life {
    /// Around the opener. It is cancelled if nobody waits for the value any more, and never when that was provided.
    opening: CancelScope,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    users: usize,
    /// The scopes of the users' bodies, which are cancelled if the resource ends under them.
    bodies: Slab<CancelScope>,
    /// How many are there who would be told of a failure.
    heirs: usize,
    failure: Option<Failure>,
    holder: Option<Waker>,
    waiters: Crowd,
}

/// A failure of the resource: as it is for the first who asks, as an error of the same identity for others.
struct Failure {
    itself: Option<Error>,
    id: FailureId,
    kind: Kind,
    text: String,
}

impl Failure {
    fn new(error: Error) -> Self {
        Self { id: error.id(), kind: error.kind(), text: error.text(), itself: Some(error) }
    }

    fn tell(&mut self) -> Error {
        let echo = || Error::from(ChildFailed::new(self.text.clone())).with_id(self.id).with_kind(self.kind);
        self.itself.take().unwrap_or_else(echo)
    }
}

impl Life {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Where the opener runs.
    pub(super) fn opening(&self) -> &CancelScope {
        &self.opening
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().phase
    }

    // ---- the users

    /// One user more, whose body is in `scope`: its place, unless it is too late.
    pub(super) fn join(self: &Arc<Self>, scope: &CancelScope) -> Option<(Watcher, usize)> {
        let mut state = self.lock();
        if state.phase >= Phase::Closing {
            return None;
        }
        state.users += 1;
        state.heirs += 1;
        let (place, body) = (state.waiters.join(), state.bodies.insert(scope.clone()));
        drop(state);
        Some((Watcher { life: self.clone(), place, inherits: true }, body))
    }

    /// A place for somebody who only waits for the end.
    pub(super) fn watch(self: &Arc<Self>) -> Watcher {
        let place = self.lock().waiters.join();
        Watcher { life: self.clone(), place, inherits: false }
    }

    /// One user less: whether it was the last, and the resource is still there.
    pub(super) fn leave(&self, body: usize) -> bool {
        let mut state = self.lock();
        let scope = state.bodies.remove(body);
        state.users -= 1;
        let last = state.users == 0 && state.phase != Phase::Over;
        let was = state.phase;
        let holder = if last {
            state.phase = Phase::Closing;
            state.holder.take()
        } else {
            None
        };
        drop(state);
        drop(scope);
        if last && was == Phase::Opening {
            self.opening.cancel("nobody waits for the resource any more");
        }
        holder.into_iter().for_each(Waker::wake);
        last
    }

    // ---- the resource

    /// The value is there; false if nobody wants it any more.
    pub(super) fn open(&self) -> bool {
        let mut state = self.lock();
        if state.phase != Phase::Opening {
            return false;
        }
        state.phase = Phase::Open;
        let waiters = state.waiters.take();
        drop(state);
        wake_all(waiters);
        true
    }

    /// Until no user is left.
    pub(super) fn poll_unneeded(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.users == 0 {
            return Poll::Ready(());
        }
        let old = state.holder.replace(cx.waker().clone());
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// Lets nobody join any more, and cancels those who are there. In an earlier phase than `from` it does nothing.
    pub(super) fn close(&self, from: Phase) {
        let mut state = self.lock();
        let was = state.phase;
        if was < from || was >= Phase::Closing {
            return;
        }
        state.phase = Phase::Closing;
        let bodies = state.bodies();
        drop(state);
        if was == Phase::Opening {
            self.opening.request(reason_below());
        }
        cancel(bodies);
    }

    /// The task of the resource has ended. Gives a failure back if nobody is there who could be told.
    pub(super) fn over(&self, failure: Option<Error>) -> Result<()> {
        let mut failure = failure.map(Failure::new);
        let mut state = self.lock();
        state.phase = Phase::Over;
        if state.heirs > 0 {
            state.failure = failure.take();
        }
        let (bodies, waiters) = (state.bodies(), state.waiters.take());
        drop(state);
        cancel(bodies);
        wake_all(waiters);
        failure.map_or(Ok(()), |mut failure| Err(failure.tell()))
    }
}

impl State {
    fn bodies(&self) -> Vec<CancelScope> {
        self.bodies.iter().map(|(_, scope)| scope.clone()).collect()
    }
}

fn cancel(bodies: Vec<CancelScope>) {
    bodies.iter().for_each(|scope| scope.request(Reason::PeerGone));
}

/// A place in the life of a resource, for whoever waits for its next phase.
pub(super) struct Watcher {
    life: Arc<Life>,
    place: usize,
    /// Whether it will be told of a failure.
    inherits: bool,
}

impl Watcher {
    /// Until the resource has come to `phase`.
    pub(super) fn poll(&self, phase: Phase, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.life.lock();
        if state.phase >= phase {
            return Poll::Ready(());
        }
        let old = state.waiters.wait(self.place, cx.waker());
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// The failure that the resource has ended with.
    pub(super) fn failure(&self) -> Option<Error> {
        self.life.lock().failure.as_mut().map(Failure::tell)
    }
}

impl Drop for Watcher {
    /// A failure that no heir has asked for is one of whoever drops the last of them.
    fn drop(&mut self) {
        let mut state = self.life.lock();
        let waker = state.waiters.leave(self.place);
        let untold = if self.inherits { state.disinherit() } else { None };
        drop(state);
        drop(waker);
        let Some(failure) = untold else { return };
        match current() {
            Some(strand) => strand.adopt(Vec::new(), vec![failure]),
            None => tracing::error!("nobody is left to report to: {failure}"),
        }
    }
}

impl State {
    /// One heir less: the failure if it was the last, and none has been told.
    fn disinherit(&mut self) -> Option<Error> {
        self.heirs -= 1;
        if self.heirs > 0 { None } else { self.failure.as_mut().and_then(|failure| failure.itself.take()) }
    }
}
