use super::cast::{play, play_with};
use super::*;

#[test]
fn p03_a_killed_child_is_told_with_its_signal() {
    let child = play("echo");
    let process = watch(child.born());
    child.ready();
    kill(&process, Signal::USR2);
    let death = child.buried();
    assert!(matches!(death.outcome, Outcome::Signaled { signal: 12, .. }), "{death}");
    assert_eq!((death.requested, death.before_handshake), (false, false));
    assert!(death.to_string().contains("SIGUSR2"), "{death}");
}

#[test]
fn p03_a_failure_that_was_said_last_is_in_the_death() {
    let death = play("fails").buried();
    assert_eq!(death.outcome, Outcome::Exited(3));
    let error = death.bye.clone().flatten().unwrap_or_else(|| panic!("{death:?}"));
    assert_eq!(error.actor, "root/a");
    assert!(death.to_string().contains("the stream ended"), "{death}");
}

#[test]
fn p03_what_a_child_said_before_it_died_is_heard_to_the_end() {
    let child = play("talks and dies");
    let mut heard = 0;
    let death = child.until(|event| match event {
        Event::Said(ControlMessage::CancelAck { dialog }) => {
            heard = dialog;
            None
        }
        Event::Ended(death) => Some(death),
        _ => None,
    });
    assert_eq!((heard, death.bye), (1_000, Some(None)));
    assert_eq!(death.outcome, Outcome::Signaled { signal: 9, core: false });
}

#[test]
fn d12_an_abrupt_death_is_told_within_50_ms() {
    let abruptly = || {
        let child = play("deaf");
        let process = watch(child.born());
        child.ready();
        let start = Instant::now();
        kill(&process, Signal::KILL);
        child.buried();
        start.elapsed()
    };
    // One of some, since the machine may be busy with something else.
    let taken: Vec<Duration> = (0..20).map(|_| abruptly()).take_while(|taken| taken.as_millis() >= 50).collect();
    assert!(taken.len() < 20, "{taken:?}");
}

#[test]
fn p02_a_subtree_dies_with_its_root_also_when_it_is_stopped() {
    for stop in [false, true] {
        let child = play("parent");
        let middle = watch(child.born());
        let ControlMessage::Pong(leaf) = child.said() else { panic!("it tells a number") };
        let leaf = watch(Pid::from_raw(leaf.try_into().unwrap()).unwrap());
        if stop {
            kill(&leaf, Signal::STOP);
        }
        kill(&middle, Signal::KILL);
        child.buried();
        let ended = ends_within(&leaf, Duration::from_secs(2));
        let _ = pidfd_send_signal(&leaf, Signal::KILL);
        assert!(ended, "the leaf survives (stopped: {stop})");
    }
}

#[test]
fn p06_a_cancelled_child_that_does_nothing_gets_sigterm_and_then_sigkill() {
    let child = play("deaf");
    child.ready();
    child.handle().cancel(asked(), Duration::from_millis(50));
    assert_eq!(child.said(), ControlMessage::CancelActorAck, "its control thread lives");
    let death = child.buried();
    assert_eq!(death.outcome, Outcome::Signaled { signal: 9, core: false });
    assert_eq!(death.steps, [Step::Asked, Step::Terminated, Step::Killed]);
    assert!(death.requested && death.fault.is_none(), "{death}");
}

#[test]
fn p06_sigterm_reaches_a_child_that_is_stopped() {
    let child = start_program(shell("trap 'exit 9' TERM; echo here >&2; kill -STOP $$; exit 1"), times());
    child.line();
    child.handle().cancel(asked(), Duration::ZERO);
    let death = child.buried();
    assert_eq!(death.outcome, Outcome::Exited(9), "{death}");
    assert_eq!(death.steps, [Step::Asked, Step::Terminated]);
}

#[test]
fn p06_a_program_that_ignores_sigterm_is_killed() {
    let child = start_program(shell("trap '' TERM; echo here >&2; while :; do :; done"), times());
    child.line();
    child.handle().cancel(asked(), Duration::ZERO);
    let death = child.buried();
    assert_eq!(death.outcome, Outcome::Signaled { signal: 9, core: false });
    assert_eq!(death.steps, [Step::Asked, Step::Terminated, Step::Killed]);
}

#[test]
fn p06_sigterm_is_told_to_the_actor() {
    let child = play("echo");
    let process = watch(child.born());
    child.ready();
    kill(&process, Signal::TERM);
    assert_eq!(child.buried().outcome, Outcome::Exited(cast::FINE));
}

#[test]
fn p06_kill_is_sigkill_at_once() {
    let child = play("deaf");
    child.ready();
    child.handle().kill();
    assert_eq!(child.buried().steps, [Step::Killed]);
}

#[test]
fn p06_a_child_that_does_not_end_after_its_last_word_is_made_to() {
    let linger = Duration::from_millis(50);
    let death = play_with("hangs after bye", Times { linger, ..times() }).buried();
    assert_eq!(death.outcome, Outcome::Signaled { signal: 9, core: false });
    assert_eq!((death.bye, death.steps), (Some(None), vec![Step::Terminated, Step::Killed]));
}

#[test]
fn p06_a_child_that_hangs_up_and_runs_on_is_made_to_end() {
    let hang_up = Duration::from_millis(50);
    let child = start_program(shell("exec 0</dev/null; exec sleep 1000"), Times { hang_up, ..times() });
    let death = child.buried();
    assert_eq!(death.outcome, Outcome::Signaled { signal: 15, core: false });
    assert_eq!((death.fault, death.requested), (Some(Fault::HungUp), false));
}

#[test]
fn p06_what_cannot_be_killed_in_time_is_told_once_and_reaped_later() {
    let child = start_program(shell("exec sleep 1000"), Times { give_up: Duration::ZERO, ..times() });
    let pid = child.born();
    let process = watch(pid);
    child.handle().kill();
    let death = child.ended();
    // With no time to die in, SIGKILL may have worked all the same.
    if let Outcome::Unkillable { .. } = death.outcome {
        assert_eq!(death.steps, [Step::Killed, Step::GaveUp]);
    }
    assert!(ends_within(&process, BOUND));
    let reaped = || waitpid(Some(pid), WaitOptions::NOHANG | WaitOptions::empty()).is_err();
    let end = Instant::now() + BOUND;
    while std::fs::exists(format!("/proc/{pid}")).unwrap() {
        assert!(Instant::now() < end, "it is not reaped");
        std::thread::yield_now();
    }
    assert!(reaped(), "it was reaped by the control thread");
    assert!(child.events.try_recv().is_err(), "it is told once");
}

#[test]
fn p01_a_child_whose_handle_is_dropped_is_killed_and_reaped() {
    let mut child = play("deaf");
    child.handle = None;
    let death = child.buried();
    assert_eq!(death.outcome, Outcome::Signaled { signal: 9, core: false });
    assert!(death.requested);
}

#[test]
fn p01_a_hundred_children_leave_nothing_behind() {
    let children: Vec<Child> = (0..100).map(|_| start_program(shell("exit 0"), times())).collect();
    for child in &children {
        assert_eq!(child.buried().outcome, Outcome::Exited(0));
    }
}

#[test]
fn p07_the_group_is_killed_while_its_leader_is_not_reaped() {
    let child = start_program(shell("sleep 1000 & echo $! >&2; wait"), times());
    let leader = watch(child.born());
    let member = watch(Pid::from_raw(child.line().parse().unwrap()).unwrap());
    kill(&leader, Signal::KILL);
    child.buried();
    assert!(ends_within(&member, BOUND), "a member of the group survives");
}
