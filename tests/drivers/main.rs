//! Every scenario is cancelled at every await and dropped at every poll: nothing hangs, nothing is left, no failure is lost. And
//! what the drivers are to find, they find.

mod planted;
mod scenarios;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial as Test};

use pleach::testing::{Findings, cancel_at_every_await, drop_at_every_poll};

/// Runs that all scenarios together are to have at least.
const RUNS: usize = 300;

/// A scenario, by both drivers.
struct Driven {
    name: &'static str,
    cancelled: fn() -> Findings,
    dropped: fn() -> Findings,
}

impl Driven {
    fn run(&self) -> usize {
        let (cancelled, dropped) = ((self.cancelled)().assert_none(), (self.dropped)().assert_none());
        println!("{:<36} cancelled at {cancelled:>4} awaits, dropped at {dropped:>4} polls", self.name);
        cancelled + dropped
    }
}

macro_rules! driven {
    ($($name:ident),* $(,)?) => {
        [$(Driven {
            name: stringify!($name),
            cancelled: || cancel_at_every_await(scenarios::$name),
            dropped: || drop_at_every_poll(scenarios::$name),
        }),*]
    };
}

static SCENARIOS: [Driven; 16] = driven![
    nested_nurseries,
    a_child_fails,
    two_children_fail,
    a_full_channel,
    places_in_a_channel,
    many_receivers,
    shields,
    finalizers,
    deadlines,
    permits_and_locks,
    starts,
    handed_over_in_a_drop,
    a_select,
    many_awaits_at_once,
    local_children,
    what_swallows_cancels,
];

fn main() -> ExitCode {
    let mut tests: Vec<Test> = SCENARIOS
        .iter()
        .map(|scenario| {
            Test::test(format!("c08_c09_{}", scenario.name), || {
                scenario.run();
                Ok(())
            })
        })
        .collect();
    tests.push(Test::test("c08_all_scenarios_have_many_points_to_end_at", || {
        let runs: usize = SCENARIOS.iter().map(Driven::run).sum();
        println!("{} scenarios, {runs} runs", SCENARIOS.len());
        assert!(runs >= RUNS, "{runs} of {RUNS}");
        Ok(())
    }));
    tests.extend(planted::tests());
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}
