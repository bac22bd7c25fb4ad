//! How the future of a scope hangs in the tree: where it is polled, its deadline, its grace, its shield.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::clock::{self, Alarm};
use super::running::{self, with_current};
use super::scope::{Scope, level};
use super::strand::Strand;
use crate::Result;
use crate::error::Reason;

/// Ties a scope to the strand that polls its future, anew at each poll: a future that is moved takes its scope along.
pub(crate) struct Link {
    scope: Arc<Scope>,
    linked: bool,
    parent: Option<(Arc<Strand>, usize)>,
    /// Whether the strand around may go on waiting for this scope (R3).
    entitled: bool,
    /// Which of the scope's deadlines the alarm is set to.
    seen: u32,
    deadline: Option<Alarm>,
    grace: Grace,
    /// The longest that a shield keeps a request out.
    max: Option<Duration>,
    lift: Option<Alarm>,
}

impl Link {
    pub(crate) fn new(scope: Arc<Scope>) -> Self {
        crate::error::install_hook();
        Self {
            scope,
            linked: false,
            parent: None,
            entitled: false,
            seen: 0,
            deadline: None,
            grace: Grace::default(),
            max: None,
            lift: None,
        }
    }

    /// A shield that is lifted `max` after the request.
    pub(crate) fn with_max(mut self, max: Duration) -> Self {
        self.max = Some(max);
        self
    }

    pub(crate) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// Before each poll of the body.
    #[inline]
    pub(crate) fn tick(&mut self, cx: &mut Context<'_>) {
        if !self.is_in_place() {
            self.follow();
        }
        if self.seen != self.scope.deadlines() || self.deadline.is_some() {
            self.tick_deadline(cx);
        }
        if self.scope.is_shield() {
            self.tick_shield(cx);
        }
        self.grace.tick(&self.scope, cx);
    }

    /// Whether it hangs where it is polled.
    #[inline]
    fn is_in_place(&self) -> bool {
        with_current(|current, _| match (&self.parent, current) {
            (Some((parent, _)), Some(current)) => current.made().is_some_and(|current| Arc::ptr_eq(parent, current)),
            (None, None) => self.linked,
            _ => false,
        })
    }

    #[cold]
    fn follow(&mut self) {
        self.unlink();
        self.linked = true;
        if let Some(strand) = running::current() {
            let key = strand.scope().adopt(&self.scope, Some(&strand));
            self.parent = Some((strand, key));
        }
    }

    #[inline(never)]
    fn tick_deadline(&mut self, cx: &mut Context<'_>) {
        let set = self.scope.deadlines();
        if self.seen != set {
            self.seen = set;
            self.deadline = self.scope.begin_deadline().map(Alarm::at);
        }
        if let Some(alarm) = &mut self.deadline
            && alarm.poll(cx).is_ready()
        {
            self.deadline = None;
            self.scope.request(Reason::Deadline);
        }
    }

    /// `max` counts from the later of the start and the request; the grace of the scope around may be shorter.
    #[inline(never)]
    fn tick_shield(&mut self, cx: &mut Context<'_>) {
        let (Some(max), Some((strand, _))) = (self.max, &self.parent) else { return };
        if self.scope.is_requested() || !strand.scope().is_requested() {
            return;
        }
        let Some(end) = strand.scope().grace_end() else { return };
        let lift = self.lift.get_or_insert_with(|| Alarm::at(end.min(clock::from_now(max))));
        if lift.poll(cx).is_ready()
            && let Some(mark) = strand.scope().mark()
        {
            self.scope.inherit(&mark);
        }
    }

    /// After each pending poll of the body: a scope that was polled since the request is waited for.
    pub(crate) fn entitle(&mut self) {
        if let Some((strand, _)) = &self.parent
            && !self.entitled
            && strand.scope().is_requested()
        {
            self.entitled = true;
            strand.entitle();
        }
    }

    /// The scope has ended with `result`. A cancel that is not its own tells the strand around.
    pub(crate) fn finish<T>(&mut self, result: Result<T>) -> Result<T> {
        let passes =
            result.as_ref().err().and_then(|error| error.mark()).is_some_and(|mark| mark.scope != self.scope.id());
        let strand = self.parent.as_ref().map(|(strand, _)| strand.clone());
        self.unlink();
        self.scope.complete();
        match strand {
            Some(strand) if passes && strand.scope().is_requested() => strand.observe(),
            Some(strand) => strand.touch(),
            None => {}
        }
        result
    }

    fn unlink(&mut self) {
        if let Some((strand, key)) = self.parent.take() {
            strand.scope().release(key);
            if std::mem::take(&mut self.entitled) {
                strand.disentitle();
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.unlink();
        self.scope.complete();
    }
}

/// The end of a requested scope: one timer, in the future of the scope and never one per strand.
#[derive(Default)]
pub(crate) struct Grace(Option<Alarm>);

impl Grace {
    #[inline]
    pub(crate) fn tick(&mut self, scope: &Scope, cx: &mut Context<'_>) {
        if !matches!(scope.level(), level::OPEN | level::OVER) {
            self.count(scope, cx);
        }
    }

    #[cold]
    fn count(&mut self, scope: &Scope, cx: &mut Context<'_>) {
        let Some(end) = scope.grace_end() else { return };
        let alarm = self.0.get_or_insert_with(|| Alarm::at(end));
        alarm.set(end);
        if let Poll::Ready(()) = alarm.poll(cx) {
            scope.end_grace();
        }
    }
}
