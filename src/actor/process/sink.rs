//! Our own stderr as a place for the lines of children, written to without ever waiting.
//!
//! It may be a pipe that nobody reads, or a terminal that was stopped. It may also be shared with other programs, so it
//! cannot simply be made non-blocking: a pipe or terminal is opened a second time instead.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::sys::stderr;

/// Most bytes that wait for a reader; what comes when it is full is counted and thrown away.
const MAX_WAITING: usize = 256 * 1024;
/// A pipe that polls writable takes this much without waiting.
const PIPE_BUF: usize = 4096;

/// The way to descriptor 2.
#[derive(Debug)]
struct Target {
    /// Which file it was when it was opened again.
    identity: (u64, u64),
    /// The second opening of it, which is non-blocking.
    own: Option<OwnedFd>,
    /// Whether a plain write never waits, as for a file.
    plain: bool,
}

/// Lines on their way to our stderr.
#[derive(Debug, Default)]
pub(super) struct Sink {
    waiting: VecDeque<u8>,
    lost: usize,
    target: Option<Target>,
}

impl Sink {
    /// Takes one line. It is written by the next [`flush`](Self::flush).
    pub(super) fn put(&mut self, line: &[u8]) {
        if self.waiting.len() + line.len() > MAX_WAITING {
            self.flush();
        }
        if self.waiting.len() + line.len() > MAX_WAITING {
            self.lost += line.len();
            return;
        }
        self.say_what_is_lost();
        self.waiting.extend(line);
    }

    /// Once for all that was lost since the last time, where it is missing.
    fn say_what_is_lost(&mut self) {
        if self.lost > 0 {
            let note = format!("pleach: {} bytes of stderr were not read in time and are lost\n", self.lost);
            self.waiting.extend(note.as_bytes());
            self.lost = 0;
        }
    }

    /// Writes what goes without waiting.
    pub(super) fn flush(&mut self) {
        while !self.is_empty() {
            if self.waiting.is_empty() {
                self.say_what_is_lost();
            }
            match self.write_some() {
                Ok(written) => drop(self.waiting.drain(..written)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // Nobody can ever read it, and nobody can be told.
                Err(_) => (self.waiting, self.lost) = (VecDeque::new(), 0),
            }
        }
    }

    /// Whether there is nothing left to write.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.lost == 0
    }

    /// What to poll for being writable, if something waits.
    pub(super) fn wants_write(&self) -> Option<BorrowedFd<'_>> {
        let target = self.target.as_ref().filter(|_| !self.waiting.is_empty())?;
        Some(target.own.as_ref().map_or_else(|| stderr(), |own| own.as_fd()))
    }

    fn write_some(&mut self) -> rustix::io::Result<usize> {
        let bytes = self.waiting.as_slices().0;
        let target = current(&mut self.target)?;
        match &target.own {
            Some(own) => rustix::io::write(own, bytes),
            None if target.plain => rustix::io::write(stderr(), bytes),
            None => send_or_write(bytes),
        }
    }
}

/// To what cannot be opened again: a socket, or somebody else's pipe.
fn send_or_write(bytes: &[u8]) -> rustix::io::Result<usize> {
    match rustix::net::send(stderr(), bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Err(Errno::NOTSOCK) if writable() => rustix::io::write(stderr(), &bytes[..bytes.len().min(PIPE_BUF)]),
        Err(Errno::NOTSOCK) => Err(Errno::AGAIN),
        sent => sent,
    }
}

/// The target, opened anew if descriptor 2 is another file than last time.
fn current(target: &mut Option<Target>) -> rustix::io::Result<&Target> {
    let stat = rustix::fs::fstat(stderr())?;
    let identity = (stat.st_dev, stat.st_ino);
    if target.as_ref().is_none_or(|target| target.identity != identity) {
        let plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let own = if plain { None } else { open_again().ok() };
        *target = Some(Target { identity, own, plain });
    }
    Ok(target.as_ref().expect("it was just set"))
}

fn open_again() -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::open("/proc/self/fd/2", flags, Mode::empty())
}

fn writable() -> bool {
    let mut fds = [PollFd::from_borrowed_fd(stderr(), PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}
