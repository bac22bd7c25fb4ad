//! The processes that the threads of a scope have started, and their descendants.
//!
//! A process is named by a descriptor that was opened while it was seen among the children of one of these threads, so
//! that no signal can hit another one that has got its number.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};

use super::leaked::LeakedProcess;
use super::proc::{children_of, is_being_killed, program};

/// One of them.
#[derive(Debug)]
struct Process {
    pid: i32,
    pidfd: OwnedFd,
    program: String,
    /// It is a child of this process, which has to be reaped.
    is_child: bool,
    /// The last signal that it was sent.
    sent: Option<Signal>,
    gone: bool,
}

impl Process {
    fn open(pid: i32, is_child: bool) -> io::Result<Option<Self>> {
        let Some(number) = Pid::from_raw(pid) else { return Ok(None) };
        match pidfd_open(number, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Some(Self { pid, pidfd, program: String::new(), is_child, sent: None, gone: false })),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Looks whether it has died, and reaps it if so.
    fn look(&mut self) {
        if self.gone || !self.is_dead() {
            return;
        }
        if self.is_child {
            // That it is not a child any more means that somebody else, such as tokio, has reaped it.
            let _ = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        }
        self.gone = true;
    }

    fn is_dead(&self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&at_once)).is_ok_and(|ready| ready > 0)
    }

    fn signal(&mut self, signal: Signal) {
        if self.sent.is_none() {
            // Not earlier: until it executes its program, a process has the name of the one that has forked it.
            self.program = program(self.pid).unwrap_or_default();
        }
        if self.sent != Some(signal) {
            self.sent = Some(signal);
            // It fails if the process has died, which is seen at the next look.
            let _ = pidfd_send_signal(&self.pidfd, signal);
            let _ = pidfd_send_signal(&self.pidfd, Signal::CONT);
        }
    }
}

/// The processes of one scope.
#[derive(Debug, Default)]
pub(super) struct Processes(Vec<Process>);

impl Processes {
    /// Takes over the children of a thread, as `list` reads them.
    pub(super) fn adopt(&mut self, mut list: impl FnMut() -> io::Result<Vec<i32>>) -> io::Result<()> {
        self.take(&mut list, true).map(drop)
    }

    /// Puts in what another list has found.
    pub(super) fn append(&mut self, mut others: Self) {
        others.0.retain(|other| !self.knows(other.pid));
        self.0.append(&mut others.0);
    }

    /// Forgets those that have died.
    pub(super) fn prune(&mut self) {
        self.look();
        self.0.retain(|process| !process.gone);
    }

    fn knows(&self, pid: i32) -> bool {
        self.0.iter().any(|process| process.pid == pid && !process.gone)
    }

    /// Gives how many were taken, from that end of the list.
    fn take(&mut self, list: &mut impl FnMut() -> io::Result<Vec<i32>>, is_child: bool) -> io::Result<usize> {
        let mut new = Vec::new();
        for pid in list()? {
            if !self.knows(pid) {
                new.extend(Process::open(pid, is_child)?);
            }
        }
        if !new.is_empty() {
            // Still listed, so each number has meant the same process all the while.
            let still = list()?;
            new.retain(|process| still.contains(&process.pid));
        }
        let taken = new.len();
        self.0.extend(new);
        Ok(taken)
    }

    /// Looks at all of them, and for their descendants.
    pub(super) fn find_descendants(&mut self) -> io::Result<()> {
        self.look();
        let mut next = 0;
        while next < self.0.len() {
            let pid = self.0[next].pid;
            if !self.0[next].gone {
                self.take(&mut || children_of(pid), false)?;
                self.look();
            }
            next += 1;
        }
        Ok(())
    }

    fn look(&mut self) {
        self.0.iter_mut().for_each(Process::look);
    }

    pub(super) fn all_gone(&self) -> bool {
        self.0.iter().all(|process| process.gone)
    }

    /// Asks those to end that are not being ended already.
    pub(super) fn terminate(&mut self) {
        for process in self.0.iter_mut().filter(|process| !process.gone && process.sent.is_none()) {
            if !is_being_killed(process.pid).unwrap_or(false) {
                process.signal(Signal::TERM);
            }
        }
    }

    /// Kills them.
    pub(super) fn kill(&mut self) {
        self.0.iter_mut().filter(|process| !process.gone).for_each(|process| process.signal(Signal::KILL));
    }

    /// Those that did not end by themselves.
    pub(super) fn leaked(&self) -> Vec<LeakedProcess> {
        let killed = self.0.iter().filter(|process| process.sent.is_some() || !process.gone);
        let leaked = |process: &Process| LeakedProcess {
            pid: process.pid.cast_unsigned(),
            program: process.program.clone(),
            ended: process.gone,
        };
        killed.map(leaked).collect()
    }
}
