//! The processes of this machine, as far as the test asks for them.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::process::{kill_process, pidfd_open, Pid, PidfdFlags, Signal};

/// Those that have this variable in their environment, and have not ended.
pub fn marked(variable: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
    let numbered = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbered
        .filter(|pid| has_variable(*pid, variable))
        .collect()
}

/// That of a zombie is empty.
fn has_variable(pid: u32, variable: &str) -> bool {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0);
    variables.any(|other| other == variable.as_bytes())
}

/// Sends SIGINT, as the terminal does for Ctrl-C.
pub fn interrupt(pid: u32) {
    kill_process(number(pid), Signal::INT).expect("it lives");
}

/// Sends SIGKILL.
pub fn kill(pid: u32) {
    kill_process(number(pid), Signal::KILL).expect("it lives");
}

/// One that is to be waited for.
pub struct Watched(OwnedFd);

impl Watched {
    pub fn new(pid: u32) -> Self {
        Self(pidfd_open(number(pid), PidfdFlags::empty()).expect("it lives"))
    }

    /// Whether it ends within `bound`.
    pub fn ends_within(&self, bound: Duration) -> bool {
        let timeout = Timespec::try_from(bound).expect("a short time");
        let mut process = [PollFd::new(&self.0, PollFlags::IN)];
        poll(&mut process, Some(&timeout)).expect("a valid descriptor") == 1
    }
}

fn number(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed()).expect("not 0")
}
