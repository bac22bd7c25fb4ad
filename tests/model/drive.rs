//! Runs a schedule on a link, and compares step by step what is seen with what the model says.

use std::fmt;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use futures_lite::future::yield_now;
use pleach::prelude::*;
use pleach::task::cancellable;

use crate::model::Model;
use crate::run::{LATE, Levers, SHORT};
use crate::schedule::{Schedule, to_the_end};
use crate::side::Lives;
use crate::states::Near;
use crate::words::{Event, Said, Seen, Step, Terms};

/// Turns in which something may still be seen when all is over.
const TURNS: usize = 4;

/// A link did not do what the model says.
#[derive(Debug)]
pub(crate) struct Difference {
    /// The step, and what was done.
    at: usize,
    events: Vec<Event>,
    missing: Vec<Seen>,
    seen: Vec<Seen>,
    left: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, events, missing, seen, left } = self;
        write!(f, "step {at} {events:?}: {seen:?} was seen, ")?;
        if let Some(left) = left {
            write!(f, "{left}, ")?;
        }
        write!(f, "{missing:?} was expected")
    }
}

/// What became of one run.
pub(crate) enum Ran {
    Same,
    /// A deadline may have passed before its step.
    TooSlow,
    Differs(Difference),
}

/// What a link may be now, and what it has still to show to be that.
#[derive(Clone)]
struct World {
    model: Model,
    step: Step,
}

impl World {
    /// Where this leads, in this order; nowhere if that is impossible.
    fn after(&self, terms: Terms, events: &[(Event, u32)]) -> Option<Self> {
        let mut next = self.clone();
        for &(event, value) in events {
            if next.model.bars(event).is_some() {
                return None;
            }
            next.step.add(next.model.apply(event, value));
            if terms.short && matches!(next.model.near, Near::Ending | Near::Closing) {
                next.step.leaves_open_what_is_told();
            }
        }
        if events.len() > 1 {
            next.step.leaves_open_who_waited(next.model.near.waits(), next.model.far.waits());
        }
        Some(next)
    }

    /// Whether it may show that now.
    fn takes(&mut self, seen: &Seen) -> bool {
        if let Some(at) = self.step.must.iter().position(|must| must == seen) {
            self.step.must.remove(at);
            return true;
        }
        self.step.may.contains(seen)
    }
}

/// The side of a schedule that gives commands and looks.
pub(crate) struct Driver {
    levers: Levers,
    seen: Receiver<Seen>,
    limit: Duration,
    /// A deadline that must not pass before its step: since when it runs, and how long.
    runs: Option<(Instant, Duration)>,
    values: Lives,
    /// The foreign task.
    lives: Lives,
    worlds: Vec<World>,
    at: usize,
}

impl Driver {
    pub(crate) fn new(levers: Levers, seen: Receiver<Seen>, limit: Duration, values: Lives, lives: Lives) -> Self {
        Self { levers, seen, limit, runs: None, values, lives, worlds: Vec::new(), at: 0 }
    }

    pub(crate) async fn drive(&mut self, schedule: &Schedule) -> Ran {
        match self.compare(schedule).await {
            Err(_) if self.is_slow() => Ran::TooSlow,
            Err(difference) => Ran::Differs(difference),
            Ok(()) => Ran::Same,
        }
    }

    async fn compare(&mut self, schedule: &Schedule) -> Result<(), Difference> {
        let (opened, terms) = (Instant::now(), schedule.terms);
        let step = Step { must: vec![Seen::Far(Said::Begun)], may: Vec::new() };
        self.worlds = vec![World { model: Model::new(terms), step }];
        self.runs = terms.late.then_some((opened, LATE));
        let mut given = Vec::new();
        for events in schedule.steps() {
            // What comes by itself is not waited for before it comes.
            if events != [Event::GraceEnds] {
                self.expect(&given).await?;
            }
            if !self.is_possible(events) {
                continue;
            }
            self.gives(events, terms, opened);
            given = events.to_vec();
        }
        self.expect(&given).await?;
        while let Some(event) = to_the_end(&self.worlds[0].model) {
            self.gives(&[event], terms, opened);
            self.expect(&[event]).await?;
        }
        self.nothing_left().await
    }

    /// In a world that came about otherwise than was planned, what was planned next may be impossible.
    fn is_possible(&self, events: &[Event]) -> bool {
        events.iter().all(|&event| self.worlds.iter().all(|world| world.model.bars(event).is_none()))
    }

    fn gives(&mut self, events: &[Event], terms: Terms, opened: Instant) {
        let opening = self.worlds[0].model.near == Near::Opening;
        self.runs = match events {
            [Event::GraceEnds | Event::StartDeadline] => None,
            _ if terms.late && opening => Some((opened, LATE)),
            _ => terms.short.then(|| (Instant::now(), SHORT)),
        };
        let mut orders = vec![self.numbered(events)];
        if let [a, b] = orders[0][..] {
            orders.push(vec![b, a]);
        }
        for &(event, value) in &orders[0] {
            self.levers.give(event, value);
        }
        let worlds = std::mem::take(&mut self.worlds);
        self.worlds =
            worlds.iter().flat_map(|world| orders.iter().filter_map(|order| world.after(terms, order))).collect();
    }

    /// Each with the value that it sends.
    fn numbered(&mut self, events: &[Event]) -> Vec<(Event, u32)> {
        let first = self.at;
        self.at += events.len();
        (first..)
            .map(|at| u32::try_from(at).expect("a schedule is short"))
            .zip(events)
            .map(|(at, &e)| (e, at))
            .collect()
    }

    /// Whether a deadline may have passed before its step.
    fn is_slow(&self) -> bool {
        self.runs.is_some_and(|(since, limit)| since.elapsed() > limit / 2)
    }

    /// Waits until all is seen of one of the worlds that there may be, and nothing else.
    async fn expect(&mut self, events: &[Event]) -> Result<(), Difference> {
        let mut all = Vec::new();
        while self.worlds.iter().all(|world| !world.step.must.is_empty()) {
            let seen = self.sees().await;
            let missing = self.worlds.first().map(|world| world.step.must.clone()).unwrap_or_default();
            if let Some(seen) = &seen {
                all.push(seen.clone());
                self.worlds.retain_mut(|world| world.takes(seen));
            }
            if seen.is_none() || self.worlds.is_empty() {
                return Err(Difference { at: self.at, events: events.to_vec(), missing, seen: all, left: None });
            }
        }
        self.worlds.retain(|world| world.step.must.is_empty());
        self.worlds.iter_mut().for_each(|world| world.step = Step::default());
        Ok(())
    }

    async fn sees(&mut self) -> Option<Seen> {
        if let Ok(seen) = self.seen.try_recv() {
            return Some(seen);
        }
        let seen = move_on_after(self.limit, async { Ok(cancellable(self.seen.recv()).await?.ok()) });
        seen.await.ok().flatten().flatten()
    }

    /// When all is over, nothing lives and nothing more is seen.
    async fn nothing_left(&mut self) -> Result<(), Difference> {
        for _ in 0..TURNS {
            yield_now().await;
        }
        let seen: Vec<Seen> = std::iter::from_fn(|| self.seen.try_recv().ok()).collect();
        let (values, tasks) = (self.values.count(), self.lives.count());
        let left = (values + tasks > 0).then(|| format!("{values} values and {tasks} tasks are left"));
        if seen.is_empty() && left.is_none() {
            return Ok(());
        }
        Err(Difference { at: self.at, events: Vec::new(), missing: Vec::new(), seen, left })
    }

    /// Ends a link that is not as it should be.
    pub(crate) async fn clears_up(&mut self) {
        self.levers.end();
        self.limit = Duration::from_millis(500);
        while !matches!(self.sees().await, None | Some(Seen::Over(_))) {}
    }
}
