//! A connection: the dialogs between two processes, multiplexed on one stream of bytes.
//!
//! It does nothing by itself. The driver
//!
//! 1. passes bytes that arrived to [`Connection::receive_landed`], and cancels that came on the control connection to
//!    [`Connection::on_cancel`] and [`Connection::on_cancel_ack`];
//! 2. drains [`Connection::next_event`] after this and after 3, and wakes whoever waits for what it names;
//! 3. writes what [`Connection::gather`] appends, as long as [`Connection::has_output`], and returns it to
//!    [`Connection::written`];
//! 4. calls [`Connection::abort`] once, when the peer is gone or broke the protocol.
//!
//! The handles of the dialogs call the rest. A local call never blocks and never waits for the wire.

mod arrive;
mod cancel;
mod local;
mod output;
mod receive;
mod take;
mod transmit;

use std::collections::{BTreeMap, VecDeque};

use super::credit::{Ledger, Pool, Window, message_cost};
use super::entry::{Side, Table};
use super::event::{DialogId, Event, EventKind, Outcome};
use super::fragment::Kind;
use super::reader::Reader;
use crate::error::{Reason, RemoteError};
use output::Output;

/// Which end of the connection this is; decides the parity of the dialogs opened here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Opens even dialogs.
    Parent,
    /// Opens odd dialogs.
    Child,
}

/// The limits of a connection; both ends have the same, from the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of items that may be under way in one dialog, per direction.
    pub(crate) credit_per_dialog: u64,
    /// Bytes that may be under way in all dialogs together, per direction.
    pub(crate) credit: u64,
    /// Bytes of the largest message.
    pub(crate) max_message: usize,
    /// Dialogs that each end may have open at a time.
    pub(crate) max_dialogs: usize,
    /// Whether cancels travel on another connection.
    pub(crate) separate_control: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            credit_per_dialog: 1 << 20,
            credit: 16 << 20,
            max_message: 16 << 20,
            max_dialogs: 1024,
            separate_control: false,
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    limits: Limits,
    /// Who speaks in the errors that are made here: actor path and incarnation.
    actor: (String, u64),
    dialogs: Table,
    /// The number of the next dialog opened here.
    next_id: DialogId,
    /// The highest number of a dialog opened by the peer.
    highest: DialogId,
    /// Dialogs opened here that have no outcome.
    opened: usize,
    /// Dialogs opened by the peer that are held.
    serving: usize,
    /// Cancels that overtook their start.
    kept: BTreeMap<DialogId, Reason>,
    events: VecDeque<Event>,
    reader: Reader,
    /// Where the peer ran when it wrote last, if it said so.
    peer_cpu: Option<usize>,
    /// What was received and has not been consumed, over all dialogs.
    ledger: Ledger,
    output: Output,
    lost: Option<Box<RemoteError>>,
    broken: bool,
}

impl Connection {
    /// A connection whose handshake is done.
    pub(crate) fn new(role: Role, limits: Limits) -> Self {
        Self {
            limits,
            actor: (String::new(), 0),
            dialogs: Table::default(),
            next_id: if role == Role::Parent { 2 } else { 1 },
            highest: 0,
            opened: 0,
            serving: 0,
            kept: BTreeMap::new(),
            events: VecDeque::new(),
            reader: Reader::default(),
            peer_cpu: None,
            ledger: Ledger::new(limits.credit, largest(&limits)),
            output: Output::new(Pool::new(limits.credit, limits.credit_per_dialog, largest(&limits))),
            lost: None,
            broken: false,
        }
    }

    /// Who speaks in the errors that this end makes: the path of its actor and which start of it this is.
    pub(crate) fn set_actor(&mut self, path: &str, incarnation: u64) {
        self.actor = (path.to_owned(), incarnation);
    }

    /// The CPU the peer ran on when it wrote what was received last, if it told.
    pub(crate) fn peer_cpu(&self) -> Option<usize> {
        self.peer_cpu
    }

    /// What has changed, oldest first. Drain it after every call that takes something in.
    pub(crate) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether something has changed that nobody was told of.
    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Dialogs opened here that have no outcome yet.
    #[cfg(test)]
    pub(crate) fn open_dialogs(&self) -> usize {
        self.opened
    }

    fn event(&mut self, id: DialogId, kind: EventKind) {
        self.events.push_back(Event { id, kind });
    }

    fn is_mine(&self, id: DialogId) -> bool {
        (id ^ self.next_id) & 1 == 0
    }

    /// Whether this dialog was ever opened, as far as this end can know.
    fn was_opened(&self, id: DialogId) -> bool {
        id != 0 && if self.is_mine(id) { id < self.next_id } else { id <= self.highest }
    }

    fn dialog_credit(&self) -> (Window, Ledger) {
        let size = self.limits.credit_per_dialog;
        (Window::new(size), Ledger::new(size, largest(&self.limits)))
    }

    /// Returns credit of the connection for something that was consumed.
    fn consume(&mut self, cost: u64) {
        if cost > 0 && self.ledger.consume(cost) {
            self.owe(0);
        }
    }

    /// Queues the return of credit, of a dialog or of the connection.
    fn owe(&mut self, id: DialogId) {
        if self.lost.is_none() {
            self.output.credit_due.push(id);
        }
    }

    /// Removes a dialog and lets its connection credit go back.
    fn remove(&mut self, id: DialogId) {
        if !self.is_mine(id) {
            self.serving -= 1;
        }
        let cost = self.dialogs.remove(id, &mut self.output.recycler);
        self.consume(cost);
    }

    /// Gives up the credit that was taken for something that will never be sent.
    fn refund(&mut self, cost: u64) {
        if cost > 0 {
            // It was taken from this very window.
            let _ = self.output.pool.give_back(cost);
            self.credit_arrived();
        }
    }

    /// The connection's window has more room: first to those that wait in the queue, then to those that wait to send.
    fn credit_arrived(&mut self) {
        self.output.feed(&mut self.dialogs);
        if self.output.pool.has_room() {
            for id in std::mem::take(&mut self.output.blocked) {
                if let Some(entry) = self.dialogs.get_mut(id) {
                    entry.blocked = false;
                }
                self.writable(id);
            }
        }
    }

    fn writable(&mut self, id: DialogId) {
        let waiting = self.dialogs.get_mut(id).is_some_and(|entry| std::mem::take(&mut entry.wants_write));
        if waiting {
            self.event(id, EventKind::Writable);
        }
    }

    /// The peer is gone. Every dialog without an outcome gets this one; what was received before stays readable.
    pub(crate) fn abort(&mut self, error: RemoteError) {
        if self.lost.is_some() {
            return;
        }
        self.output.clear();
        self.kept.clear();
        self.reader.clear();
        self.opened = 0;
        for id in self.dialogs.ids() {
            self.lose(id, &error);
        }
        self.lost = Some(Box::new(error));
    }

    fn lose(&mut self, id: DialogId, error: &RemoteError) {
        let Some(entry) = self.dialogs.get_mut(id) else { return };
        entry.outbox.clear();
        let news = entry.side.on_lost();
        let opener = matches!(entry.side, Side::Opener(_));
        if entry.forgotten || (!news && !opener) {
            return self.remove(id);
        }
        if !news {
            return;
        }
        entry.outcome = Some(Outcome::Error(Box::new(error.clone())));
        entry.failed = true;
        entry.first.ready &= opener;
        if !opener {
            entry.cancel.get_or_insert(Reason::PeerGone);
            self.event(id, EventKind::CancelRequested);
        }
        self.event(id, EventKind::Outcome);
    }
}

/// What the largest message costs; a start has one byte of flags beside its payload.
fn largest(limits: &Limits) -> u64 {
    message_cost(Kind::Item, limits.max_message + 1)
}

#[cfg(any(test, fuzzing))]
impl Connection {
    /// Credit of the connection that is under way.
    #[cfg(test)]
    pub(crate) fn output_used(&self) -> u64 {
        self.output.pool.used()
    }

    /// Credit of the connection that the peer has used and not got back.
    pub(crate) fn input_used(&self) -> u64 {
        self.ledger.used()
    }

    /// Dialogs that are noted to wait for credit of the connection.
    #[cfg(test)]
    pub(crate) fn blocked_dialogs(&self) -> usize {
        self.output.blocked.len()
    }

    /// Memory of the fragment that is on its way in.
    #[cfg(test)]
    pub(crate) fn buffered(&self) -> usize {
        self.reader.capacity()
    }

    /// Dialogs that take up memory.
    pub(crate) fn held_dialogs(&self) -> usize {
        self.dialogs.len()
    }
}
