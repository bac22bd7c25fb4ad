//! Two ends of a connection, and how bytes get from one to the other.

use crate::error::{FailureId, Kind, Reason, RemoteError};
use crate::proto::connection::{Connection, Limits, Role};
use crate::proto::event::{ControlFrame, ControlVerb, DialogId, Event, EventKind, Outcome, Received};
use crate::proto::landing::Landing;
use crate::proto::segments::Segments;

/// One end, with the bytes it has written.
#[derive(Debug)]
pub(super) struct End {
    pub(super) conn: Connection,
    pub(super) written: Vec<u8>,
    pub(super) control: Vec<ControlFrame>,
    pub(super) events: Vec<Event>,
    landing: Option<Landing>,
}

impl End {
    fn new(role: Role, limits: Limits) -> Self {
        let conn = Connection::new(role, limits);
        Self { conn, written: Vec::new(), control: Vec::new(), events: Vec::new(), landing: None }
    }

    /// Everything that is to be written.
    pub(super) fn flush(&mut self) -> bool {
        let mut any = false;
        while self.conn.has_output() {
            any |= self.conn.transmit(&mut self.written, 256 * 1024, None);
        }
        any |= self.conn.has_control();
        self.conn.transmit_control(&mut self.control);
        any
    }

    /// Takes bytes in chunks of this size.
    pub(super) fn receive(&mut self, bytes: &[u8], chunk: usize) {
        bytes.chunks(chunk).for_each(|part| self.read(part));
        self.drain();
    }

    /// One read of a driver: first into the place of a large payload, if one is arriving, then into a buffer.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        let mut behind = bytes;
        if let Some(landing) = &mut self.landing {
            let rest = landing.rest();
            let (first, second) = bytes.split_at(rest.len().min(bytes.len()));
            rest[..first.len()].copy_from_slice(first);
            assert_eq!(landing.advance(bytes.len()), second.len());
            behind = second;
        }
        self.conn.receive_landed(&mut self.landing, behind).expect("the peer keeps to the protocol");
    }

    /// Where a large payload is arriving.
    pub(super) fn landing(&mut self) -> Option<&mut [u8]> {
        self.landing.as_mut().map(Landing::rest)
    }

    /// Takes frames from the control connection.
    pub(super) fn receive_control(&mut self, frames: Vec<ControlFrame>) {
        for ControlFrame { id, verb } in frames {
            match verb {
                ControlVerb::Cancel(reason) => self.conn.on_cancel(id, reason).unwrap(),
                ControlVerb::CancelAck => self.conn.on_cancel_ack(id).unwrap(),
            }
        }
        self.drain();
    }

    /// Notes the events.
    pub(super) fn drain(&mut self) {
        while let Some(event) = self.conn.next_event() {
            self.events.push(event);
        }
    }

    /// How often something happened.
    pub(super) fn count(&self, id: DialogId, kind: EventKind) -> usize {
        self.events.iter().filter(|event| **event == Event { id, kind }).count()
    }

    /// The next item.
    pub(super) fn recv(&mut self, id: DialogId) -> Received<Vec<u8>> {
        let mut item = Segments::default();
        let received = self.conn.recv(id, &mut item);
        self.drain();
        match received {
            Received::Item(()) => Received::Item(item.join()),
            Received::End => Received::End,
            Received::Failed => Received::Failed,
            Received::Empty => Received::Empty,
        }
    }

    /// The outcome, with its bytes.
    pub(super) fn outcome(&mut self, id: DialogId) -> Option<(Outcome, Vec<u8>)> {
        let mut bytes = Segments::default();
        let outcome = self.conn.take_outcome(id, &mut bytes);
        outcome.map(|outcome| (outcome, bytes.join()))
    }

    /// The failure that is the outcome.
    pub(super) fn error(&mut self, id: DialogId) -> RemoteError {
        match self.outcome(id) {
            Some((Outcome::Error(error), _)) => *error,
            other => panic!("not a failure: {other:?}"),
        }
    }

    /// The value that is the outcome.
    pub(super) fn returned(&mut self, id: DialogId) -> Vec<u8> {
        match self.outcome(id) {
            Some((Outcome::Return, bytes)) => bytes,
            other => panic!("not a value: {other:?}"),
        }
    }
}

/// Both ends.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) parent: End,
    pub(super) child: End,
    /// The size of the pieces in which bytes are delivered.
    pub(super) chunk: usize,
}

impl Pair {
    pub(super) fn new(limits: Limits) -> Self {
        Self { parent: End::new(Role::Parent, limits), child: End::new(Role::Child, limits), chunk: usize::MAX }
    }

    /// With little credit, so that it runs out.
    pub(super) fn small() -> Limits {
        Limits { credit_per_dialog: 1000, credit: 4000, max_message: 10_000, max_dialogs: 8, separate_control: false }
    }

    /// Carries what is written once, both ways; `false` if that is nothing.
    pub(super) fn step(&mut self) -> bool {
        let there = carry(&mut self.parent, &mut self.child, self.chunk);
        let back = carry(&mut self.child, &mut self.parent, self.chunk);
        there || back
    }

    /// Carries until nothing is left.
    pub(super) fn drive(&mut self) {
        while self.step() {}
    }

    /// A dialog from the parent to the child whose start was taken.
    pub(super) fn open(&mut self, call: bool) -> DialogId {
        let id = self.parent.conn.open(b"start", call).unwrap();
        self.drive();
        let mut start = Segments::default();
        let info = self.child.conn.take_start(id, &mut start).expect("it has come");
        assert_eq!((info.call, start.join()), (call, b"start".to_vec()));
        id
    }

    /// The same, started.
    pub(super) fn running(&mut self) -> DialogId {
        let id = self.open(false);
        self.child.conn.started(id, b"first").unwrap();
        self.drive();
        let mut first = Segments::default();
        assert!(self.parent.conn.take_started(id, &mut first));
        assert_eq!(first.join(), b"first");
        id
    }
}

fn carry(from: &mut End, to: &mut End, chunk: usize) -> bool {
    let any = from.flush();
    to.receive_control(std::mem::take(&mut from.control));
    to.receive(&std::mem::take(&mut from.written), chunk);
    from.drain();
    any
}

/// A failure, as the peer or the driver would make one.
pub(super) fn failure(message: &str) -> RemoteError {
    RemoteError {
        id: FailureId::fresh(),
        kind: Kind::Failed,
        actor: "root/a".into(),
        incarnation: 1,
        location: None,
        relay: vec![],
        type_name: "Lost".into(),
        message: message.into(),
        chain: vec!["because".into()],
        trace: None,
        mark: None,
    }
}

/// A reason with a text.
pub(super) fn because(message: &str) -> Reason {
    Reason::Explicit { by: String::new(), message: message.into() }
}

/// A small generator, the same on every run.
#[derive(Debug)]
pub(super) struct Xorshift(pub(super) u64);

impl Xorshift {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }
}
