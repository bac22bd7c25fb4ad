//! A link that is opened for a schedule, with all that is needed to see what becomes of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_channel::{Receiver, Sender, unbounded};
use futures_lite::future::or;
use futures_util::future::{AbortHandle, abortable};
use pleach::dialog::{Escalated, NeverStarted, StartTimeout};
use pleach::prelude::*;
use pleach::task::clock;
use pleach_bridge::{ForeignCancelled, ForeignLoop, ForeignTask, Translated};

use crate::drive::{Difference, Driver, Ran};
use crate::schedule::Schedule;
use crate::side::{self, Alive, FAR_PANIC, FarFails, Lives, NEAR_PANIC, NearFails, Side};
use crate::words::{Event, Leaf, Outcome, Seen, Terms};

/// Longer than any schedule takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// The time to start of a link on late terms.
pub(crate) const LATE: Duration = Duration::from_millis(10);
/// The grace of one on short terms.
pub(crate) const SHORT: Duration = Duration::from_millis(10);
/// How often a schedule is run whose steps were slower than its deadlines.
const AGAIN: usize = 20;
/// Schedules that were too slow every time.
pub(crate) static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// What the parts of a link need that is opened for a schedule.
pub(crate) struct Stage {
    pub(crate) terms: Terms,
    pub(crate) far: Side,
    pub(crate) near: Side,
    pub(crate) alive: Alive,
    pub(crate) watch: Watch,
}

/// What a driver moves.
pub(crate) struct Levers {
    scope: CancelScope,
    far: Sender<(Event, u32)>,
    near: Sender<(Event, u32)>,
    drops: Sender<()>,
    watch: Watch,
}

impl Levers {
    /// Who does not listen to it will be missed.
    pub(crate) fn give(&self, event: Event, value: u32) {
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

    /// Ends a link that is not as it should be.
    pub(crate) fn end(&self) {
        let _ = self.drops.try_send(());
        self.watch.abort();
    }
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

/// Runs a schedule; what does not happen within `limit` never happens.
pub(crate) async fn run(schedule: &Schedule, on: &impl Carrier, limit: Duration) -> Result<Option<Difference>> {
    for _ in 0..AGAIN {
        match Box::pin(run_once(schedule, on, limit)).await? {
            Ran::Same => return Ok(None),
            Ran::Differs(difference) => return Ok(Some(difference)),
            Ran::TooSlow => {}
        }
    }
    SKIPPED.fetch_add(1, SeqCst);
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
    let mut driver = Driver::new(Levers { scope, far, near, drops, watch }, sees, limit, values, lives);
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

type FarWork = Pin<Box<dyn Future<Output = Result<u32>>>>;
type NearWork = Pin<Box<dyn Future<Output = Result<u32>> + Send>>;

/// The two sides of a link, for the carrier that opens it.
impl Stage {
    pub(crate) fn sides(
        self,
    ) -> (impl FnOnce(side::FarEnd) -> FarWork + Send + 'static, impl FnOnce(side::NearEnd, ()) -> NearWork + Send)
    {
        let Self { terms, far, near, alive, .. } = self;
        (
            move |end| Box::pin(side::far(end, far, alive)),
            move |end, ()| Box::pin(side::near(end, near, terms.reaction)),
        )
    }
}
