//! The word of whoever runs a far task in this process: how it has ended.

use std::fmt;
use std::sync::Arc;

use crate::dialog::NearGone;
use crate::dialog::converse::happened;
use crate::error::{Cancelled, Mark};
use crate::task::{sift, stray};
use crate::{Error, Result};

/// The opener's side, as the report sees it.
pub(super) trait Hears<R>: Send + Sync {
    /// The opener's cancel, if there was one.
    fn cancel(&self) -> Option<Mark>;

    /// Whether the far task has been given it, or waits where it will be.
    fn is_told(&self) -> bool;

    /// The far task has ended.
    fn hear(&self, outcome: Result<R>, dropped: bool);
}

/// Says how the far task ended, once. Dropped without a word, it says that the task was dropped by its loop.
///
/// Hold it outside the far future, so that everything the far task owned is gone when the outcome is seen.
pub struct Report<R> {
    hears: Arc<dyn Hears<R>>,
    done: bool,
}

impl<R> Report<R> {
    pub(super) fn new(hears: Arc<dyn Hears<R>>) -> Self {
        Self { hears, done: false }
    }

    /// The far task ended like this.
    pub fn ended(mut self, outcome: Result<R>) {
        self.say(outcome, false);
    }

    /// The far task returned because it was cancelled, with nothing else to say.
    pub fn obeyed(mut self) {
        let outcome = Err(self.echo());
        self.say(outcome, false);
    }

    /// The far task was dropped, and this came of it.
    pub fn dropped(mut self, failure: Option<Error>) {
        let outcome = Err(failure.unwrap_or_else(|| self.echo()));
        self.say(outcome, true);
    }

    /// Whether the opener has cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.hears.cancel().is_some()
    }

    /// Whether the far task has been given the cancel or waits where it gets it.
    pub fn is_told(&self) -> bool {
        self.hears.is_told()
    }

    fn echo(&self) -> Error {
        match self.hears.cancel() {
            Some(mark) => Cancelled { mark }.into(),
            None => Dropped.into(),
        }
    }

    fn say(&mut self, outcome: Result<R>, dropped: bool) {
        self.done = true;
        self.hears.hear(outcome, dropped);
    }
}

impl<R> Drop for Report<R> {
    fn drop(&mut self) {
        if !self.done {
            let outcome = Err(self.echo());
            self.say(outcome, true);
        }
    }
}

impl<R> fmt::Debug for Report<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("done", &self.done).finish_non_exhaustive()
    }
}

/// How the far task has ended, kept until it is asked for.
pub(super) struct Ended<R> {
    pub(super) outcome: Option<Result<R>>,
    /// When the outcome was stored.
    pub(super) at: u64,
    /// By a report that was dropped.
    pub(super) dropped: bool,
}

impl<R> Ended<R> {
    pub(super) fn now(outcome: Result<R>, dropped: bool) -> Self {
        Self { outcome: Some(outcome), at: happened(), dropped }
    }

    /// Whether it has not returned a value, or no longer has it.
    pub(super) fn has_failed(&self) -> bool {
        !matches!(self.outcome, Some(Ok(_)))
    }

    pub(super) fn take_result(&mut self) -> Option<R> {
        self.outcome.take_if(|outcome| outcome.is_ok())?.ok()
    }

    pub(super) fn take_failure(&mut self) -> Option<Error> {
        self.outcome.take_if(|outcome| outcome.is_err())?.err()
    }
}

impl<R> Default for Ended<R> {
    fn default() -> Self {
        Self { outcome: None, at: 0, dropped: false }
    }
}

/// What the far task's error is to its opener: an echo of the opener's cancel if it is nothing else. No other cancel means
/// anything there, and none may be taken for an echo.
pub(super) fn own_view(error: Error, cancel: Option<&Mark>) -> Error {
    match sift(error, |mark| cancel.is_some_and(|cancel| cancel.scope == mark.scope)) {
        (_, Some(failure)) => stray(failure),
        (Some(echo), None) => echo,
        (None, None) => unreachable!("an error has at least one leaf"),
    }
}

/// Says how a far task has failed whose opener is gone: outside every scope nobody waits for it. That nobody reads any more what
/// it sends is how it heard of that.
pub(super) fn unheard(failure: Option<Error>) {
    let is_news = |failure: &Error| !failure.is_cancelled() && failure.downcast_ref::<NearGone>().is_none();
    if let Some(failure) = failure.filter(is_news) {
        tracing::error!("nobody is left to report to: {failure}");
    }
}

/// The far task was dropped before it ended, and this side had not asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the far task was dropped before it ended, by its own loop or by somebody who holds its handle")
    }
}

impl std::error::Error for Dropped {}
