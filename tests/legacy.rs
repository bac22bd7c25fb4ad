//! Legacy code of tokio in whole programs: the examples do what they say, and an actor that cannot be helped goes down.

mod harness;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pleach::prelude::*;
use pleach_bridge::{OnLeak, Tokio, run};

pleach::test_entry!();

/// What an example prints. It must succeed, and say nothing on its standard error.
fn printed(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(harness::example(name).unwrap()).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{name}: {}\n{said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn assert_lines(printed: &str, lines: &[&str]) {
    for line in lines {
        assert!(printed.lines().any(|printed| printed.contains(line)), "no line `{line}` in\n{printed}");
    }
}

const NAMED: [&str; 3] =
    [" - detached tasks: 3, dropped", " - tasks that were spawned in a drop: 1, dropped", " (`sleep`), killed"];

#[test]
fn l03_the_bad_citizen_is_named_and_nothing_of_it_is_alive() {
    let printed = printed("bad_citizen", &[]);
    assert_lines(&printed, &NAMED);
    let gone = ["processes of it that are alive: 0", "threads of it that are alive: 0 ", "children of this process: 0"];
    assert_lines(&printed, &gone);
    assert_lines(&printed, &[" - threads that blocked: 1, ended late", "stragglers: 0"]);
}

#[test]
fn l19_the_actor_of_a_thread_that_blocks_for_ever_is_brought_down() {
    let printed = printed("bad_citizen", &["--for-ever"]);
    assert_lines(&printed, &NAMED);
    let rest =
        [" - threads that block: 1, still running", "its process is alive: false", "children of this process: 0"];
    assert_lines(&printed, &rest);
}

#[test]
fn l36_a_hundred_calls_of_reqwest_leave_nothing_and_say_nothing() {
    let lines = [
        "while it runs: 1 thread of tokio, 3 TCP sockets",
        "100 answers over 1 TCP connection(s)",
        "threads of tokio: []",
        "TCP sockets: 0",
        "threads of scopes that are over: 0",
    ];
    assert_lines(&printed("legacy_call", &[]), &lines);
}

static IS_UP: AtomicBool = AtomicBool::new(false);

/// Never awaits, and so hears of nothing.
async fn never_awaits() -> Result<()> {
    IS_UP.store(true, Ordering::SeqCst);
    loop {
        std::thread::park();
    }
}

#[pleach::endpoint]
async fn calls_what_never_awaits() -> Result<()> {
    let on = Tokio::thread().on_leak(OnLeak::EndActor);
    let scope = CancelScope::new().with_grace(Duration::from_secs(3));
    let call = scope.run(run(on, || async { never_awaits().await }));
    let cancel = async {
        while !IS_UP.load(Ordering::SeqCst) {
            checkpoint().await?;
        }
        scope.cancel("it has had its time");
        std::future::pending().await
    };
    futures_lite::future::or(call, cancel).await.map(drop)
}

#[pleach::test]
async fn l19_the_actor_of_a_task_that_never_awaits_is_brought_down() -> Result<()> {
    let mut pid = 0;
    let nursery = actor_nursery(async |n| {
        let actor = n.actor("stuck").expose(calls_what_never_awaits).start().await?;
        pid = actor.pid();
        actor.run(calls_what_never_awaits, ()).await
    });
    let error = fail_after(Duration::from_secs(20), nursery).await.expect_err("it is stuck");
    assert!(error.to_string().contains("calls_what_never_awaits") && !error.is_timeout(), "{error:?}");
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the actor lives on: {error:?}");
    Ok(())
}
