//! The laws of cancellation, on whatever polls the tree: each scenario is one text, and runs on every host as
//! `smol::c01_..`, `tokio::c01_..`.

#[path = "../harness/mod.rs"]
mod harness;
mod hosts;
mod kit;
#[path = "../guest/hosts.rs"]
mod loops;
#[allow(dead_code, reason = "the tests of guests use the rest")]
#[path = "../guest/stage.rs"]
mod stage;

mod channels;
mod deadlines;
mod ends;
mod failures;
mod level;
mod nurseries;
mod reasons;
mod shields;
mod starts;
mod threads;
mod turns;
mod values;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use hosts::{Entry, HOSTS};
use kit::Scenario;
use libtest_mimic::{Arguments, Trial};

/// Scenarios that have passed, by host.
static PASSED: [AtomicUsize; HOSTS.len()] = [const { AtomicUsize::new(0) }; HOSTS.len()];

/// All texts, by file.
const FILES: &[&[Scenario]] = &[
    level::SCENARIOS,
    values::SCENARIOS,
    reasons::SCENARIOS,
    shields::SCENARIOS,
    deadlines::SCENARIOS,
    ends::SCENARIOS,
    failures::SCENARIOS,
    nurseries::SCENARIOS,
    starts::SCENARIOS,
    channels::SCENARIOS,
    turns::SCENARIOS,
    threads::SCENARIOS,
];

fn scenarios() -> impl Iterator<Item = Scenario> {
    FILES.iter().copied().flatten().copied()
}

/// The test of one scenario on one host.
fn trial((host, run): Entry, passed: &'static AtomicUsize, scenario: Scenario) -> Trial {
    harness::plain(format!("{host}::{}", scenario.name), move || {
        run(scenario.tree()).map_err(|error| format!("{error:?}"))?;
        passed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })
}

fn main() -> ExitCode {
    let hosts = HOSTS.into_iter().zip(&PASSED);
    let trials = hosts.flat_map(|(host, passed)| scenarios().map(move |scenario| trial(host, passed, scenario)));
    let arguments = Arguments::from_args();
    let conclusion = harness::conclude(&arguments, trials.collect());
    let counts: Vec<usize> = PASSED.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    if conclusion.num_passed > 0 {
        let line: Vec<String> = HOSTS.iter().zip(&counts).map(|((host, _), count)| format!("{host} {count}")).collect();
        println!("passed on each host: {}", line.join(", "));
    }
    let whole = conclusion.num_filtered_out == 0 && !arguments.list;
    if whole && counts.iter().any(|count| *count != scenarios().count()) {
        eprintln!("a host passes over some of the {} scenarios", scenarios().count());
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
