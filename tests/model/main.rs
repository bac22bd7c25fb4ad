//! Random schedules of what can happen to a link, from either side and from outside, on each placement: what is seen is what
//! a model says that was written from the laws alone.
//!
//! `SCHEDULES=10000 SEED=7 cargo test --test model`

mod coverage;
#[path = "../harness/mod.rs"]
mod harness;
mod model;
mod place;
mod run;
mod schedule;
mod side;
mod states;
mod words;

use std::time::{Duration, Instant};

use coverage::Coverage;
use libtest_mimic::{Failed, Trial};
use place::{Place, Work};
use pleach::prelude::*;
use run::{Carrier, Difference, run};
use schedule::Schedule;

/// Schedules, over all placements.
const SCHEDULES: u64 = 3000;
/// What takes longer never happens.
const NEVER: Duration = Duration::from_secs(5);
/// All of them, on a machine that does other things as well.
const BOUND: Duration = Duration::from_secs(300);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn schedules() -> u64 {
    number("SCHEDULES").unwrap_or(SCHEDULES)
}

/// The seeds of one of the placements.
fn seeds(share: usize) -> impl Iterator<Item = u64> + Send {
    let first = number("SEED").unwrap_or(1) << 32;
    let shares = Place::ALL.len();
    (first..first + schedules()).skip(share).step_by(shares)
}

/// Runs schedules until one differs.
struct UntilOneDiffers<S>(S);

impl<S: Iterator<Item = u64> + Send + 'static> Work<Option<(u64, Difference)>> for UntilOneDiffers<S> {
    async fn on(self, carrier: impl Carrier) -> Result<Option<(u64, Difference)>> {
        for seed in self.0 {
            if let Some(difference) = run(&Schedule::of(seed), &carrier, NEVER).await? {
                return Ok(Some((seed, difference)));
            }
        }
        Ok(None)
    }
}

/// Runs one schedule.
struct One(Schedule);

impl Work<Option<Difference>> for One {
    async fn on(self, carrier: impl Carrier) -> Result<Option<Difference>> {
        run(&self.0, &carrier, NEVER).await
    }
}

/// What is as the model says, on one placement.
fn random_schedules(share: usize) -> Result<(), Failed> {
    let (place, since) = (Place::ALL[share], Instant::now());
    let said = |error: Error| format!("{error:?}");
    let differs = place.run(UntilOneDiffers(seeds(share))).map_err(said)?;
    let Some((seed, difference)) = differs else {
        println!("{}: {} schedules, 0 differences, {:?}", place.name(), seeds(share).count(), since.elapsed());
        return Ok(());
    };
    let whole = Schedule::of(seed);
    println!("{}: seed {seed}: {difference}\nin {whole}", place.name());
    let fails = |shorter: &Schedule| place.run(One(shorter.clone())).is_ok_and(|differs| differs.is_some());
    let short = whole.shrunk(fails);
    let again = place.run(One(short.clone())).map_err(said)?;
    let again = again.map_or("not seen again".to_owned(), |difference| difference.to_string());
    Err(format!("{}: seed {seed}: {again}\nin {short}", place.name()).into())
}

/// No event is left out in any state.
fn every_event_in_every_state() -> Result<(), Failed> {
    let mut coverage = Coverage::default();
    (0..Place::ALL.len()).flat_map(seeds).for_each(|seed| coverage.add(&Schedule::of(seed)));
    println!("{coverage}");
    let wrong = coverage.wrong();
    if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:#?}").into()) }
}

/// The panics that are planned are results, and nothing to read.
fn quiet() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let planned = panic.payload_as_str().is_some_and(|text| text.ends_with(side::AS_PLANNED));
        if !planned {
            before(panic);
        }
    }));
}

fn main() {
    let mut trials: Vec<Trial> = (0..Place::ALL.len())
        .map(|share| {
            let name = format!("{}::d01_random_schedules", Place::ALL[share].name());
            harness::bounded(name, BOUND, move || random_schedules(share))
        })
        .collect();
    trials.push(harness::plain("every_event_in_every_state", every_event_in_every_state));
    harness::main_with(quiet, trials);
}
