//! Runs a schedule on a link, and compares step by step what is seen with what the model says.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender, unbounded};
use futures_lite::future::{or, yield_now};
use futures_util::future::{AbortHandle, abortable};
use pleach::dialog::{Escalated, NeverStarted, StartTimeout};
use pleach::prelude::*;
use pleach::task::{cancellable, clock};
use pleach_bridge::{ForeignCancelled, ForeignLoop, ForeignTask, Translated};

use crate::model::Model;
use crate::schedule::Schedule;
use crate::side::{self, Alive, FAR_PANIC, FarFails, Lives, NEAR_PANIC, NearFails, Side};
use crate::states::Near;
use crate::words::{Event, Leaf, Outcome, Said, Seen, Step, Terms};

/// Longer than any schedule takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// The time to start of a link on late terms.
pub(crate) const LATE: Duration = Duration::from_millis(10);
/// The grace of one on short terms.
pub(crate) const SHORT: Duration = Duration::from_millis(10);
/// Turns in which something may still be seen when all is over.
const TURNS: usize = 4;
/// How often a schedule is run whose steps were slower than its deadlines.
const AGAIN: usize = 20;

/// What the parts of a link need that is opened for a schedule.
pub(crate) struct Stage {
    pub(crate) terms: Terms,
    pub(crate) far: Side,
    pub(crate) near: Side,
    pub(crate) alive: Alive,
    pub(crate) watch: Watch,
}

/// What carries a link.
pub(crate) trait Carrier: Clone + Send + Sync {
    /// Opens one, with the two sides of the stage.
    fn open(&self, stage: Stage) -> impl Future<Output = Result<u32>> + Send;

    /// Has links end that are not as they should be, if it can.
    fn cure(&self) {}
}

/// Sees the end of a foreign task, and can be the somebody else who ends it.
#[derive(Clone)]
pub(crate) struct Watch {
    seen: Sender<Seen>,
    handle: Arc<Mutex<Option<AbortHandle>>>,
}

impl Watch {
    fn new(seen: Sender<Seen>) -> Self {
        Self { seen, handle: Arc::default() }
    }

    fn abort(&self) {
        self.handle.lock().unwrap().iter().for_each(AbortHandle::abort);
    }

    /// A loop whose task it watches.
    pub(crate) fn over<L>(self, on: L) -> Watched<L> {
        Watched { on, watch: self }
    }
}

pub(crate) struct Watched<L> {
    on: L,
    watch: Watch,
}

/// Dropped after all that the task had.
struct Ends(Sender<Seen>);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.try_send(Seen::FarEnded);
    }
}

impl<L: ForeignLoop> ForeignLoop for Watched<L> {
    fn start(&self, task: ForeignTask) -> Result<()> {
        let watch = self.watch.clone();
        self.on.start(Box::new(move || {
            let (task, handle) = abortable(task());
            *watch.handle.lock().unwrap() = Some(handle);
            Box::pin(async move {
                let _ends = Ends(watch.seen);
                let _ = task.await;
            })
        }))
    }

    fn noun(&self) -> &'static str {
        self.on.noun()
    }

    fn translate(error: Error) -> Translated {
        L::translate(error)
    }
}

/// A link did not do what the model says.
#[derive(Debug)]
pub(crate) struct Difference {
    /// The step, and what it was.
    at: usize,
    event: Option<Event>,
    missing: Vec<Seen>,
    unexpected: Option<Seen>,
    left: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} {:?}: ", self.at, self.event)?;
        if let Some(unexpected) = &self.unexpected {
            write!(f, "{unexpected:?} was seen, ")?;
        }
        if let Some(left) = &self.left {
            write!(f, "{left}, ")?;
        }
        write!(f, "{:?} was expected", self.missing)
    }
}

/// The side of a schedule that gives commands and looks.
struct Driver {
    scope: CancelScope,
    far: Sender<(Event, u32)>,
    near: Sender<(Event, u32)>,
    drops: Sender<()>,
    watch: Watch,
    seen: Receiver<Seen>,
    limit: Duration,
    /// A deadline that must not pass before its step: since when it runs, and how long.
    runs: Option<(Instant, Duration)>,
    values: Lives,
    /// The foreign task.
    lives: Lives,
}

/// What became of one run.
enum Ran {
    Same,
    /// A deadline may have passed before its step.
    TooSlow,
    Differs(Difference),
}

/// Runs a schedule; what does not happen within `limit` never happens.
pub(crate) async fn run(schedule: &Schedule, on: &impl Carrier, limit: Duration) -> Result<Option<Difference>> {
    for _ in 0..AGAIN {
        match Box::pin(run_once(schedule, on, limit)).await? {
            Ran::Same => return Ok(None),
            Ran::Differs(difference) => return Ok(Some(difference)),
            Ran::TooSlow => {}
        }
    }
    Ok(None)
}

async fn run_once(schedule: &Schedule, on: &impl Carrier, limit: Duration) -> Result<Ran> {
    let (seen, sees) = unbounded();
    let ((far, far_commands), (near, near_commands), (drops, dropped)) = (unbounded(), unbounded(), unbounded());
    let (values, lives) = (Lives::default(), Lives::default());
    let side = |commands, says| Side { commands, seen: seen.clone(), says, values: values.clone() };
    let watch = Watch::new(seen.clone());
    let stage = Stage {
        terms: schedule.terms,
        far: side(far_commands, Seen::Far),
        near: side(near_commands, Seen::Near),
        alive: lives.one(),
        watch: watch.clone(),
    };
    let scope = CancelScope::new().with_grace(LONG);
    let opener = Box::pin(opens(on.clone(), stage, scope.clone(), dropped, lives.clone(), seen));
    let mut driver = Driver { scope, far, near, drops, watch, seen: sees, limit, runs: None, values, lives };
    nursery(async |n| {
        n.spawn(opener)?;
        let ran = driver.drive(schedule).await;
        if !matches!(ran, Ran::Same) {
            on.cure();
            driver.clears_up().await;
        }
        Ok(ran)
    })
    .await
}

/// The task that opens the link, and may drop it.
async fn opens(
    on: impl Carrier,
    stage: Stage,
    scope: CancelScope,
    dropped: Receiver<()>,
    lives: Lives,
    seen: Sender<Seen>,
) -> Result<()> {
    let ended = nursery(async |_| {
        let runs = async { Some(scope.run(Box::pin(on.open(stage))).await) };
        let drops = async {
            let _ = dropped.recv().await;
            None
        };
        Ok(or(runs, drops).await)
    });
    let outcome = match ended.await {
        _ if lives.count() > 0 => Outcome::Failed(vec![Leaf::Other("the foreign task is still there".to_owned())]),
        Ok(None) => Outcome::Dropped,
        Ok(Some(Ok(Some(_)))) => Outcome::Value,
        Ok(Some(Ok(None))) => Outcome::Absorbed,
        Ok(Some(Err(error))) | Err(error) => Outcome::Failed(error.failures().iter().map(leaf).collect()),
    };
    let _ = seen.try_send(Seen::Over(outcome));
    Ok(())
}

fn leaf(error: &Error) -> Leaf {
    let text = error.to_string();
    if error.downcast_ref::<NearFails>().is_some() {
        Leaf::Near
    } else if error.downcast_ref::<FarFails>().is_some() {
        Leaf::Far
    } else if error.downcast_ref::<ForeignCancelled>().is_some() {
        Leaf::ForeignCancelled
    } else if error.downcast_ref::<NeverStarted>().is_some() {
        Leaf::NeverStarted
    } else if error.downcast_ref::<StartTimeout>().is_some() {
        Leaf::StartTimeout
    } else if error.downcast_ref::<Escalated>().is_some() {
        Leaf::Escalated
    } else if error.is_misuse() {
        Leaf::FarMisuse
    } else if error.is_panic() && text.contains(NEAR_PANIC) {
        Leaf::NearPanic
    } else if error.is_panic() && text.contains(FAR_PANIC) {
        Leaf::FarPanic
    } else {
        Leaf::Other(text)
    }
}

impl Driver {
    async fn drive(&mut self, schedule: &Schedule) -> Ran {
        match self.compare(schedule).await {
            Some(_) if self.is_slow() => Ran::TooSlow,
            Some(difference) => Ran::Differs(difference),
            None => Ran::Same,
        }
    }

    async fn compare(&mut self, schedule: &Schedule) -> Option<Difference> {
        let (opened, terms, mut model) = (Instant::now(), schedule.terms, Model::new(schedule.terms));
        let mut step = Step { must: vec![Seen::Far(Said::Begun)], may: Vec::new() };
        let mut told = None;
        self.runs = terms.late.then_some((opened, LATE));
        for (at, &event) in schedule.events.iter().enumerate() {
            // What comes by itself is not waited for before it comes.
            if event != Event::GraceEnds
                && let Some(difference) = self.expect(&mut step, at, told).await
            {
                return Some(difference);
            }
            let opening = model.near == Near::Opening;
            step.add(model.apply(event, number(at)));
            if terms.short && model.near == Near::Closing {
                step.leaves_open_what_is_told();
            }
            told = Some(event);
            self.runs = match event {
                Event::GraceEnds | Event::StartDeadline => None,
                _ if terms.late && opening => Some((opened, LATE)),
                _ => terms.short.then(|| (Instant::now(), SHORT)),
            };
            self.command(event, number(at));
        }
        let last = schedule.events.len();
        let differs = self.expect(&mut step, last, told).await;
        if differs.is_some() { differs } else { self.nothing_left(last).await }
    }

    /// Whether a deadline may have passed before its step.
    fn is_slow(&self) -> bool {
        self.runs.is_some_and(|(since, limit)| since.elapsed() > limit / 2)
    }

    /// Who does not listen to it will be missed.
    fn command(&self, event: Event, value: u32) {
        match event {
            _ if event.is_far() => drop(self.far.try_send((event, value))),
            _ if event.is_near() => drop(self.near.try_send((event, value))),
            Event::Cancel => self.scope.cancel("as planned"),
            Event::Deadline => self.scope.set_deadline(Some(clock::now())),
            Event::DropLink => drop(self.drops.try_send(())),
            Event::AbortFar => self.watch.abort(),
            _ => {}
        }
    }

    /// Waits for all that must be seen, and takes nothing else.
    async fn expect(&mut self, step: &mut Step, at: usize, event: Option<Event>) -> Option<Difference> {
        let Step { must: mut missing, may } = std::mem::take(step);
        while !missing.is_empty() {
            let unexpected = match self.sees().await {
                None => None,
                Some(seen) => match missing.iter().position(|must| *must == seen) {
                    Some(found) => {
                        missing.remove(found);
                        continue;
                    }
                    None if may.contains(&seen) => continue,
                    None => Some(seen),
                },
            };
            return Some(Difference { at, event, missing, unexpected, left: None });
        }
        None
    }

    async fn sees(&mut self) -> Option<Seen> {
        if let Ok(seen) = self.seen.try_recv() {
            return Some(seen);
        }
        let seen = move_on_after(self.limit, async { Ok(cancellable(self.seen.recv()).await?.ok()) });
        seen.await.ok().flatten().flatten()
    }

    /// When all is over, nothing lives and nothing more is seen.
    async fn nothing_left(&mut self, at: usize) -> Option<Difference> {
        for _ in 0..TURNS {
            yield_now().await;
        }
        let unexpected = self.seen.try_recv().ok();
        let (values, tasks) = (self.values.count(), self.lives.count());
        let left = (values + tasks > 0).then(|| format!("{values} values and {tasks} tasks are left"));
        (unexpected.is_some() || left.is_some()).then(|| Difference {
            at,
            event: None,
            missing: Vec::new(),
            unexpected,
            left,
        })
    }

    /// Ends a link that is not as it should be.
    async fn clears_up(&mut self) {
        let _ = self.drops.try_send(());
        self.watch.abort();
        self.limit = Duration::from_millis(500);
        while !matches!(self.sees().await, None | Some(Seen::Over(_))) {}
    }
}

/// The value that a step sends.
fn number(at: usize) -> u32 {
    u32::try_from(at).expect("a schedule is short")
}

/// The two sides of a link, for the carrier that opens it.
impl Stage {
    pub(crate) fn sides(
        self,
    ) -> (
        impl FnOnce(side::FarEnd) -> std::pin::Pin<Box<dyn Future<Output = Result<u32>>>> + Send + 'static,
        impl FnOnce(side::NearEnd, ()) -> std::pin::Pin<Box<dyn Future<Output = Result<u32>> + Send>> + Send,
    ) {
        let Self { terms, far, near, alive, .. } = self;
        (
            move |end| Box::pin(side::far(end, far, alive)),
            move |end, ()| Box::pin(side::near(end, near, terms.reaction)),
        )
    }
}
