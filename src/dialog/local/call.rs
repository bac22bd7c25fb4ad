//! A dialog of which only the outcome is wanted: no first value, no streams.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use super::report::{Ended, Hears, Report, own_view, unheard};
use crate::dialog::Opener;
use crate::error::{Mark, Reason, ScopeId};
use crate::{Error, Result};

/// Makes the two ends of a call inside this process: the [`CallOpener`] goes to [`attend`](super::super::attend), the
/// [`Report`] says how the far task has ended. Nothing tells the far task of a cancel: whoever runs it drops it.
pub fn local_call<R: Send + 'static>() -> (CallOpener<R>, Report<R>) {
    crate::error::install_hook();
    let call = Arc::new(Call(Mutex::new(State { cancel: None, ended: None, opener: None, is_alone: false })));
    (CallOpener(call.clone()), Report::new(call))
}

struct Call<R>(Mutex<State<R>>);

struct State<R> {
    cancel: Option<Mark>,
    ended: Option<Ended<R>>,
    opener: Option<Waker>,
    /// The opener is gone.
    is_alone: bool,
}

impl<R> Call<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<R: Send> Hears<R> for Call<R> {
    fn cancel(&self) -> Option<Mark> {
        self.lock().cancel.clone()
    }

    fn is_told(&self) -> bool {
        false
    }

    fn hear(&self, outcome: Result<R>, dropped: bool) {
        let (opener, unasked) = {
            let mut state = self.lock();
            let outcome = outcome.map_err(|error| own_view(error, state.cancel.as_ref()));
            let mut ended = Ended::now(outcome, dropped);
            let unasked = state.is_alone.then(|| ended.take_failure()).flatten();
            state.ended = Some(ended);
            (state.opener.take(), unasked)
        };
        unheard(unasked);
        if let Some(opener) = opener {
            opener.wake();
        }
    }
}

/// The opener's control of a call inside this process, see [`local_call`].
pub struct CallOpener<R>(Arc<Call<R>>);

impl<R> CallOpener<R> {
    /// The far task's result, once, when it has ended well.
    pub fn take_result(&mut self) -> Option<R> {
        self.0.lock().ended.as_mut()?.take_result()
    }
}

impl<R: Send + 'static> Opener<()> for CallOpener<R> {
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        self.poll_ended(cx).map(|_| None)
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.0.lock();
        if let Some(ended) = &state.ended {
            return Poll::Ready(!matches!(ended.outcome, Some(Ok(_))));
        }
        let old = match &state.opener {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => state.opener.replace(cx.waker().clone()),
        };
        drop(state);
        drop(old);
        Poll::Pending
    }

    fn take_failure(&mut self) -> Option<Error> {
        self.0.lock().ended.as_mut()?.take_failure()
    }

    fn failed_at(&self) -> Option<u64> {
        let state = self.0.lock();
        state.ended.as_ref().filter(|ended| !matches!(ended.outcome, Some(Ok(_)))).map(|ended| ended.at)
    }

    fn was_dropped(&self) -> bool {
        self.0.lock().ended.as_ref().is_some_and(|ended| ended.dropped)
    }

    fn stop(&mut self) {}

    fn cancel(&mut self, reason: Reason) {
        let mut state = self.0.lock();
        if state.ended.is_none() {
            state.cancel.get_or_insert_with(|| Mark { scope: ScopeId::fresh(), reason });
        }
    }
}

impl<R> Drop for CallOpener<R> {
    fn drop(&mut self) {
        let failure = {
            let mut state = self.0.lock();
            state.is_alone = true;
            state.ended.as_mut().and_then(Ended::take_failure)
        };
        unheard(failure);
    }
}

impl<R> fmt::Debug for CallOpener<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallOpener").finish_non_exhaustive()
    }
}
