//! The foreign task of a link: the far function with all that it spawned, under one cancel and with one outcome.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use pleach::dialog::Report;
use pleach::error::Group;
use pleach::host::during;
use pleach::{Error, Result};

use crate::drops::watched;
use crate::spawn::Children;
use crate::{ForeignLoop, ForeignTask};

/// A foreign task was cancelled by its own loop or by a third party, and not by its link: it, or something of the loop's
/// that it waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignCancelled {
    /// The linked task: what it is, and its function.
    pub task: String,
}

impl fmt::Display for ForeignCancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} was cancelled by its own loop or by somebody who holds a handle of it, not by its link",
            self.task
        )
    }
}

impl std::error::Error for ForeignCancelled {}

/// What an error of a far function means, see [`ForeignLoop::translate`].
#[derive(Debug)]
pub enum Translated {
    /// It is a failure: this one.
    Failed(Error),
    /// Something of the loop's that the far function waited for was cancelled.
    Cancelled,
}

/// A foreign task in errors: `tokio task `crate::function``.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    pub(crate) noun: &'static str,
    /// What says it: a place in memory by which another thread can ask.
    pub(crate) function: fn() -> &'static str,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.noun, (self.function)())
    }
}

/// The opener's word to a foreign task that nobody in it may be listening to.
#[derive(Default)]
pub(crate) struct Nudge {
    word: AtomicU8,
    task: Mutex<Option<Waker>>,
}

impl Nudge {
    const NONE: u8 = 0;
    /// End, unless something in the task has heard of the cancel.
    const END: u8 = 1;
    /// End in any case.
    const DROP: u8 = 2;

    /// Has the task polled once more. To be given when all who listen have been woken: then who has not listened by the end
    /// of that poll will never hear of it.
    pub(crate) fn give(&self) {
        self.say(Self::END);
    }

    /// Has the task drop itself, whoever listens.
    pub(crate) fn abort(&self) {
        self.say(Self::DROP);
    }

    fn say(&self, word: u8) {
        self.word.fetch_max(word, Ordering::SeqCst);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        task.into_iter().for_each(Waker::wake);
    }

    fn word(&self) -> u8 {
        self.word.load(Ordering::SeqCst)
    }

    /// What was said; if more will be, `waker` is woken. `known` is the one that was left here last: until something is said it
    /// stays, and need not be left once more.
    #[inline]
    fn look(&self, waker: &Waker, known: &mut Option<Waker>) -> u8 {
        let word = self.word();
        if word == Self::NONE && known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return word;
        }
        self.leave(waker, known)
    }

    #[inline(never)]
    fn leave(&self, waker: &Waker, known: &mut Option<Waker>) -> u8 {
        *known = Some(waker.clone());
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let old = match &*task {
            Some(known) if known.will_wake(waker) => None,
            _ => task.replace(waker.clone()),
        };
        drop(task);
        drop(old);
        self.word()
    }
}

/// Makes the foreign task that runs `work`, which is called in it.
pub(crate) fn task<L, F, Fut, R>(name: Name, nudge: Arc<Nudge>, report: Report<R>, work: F) -> ForeignTask
where
    L: ForeignLoop,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<R>> + 'static,
    R: Send + 'static,
{
    let outcome = Outcome { name, translate: L::translate, report: Some(report) };
    Box::new(move || {
        Box::pin(Linked {
            work: Some(async move { work().await }),
            children: Children::default(),
            value: None,
            nudge,
            known: None,
            started: false,
            outcome,
        })
    })
}

pin_project! {
    struct Linked<Fut, R> {
        #[pin]
        work: Option<Fut>,
        children: Children,
        // What `work` has returned, while there are children.
        value: Option<R>,
        nudge: Arc<Nudge>,
        // Which waker the nudge has.
        known: Option<Waker>,
        started: bool,
        outcome: Outcome<R>,
    }

    impl<Fut, R> PinnedDrop for Linked<Fut, R> {
        fn drop(this: Pin<&mut Self>) {
            this.end(None);
        }
    }
}

impl<Fut, R> Linked<Fut, R> {
    /// Drops everything, then says how it was; without a result it was the cancel that ended it.
    fn end(self: Pin<&mut Self>, result: Option<Result<R>>) {
        let mut this = self.project();
        let mut failures = Vec::new();
        if this.work.is_some() || !this.children.is_empty() {
            watched(|| {
                failures.extend(caught(|| this.work.set(None)).err());
                this.children.drop_all(|panic| failures.push(panic));
            });
        }
        this.outcome.say(result, failures);
    }
}

impl<Fut, R> Future for Linked<Fut, R>
where
    Fut: Future<Output = Result<R>>,
    R: Send + 'static,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let word = self.nudge.word();
        if word == Nudge::DROP || word == Nudge::END && !self.started {
            self.end(None);
            return Poll::Ready(());
        }
        let function = self.outcome.name.function;
        match during(function, || self.as_mut().step(cx)) {
            Poll::Ready(result) => self.end(Some(result)),
            // Judged by a nudge that the poll began with: whoever listens has had a turn to say so.
            Poll::Pending if word != Nudge::NONE && self.is_deaf() => self.end(None),
            Poll::Pending => {
                let this = self.project();
                if this.nudge.look(cx.waker(), this.known) != word {
                    // Said since then: to be judged by a poll of its own.
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}

impl<Fut, R> Linked<Fut, R>
where
    Fut: Future<Output = Result<R>>,
    R: Send + 'static,
{
    /// Ready when the far function and all children have returned, or one of them has failed.
    fn step(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R>> {
        let mut this = self.project();
        *this.started = true;
        if let Some(work) = this.work.as_mut().as_pin_mut() {
            match caught(|| this.children.open(|| work.poll(cx))) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(Ok(value))) => {
                    *this.value = Some(value);
                    watched(|| caught(|| this.work.set(None)))?;
                }
                Ok(Poll::Ready(Err(failure))) | Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
        let children = match this.children.is_empty() {
            true => Ok(Poll::Ready(Ok(()))),
            false => caught(|| this.children.poll(cx)),
        };
        match children {
            Ok(Poll::Ready(Ok(()))) => this.value.take().map_or(Poll::Pending, |value| Poll::Ready(Ok(value))),
            Ok(Poll::Ready(Err(failure))) | Err(failure) => Poll::Ready(Err(failure)),
            Ok(Poll::Pending) => Poll::Pending,
        }
    }

    /// Whether nothing is left in it that a cancel could have been told to.
    fn is_deaf(&self) -> bool {
        self.work.is_none() || !self.outcome.is_told()
    }
}

fn caught<T>(f: impl FnOnce() -> T) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).map_err(Error::from_panic)
}

/// Says how the task ended, once: after all that it owned is gone.
struct Outcome<R> {
    name: Name,
    translate: fn(Error) -> Translated,
    report: Option<Report<R>>,
}

impl<R> Outcome<R> {
    fn is_told(&self) -> bool {
        self.report.as_ref().is_some_and(Report::is_told)
    }

    /// `failures` came of dropping it. Without a result it was dropped before it had one.
    fn say(&mut self, result: Option<Result<R>>, mut failures: Vec<Error>) {
        let Some(report) = self.report.take() else { return };
        let dropped = result.is_none();
        let cancelled = || (!report.is_cancelled()).then(|| ForeignCancelled { task: self.name.to_string() }.into());
        let (value, failure) = match result {
            Some(Ok(value)) => (Some(value), None),
            Some(Err(error)) => match (self.translate)(error) {
                Translated::Failed(failure) => (None, Some(failure)),
                Translated::Cancelled => (None, cancelled()),
            },
            None => (None, cancelled()),
        };
        failures.splice(0..0, failure);
        match (value, one_of(failures)) {
            (Some(value), None) => report.ended(Ok(value)),
            (_, failure) if dropped => report.dropped(failure),
            (_, Some(failure)) => report.ended(Err(failure)),
            (None, None) => report.obeyed(),
        }
    }
}

fn one_of(mut failures: Vec<Error>) -> Option<Error> {
    if failures.len() < 2 { failures.pop() } else { Some(Group::new(failures).into()) }
}

/// Of a task that its loop never made.
impl<R> Drop for Outcome<R> {
    fn drop(&mut self) {
        self.say(None, Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use pleach::dialog::{Opener, local_call};

    use super::*;
    use crate::RunSoon;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn whoever_looked_last_is_nudged_and_looks_in_vain_until_then() {
        let counts = [Arc::new(Count::default()), Arc::new(Count::default())];
        let [first, second]: [Waker; 2] = counts.clone().map(Waker::from);
        let (nudge, mut known) = (Nudge::default(), None);
        for waker in [&first, &first, &second, &second] {
            assert_eq!(nudge.look(waker, &mut known), Nudge::NONE);
        }
        nudge.give();
        assert_eq!(counts.each_ref().map(|count| count.0.load(Ordering::SeqCst)), [0, 1]);
        assert_eq!(nudge.look(&second, &mut known), Nudge::END);
        nudge.abort();
        assert_eq!(counts[1].0.load(Ordering::SeqCst), 2, "it looked again, and hears of what is said later");
    }

    #[test]
    fn what_is_said_while_the_task_is_polled_has_it_polled_again() {
        let count = Arc::new(Count::default());
        let (waker, nudge) = (Waker::from(count.clone()), Arc::new(Nudge::default()));
        let (mut opener, report) = local_call::<()>();
        let saying = nudge.clone();
        let work = move || async move {
            saying.give();
            std::future::pending().await
        };
        let name = Name { noun: "toy task", function: || "deaf" };
        let mut linked = task::<RunSoon, _, _, _>(name, nudge, report, work)();
        let mut cx = Context::from_waker(&waker);
        assert!(linked.as_mut().poll(&mut cx).is_pending(), "it is not judged by a nudge that came later");
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        assert!(linked.as_mut().poll(&mut cx).is_ready(), "nothing in it listens");
        assert!(opener.take_failure().is_some());
    }
}
