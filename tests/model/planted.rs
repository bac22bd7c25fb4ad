//! A carrier made of the public parts of a dialog, with a mistake in it that the model must find.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use pleach::dialog::{Local, LocalOpener, Opener, Options, Report, converse, local};
use pleach::error::Reason;
use pleach::prelude::*;
use pleach_bridge::{ForeignCancelled, ForeignLoop, Here};

use crate::run::{Carrier, LATE, LONG, SHORT, Stage};
use crate::side::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    None,
    /// The opener does not hear of the end of a foreign task that fails after its cancel.
    LostEnd,
    /// A foreign task that knows of the finish is aborted with its cancel, and again when its grace is over.
    DoubleAbort,
    /// The link is complete when the body is, and the foreign task ends after that.
    EndAfterClosed,
}

/// A carrier on the loop that hosts the tree.
#[derive(Clone)]
pub(crate) struct Planted {
    on: Here,
    mistake: Mistake,
    cure: Arc<Cure>,
}

impl Planted {
    pub(crate) fn new(on: Here, mistake: Mistake) -> Self {
        Self { on, mistake, cure: Arc::default() }
    }
}

/// Ends the mistake, so that what it has left behind can end.
#[derive(Default)]
struct Cure {
    given: AtomicBool,
    opener: AtomicWaker,
}

impl Carrier for Planted {
    async fn open(&self, stage: Stage) -> Result<u32> {
        self.cure.given.store(false, SeqCst);
        let terms = stage.terms;
        let on = stage.watch.clone().over(self.on);
        let Local { opener, far: end, report } = local(terms.capacity);
        let (far, near) = stage.sides();
        let near_end = opener.near();
        let nudge = Arc::new(Nudge::default());
        let (own, word) = (nudge.clone(), Task::new(report, nudge));
        on.start(Box::new(move || Box::pin(word.runs(far(end)))))?;
        let options = Options {
            start: if terms.late { LATE } else { LONG },
            grace: if terms.short { SHORT } else { LONG },
            ..Options::default()
        };
        let opener = PlantedOpener { opener, nudge: own, carrier: self.clone(), stopped: false, cancelled: false };
        converse(opener, options, |first| near(near_end, first)).await
    }

    fn cure(&self) {
        self.cure.given.store(true, SeqCst);
        self.cure.opener.wake();
    }
}

/// The opener's word to a task that may not listen.
#[derive(Default)]
struct Nudge {
    word: AtomicU8,
    task: AtomicWaker,
}

impl Nudge {
    const END: u8 = 1;
    const DROP: u8 = 2;

    fn say(&self, word: u8) {
        self.word.fetch_max(word, SeqCst);
        self.task.wake();
    }
}

type Work = Pin<Box<dyn Future<Output = Result<u32>>>>;

/// The foreign task before it runs: its report, and how it is reached.
struct Task {
    report: Option<Report<u32>>,
    nudge: Arc<Nudge>,
}

impl Task {
    fn new(report: Report<u32>, nudge: Arc<Nudge>) -> Self {
        Self { report: Some(report), nudge }
    }

    fn runs(self, work: Work) -> Running {
        Running { work: Some(work), task: self }
    }
}

struct Running {
    work: Option<Work>,
    task: Task,
}

impl Running {
    /// All that it owns is gone before that is said.
    fn ends(&mut self, outcome: Option<Result<u32>>) {
        self.work = None;
        let Some(report) = self.task.report.take() else { return };
        match outcome {
            Some(outcome) => report.ended(outcome),
            None if report.is_cancelled() => report.dropped(None),
            None => report.dropped(Some(ForeignCancelled { task: "a planted task".to_owned() }.into())),
        }
    }
}

impl Future for Running {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.task.nudge.task.register(cx.waker());
        let word = self.task.nudge.word.load(SeqCst);
        if word == Nudge::DROP {
            self.ends(None);
            return Poll::Ready(());
        }
        let work = self.work.as_mut().expect("it is not polled after its end");
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        let is_deaf = !self.task.report.as_ref().is_some_and(Report::is_told);
        match polled {
            Err(panic) => self.ends(Some(Err(Error::from_panic(panic)))),
            Ok(Poll::Ready(outcome)) => self.ends(Some(outcome)),
            Ok(Poll::Pending) if word == Nudge::END && is_deaf => self.ends(None),
            Ok(Poll::Pending) => return Poll::Pending,
        }
        Poll::Ready(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ends(None);
    }
}

/// The opener's control, with the mistake.
struct PlantedOpener {
    opener: LocalOpener<(), Value, Value, u32>,
    nudge: Arc<Nudge>,
    carrier: Planted,
    stopped: bool,
    cancelled: bool,
}

impl PlantedOpener {
    fn has(&self, mistake: Mistake) -> bool {
        self.carrier.mistake == mistake && !self.carrier.cure.given.load(SeqCst)
    }
}

impl Opener<()> for PlantedOpener {
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        self.opener.poll_first(cx)
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.carrier.cure.opener.register(cx.waker());
        let ended = self.opener.poll_ended(cx);
        let fails = ended == Poll::Ready(true) && self.cancelled && !self.opener.was_dropped();
        if fails && self.has(Mistake::LostEnd) {
            return Poll::Pending;
        }
        if self.stopped && self.has(Mistake::EndAfterClosed) {
            return Poll::Ready(false);
        }
        ended
    }

    fn take_failure(&mut self) -> Option<Error> {
        self.opener.take_failure()
    }

    fn failed_at(&self) -> Option<u64> {
        self.opener.failed_at()
    }

    fn was_dropped(&self) -> bool {
        self.opener.was_dropped()
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.opener.stop();
    }

    fn cancel(&mut self, reason: Reason) {
        self.cancelled = true;
        self.opener.cancel(reason);
        self.nudge.say(Nudge::END);
        if self.stopped && self.has(Mistake::DoubleAbort) {
            self.abort();
        }
    }

    fn abort(&mut self) {
        self.nudge.say(Nudge::DROP);
    }
}
