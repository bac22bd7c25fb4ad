use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use super::cast::play;
use super::*;

#[test]
fn a_child_is_born_talks_and_ends_as_it_is_told() {
    let child = play("echo");
    let pid = child.born();
    let agreed = child.ready();
    assert_eq!(agreed.codec, "msgpack");
    assert_eq!(agreed.peer, pid.as_raw_nonzero().get().cast_unsigned());
    child.handle().send(&ControlMessage::Ping(7)).unwrap();
    assert_eq!(child.said(), ControlMessage::Pong(7));
    child.handle().send(&ControlMessage::Cancel { dialog: 5, reason: asked() }).unwrap();
    assert_eq!(child.said(), ControlMessage::CancelAck { dialog: 5 });
    child.handle().cancel(asked(), BOUND);
    assert_eq!(child.said(), ControlMessage::CancelActorAck);
    let death = child.buried();
    assert_eq!((death.outcome, death.bye.clone()), (Outcome::Exited(0), Some(None)));
    assert_eq!((death.requested, death.before_handshake), (true, false));
    assert_eq!(death.steps, [Step::Asked]);
}

#[test]
fn the_data_connection_arrives_with_the_role() {
    let child = play("data");
    let mut data = UnixStream::from(child.data.try_clone().unwrap());
    data.set_read_timeout(Some(BOUND)).unwrap();
    data.write_all(b"hello").unwrap();
    let mut answer = [0; 5];
    data.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HELLO");
    assert_eq!(child.buried().outcome, Outcome::Exited(0));
}

#[test]
fn a_role_that_is_larger_than_a_socket_holds_arrives_whole() {
    let host_config = vec![7; 1_000_000];
    let spec = SpawnSpec { path: "root/a".into(), host: "echo".into(), host_config, ..SpawnSpec::default() };
    let child = start_with(cast::again("cast::child_main"), spec, times());
    child.ready();
    child.handle().cancel(asked(), BOUND);
    assert_eq!(child.buried().outcome, Outcome::Exited(0));
}

#[test]
fn a_cancel_before_the_birth_is_heard_after_it() {
    let child = play("echo");
    child.handle().cancel(asked(), BOUND);
    let death = child.buried();
    assert_eq!((death.outcome, death.bye.clone()), (Outcome::Exited(0), Some(None)), "{death}");
}

#[test]
fn p01_a_child_that_is_dropped_while_it_is_born_is_killed_and_reaped() {
    let mut child = play("deaf");
    child.handle = None;
    assert_eq!(child.buried().outcome, Outcome::Signaled { signal: 9, core: false });
}

#[test]
fn p04_a_child_that_dies_before_its_handshake_is_told_at_once_with_status_and_stderr() {
    let child = start_program(shell("echo no licence found >&2; exit 78"), times());
    let death = child.buried();
    assert_eq!((death.outcome, death.before_handshake), (Outcome::Exited(78), true));
    assert_eq!((death.requested, &death.steps), (false, &vec![]));
    let text = death.to_string();
    for part in ["root/a", "/bin/sh", "exited with status 78", "before it was ready", "no licence found"] {
        assert!(text.contains(part), "{part:?} is missing in {text}");
    }
}

#[test]
fn p04_a_child_that_does_not_answer_in_time_is_killed() {
    let handshake = Duration::from_millis(100);
    let child = start_program(shell("echo busy >&2; exec sleep 1000"), Times { handshake, ..times() });
    let death = child.buried();
    assert_eq!(death.outcome, Outcome::Signaled { signal: 9, core: false });
    assert_eq!((death.fault.clone(), death.before_handshake), (Some(Fault::NoAnswer(handshake)), true));
    assert_eq!(death.stderr_tail, b"busy\n");
}

#[test]
fn p04_a_child_that_answers_with_something_else_is_killed() {
    let child = start_program(shell("echo this is not the protocol >&0; exec sleep 1000"), times());
    let death = child.buried();
    assert!(matches!(death.fault, Some(Fault::Protocol(_))), "{death}");
    assert!(death.before_handshake);
}

#[test]
fn p05_a_missing_program_is_a_typed_error_with_a_remedy() {
    let error = start_program(Program::new("/no/such/program", &[]), times()).not_started();
    assert_eq!(error.kind, SpawnErrorKind::Missing);
    let text = error.to_string();
    assert!(text.contains("root/a") && text.contains("/no/such/program") && text.contains("exist"), "{text}");
}

#[test]
fn p05_a_program_that_may_not_be_run_is_a_typed_error() {
    let error = start_program(Program::new("/etc/passwd", &[]), times()).not_started();
    assert_eq!(error.kind, SpawnErrorKind::Permission);
}

#[test]
fn p05_a_child_that_cannot_be_watched_is_killed_and_reaped() {
    // It has no stderr pipe, so watching it fails with the process running.
    let child = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    let pid = Pid::from_child(&child);
    spawner::watch(child).unwrap_err();
    assert_eq!(waitpid(Some(pid), WaitOptions::NOHANG).err(), Some(rustix::io::Errno::CHILD));
}

#[test]
fn p05_out_of_processes_is_a_typed_error_with_a_remedy() {
    let again = std::io::Error::from(rustix::io::Errno::AGAIN);
    let error = SpawnError::new("root/a", &shell(""), "executing the program", again);
    assert_eq!(error.kind, SpawnErrorKind::Processes);
    assert!(error.to_string().contains("ulimit -u"), "{error}");
}

#[test]
fn p12_a_child_that_floods_stderr_neither_blocks_nor_dies_of_it() {
    let child = start_program(shell("yes overflow | head -c 5000000 >&2; echo the end >&2; exit 7"), times());
    let death = child.buried();
    assert_eq!(death.outcome, Outcome::Exited(7));
    assert_eq!(death.stderr_tail.len(), 8 * 1024);
    assert!(death.stderr_tail.ends_with(b"the end\n"));
}
