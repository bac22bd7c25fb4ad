//! The parent, as the control thread of a child sees it, and what the layers above hold of it.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::process::{
    Signal, getpgrp, getpid, getppid, kill_current_process_group, kill_process, set_parent_process_death_signal,
};

use super::conn::{Conn, Received, encode};
use super::control::{Command, Control};
use crate::error::RemoteError;
use crate::proto::control::{ControlMessage, EncodeError};

/// What the parent wants of this process. Called on the control thread: an implementation hands on and returns.
pub(crate) trait ParentEvents: Send + Sync + 'static {
    /// The parent said something: anything but Ping, which has been answered. A cancel of the actor has been acknowledged.
    fn control(&self, message: ControlMessage);

    /// SIGTERM arrived.
    fn terminate(&self);
}

/// The way to the parent.
#[derive(Clone)]
pub(crate) struct ParentHandle {
    pub(super) control: &'static Control,
}

impl fmt::Debug for ParentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ParentHandle")
    }
}

impl ParentHandle {
    /// Says who hears the parent. What it said before waits for that; its end does not.
    pub(crate) fn attach(&self, events: Arc<dyn ParentEvents>) {
        self.control.push(Command::Attach(events));
    }

    /// Sends a message.
    ///
    /// # Errors
    /// If the message is too large.
    pub(crate) fn send(&self, message: &ControlMessage) -> Result<(), EncodeError> {
        self.control.push(Command::ToParent(encode(message)?));
        Ok(())
    }

    /// Says the last word and waits until it is on its way, for `bound` at most. Whether it is.
    pub(crate) fn bye(&self, error: Option<RemoteError>, bound: Duration) -> bool {
        let bye = encode(&ControlMessage::Bye { error: error.map(shortened) });
        let Ok(bytes) = bye else { return false };
        let (written, wait) = sync_channel(1);
        self.control.push(Command::ToParent(bytes));
        self.control.push(Command::Flush(written));
        wait.recv_timeout(bound).is_ok()
    }
}

/// A failure whose text fits into a message: a shortened last word is better than none.
fn shortened(mut error: RemoteError) -> RemoteError {
    const MOST: usize = 64 * 1024;
    let cut = |text: &mut String| text.truncate(text.floor_char_boundary(MOST));
    cut(&mut error.message);
    error.chain.truncate(8);
    error.chain.iter_mut().for_each(cut);
    error
}

/// The connection to the parent.
pub(super) struct Parent {
    conn: Conn,
    sigterm: &'static OwnedFd,
    events: Option<Arc<dyn ParentEvents>>,
    flushing: Vec<SyncSender<()>>,
}

/// A descriptor that has to do with the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Conn,
    Sigterm,
}

impl Parent {
    /// Ties the life of this process to that of process `peer`. To be called on a thread that never ends: the death signal
    /// is lost with the thread that asked for it.
    pub(super) fn adopt(conn: Conn, peer: i32, sigterm: &'static OwnedFd) -> Self {
        // Where it cannot be had, the end of the connection still tells.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
        if getppid().is_none_or(|parent| parent.as_raw_nonzero().get() != peer) {
            // It died before the signal was armed.
            die();
        }
        Self { conn, sigterm, events: None, flushing: Vec::new() }
    }

    pub(super) fn attach(&mut self, events: Arc<dyn ParentEvents>) {
        self.events = Some(events);
        self.take_messages();
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        let fits = self.conn.queue(bytes);
        self.flush();
        if !fits {
            // Nothing could be told to the parent any more, nor could it ever cancel with an answer.
            die();
        }
    }

    pub(super) fn flush_then(&mut self, written: SyncSender<()>) {
        self.flushing.push(written);
        self.flush();
    }

    fn flush(&mut self) {
        self.conn.flush();
        if !self.conn.wants_write() {
            for written in self.flushing.drain(..) {
                let _ = written.try_send(());
            }
        }
    }

    /// What to poll. Messages wait until someone hears them, the end of the parent never waits.
    pub(super) fn interests<'a>(&'a self, mut add: impl FnMut(Part, BorrowedFd<'a>, PollFlags)) {
        let read = if self.events.is_some() { PollFlags::IN } else { PollFlags::empty() };
        let write = if self.conn.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
        add(Part::Conn, self.conn.as_fd(), PollFlags::RDHUP | read | write);
        if self.events.is_some() {
            add(Part::Sigterm, self.sigterm.as_fd(), PollFlags::IN);
        }
    }

    /// A descriptor is ready.
    pub(super) fn ready(&mut self, part: Part, flags: PollFlags, chunk: &mut [u8]) {
        if part == Part::Sigterm {
            return self.terminate(chunk);
        }
        if flags.intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR) {
            die();
        }
        self.flush();
        if flags.contains(PollFlags::IN) {
            match self.conn.receive(chunk) {
                Received::Bytes => self.take_messages(),
                Received::Nothing => {}
                Received::End => die(),
            }
        }
    }

    fn terminate(&self, chunk: &mut [u8]) {
        while rustix::io::read(self.sigterm, &mut *chunk).is_ok_and(|len| len == chunk.len()) {}
        if let Some(events) = &self.events {
            events.terminate();
        }
    }

    fn take_messages(&mut self) {
        loop {
            match self.conn.next() {
                Ok(Some(message)) => self.message(message),
                Ok(None) => return,
                // It can neither cancel this process nor hear of it any more: the same as gone.
                Err(_) => die(),
            }
        }
    }

    fn message(&mut self, message: ControlMessage) {
        let answer = match &message {
            ControlMessage::Ping(number) => Some(ControlMessage::Pong(*number)),
            ControlMessage::CancelActor { .. } => Some(ControlMessage::CancelActorAck),
            _ => None,
        };
        if let Some(bytes) = answer.and_then(|answer| encode(&answer).ok()) {
            self.send(&bytes);
        }
        if let Some(events) = self.events.as_ref().filter(|_| !matches!(message, ControlMessage::Ping(_))) {
            events.control(message);
        }
    }
}

/// Ends this process, and the helpers in its group if the group is its own. Nothing is unwound.
pub(super) fn die() -> ! {
    if getpgrp() == getpid() {
        let _ = kill_current_process_group(Signal::KILL);
    }
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort()
}
