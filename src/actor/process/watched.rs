//! One child, as the control thread sees it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::conn::{Conn, Received};
use super::death::{Death, Fault, Outcome, Step};
use super::handle::{ChildEvents, Times};
use super::ladder::{Ladder, later};
use super::lines::Lines;
use super::sink::Sink;
use super::spawner::Newborn;
use super::unreaped::Unreaped;
use crate::error::RemoteError;
use crate::proto::control::{ControlError, ControlMessage};
use crate::proto::fragment::Kind;
use crate::proto::handshake::ParentSide;

/// Most looks at one descriptor before the others have their turn.
const TURN: usize = 4;
/// Looks that read all a dead child can have left: more than a socket or pipe holds.
const REST: usize = 64;

/// What is known of a child before it is born.
pub(super) struct Expected {
    pub(super) path: String,
    pub(super) program: String,
    pub(super) events: Arc<dyn ChildEvents>,
    pub(super) handshake: ParentSide,
    pub(super) times: Times,
}

/// What its handle wants.
pub(super) enum Order {
    /// Climb the ladder; the bytes tell the child.
    Cancel { bytes: Vec<u8>, grace: Duration },
    /// End it now.
    Kill,
    /// Tell it this.
    Send(Vec<u8>),
}

/// A descriptor of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Pidfd,
    Conn,
    Stderr,
}

/// What all children share: a place to read into, and the way to our stderr.
pub(super) struct Io {
    pub(super) chunk: Vec<u8>,
    pub(super) sink: Sink,
}

/// A child that was born and is not reaped.
pub(super) struct Watched {
    path: String,
    program: String,
    times: Times,
    process: Unreaped,
    /// None once it has ended, like `stderr`.
    conn: Option<Conn>,
    stderr: Option<OwnedFd>,
    lines: Lines,
    /// None once the last event has been given.
    events: Option<Arc<dyn ChildEvents>>,
    /// None once the answer has come.
    handshake: Option<ParentSide>,
    /// The answer is awaited until then.
    answer_by: Option<Instant>,
    ready: bool,
    ladder: Ladder,
    requested: bool,
    fault: Option<Fault>,
    bye: Option<Option<RemoteError>>,
    /// The process has ended, and what it left is read until then.
    drain: Option<Instant>,
}

impl Watched {
    pub(super) fn new(expected: Expected, newborn: Newborn, now: Instant) -> Self {
        let Expected { path, program, events, handshake, times } = expected;
        let Newborn { process, conn, stderr } = newborn;
        events.born(process.number());
        Self {
            path,
            program,
            times,
            process,
            conn: Some(conn),
            stderr: Some(stderr),
            lines: Lines::default(),
            events: Some(events),
            handshake: Some(handshake),
            answer_by: Some(later(now, times.handshake)),
            ready: false,
            ladder: Ladder::new(times.terminate, times.give_up),
            requested: false,
            fault: None,
            bye: None,
            drain: None,
        }
    }

    /// Does what the handle wants, unless the process has ended.
    pub(super) fn order(&mut self, order: Order, now: Instant) {
        if self.drain.is_some() || self.events.is_none() {
            return;
        }
        match order {
            Order::Send(bytes) => self.send(&bytes, now),
            Order::Cancel { bytes, grace } => {
                self.requested = true;
                if self.ladder.ask(now, grace) {
                    self.send(&bytes, now);
                }
            }
            Order::Kill => {
                self.requested = true;
                self.ladder.kill(now);
            }
        }
    }

    /// The tree has no grace left: SIGTERM at once, the rest of the ladder as always.
    pub(super) fn hurry(&mut self, now: Instant) {
        if self.drain.is_none() && self.events.is_some() {
            self.requested = true;
            self.ladder.limit(now);
        }
    }

    /// Sends SIGKILL, whatever the ladder says.
    pub(super) fn kill(&self) {
        self.process.kill_group();
    }

    fn send(&mut self, bytes: &[u8], now: Instant) {
        let Some(conn) = &mut self.conn else { return };
        let fits = conn.queue(bytes);
        conn.flush();
        if !fits {
            self.blame(Fault::Stuck, now);
        }
    }

    /// What to poll.
    pub(super) fn interests<'a>(&'a self, mut add: impl FnMut(Part, BorrowedFd<'a>, PollFlags)) {
        if self.drain.is_none() {
            add(Part::Pidfd, self.process.as_fd(), PollFlags::IN);
        }
        if let Some(conn) = &self.conn {
            let write = if conn.wants_write() { PollFlags::OUT } else { PollFlags::empty() };
            add(Part::Conn, conn.as_fd(), PollFlags::IN | write);
        }
        if let Some(stderr) = &self.stderr {
            add(Part::Stderr, stderr.as_fd(), PollFlags::IN);
        }
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.answer_by, self.ladder.due(), self.drain].into_iter().flatten().min()
    }

    /// A descriptor is ready.
    pub(super) fn ready(&mut self, part: Part, io: &mut Io, now: Instant) {
        match part {
            Part::Pidfd => self.exited(io, now),
            Part::Stderr => self.read_stderr(io, TURN),
            Part::Conn => {
                if let Some(conn) = &mut self.conn {
                    conn.flush();
                }
                self.read_conn(io, TURN, now);
            }
        }
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, io: &mut Io, now: Instant) {
        if self.answer_late(now) {
            // This thread may be what is late.
            self.read_conn(io, REST, now);
        }
        if self.answer_late(now) {
            self.fault.get_or_insert(Fault::NoAnswer(self.times.handshake));
            self.answer_by = None;
            self.ladder.kill(now);
        }
        match self.ladder.step(now) {
            Some(Step::Terminated) => {
                if !self.requested && self.bye.is_none() {
                    self.fault.get_or_insert(Fault::HungUp);
                }
                self.process.terminate();
            }
            Some(Step::Killed) => self.process.kill_group(),
            Some(Step::GaveUp) => self.give_up(),
            Some(Step::Asked) | None => {}
        }
    }

    fn answer_late(&self, now: Instant) -> bool {
        self.answer_by.is_some_and(|deadline| deadline <= now)
    }

    /// Whether there is nothing left to wait for but [`finish`](Self::finish).
    pub(super) fn finished(&self, now: Instant) -> bool {
        self.drain.is_some_and(|until| until <= now || (self.conn.is_none() && self.stderr.is_none()))
    }

    /// Reaps it and tells the outcome.
    pub(super) fn finish(mut self, io: &mut Io) {
        let outcome = self.process.reap();
        self.close(io);
        // Whoever hears of the end may end this process.
        io.sink.flush();
        self.tell(outcome);
    }

    /// The process has ended. As long as it is not reaped its number is its own, so its group can be signalled.
    fn exited(&mut self, io: &mut Io, now: Instant) {
        self.process.kill_group();
        self.ladder.stop();
        self.answer_by = None;
        self.drain = Some(later(now, self.times.drain));
        // At once and not only when polled: however late this thread runs, what the child said is heard.
        self.read_conn(io, REST, now);
        self.read_stderr(io, REST);
    }

    fn give_up(&mut self) {
        let state = self.process.state();
        (self.conn, self.stderr, self.answer_by) = (None, None, None);
        self.tell(Outcome::Unkillable { state });
    }

    /// Gives the last event, if it has not been given.
    fn tell(&mut self, outcome: Outcome) {
        let Some(events) = self.events.take() else { return };
        events.ended(Death {
            path: std::mem::take(&mut self.path),
            program: std::mem::take(&mut self.program),
            pid: self.process.number(),
            outcome,
            stderr_tail: self.lines.tail().to_vec(),
            bye: self.bye.take(),
            requested: self.requested,
            steps: self.ladder.steps().to_vec(),
            before_handshake: !self.ready,
            fault: self.fault.take(),
        });
    }

    /// Notes a fault and ends the child, from SIGTERM on.
    fn blame(&mut self, fault: Fault, now: Instant) {
        self.fault.get_or_insert(fault);
        (self.conn, self.answer_by) = (None, None);
        if self.drain.is_none() {
            self.ladder.limit(now);
        }
    }

    fn read_conn(&mut self, io: &mut Io, turns: usize, now: Instant) {
        for _ in 0..turns {
            let Some(conn) = &mut self.conn else { return };
            match conn.receive(&mut io.chunk) {
                Received::Nothing => return,
                Received::End => return self.hung_up(now),
                Received::Bytes => self.take_messages(now),
            }
        }
    }

    fn take_messages(&mut self, now: Instant) {
        while let Some(conn) = &mut self.conn {
            match conn.next() {
                Ok(Some(message)) => self.message(message, now),
                Ok(None) => return,
                Err(error) => return self.blame(Fault::Protocol(error), now),
            }
        }
    }

    fn message(&mut self, message: ControlMessage, now: Instant) {
        let Some(events) = &self.events else { return };
        match message {
            ControlMessage::Hello(_) | ControlMessage::SpawnSpec(_) if self.handshake.is_none() => {
                self.blame(Fault::Protocol(ControlError::Misplaced(Kind::Hello)), now);
            }
            ControlMessage::Hello(answer) => {
                let side = self.handshake.take().expect("it was just looked at");
                self.answer_by = None;
                match side.finish(&answer) {
                    Ok(agreed) => {
                        self.ready = true;
                        events.ready(agreed);
                    }
                    Err(error) => self.refuse(Fault::Handshake(error), now),
                }
            }
            _ if !self.ready => self.refuse(Fault::Protocol(ControlError::Misplaced(Kind::SpawnSpec)), now),
            ControlMessage::Ping(number) => self.pong(number, now),
            message => {
                if let ControlMessage::Bye { error } = &message {
                    self.bye = Some(error.clone());
                    self.ladder.limit(later(now, self.times.linger));
                }
                events.control(message);
            }
        }
    }

    fn pong(&mut self, number: u64, now: Instant) {
        if let Ok(bytes) = super::conn::encode(&ControlMessage::Pong(number)) {
            self.send(&bytes, now);
        }
    }

    /// Notes a fault of a child that never was one of ours, and kills it.
    fn refuse(&mut self, fault: Fault, now: Instant) {
        self.blame(fault, now);
        self.ladder.kill(now);
    }

    /// The control connection has ended. Usually the process is about to; if not it is made to.
    fn hung_up(&mut self, now: Instant) {
        self.conn = None;
        if self.drain.is_none() {
            self.ladder.limit(later(now, self.times.hang_up));
        }
    }

    fn read_stderr(&mut self, io: &mut Io, turns: usize) {
        for _ in 0..turns {
            let Some(stderr) = &self.stderr else { return };
            match rustix::io::read(stderr, &mut io.chunk[..]) {
                Ok(0) => return self.close(io),
                Ok(len) => {
                    let Io { chunk, sink } = io;
                    let events = self.events.as_ref();
                    self.lines.feed(&chunk[..len], |line| forward(events, sink, line));
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return,
                Err(_) => return self.close(io),
            }
        }
    }

    /// There will be no more of its stderr.
    fn close(&mut self, io: &mut Io) {
        self.stderr = None;
        let events = self.events.as_ref();
        self.lines.finish(|line| forward(events, &mut io.sink, line));
    }
}

fn forward(events: Option<&Arc<dyn ChildEvents>>, sink: &mut Sink, line: &[u8]) {
    if !events.is_some_and(|events| events.stderr_line(line)) {
        sink.put(line);
    }
}
