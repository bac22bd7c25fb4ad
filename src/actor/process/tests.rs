//! Children that are born, live and die. They are plain programs, or this test binary started again (see `cast`).

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};

use super::*;
use crate::error::Reason;
use crate::proto::control::{ControlMessage, SpawnSpec};
use crate::proto::handshake::{Agreed, Known};

mod birth;
mod cast;
mod death;
mod role;

/// Longer than anything here takes, also on a busy machine.
const BOUND: Duration = Duration::from_secs(20);

/// One event of a child.
#[derive(Debug)]
enum Event {
    Born(u32),
    Ready(Agreed),
    Said(ControlMessage),
    Line(String),
    NotStarted(SpawnError),
    Ended(Death),
}

/// Sends every event to the test.
struct Recorder(Sender<Event>);

impl Recorder {
    fn note(&self, event: Event) {
        let _ = self.0.send(event);
    }
}

impl ChildEvents for Recorder {
    fn born(&self, pid: u32) {
        self.note(Event::Born(pid));
    }
    fn ready(&self, agreed: Agreed) {
        self.note(Event::Ready(agreed));
    }
    fn control(&self, message: ControlMessage) {
        self.note(Event::Said(message));
    }
    fn stderr_line(&self, line: &[u8]) -> bool {
        self.note(Event::Line(String::from_utf8_lossy(line).trim_end().to_owned()));
        true
    }
    fn not_started(self: Arc<Self>, error: SpawnError) {
        self.note(Event::NotStarted(error));
    }
    fn ended(self: Arc<Self>, death: Death) {
        self.note(Event::Ended(death));
    }
}

/// A child under test.
struct Child {
    handle: Option<ChildHandle>,
    events: Receiver<Event>,
    data: OwnedFd,
}

fn known() -> Known {
    Known { codecs: vec!["msgpack".into(), "json".into()], max_message: 1 << 24 }
}

fn times() -> Times {
    // A plain program never answers the handshake, and a busy machine may make a child late.
    Times { terminate: Duration::from_millis(200), handshake: BOUND, hang_up: BOUND, ..Times::default() }
}

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}

fn shell(script: &str) -> Program {
    Program::new("/bin/sh", &["-c", script])
}

fn start_with(program: Program, spec: SpawnSpec, times: Times) -> Child {
    take_entry();
    let (data, theirs) = pair();
    let (sender, events) = channel();
    let launch = Launch { program, tree: "tree".into(), spec, known: known(), data: Some(theirs), times };
    let handle = start(launch, Arc::new(Recorder(sender))).unwrap();
    Child { handle: Some(handle), events, data }
}

fn start_program(program: Program, times: Times) -> Child {
    let spec = SpawnSpec { path: "root/a".into(), incarnation: 1, ..SpawnSpec::default() };
    start_with(program, spec, times)
}

impl Child {
    fn handle(&self) -> &ChildHandle {
        self.handle.as_ref().expect("it was not dropped")
    }

    fn next(&self) -> Event {
        self.events.recv_timeout(BOUND).expect("something happens in time")
    }

    /// The first event of which `pick` makes something.
    fn until<T>(&self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            if let Some(found) = pick(self.next()) {
                return found;
            }
        }
    }

    fn born(&self) -> Pid {
        let pid = self.until(|event| match event {
            Event::Born(pid) => Some(pid),
            Event::NotStarted(error) => panic!("{error}"),
            _ => None,
        });
        Pid::from_raw(pid.cast_signed()).expect("it is a number")
    }

    fn ready(&self) -> Agreed {
        self.until(|event| match event {
            Event::Ready(agreed) => Some(agreed),
            Event::NotStarted(error) => panic!("{error}"),
            Event::Ended(death) => panic!("{death}"),
            _ => None,
        })
    }

    fn said(&self) -> ControlMessage {
        self.until(|event| match event {
            Event::Said(message) => Some(message),
            Event::Ended(death) => panic!("{death}"),
            _ => None,
        })
    }

    fn line(&self) -> String {
        self.until(|event| match event {
            Event::Line(line) => Some(line),
            Event::Ended(death) => panic!("{death}"),
            _ => None,
        })
    }

    fn not_started(&self) -> SpawnError {
        self.until(|event| match event {
            Event::NotStarted(error) => Some(error),
            Event::Born(pid) => panic!("{pid} was born"),
            _ => None,
        })
    }

    /// The death, after which nothing happens any more and nothing is left.
    fn ended(&self) -> Death {
        let death = self.until(|event| match event {
            Event::Ended(death) => Some(death),
            _ => None,
        });
        assert!(self.events.try_recv().is_err(), "an event after the last one");
        death
    }

    /// Like [`ended`](Self::ended), of a process that must be reaped by then.
    fn buried(&self) -> Death {
        let death = self.ended();
        let pid = Pid::from_raw(death.pid.cast_signed()).unwrap();
        assert_eq!(waitpid(Some(pid), WaitOptions::NOHANG).err(), Some(rustix::io::Errno::CHILD), "it is not reaped");
        death
    }
}

fn asked() -> Reason {
    Reason::Explicit { by: String::new(), message: "enough".into() }
}

/// Watches a process that may end at any time from now on.
fn watch(pid: Pid) -> OwnedFd {
    pidfd_open(pid, PidfdFlags::empty()).expect("the process is there")
}

fn kill(process: &OwnedFd, signal: Signal) {
    pidfd_send_signal(process, signal).expect("the process is there");
}

/// Whether the process ends within `bound`.
fn ends_within(process: &OwnedFd, bound: Duration) -> bool {
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    let end = Instant::now() + bound;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
        match poll(&mut fds, Some(&timeout)) {
            Ok(count) => return count > 0,
            Err(error) => assert_eq!(error, rustix::io::Errno::INTR),
        }
    }
}
