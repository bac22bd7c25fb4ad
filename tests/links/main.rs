//! Links, an SC task and a tokio task, by the laws L. Every law is one function of the placement: it runs as `guest::..`
//! inside an infected actor, and as `thread::..` with a tokio of its own beside a root on smol.

mod cancel;
mod causes;
mod cleanup;
mod coded;
mod ends;
mod errors;
mod fanout;
mod flow;
#[path = "../harness/mod.rs"]
mod harness;
mod held;
mod lifetime;
mod open;
mod place;
mod quiet;
mod rows;
mod rows_within;
mod spawned;
mod start;
mod streams;
mod tools;
mod toy;
mod watchdog;

use std::time::Duration;

use harness::{actors, bounded, plain};
use libtest_mimic::Trial;
use place::Law;

/// Those that hold on both placements.
fn laws() -> Vec<Law> {
    let files = [
        lifetime::laws(),
        spawned::laws(),
        start::laws(),
        errors::laws(),
        causes::laws(),
        cleanup::laws(),
        coded::laws(),
        cancel::laws(),
        ends::laws(),
        fanout::laws(),
        flow::laws(),
        held::laws(),
        rows::laws(),
        rows_within::laws(),
        cancel::laws_of_tokio(),
        errors::laws_of_tokio(),
        rows::laws_of_tokio(),
        spawned::laws_of_tokio(),
        streams::laws(),
    ];
    files.into_iter().flatten().collect()
}

/// The example may have to be built first, beside whatever else the machine builds.
const BUILD: Duration = Duration::from_secs(300);

/// Those that need more than one actor, or none.
fn others() -> Vec<Trial> {
    let mut trials = vec![
        actors("guest::l19_a_task_that_never_awaits_ends_its_actor", ends::l19_a_task_that_never_awaits_ends_its_actor),
        actors("thread::l19_a_task_that_never_awaits_is_named", ends::l19_a_task_that_never_awaits_is_named),
        actors("guest::l19_a_task_that_blocks_ends_its_actor", watchdog::l19_a_task_that_blocks_ends_its_actor),
        actors("guest::blocks_for_a_while", watchdog::guest_blocks_for_a_while),
        plain("root::blocks_for_a_while", watchdog::root_blocks_for_a_while),
        plain("guest::l29_what_blocks_is_reported", || watchdog::l29_what_blocks_is_reported("guest")),
        plain("root::l32_l29_what_blocks_is_reported", || watchdog::l29_what_blocks_is_reported("root")),
        actors("guest::l30_a_carried_handle", quiet::l30_a_carried_handle),
        actors("guest::l30_outside_an_infected_actor", quiet::l30_outside_an_infected_actor),
        plain("guest::l30_outside_everything", quiet::l30_outside_everything),
        bounded("guest::l36_an_example_is_silent", BUILD, quiet::l36_an_example_is_silent),
    ];
    for (placement, guest) in [("guest", true), ("thread", false)] {
        let name = |law: &str| format!("{placement}::{law}");
        trials.push(actors(name("l10_one_failure_in_the_same_out"), move || {
            errors::l10_one_failure_in_the_same_out(guest)
        }));
        let law = quiet::l36_clean_runs_are_silent;
        trials.push(plain(name("l36_clean_runs_are_silent"), move || law(placement)));
        let law = quiet::l36_cancelled_runs_are_silent;
        trials.push(plain(name("l36_cancelled_runs_are_silent"), move || law(placement)));
        let law = quiet::row21_abnormal_ends_are_silent;
        trials.push(plain(name("row21_abnormal_ends_are_silent"), move || law(placement)));
    }
    trials
}

fn main() {
    let laws = laws().into_iter().flat_map(Law::trials);
    harness::main_with(quiet::listen_for_warnings, laws.chain(others()).collect());
}
