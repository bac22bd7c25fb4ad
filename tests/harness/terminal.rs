//! A terminal of a test's own, with a program in it.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;

use libtest_mimic::Failed;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::programs::{Program, lines_of};

/// The end at which somebody sits.
pub(crate) struct Terminal {
    keyboard: File,
    inside: File,
    /// Read, so that nobody who writes has to wait.
    _screen: Receiver<String>,
}

impl Terminal {
    pub(crate) fn open() -> Result<Self, Failed> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        let other_end = ptsname(&terminal, Vec::new())?.into_string()?;
        let inside = File::options().read(true).write(true).open(other_end)?;
        let screen = lines_of(OwnedFd::from(File::from(terminal.try_clone()?)));
        Ok(Self { keyboard: File::from(terminal), inside, _screen: screen })
    }

    /// Starts this very test, in the role that takes the terminal.
    pub(crate) fn start(&self, arguments: &[&str]) -> Result<Program, Failed> {
        let stdin = Stdio::from(self.inside.try_clone()?);
        Ok(Program::start(Command::new(std::env::current_exe()?).args(arguments).stdin(stdin)))
    }

    pub(crate) fn ctrl_c(&mut self) -> std::io::Result<()> {
        self.keyboard.write_all(b"\x03")
    }
}

/// Takes the terminal that its standard input is, and becomes the root `role` with the same arguments.
pub(crate) fn in_terminal(role: &str) -> std::io::Error {
    rustix::process::setsid().expect("it leads no group");
    rustix::process::ioctl_tiocsctty(std::io::stdin()).expect("a terminal of nobody's");
    let arguments = std::env::args().skip(2);
    Command::new("/proc/self/exe").arg(format!("--root={role}")).args(arguments).exec()
}
