//! What the layers above hold of a child: how it is started, spoken to and ended.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use super::conn::encode;
use super::control::{Command, Control, control};
use super::death::Death;
use super::entry::require_entry;
use super::spawner::{Job, Program, SpawnError, spawner};
use super::watched::{Expected, Order};
use crate::error::{Misuse, Reason};
use crate::proto::control::{ControlMessage, EncodeError, Hello, SpawnSpec};
use crate::proto::handshake::{Agreed, Known, ParentSide};
use crate::proto::key::{KEY, Key};

/// How long the steps in the life of a child may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// From its start to its Hello.
    pub(crate) handshake: Duration,
    /// From its Bye to its exit.
    pub(crate) linger: Duration,
    /// From the end of its control connection to its exit. A process closes its files well before it is seen to end, and on
    /// a busy machine that takes its time.
    pub(crate) hang_up: Duration,
    /// From SIGTERM to SIGKILL.
    pub(crate) terminate: Duration,
    /// From SIGKILL to giving up.
    pub(crate) give_up: Duration,
    /// From its exit to the end of what it left in its connections.
    pub(crate) drain: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(3),
            linger: Duration::from_secs(1),
            hang_up: Duration::from_secs(1),
            terminate: Duration::from_millis(500),
            give_up: Duration::from_secs(2),
            drain: Duration::from_millis(250),
        }
    }
}

/// A child to be.
#[derive(Debug)]
pub(crate) struct Launch {
    /// What to run.
    pub(crate) program: Program,
    /// The tree it belongs to.
    pub(crate) tree: String,
    /// What it is to be.
    pub(crate) spec: SpawnSpec,
    /// What this side brings into the handshake.
    pub(crate) known: Known,
    /// The child's end of the data connection.
    pub(crate) data: Option<OwnedFd>,
    /// How long things may take.
    pub(crate) times: Times,
}

/// What happens to a child. All of it is called on the control thread, which holds no lock meanwhile: an implementation
/// hands on and returns, it never waits.
///
/// The last call is one of [`not_started`](Self::not_started) and [`ended`](Self::ended), exactly once. Both take the
/// handle to the events, so that the receiver decides on which thread it is dropped.
pub(crate) trait ChildEvents: Send + Sync + 'static {
    /// The program runs, as process `pid`.
    fn born(&self, pid: u32) {
        let _ = pid;
    }

    /// The child has answered the handshake.
    fn ready(&self, agreed: Agreed);

    /// The child said something: anything but Hello, and Ping, which has been answered.
    fn control(&self, message: ControlMessage);

    /// The child wrote a line to stderr; the newline is included. False: it is forwarded to our stderr as it is.
    fn stderr_line(&self, line: &[u8]) -> bool {
        let _ = line;
        false
    }

    /// There never was a process.
    fn not_started(self: Arc<Self>, error: SpawnError);

    /// The process has ended and is reaped (or given up, see [`Outcome::Unkillable`](super::Outcome::Unkillable)).
    fn ended(self: Arc<Self>, death: Death);
}

/// A child was refused before anything was started.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Misuse(#[from] Misuse),
    #[error("what the child is to be does not fit: {0}")]
    TooLarge(#[from] EncodeError),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

/// A child that was started. When the last clone is dropped before the child has ended, it is killed.
#[derive(Clone)]
pub(crate) struct ChildHandle(Arc<Inner>);

struct Inner {
    id: u64,
    control: &'static Control,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.control.push(Command::Order(self.id, Order::Kill));
    }
}

impl fmt::Debug for ChildHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildHandle").field(&self.0.id).finish()
    }
}

/// Starts a child, without waiting for it.
///
/// # Errors
/// Only what can be told before anything is started; everything later is told to `events`.
pub(crate) fn start(launch: Launch, events: Arc<dyn ChildEvents>) -> Result<ChildHandle, StartError> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let Launch { program, tree, spec, known, data, times } = launch;
    require_entry(&spec.path)?;
    let path = spec.path.clone();
    let handshake = ParentSide::new(&tree, std::process::id(), &known);
    let first = first_messages(handshake.hello(), spec)?;
    let no_thread = |error: io::Error| SpawnError::new(&path, &program, "starting a runtime thread", error);
    let control = control().map_err(no_thread)?;
    let spawner = spawner().map_err(no_thread)?;
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = program.name.clone();
    control.push(Command::Expect(id, Expected { path: path.clone(), program: name, events, handshake, times }));
    spawner.send(Job { id, path, program, first, data, control });
    Ok(ChildHandle(Arc::new(Inner { id, control })))
}

/// The bytes that wait for a child. There is a key in them, so they will be wiped; a buffer that grew would have left copies, so
/// the room for them is measured with another key.
fn first_messages(hello: &Hello, mut spec: SpawnSpec) -> Result<Zeroizing<Vec<u8>>, EncodeError> {
    let key = spec.key.replace(Key::take(&mut [0; KEY]));
    let mut messages = [ControlMessage::Hello(hello.clone()), ControlMessage::SpawnSpec(Box::new(spec))];
    let measured = bytes_of(&messages, 0)?.len();
    if let ControlMessage::SpawnSpec(spec) = &mut messages[1] {
        spec.key = key;
    }
    bytes_of(&messages, measured)
}

fn bytes_of(messages: &[ControlMessage], capacity: usize) -> Result<Zeroizing<Vec<u8>>, EncodeError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
    messages.iter().try_for_each(|message| message.encode(&mut bytes))?;
    Ok(bytes)
}

impl ChildHandle {
    /// Asks the actor to end within `grace`, and sees to it that the process ends: see the ladder.
    pub(crate) fn cancel(&self, reason: Reason, grace: Duration) {
        let budget_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let bytes = encode(&ControlMessage::CancelActor { reason, budget_ms }).unwrap_or_else(|_| shutdown(budget_ms));
        self.order(Order::Cancel { bytes, grace });
    }

    /// Ends the process and its group with SIGKILL.
    pub(crate) fn kill(&self) {
        self.order(Order::Kill);
    }

    /// Sends a message. It is lost if the child ends first.
    ///
    /// # Errors
    /// If the message is too large.
    pub(crate) fn send(&self, message: &ControlMessage) -> Result<(), EncodeError> {
        self.order(Order::Send(encode(message)?));
        Ok(())
    }

    fn order(&self, order: Order) {
        self.0.control.push(Command::Order(self.0.id, order));
    }
}

/// A cancel whose reason does not fit into a message is still a cancel.
fn shutdown(budget_ms: u64) -> Vec<u8> {
    encode(&ControlMessage::CancelActor { reason: Reason::Shutdown, budget_ms }).unwrap_or_default()
}
