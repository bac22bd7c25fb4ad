//! A dialog of which only the outcome is wanted: no first value, no streams.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::report::{Ended, Hears, Report, own_view, unheard};
use crate::dialog::Opener;
use crate::error::{Mark, Reason, ScopeId};
use crate::shim::Brief;
use crate::{Error, Result};

/// Makes the two ends of a call inside this process: the [`CallOpener`] goes to [`attend`](super::super::attend), the
/// [`Report`] says how the far task has ended. Nothing tells the far task of a cancel: whoever runs it drops it.
pub fn local_call<R: Send + 'static>() -> (CallOpener<R>, Report<R>) {
    crate::error::install_hook();
    let call = Arc::new(Call(Brief::new(State { cancel: None, ended: None, opener: None, is_alone: false })));
    (CallOpener { call: call.clone(), ended: None }, Report::new(call))
}

struct Call<R>(Brief<State<R>>);

struct State<R> {
    cancel: Option<Mark>,
    ended: Option<Ended<R>>,
    opener: Option<Waker>,
    /// The opener is gone.
    is_alone: bool,
}

impl<R: Send> Hears<R> for Call<R> {
    fn cancel(&self) -> Option<Mark> {
        self.0.lock().cancel.clone()
    }

    fn is_told(&self) -> bool {
        false
    }

    fn hear(&self, outcome: Result<R>, dropped: bool) {
        let outcome = outcome.map_err(|error| own_view(error, self.cancel().as_ref()));
        let mut ended = Ended::now(outcome, dropped);
        let mut state = self.0.lock();
        let opener = state.opener.take();
        if state.is_alone {
            drop(state);
            unheard(ended.take_failure());
        } else {
            state.ended = Some(ended);
            drop(state);
        }
        if let Some(opener) = opener {
            opener.wake();
        }
    }
}

/// The opener's control of a call inside this process, see [`local_call`].
pub struct CallOpener<R> {
    call: Arc<Call<R>>,
    /// What the far task has said, taken out of the call when it was first seen.
    ended: Option<Ended<R>>,
}

impl<R> CallOpener<R> {
    /// The far task's result, once, when it has ended well.
    pub fn take_result(&mut self) -> Option<R> {
        self.hear()?.take_result()
    }

    fn hear(&mut self) -> Option<&mut Ended<R>> {
        if self.ended.is_none() {
            self.ended = self.call.0.lock().ended.take();
        }
        self.ended.as_mut()
    }

    fn heard<T>(&self, ask: impl FnOnce(&Ended<R>) -> T) -> Option<T> {
        match &self.ended {
            Some(ended) => Some(ask(ended)),
            None => self.call.0.lock().ended.as_ref().map(ask),
        }
    }
}

impl<R: Send + 'static> Opener<()> for CallOpener<R> {
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        self.poll_ended(cx).map(|_| None)
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if let Some(ended) = &self.ended {
            return Poll::Ready(ended.has_failed());
        }
        let mut state = self.call.0.lock();
        if let Some(ended) = state.ended.take() {
            drop(state);
            return Poll::Ready(self.ended.insert(ended).has_failed());
        }
        let old = match &state.opener {
            Some(known) if known.will_wake(cx.waker()) => None,
            _ => state.opener.replace(cx.waker().clone()),
        };
        drop(state);
        drop(old);
        Poll::Pending
    }

    fn take_failure(&mut self) -> Option<Error> {
        self.hear()?.take_failure()
    }

    fn failed_at(&self) -> Option<u64> {
        self.heard(|ended| ended.has_failed().then_some(ended.at)).flatten()
    }

    fn was_dropped(&self) -> bool {
        self.heard(|ended| ended.dropped).unwrap_or(false)
    }

    fn stop(&mut self) {}

    fn cancel(&mut self, reason: Reason) {
        let mark = Mark { scope: ScopeId::fresh(), reason };
        let mut state = self.call.0.lock();
        if self.ended.is_none() && state.ended.is_none() && state.cancel.is_none() {
            state.cancel = Some(mark);
        }
    }
}

impl<R> Drop for CallOpener<R> {
    fn drop(&mut self) {
        let ended = self.ended.take().or_else(|| {
            let mut state = self.call.0.lock();
            state.is_alone = true;
            state.ended.take()
        });
        unheard(ended.and_then(|mut ended| ended.take_failure()));
    }
}

impl<R> fmt::Debug for CallOpener<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOpener").finish_non_exhaustive()
    }
}
