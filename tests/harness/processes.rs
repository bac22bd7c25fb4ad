//! The processes of this machine, as far as the tests ask for them.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// The children of this process, also those that have ended and were not reaped.
pub(crate) fn children() -> Vec<u32> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a Linux with /proc");
    let lists = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().map(|pid| pid.parse().expect("a number")).collect::<Vec<_>>())
        .collect()
}

/// The processes that run as actors whose path contains `name`.
pub(crate) fn actors(name: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("a Linux with /proc").flatten();
    let numbered = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbered.filter(|pid| is_actor(*pid, name)).collect()
}

fn is_actor(pid: u32, name: &str) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    line.split('\0').any(|argument| argument.starts_with("--pleach-actor=") && argument.contains(name))
}

/// Asserts that these processes are gone and reaped, and that no other is left under that name.
pub(crate) fn assert_gone(pids: &[u32], name: &str) {
    let left = children();
    assert!(pids.iter().all(|pid| !left.contains(pid)), "of {pids:?} some are still among the children {left:?}");
    assert_eq!(actors(name), [0; 0], "actors of {name}");
}

/// The processes that have this variable in their environment, and have not ended.
pub(crate) fn marked(variable: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("a Linux with /proc").flatten();
    let numbered = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbered.filter(|pid| has_variable(*pid, variable)).collect()
}

/// That of a zombie is empty.
fn has_variable(pid: u32, variable: &str) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|other| other == variable.as_bytes())
}

/// Sends SIGINT, as the terminal does for Ctrl-C.
pub(crate) fn interrupt(pid: u32) {
    kill_process(number(pid), Signal::INT).expect("it lives");
}

/// Sends SIGKILL.
pub(crate) fn kill(pid: u32) {
    kill_process(number(pid), Signal::KILL).expect("it lives");
}

/// Sends SIGTERM.
pub(crate) fn terminate(pid: u32) {
    kill_process(number(pid), Signal::TERM).expect("it lives");
}

/// Sends any signal.
pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(number(pid), signal).expect("it lives");
}

/// Sends SIGSTOP, and waits until the process has stopped.
pub(crate) fn stop(pid: u32) {
    kill_process(number(pid), Signal::STOP).expect("it lives");
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    while !state().contains(") T ") {
        std::thread::yield_now();
    }
}

/// A process that is no child of this one, to be waited for.
#[derive(Debug)]
pub(crate) struct Watched(OwnedFd);

impl Watched {
    pub(crate) fn new(pid: u32) -> Self {
        Self(pidfd_open(number(pid), PidfdFlags::empty()).expect("it lives"))
    }

    /// Whether it ends within `bound`.
    pub(crate) fn ends_within(&self, bound: Duration) -> bool {
        let timeout = Timespec::try_from(bound).expect("a short time");
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout)).expect("a valid descriptor") == 1
    }
}

fn number(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed()).expect("not 0")
}
