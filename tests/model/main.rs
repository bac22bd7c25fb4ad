//! Random schedules of what can happen to a link, from either side and from outside, on each placement: what is seen is what
//! a model says that was written from the laws alone.
//!
//! `SCHEDULES=10000 SEED=7 cargo test --test model`

mod coverage;
mod drive;
#[path = "../harness/mod.rs"]
mod harness;
mod model;
mod place;
mod planted;
mod run;
mod schedule;
mod side;
mod states;
mod words;

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use coverage::Coverage;
use drive::Difference;
use libtest_mimic::{Failed, Trial};
use place::{Place, Work};
use planted::{Mistake, Planted};
use pleach::prelude::*;
use pleach_bridge::Tokio;
use run::{Carrier, SKIPPED, run};
use schedule::Schedule;

/// Schedules, over all placements.
const SCHEDULES: u64 = 10_000;
/// What takes longer never happens.
const NEVER: Duration = Duration::from_secs(5);
/// The same where that is what is looked for.
const SOON: Duration = Duration::from_millis(500);
/// What one schedule may take, on a machine that does other things as well.
const EACH: Duration = Duration::from_millis(15);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn bound() -> Duration {
    harness::BOUND + EACH * u32::try_from(schedules()).unwrap_or(u32::MAX) / 3
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
        let (count, skipped) = (seeds(share).count(), SKIPPED.load(SeqCst));
        println!("{}: {count} schedules, 0 differences, {skipped} skipped, {:?}", place.name(), since.elapsed());
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

/// Runs schedules on a carrier with a mistake until one differs; how many there were, and the difference.
fn until_found(mistake: Mistake, most: u64, never: Duration) -> Result<(u64, Option<Difference>)> {
    place::root(Tokio::current_thread(), move || async move {
        let carrier = Planted::new(Tokio::here()?, mistake);
        for (count, seed) in (1..).zip(0..most) {
            let schedule = Schedule::of(seed);
            let Some(first) = run(&schedule, &carrier, never).await? else { continue };
            // A mistake is there again, a machine that stood still for a moment is not. Without one there is no excuse.
            let again = if mistake == Mistake::None { Some(first) } else { run(&schedule, &carrier, NEVER).await? };
            if again.is_some() {
                return Ok((count, again));
            }
        }
        Ok((most, None))
    })
}

/// Schedules in which a mistake must be found.
const FOUND: u64 = 1000;

fn is_found(mistake: Mistake) -> Result<(), Failed> {
    let (count, found) = until_found(mistake, FOUND, SOON).map_err(|error| format!("{error:?}"))?;
    match found {
        Some(difference) => println!("{mistake:?}: found by schedule {count}: {difference}"),
        None => return Err(format!("{mistake:?} was not found in {count} schedules").into()),
    }
    Ok(())
}

/// What finds the mistakes is not the carrier that they are in.
fn without_a_mistake() -> Result<(), Failed> {
    let (count, found) = until_found(Mistake::None, FOUND, NEVER).map_err(|error| format!("{error:?}"))?;
    found.map_or(Ok(()), |difference| Err(format!("schedule {count}: {difference}").into()))
}

/// No event is left out in any state.
fn every_event_in_every_state() -> Result<(), Failed> {
    let mut coverage = Coverage::default();
    (0..Place::ALL.len()).flat_map(seeds).for_each(|seed| coverage.add(&Schedule::of(seed)));
    println!("{coverage}");
    let wrong = coverage.wrong();
    // A few cannot be everywhere.
    if wrong.is_empty() || schedules() < SCHEDULES { Ok(()) } else { Err(format!("{wrong:#?}").into()) }
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
            let name = format!("{}::l28_random_schedules", Place::ALL[share].name());
            harness::bounded(name, bound(), move || random_schedules(share))
        })
        .collect();
    for (name, mistake) in [
        ("planted_lost_end_is_found", Mistake::LostEnd),
        ("planted_double_abort_is_found", Mistake::DoubleAbort),
        ("planted_end_after_closed_is_found", Mistake::EndAfterClosed),
    ] {
        trials.push(harness::plain(name, move || is_found(mistake)));
    }
    trials.push(harness::plain("planted_nothing_is_as_the_model_says", without_a_mistake));
    trials.push(harness::plain("every_event_in_every_state", every_event_in_every_state));
    harness::main_with(quiet, trials);
}
