//! The first moments of a child: whether it is one, of whom, and what it is to be.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{socket_domain, socket_peercred, socket_type};
use rustix::net::{AddressFamily, SocketType};
use thiserror::Error;
use zeroize::Zeroize;

use super::conn::{Conn, Received};
use super::control::{Command, control};
use super::entry::take_entry;
use super::parent::ParentHandle;
use super::spawner::ROLE;
use crate::actor::wire::{DataError, LooseLine};
use crate::proto::control::{ControlError, ControlMessage, Hello, SpawnSpec};
use crate::proto::handshake::{Agreed, ChildSide, HandshakeError, Known};
use crate::sys;

/// How long the parent's first messages may take; they were written before this process ran.
const DEADLINE: Duration = Duration::from_secs(3);

/// Read at once.
const CHUNK: usize = 16 * 1024;

/// What this process is to be, told by its parent.
#[derive(Debug)]
pub(crate) struct ChildRole {
    /// What the handshake gave.
    pub(crate) agreed: Agreed,
    /// The tree this process belongs to.
    pub(crate) tree: String,
    /// What it is to be.
    pub(crate) spec: SpawnSpec,
    /// Its end of the data connection.
    pub(in crate::actor) data: LooseLine,
    /// The way to its parent.
    pub(crate) parent: ParentHandle,
}

/// A process that was started as a child, and cannot be one.
#[derive(Debug, Error)]
pub(crate) enum BootError {
    #[error("what arrived on standard input is not from a parent: {0}")]
    Garbage(#[from] ControlError),
    #[error("the parent sent something else where its {0} was expected")]
    Unexpected(&'static str),
    #[error("the parent did not introduce itself within {0:?}")]
    Silent(Duration),
    #[error("the parent ended before it had introduced itself")]
    HungUp,
    #[error("the handshake with the parent failed: {0}")]
    Handshake(#[from] HandshakeError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("{0} failed: {1}")]
    System(&'static str, io::Error),
}

/// The role of a child, if this process was started as one. It is given once.
///
/// A process is a child if its first argument says so *and* its standard input is a socket; the argument alone makes a
/// root that happens to have such an argument.
pub(crate) fn take_role(known: Known) -> Option<Result<ChildRole, BootError>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    take_entry();
    if !is_called_child() || TAKEN.swap(true, Ordering::AcqRel) {
        return None;
    }
    ChildRole::from_stdin(known)
}

/// Whether the first argument says that this process is a child, which alone does not make it one.
pub(crate) fn is_called_child() -> bool {
    std::env::args_os().nth(1).is_some_and(|first| first.as_bytes().starts_with(ROLE.as_bytes()))
}

impl ChildRole {
    /// The role that arrives on standard input, if that is a socket. To be called once.
    pub(crate) fn from_stdin(known: Known) -> Option<Result<Self, BootError>> {
        let stdin = io::stdin();
        let unix = socket_domain(&stdin).is_ok_and(|domain| domain == AddressFamily::UNIX);
        let stream = socket_type(&stdin).is_ok_and(|kind| kind == SocketType::STREAM);
        (unix && stream).then(|| boot(known))
    }
}

fn boot(known: Known) -> Result<ChildRole, BootError> {
    let system = |what| move |error: io::Error| BootError::System(what, error);
    let socket = sys::take_stdin().map_err(system("taking the control connection from standard input"))?;
    let peer = socket_peercred(&socket).map_err(|error| system("asking for the parent's number")(error.into()))?;
    let mut boot = Boot { conn: Conn::new(socket), chunk: vec![0; CHUNK], deadline: Instant::now() + DEADLINE };
    let hello = boot.hello()?;
    let spec = boot.spec()?;
    let data = boot.data(&spec)?;
    let (answer, agreed) = ChildSide::new(std::process::id(), known).answer(&hello);
    let answer = ControlMessage::Hello(answer);
    let agreed = match agreed {
        Ok(agreed) => agreed,
        Err(error) => {
            // So that the parent can name both sides as well.
            let _ = boot.conn.queue_message(&answer);
            boot.conn.flush();
            return Err(error.into());
        }
    };
    sys::leave_the_terminal_to_the_root().map_err(system("handling the signals of a terminal"))?;
    let sigterm = sys::sigterm_pipe().map_err(system("listening to SIGTERM"))?;
    let control = control().map_err(system("starting the control thread"))?;
    let (done, tied) = sync_channel(1);
    control.push(Command::Adopt { conn: boot.conn, peer: peer.pid.as_raw_nonzero().get(), sigterm, done });
    tied.recv_timeout(DEADLINE).map_err(|_| BootError::Silent(DEADLINE))?;
    let parent = ParentHandle { control };
    // From here on the parent can count on this process to end with it.
    parent.send(&answer).map_err(|error| system("answering the parent")(io::Error::other(error)))?;
    Ok(ChildRole { agreed, tree: hello.tree, spec, data, parent })
}

/// The connection before the control thread has it.
struct Boot {
    conn: Conn,
    chunk: Vec<u8>,
    deadline: Instant,
}

impl Boot {
    fn hello(&mut self) -> Result<Hello, BootError> {
        match self.message()? {
            ControlMessage::Hello(hello) => Ok(hello),
            _ => Err(BootError::Unexpected("Hello")),
        }
    }

    fn spec(&mut self) -> Result<SpawnSpec, BootError> {
        match self.message()? {
            ControlMessage::SpawnSpec(spec) => {
                // There was a key in it.
                self.conn.wipe();
                self.chunk.zeroize();
                self.chunk.resize(CHUNK, 0);
                Ok(*spec)
            }
            _ => Err(BootError::Unexpected("SpawnSpec")),
        }
    }

    /// The data connection: passed with the first messages, or one to its parent that it makes now, before any code of the user
    /// runs and before the parent hears that it lives.
    fn data(&mut self, spec: &SpawnSpec) -> Result<LooseLine, BootError> {
        Ok(LooseLine::find(spec, self.conn.take_passed())?)
    }

    fn message(&mut self) -> Result<ControlMessage, BootError> {
        loop {
            if let Some(message) = self.conn.next()? {
                return Ok(message);
            }
            match self.conn.receive(&mut self.chunk) {
                Received::Bytes => {}
                Received::Nothing => self.wait()?,
                Received::End => return Err(BootError::HungUp),
            }
        }
    }

    fn wait(&self) -> Result<(), BootError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(BootError::Silent(DEADLINE));
        }
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: i64::from(left.subsec_nanos()) };
        let mut fds = [PollFd::from_borrowed_fd(self.conn.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(BootError::System("waiting for the parent", error.into())),
        }
    }
}
