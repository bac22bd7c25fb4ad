//! Who is in a nursery, and how those who have left ended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Waker};

use async_executor::Executor;

use super::child::Verdict;
use super::outcome::{self, cancelled};
use super::scope::Scope;
use crate::error::{Closed, Mark, Reason};
use crate::{Error, Result};

/// What the handles, the children and the future of a nursery share. Only the future owns it.
pub(crate) struct Inner<'env> {
    scope: Arc<Scope>,
    /// The scope of the children alone, inside `scope`; made with the first child.
    children: OnceLock<Arc<Scope>>,
    /// Nobody is left. Set once, together with `closed`.
    quiet: AtomicBool,
    state: Mutex<State<'env>>,
}

struct State<'env> {
    /// The body and the children.
    live: usize,
    closed: bool,
    /// Taken out at the end, so that no handle can keep the children alive.
    executor: Option<Arc<Executor<'env>>>,
    failures: Vec<Error>,
    /// The cancel of a scope around, on its way through.
    outer: Option<Error>,
    waker: Option<Waker>,
}

impl<'env> Inner<'env> {
    pub(crate) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// The scope of the children, if there ever was one.
    pub(crate) fn started(&self) -> Option<&Arc<Scope>> {
        self.children.get()
    }

    pub(crate) fn live(&self) -> usize {
        self.lock().live
    }

    pub(crate) fn new(scope: Arc<Scope>) -> Self {
        let state = State { live: 1, closed: false, executor: None, failures: Vec::new(), outer: None, waker: None };
        Self { scope, children: OnceLock::new(), quiet: AtomicBool::new(false), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State<'env>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn children(&self) -> &Arc<Scope> {
        self.children.get_or_init(|| {
            let children = Scope::new(false);
            self.scope.adopt(&children);
            children
        })
    }

    /// A cancel of the nursery or its children.
    fn is_own(&self, mark: &Mark) -> bool {
        mark.scope == self.scope.id() || self.children.get().is_some_and(|children| mark.scope == children.id())
    }

    /// A strand has ended. The first failure cancels the others; what the strand's joiner is told is returned.
    pub(crate) fn over(&self, error: Option<Error>) -> Option<Verdict> {
        let (cancel, failure) = match error {
            Some(error) => outcome::sift(error, |mark| self.is_own(mark) || self.scope.encloses_request(mark.scope)),
            None => (None, None),
        };
        let failure = failure.map(outcome::stray);
        let verdict = match (&failure, &cancel) {
            (Some(failure), _) => Some(Verdict::failed(failure)),
            (None, Some(cancel)) => cancel.mark().cloned().map(Verdict::Cancelled),
            (None, None) => None,
        };
        let request = failure.as_ref().map(|failure| Reason::SiblingFailed { failure: failure.id() });
        let waker = self.count_out(cancel, failure);
        if let Some(reason) = request {
            self.scope.request(reason);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        verdict
    }

    fn count_out(&self, cancel: Option<Error>, failure: Option<Error>) -> Option<Waker> {
        let mut state = self.lock();
        state.failures.extend(failure);
        if state.outer.is_none() {
            state.outer = cancel.filter(|cancel| cancel.mark().is_some_and(|mark| !self.is_own(mark)));
        }
        state.live -= 1;
        if state.live > 0 {
            return None;
        }
        state.closed = true;
        self.quiet.store(true, Ordering::SeqCst);
        state.waker.take()
    }

    /// One child more, or why not. It is counted before it is spawned, so that the nursery cannot complete in between.
    #[track_caller]
    pub(crate) fn count_in(&self) -> Result<Arc<Executor<'env>>> {
        let children = self.children();
        let (executor, waker) = {
            let mut state = self.lock();
            if state.closed {
                return Err(Closed.into());
            }
            if let Some(mark) = children.is_requested().then(|| children.mark()).flatten() {
                return Err(cancelled(mark));
            }
            state.live += 1;
            // Only the first child finds a nursery that does not look at its executor yet.
            let waker = if state.executor.is_none() { state.waker.take() } else { None };
            (state.executor.get_or_insert_with(|| Arc::new(Executor::new())).clone(), waker)
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(executor)
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::SeqCst)
    }

    /// The executor if there is one; otherwise its maker will wake `cx`.
    pub(crate) fn executor_or_wake(&self, cx: &Context<'_>) -> Option<Arc<Executor<'env>>> {
        let mut state = self.lock();
        if let Some(executor) = &state.executor {
            return Some(executor.clone());
        }
        let old = match &state.waker {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => state.waker.replace(cx.waker().clone()),
        };
        drop(state);
        drop(old);
        None
    }

    pub(crate) fn outcome<T>(&self, value: Option<T>) -> Result<T> {
        let (failures, outer) = {
            let mut state = self.lock();
            (std::mem::take(&mut state.failures), state.outer.take())
        };
        if let Some(error) = outcome::gather(failures).or(outer) {
            return Err(error);
        }
        let own = || self.scope.mark().or_else(|| self.children.get().and_then(|children| children.mark()));
        value.ok_or_else(|| own().map_or_else(|| Closed.into(), cancelled))
    }
}

/// Closes a nursery when its future ends or is dropped: the children go with it, at that moment.
pub(crate) struct Closing<'a, 'env>(pub(crate) &'a Inner<'env>);

impl Drop for Closing<'_, '_> {
    fn drop(&mut self) {
        let gone = {
            let mut state = self.0.lock();
            state.closed = true;
            (state.executor.take(), state.waker.take())
        };
        drop(gone);
    }
}
