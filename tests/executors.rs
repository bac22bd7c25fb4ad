//! One program, whatever polls its tree: the example says the same under each executor.

mod harness;

use std::process::{Command, Output};

const EXECUTORS: [&str; 5] = ["smol", "smol-threads", "tokio", "tokio-threads", "guest"];

fn run(arguments: &[&str]) -> Output {
    let program = harness::example("pick_an_executor").expect("the example can be built");
    Command::new(program).args(arguments).output().expect("the example can be run")
}

#[test]
fn the_last_line_is_the_same_under_each_executor() {
    for executor in EXECUTORS {
        let output = run(&[executor]);
        let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && complaint.is_empty(), "{executor}: {} {complaint}", output.status);
        assert_eq!(said.lines().last(), Some("12 ash, 7 elm, oak too late; the lamp is off"), "{executor}");
    }
}

#[test]
fn who_asks_for_another_one_is_told_of_all_that_there_are() {
    for arguments in [&[][..], &["asyncio"]] {
        let output = run(arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{arguments:?}: {complaint}");
        assert!(EXECUTORS.iter().all(|executor| complaint.contains(executor)), "{complaint}");
    }
}
