//! L30, L36: what is said to whoever calls in the wrong place, and that nothing is said otherwise.

use std::process::Command;
use std::sync::Once;

use futures_lite::future::block_on;
use libtest_mimic::Failed;
use pleach_bridge::{NotInfected, Tokio, is_infected};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use super::place::prelude::*;

fn is_not_infected(error: &Error) -> bool {
    error.downcast_ref::<NotInfected>().is_some() && error.to_string().contains(".host(Tokio::current_thread())")
}

#[pleach::endpoint]
async fn asks_for_tokio() -> Result<bool> {
    Ok(Tokio::here().is_err_and(|error| is_not_infected(&error)))
}

#[pleach::endpoint]
async fn carries_a_handle() -> Result<()> {
    assert!(is_infected(), "this actor runs on tokio");
    let here = Tokio::here()?;
    let thread = std::thread::spawn(move || {
        let far = async |mut far: Numbers| far.started(()).await;
        block_on(open_link(here, far, async |_near, ()| Ok(()))).is_err_and(|error| is_not_infected(&error))
    });
    assert!(thread.join().expect("it does not panic"), "a link was opened on a thread without tokio");
    Ok(())
}

/// A handle that is carried to a thread that tokio does not run on is refused there.
pub(crate) async fn l30_a_carried_handle() -> Result<()> {
    actor_nursery(async |n| {
        let actor = n.actor("infected").host(Tokio::current_thread()).expose(carries_a_handle).start().await?;
        actor.run(carries_a_handle, ()).await?;
        actor.cancel_actor().await
    })
    .await
}

pub(crate) async fn l30_outside_an_infected_actor() -> Result<()> {
    assert!(asks_for_tokio().await? && !is_infected(), "the root runs on smol");
    actor_nursery(async |n| {
        let actor = n.actor("plain").expose(asks_for_tokio).start().await?;
        assert!(actor.run(asks_for_tokio, ()).await?, "this actor runs on smol");
        actor.cancel_actor().await
    })
    .await
}

pub(crate) fn l30_outside_everything() -> Result<(), Failed> {
    let error = Tokio::here().expect_err("no actor here");
    if is_not_infected(&error) { Ok(()) } else { Err(format!("it does not name the remedy: {error:?}").into()) }
}

// ---- L36: silence

/// Writes every event of WARN and above on standard error. In the root, and by `main` in every actor.
pub(crate) fn listen_for_warnings() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Warnings).expect("nobody else listens"));
}

struct Warnings;

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        eprintln!("{} {}: {event:?}", event.metadata().level(), event.metadata().target());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn is_silent(what: &str, command: &mut Command) -> Result<(), Failed> {
    let ended = command.output()?;
    if !ended.status.success() || !ended.stderr.is_empty() {
        return Err(format!("{what}: {}: {}", ended.status, String::from_utf8_lossy(&ended.stderr)).into());
    }
    Ok(())
}

/// Runs tests of this program, each in a process that shows its warnings.
fn are_silent(placement: &str, tests: &[&str]) -> Result<(), Failed> {
    for test in tests {
        let name = format!("{placement}::{test}");
        is_silent(&name, Command::new(std::env::current_exe()?).args(["--exact", &name]))?;
    }
    Ok(())
}

pub(crate) fn l36_clean_runs_are_silent(placement: &str) -> Result<(), Failed> {
    are_silent(placement, &["l01_normal_exit", "l24_order", "l03_what_was_spawned_gives_its_value"])
}

pub(crate) fn l36_cancelled_runs_are_silent(placement: &str) -> Result<(), Failed> {
    let tests = [
        "l01_cancel",
        "l01_timeout",
        "l01_dropped",
        "l02_run_cancelled_at_every_await",
        "l03_spawned_tasks_end_with_a_cancelled_link",
        "l16_a_request_to_a_black_hole",
    ];
    are_silent(placement, &tests)
}

/// There: every abnormal end is reported once more by the loop's handler of last resort.
pub(crate) fn row21_abnormal_ends_are_silent(placement: &str) -> Result<(), Failed> {
    let tests = [
        "row01_the_task_fails_while_the_body_receives",
        "row03_the_body_fails",
        "row04_both_raise_independently",
        "row08_a_body_error_beside_a_task_that_waits_for_something_else",
        "row13_a_task_that_swallows_the_signal",
        "row14_a_task_that_is_cancelled_on_its_own_side",
        "l12_a_failure_that_was_told_of_comes_second",
        "l14_a_failure_after_the_cancel_is_kept",
    ];
    are_silent(placement, &tests)
}

pub(crate) fn l36_an_example_is_silent() -> Result<(), Failed> {
    is_silent("infected_echo", Command::new(harness::example("infected_echo")?).args(["--rounds", "200"]))
}
