//! The parts that this test binary plays when it is started again as a child.

use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, exit};
use std::thread::{park, spawn};

use rustix::process::{getpid, kill_process};
use zeroize::Zeroize;

use super::*;
use crate::proto::key::{KEY, Key};

/// Standard input was no socket.
pub(super) const A_ROOT: i32 = 40;
/// Standard input was a socket with something else in it.
pub(super) const GARBAGE: i32 = 41;
/// The role could not be taken.
pub(super) const FAILED: i32 = 42;
/// All was as it should be.
pub(super) const FINE: i32 = 43;

/// This binary, as a child that plays `part`.
pub(super) fn play(part: &str) -> Child {
    play_with(part, times())
}

pub(super) fn play_with(part: &str, times: Times) -> Child {
    start_with(again("cast::child_main"), spec(part), times)
}

/// This binary, with one of the tests below as its only one.
pub(super) fn again(main: &str) -> Program {
    let name = format!("actor::process::tests::{main}");
    Program::new("/proc/self/exe", &["--exact", &name, "--nocapture", "-q", "--test-threads=1"])
}

/// Whether this is one test started alone, as by [`again`], and not one of many.
pub(super) fn is_alone() -> bool {
    std::env::args().nth(1).is_some_and(|first| first == "--exact")
}

/// Not a test: what a child runs.
#[test]
fn child_main() {
    if !is_alone() {
        return;
    }
    // On a thread that ends, as the thread of an entry point may: nothing may depend on it.
    let role = spawn(|| ChildRole::from_stdin(known())).join().unwrap();
    match role {
        None => exit(A_ROOT),
        Some(Err(BootError::Garbage(_))) => exit(GARBAGE),
        Some(Err(error)) => {
            eprintln!("{error}");
            exit(FAILED);
        }
        Some(Ok(role)) => act(role),
    }
}

struct Inbox(Sender<Option<ControlMessage>>);

impl ParentEvents for Inbox {
    fn control(&self, message: ControlMessage) {
        let _ = self.0.send(Some(message));
    }
    fn terminate(&self) {
        let _ = self.0.send(None);
    }
}

fn act(role: ChildRole) {
    let (sender, inbox) = channel();
    role.parent.attach(Arc::new(Inbox(sender)));
    match role.spec.host.as_str() {
        "echo" => echo(&role, &inbox),
        "data" => data(role),
        "deaf" => loop {
            park();
        },
        "fails" => fails(&role),
        "talks and dies" => talks_and_dies(&role),
        "hangs after bye" => {
            role.parent.bye(None, BOUND);
            loop {
                park();
            }
        }
        "counts keys" => counts_keys(&role),
        "gives a key" => gives_a_key(&role),
        "parent" => parent(&role, &inbox),
        "helper" => helper(&role),
        other => panic!("no part is called {other}"),
    }
}

/// Answers, and ends when it is told to.
fn echo(role: &ChildRole, inbox: &Receiver<Option<ControlMessage>>) {
    for message in inbox {
        match message {
            Some(ControlMessage::Cancel { dialog, .. }) => {
                role.parent.send(&ControlMessage::CancelAck { dialog }).unwrap();
            }
            Some(ControlMessage::CancelActor { .. }) => {
                assert!(role.parent.bye(None, BOUND));
                exit(0);
            }
            None => exit(FINE),
            _ => {}
        }
    }
}

/// Sends back what arrives on the data connection, in capitals.
fn data(role: ChildRole) {
    let mut data = UnixStream::from(OwnedFd::from(role.data));
    let mut word = [0; 5];
    data.read_exact(&mut word).unwrap();
    data.write_all(&word.to_ascii_uppercase()).unwrap();
    exit(0);
}

fn fails(role: &ChildRole) {
    let error = crate::Error::from(crate::error::Ended).to_remote(&role.spec.path, role.spec.incarnation);
    role.parent.bye(Some(error), BOUND);
    exit(3);
}

/// Dies in the middle of a lot of talk.
fn talks_and_dies(role: &ChildRole) {
    for dialog in 1..=1_000 {
        role.parent.send(&ControlMessage::CancelAck { dialog }).unwrap();
    }
    role.parent.bye(None, BOUND);
    kill_process(getpid(), Signal::KILL).unwrap();
}

/// Has a child of its own, tells its number, and does nothing else.
fn parent(role: &ChildRole, inbox: &Receiver<Option<ControlMessage>>) {
    let child = play("deaf");
    let pid = child.born();
    child.ready();
    role.parent.send(&ControlMessage::Pong(u64::from(pid.as_raw_nonzero().get().cast_unsigned()))).unwrap();
    for _ in inbox {}
}

/// A byte of the key that the tests give. It is nowhere in memory but where the key is.
pub(super) fn byte(at: usize) -> u8 {
    (at as u8).wrapping_mul(73) ^ 0x5C
}

pub(super) fn a_key() -> Key {
    Key::take(&mut std::array::from_fn(byte))
}

/// How often the key is in what this process can write to.
fn copies_of_the_key() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    let mut copies = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
        let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).unwrap());
        // Reading what was read before would find its copies.
        let mut page = zeroize::Zeroizing::new([0; 4096]);
        let mut matched = 0;
        for at in (from..to).step_by(4096) {
            if memory.read_at(&mut page[..], at).is_err() {
                break;
            }
            for read in page.iter() {
                matched = if *read == byte(matched) { matched + 1 } else { usize::from(*read == byte(0)) };
                if matched == KEY {
                    (copies, matched) = (copies + 1, 0);
                }
            }
            page.zeroize();
        }
    }
    copies
}

/// Tells how often it has the key that it was given.
fn counts_keys(role: &ChildRole) {
    assert!(role.spec.key == Some(a_key()), "the key has arrived");
    role.parent.send(&ControlMessage::Pong(copies_of_the_key() as u64)).unwrap();
    role.parent.bye(None, BOUND);
    exit(0);
}

/// Tells how often it has a key that it gave to a child.
fn gives_a_key(role: &ChildRole) {
    let child = play_with_key("deaf");
    child.ready();
    role.parent.send(&ControlMessage::Pong(copies_of_the_key() as u64)).unwrap();
    role.parent.bye(None, BOUND);
    exit(0);
}

/// As [`play`], with the key.
pub(super) fn play_with_key(part: &str) -> Child {
    let spec = SpawnSpec { key: Some(a_key()), ..spec(part) };
    start_with(again("cast::child_main"), spec, times())
}

fn spec(part: &str) -> SpawnSpec {
    SpawnSpec { path: "root/a".into(), incarnation: 1, host: part.into(), ..SpawnSpec::default() }
}

/// Starts this program as a helper, with everything inherited that can be.
fn helper(role: &ChildRole) {
    let Program { file, args, .. } = again("cast::child_main");
    let status = Command::new(file).args(args).status().unwrap();
    role.parent.send(&ControlMessage::Pong(u64::try_from(status.code().unwrap()).unwrap())).unwrap();
    role.parent.bye(None, BOUND);
    exit(0);
}
