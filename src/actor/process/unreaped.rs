//! A child process from its birth to its reaping: all signals to it are sent from here.
//!
//! As long as it is not reaped its number is its own, and so is that of the group it leads. That is why there is no signal
//! to anything else, and why `reap` is called once, last.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, pidfd_send_signal, waitid,
};

use super::death::Outcome;

/// A process that only this handle can reap.
#[derive(Debug)]
pub(crate) struct Unreaped {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
}

impl AsFd for Unreaped {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Unreaped {
    /// Its number, for texts.
    pub(crate) fn number(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Sends SIGTERM; and SIGCONT, since a stopped process would act on it only when someone continues it.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    /// Sends SIGKILL to it and to its group.
    pub(crate) fn kill_group(&self) {
        self.signal(Signal::KILL);
        // Its leader is not reaped: no other group can have this number.
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // It fails only if the process has ended, which the next poll will tell.
        let _ = pidfd_send_signal(&self.pidfd, signal);
    }

    /// Whether it has ended; it stays to be reaped.
    pub(crate) fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::PidFd(self.pidfd.as_fd()), options), Ok(None))
    }

    /// What it is doing, as one letter.
    pub(crate) fn state(&self) -> char {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?')
    }

    /// Takes the exit status of the process, which must have ended.
    pub(crate) fn reap(&self) -> Outcome {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), options);
        status.ok().flatten().as_ref().and_then(outcome).unwrap_or(Outcome::Lost)
    }
}

fn outcome(status: &WaitIdStatus) -> Option<Outcome> {
    let signaled = || status.terminating_signal().map(|signal| Outcome::Signaled { signal, core: status.dumped() });
    status.exit_status().map(Outcome::Exited).or_else(signaled)
}
