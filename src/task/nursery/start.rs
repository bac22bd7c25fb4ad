//! Children that say when they have started.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::error::Closed;
use crate::task::cancel::CancelScope;
use crate::task::cancellable::cancellable_as;
use crate::task::child::{Child, ChildFailed};
use crate::task::limit::shield;
use crate::task::outcome::cancelled;
use crate::task::running::with_current;
use crate::task::wait::remaining_grace;
use crate::task::waits_for::WaitsFor;
use crate::{Error, Result};

/// A child's word to whoever [starts](super::Nursery::start) it. Dropped without a word, the child goes on and is still
/// waited for.
pub struct TaskStatus<V> {
    shared: Arc<Shared<V>>,
}

impl<V> TaskStatus<V> {
    /// The child has started, and belongs to its nursery from here on.
    ///
    /// If whoever started it was cancelled meanwhile, nothing happens: the child is being cancelled as well.
    pub fn started(self, value: V) {
        let waker = {
            let mut state = self.shared.lock();
            if !matches!(state.phase, Phase::Starting) {
                return;
            }
            state.phase = Phase::Started(Some(value));
            state.waker.take()
        };
        wake(waker);
    }

    /// A status that nobody waits for: to call such a function directly.
    pub fn ignored() -> Self {
        pair().0
    }
}

impl<V> fmt::Debug for TaskStatus<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskStatus").finish_non_exhaustive()
    }
}

/// A child returned before it said that it had started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeverStarted;

impl fmt::Display for NeverStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the child returned without calling `TaskStatus::started`")
    }
}

impl std::error::Error for NeverStarted {}

enum Phase<V> {
    Starting,
    Started(Option<V>),
    /// It ended before it had started: the failure, until it is taken.
    Ended(Option<Error>),
    /// The starter was cancelled, or is gone.
    GivenUp,
}

struct State<V> {
    phase: Phase<V>,
    /// The child has ended after it was given up.
    gone: bool,
    waker: Option<Waker>,
}

struct Shared<V> {
    /// Around the child, to cancel it alone as long as it has not started.
    scope: CancelScope,
    state: Mutex<State<V>>,
}

impl<V> Shared<V> {
    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The child ends: what its nursery is told. What happened before the start is told to the starter alone.
    fn over<T>(&self, outcome: Result<Option<T>>) -> Result<T> {
        let (result, waker) = {
            let mut state = self.lock();
            let result = match (&state.phase, outcome) {
                (Phase::Started(_), Ok(Some(value))) => Ok(value),
                (Phase::Started(_), Err(error)) => Err(error),
                (Phase::Started(_) | Phase::GivenUp | Phase::Ended(_), Ok(_)) => Err(told(&Closed.into())),
                (Phase::GivenUp | Phase::Ended(_), Err(error)) if error.is_cancelled() => Err(told(&error)),
                // Nobody waits for it who could be told.
                (Phase::GivenUp | Phase::Ended(_), Err(error)) => Err(error),
                (Phase::Starting, outcome) => {
                    let error = outcome.err().unwrap_or_else(|| NeverStarted.into());
                    let echo = told(&error);
                    state.phase = Phase::Ended(Some(error));
                    Err(echo)
                }
            };
            state.gone = true;
            (result, state.waker.take())
        };
        wake(waker);
        result
    }
}

/// The child's own end, for a failure that was told elsewhere.
fn told(error: &Error) -> Error {
    Error::from(ChildFailed::new(error.text())).with_id(error.id()).with_kind(error.kind()).delivered()
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A start that is under way, for the starter.
pub(super) struct Pending<V> {
    shared: Arc<Shared<V>>,
}

pub(super) fn pair<V>() -> (TaskStatus<V>, Pending<V>) {
    let state = Mutex::new(State { phase: Phase::Starting, gone: false, waker: None });
    let shared = Arc::new(Shared { scope: CancelScope::new(), state });
    (TaskStatus { shared: shared.clone() }, Pending { shared })
}

impl<V> Pending<V> {
    /// The child around `future`.
    #[track_caller]
    pub(super) fn child<T, Fut>(&self, future: Fut) -> impl Future<Output = Result<T>> + use<T, V, Fut>
    where
        Fut: Future<Output = Result<T>>,
    {
        let shared = self.shared.clone();
        let run = shared.scope.run(future);
        async move {
            let outcome = run.await;
            shared.over(outcome)
        }
    }

    /// Waits for its first word.
    #[track_caller]
    pub(super) fn wait<T>(self, spawned: Result<Child<T>>) -> impl Future<Output = Result<(V, Child<T>)>> + use<T, V> {
        let first = cancellable_as(WaitsFor::Start, First(self.shared.clone()));
        async move {
            let child = spawned?;
            let mut first = pin!(first);
            match poll_fn(|cx| first.as_mut().poll(cx)).await {
                Ok(Ok(value)) => Ok((value, child)),
                Ok(Err(error)) => Err(in_sight(error)),
                Err(cancel) => {
                    self.give_up().await;
                    Err(cancel)
                }
            }
        }
    }

    /// The starter was cancelled: the child ends first, as long as there is time.
    async fn give_up(&self) {
        let max = remaining_grace().unwrap_or(Duration::ZERO);
        let _ = shield(max, cancellable_as(WaitsFor::Child, poll_fn(|cx| self.poll_gone(cx)))).await;
    }

    fn poll_gone(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        if state.gone {
            return Poll::Ready(());
        }
        let old = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(old);
        Poll::Pending
    }
}

/// A cancel of the nursery is one for whoever is inside it. To others it means that the nursery takes nobody any more.
fn in_sight(error: Error) -> Error {
    let Some(mark) = error.mark() else { return error };
    let own = with_current(|current, _| current.map(|place| place.scope().clone()));
    if own.is_some_and(|scope| scope.encloses_request(mark.scope)) {
        return cancelled(mark.clone());
    }
    Error::from(Closed).context("the nursery was cancelled before the child had started")
}

/// The first word of the child. Dropped before that, it cancels the child.
struct First<V>(Arc<Shared<V>>);

impl<V> Future for First<V> {
    type Output = Result<V>;

    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<V>> {
        let mut state = self.0.lock();
        match &mut state.phase {
            Phase::Started(value) => return Poll::Ready(value.take().ok_or_else(|| Closed.into())),
            Phase::Ended(error) => return Poll::Ready(Err(error.take().unwrap_or_else(|| Closed.into()))),
            Phase::Starting | Phase::GivenUp => {}
        }
        let old = state.waker.replace(cx.waker().clone());
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl<V> Drop for First<V> {
    fn drop(&mut self) {
        {
            let mut state = self.0.lock();
            if !matches!(state.phase, Phase::Starting) {
                return;
            }
            state.phase = Phase::GivenUp;
        }
        self.0.scope.cancel("whoever started it does not wait for it any more");
    }
}
