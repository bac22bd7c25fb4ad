//! The way in: fragments to the inboxes of the dialogs.
//!
//! A peer that breaks a rule is a [`ProtocolError`]; one that speaks of a dialog which has ended here is not, because
//! its frames may have been on their way.

use super::Connection;
use crate::error::RemoteError;
use crate::proto::credit::fragment_cost;
use crate::proto::dialog::{Callee, Ending};
use crate::proto::entry::{Entry, Side};
use crate::proto::event::{DialogId, Event, EventKind, Outcome, ProtocolError};
use crate::proto::fragment::{Header, Kind};
use crate::proto::inbox::Piece;
use crate::proto::plain;

/// A fragment of a message, and what counting it gave.
#[derive(Clone, Copy)]
struct Fragment {
    id: DialogId,
    kind: Kind,
    more: bool,
    cost: u64,
    first: bool,
}

impl Connection {
    pub(super) fn on_fragment(&mut self, header: Header, payload: Piece<'_>) -> Result<(), ProtocolError> {
        self.peer_cpu = header.writer_cpu().or(self.peer_cpu);
        match header.kind {
            Kind::Start | Kind::Started | Kind::Item | Kind::Return | Kind::Error => self.on_message(header, payload),
            _ => self.on_frame(header, payload.bytes()),
        }
    }

    /// A frame that is no part of a message.
    fn on_frame(&mut self, header: Header, payload: &[u8]) -> Result<(), ProtocolError> {
        let Header { kind, more, dialog: id, .. } = header;
        match kind {
            _ if more => Err(ProtocolError::Malformed(kind)),
            Kind::Stop => self.on_stop(id, payload),
            Kind::Credit => self.on_credit(id, payload),
            Kind::Cancel => match plain::get(payload) {
                Ok(reason) => self.on_cancel(id, reason),
                Err(_) => Err(ProtocolError::Malformed(kind)),
            },
            Kind::CancelAck if payload.is_empty() => self.on_cancel_ack(id),
            Kind::Ping | Kind::Pong | Kind::Bye if id == 0 && payload.is_empty() => {
                self.on_sign(kind);
                Ok(())
            }
            _ => Err(ProtocolError::Misplaced(kind)),
        }
    }

    /// A frame about the connection itself.
    fn on_sign(&mut self, kind: Kind) {
        match kind {
            Kind::Ping => self.output.pong = true,
            Kind::Pong => self.event_once(EventKind::Pong),
            _ => self.event_once(EventKind::Bye),
        }
    }

    fn event_once(&mut self, kind: EventKind) {
        let event = Event { id: 0, kind };
        if self.events.back() != Some(&event) {
            self.events.push_back(event);
        }
    }

    fn on_message(&mut self, header: Header, payload: Piece<'_>) -> Result<(), ProtocolError> {
        let Header { kind, more, dialog: id, .. } = header;
        let cost = fragment_cost(kind, payload.bytes().len(), more);
        if kind == Kind::Start && !self.is_mine(id) && id > self.highest {
            return self.on_start(Fragment { id, kind, more, cost, first: true }, payload.bytes());
        }
        let Some(entry) = self.dialogs.get_mut(id).filter(|entry| !entry.side.is_ended()) else {
            payload.discard(&mut self.output.recycler);
            return self.ignore(id, kind, cost);
        };
        let first = entry.arriving.is_none();
        if entry.arriving.is_some_and(|arriving| arriving != kind) {
            return Err(ProtocolError::OutOfTurn { id, kind });
        }
        self.ledger.receive(cost).map_err(ProtocolError::credit(0))?;
        entry.arriving = more.then_some(kind);
        let fragment = Fragment { id, kind, more, cost, first };
        if kind == Kind::Item { self.on_item(fragment, payload) } else { self.on_single(fragment, payload) }
    }

    /// A fragment for a dialog that has ended here. Its credit goes back at once.
    fn ignore(&mut self, id: DialogId, kind: Kind, cost: u64) -> Result<(), ProtocolError> {
        if !self.was_opened(id) {
            return Err(ProtocolError::NoSuchDialog { id, kind });
        }
        self.ledger.receive(cost).map_err(ProtocolError::credit(0))?;
        self.consume(cost);
        Ok(())
    }

    fn on_item(&mut self, fragment: Fragment, payload: Piece<'_>) -> Result<(), ProtocolError> {
        let Fragment { id, kind, more, cost, first } = fragment;
        let max = self.limits.max_message;
        let Some(entry) = self.dialogs.get_mut(id) else { return Ok(()) };
        if first {
            entry.side.on_item().map_err(ProtocolError::out_of_turn(id, kind))?;
        }
        entry.ledger.receive_item(cost, first).map_err(ProtocolError::credit(id))?;
        if entry.forgotten {
            payload.discard(&mut self.output.recycler);
            self.consume_item(id, cost);
            return Ok(());
        }
        if entry.inbox.incomplete() + payload.bytes().len() > max {
            return Err(ProtocolError::TooLarge { id, max });
        }
        entry.inbox.push(payload, cost, more, &mut self.output.recycler);
        if !more && std::mem::take(&mut entry.wants_read) {
            self.events.push_back(Event { id, kind: EventKind::Readable });
        }
        Ok(())
    }

    /// The first sight of a dialog that the peer opens.
    fn on_start(&mut self, fragment: Fragment, payload: &[u8]) -> Result<(), ProtocolError> {
        let id = fragment.id;
        let (&flags, start) = payload.split_first().ok_or(ProtocolError::Malformed(Kind::Start))?;
        if flags > 1 {
            return Err(ProtocolError::Malformed(Kind::Start));
        }
        if self.serving >= self.limits.max_dialogs {
            return Err(ProtocolError::TooMany("open dialogs"));
        }
        self.ledger.receive(fragment.cost).map_err(ProtocolError::credit(0))?;
        self.highest = id;
        self.serving += 1;
        let (window, ledger) = self.dialog_credit();
        let entry = self.dialogs.insert(id, Side::Callee(Callee::new(flags == 1)), window, ledger);
        entry.arriving = fragment.more.then_some(Kind::Start);
        if let Some(reason) = self.take_kept(id) {
            self.consume(fragment.cost);
            self.answer_cancelled(id, &reason);
            return Ok(());
        }
        self.on_single(fragment, Piece::Shared(start))
    }

    /// A fragment of a message that a dialog has only one of.
    fn on_single(&mut self, fragment: Fragment, payload: Piece<'_>) -> Result<(), ProtocolError> {
        let Fragment { id, kind, more, cost, first } = fragment;
        let max = self.limits.max_message;
        let Some(entry) = self.dialogs.get_mut(id) else { return Ok(()) };
        if first && !may_come(entry, kind) {
            return Err(ProtocolError::OutOfTurn { id, kind });
        }
        let is_last = matches!(kind, Kind::Return | Kind::Error);
        let single = if is_last { &mut entry.last } else { &mut entry.first };
        if single.bytes.len() + payload.bytes().len() > max {
            return Err(ProtocolError::TooLarge { id, max });
        }
        if entry.forgotten {
            payload.discard(&mut self.output.recycler);
            self.consume(cost);
        } else {
            single.bytes.push(payload, &mut self.output.recycler);
            single.cost += cost;
        }
        if more { Ok(()) } else { self.on_complete(id, kind) }
    }

    fn on_complete(&mut self, id: DialogId, kind: Kind) -> Result<(), ProtocolError> {
        let Some(entry) = self.dialogs.get_mut(id) else { return Ok(()) };
        match (kind, &mut entry.side) {
            (Kind::Start, Side::Callee(_)) => {
                entry.first.ready = true;
                self.event(id, EventKind::Incoming);
            }
            (Kind::Started, Side::Opener(opener)) => {
                opener.on_started().map_err(ProtocolError::out_of_turn(id, kind))?;
                entry.first.ready = true;
                self.event(id, EventKind::Started);
            }
            (Kind::Return, Side::Opener(opener)) => {
                let ending = opener.on_return().map_err(ProtocolError::out_of_turn(id, kind))?;
                let returned = ending == Ending::Returned;
                self.end(id, if returned { Outcome::Return } else { Outcome::NeverStarted });
            }
            (_, Side::Opener(opener)) => {
                let forgotten = entry.forgotten;
                opener.on_error().map_err(ProtocolError::out_of_turn(id, kind))?;
                let error = read_error(&std::mem::take(&mut entry.last.bytes).join(), forgotten)?;
                // The outcome of a forgotten dialog goes with it, whatever it says.
                self.end(id, error.map_or(Outcome::Return, Outcome::Error));
            }
            _ => return Err(ProtocolError::OutOfTurn { id, kind }),
        }
        Ok(())
    }

    /// A dialog that was opened here has its outcome.
    pub(super) fn end(&mut self, id: DialogId, outcome: Outcome) {
        self.opened -= 1;
        let Some(entry) = self.dialogs.get_mut(id) else { return };
        entry.failed = matches!(outcome, Outcome::Error(_));
        entry.outcome = Some(outcome);
        let forgotten = entry.forgotten;
        let refund = entry.outbox.clear();
        self.refund(refund);
        if forgotten {
            self.remove(id);
        } else {
            self.event(id, EventKind::Outcome);
        }
    }

    fn on_stop(&mut self, id: DialogId, payload: &[u8]) -> Result<(), ProtocolError> {
        let kind = Kind::Stop;
        if !payload.is_empty() {
            return Err(ProtocolError::Malformed(kind));
        }
        let Some(entry) = self.dialogs.get_mut(id).filter(|entry| !entry.side.is_ended()) else {
            return self.ignore(id, kind, 0);
        };
        if entry.arriving.is_some() {
            return Err(ProtocolError::OutOfTurn { id, kind });
        }
        entry.side.on_stop().map_err(ProtocolError::out_of_turn(id, kind))?;
        if !entry.forgotten {
            self.event(id, EventKind::Stopped);
        }
        Ok(())
    }

    fn on_credit(&mut self, id: DialogId, payload: &[u8]) -> Result<(), ProtocolError> {
        let bytes = payload.try_into().map_err(|_| ProtocolError::Malformed(Kind::Credit))?;
        let amount = u64::from_le_bytes(bytes);
        if id == 0 {
            self.output.pool.give_back(amount).map_err(ProtocolError::credit(0))?;
            self.credit_arrived();
        } else if let Some(entry) = self.dialogs.get_mut(id) {
            entry.window.give_back(amount).map_err(ProtocolError::credit(id))?;
            self.writable(id);
        } else {
            self.ignore(id, Kind::Credit, 0)?;
        }
        Ok(())
    }
}

/// Whether a message of this kind may begin: its side, and not a second one.
fn may_come(entry: &Entry, kind: Kind) -> bool {
    match (kind, &entry.side) {
        (Kind::Start, Side::Callee(_)) => !entry.first.ready && entry.first.bytes.is_empty(),
        (Kind::Started, Side::Opener(opener)) => opener.clone().on_started().is_ok(),
        (Kind::Return | Kind::Error, Side::Opener(_)) => true,
        _ => false,
    }
}

/// The failure of a callee; nobody looks at that of a forgotten dialog.
fn read_error(bytes: &[u8], forgotten: bool) -> Result<Option<Box<RemoteError>>, ProtocolError> {
    if forgotten {
        return Ok(None);
    }
    plain::get(bytes).map(Some).map_err(|_| ProtocolError::Malformed(Kind::Error))
}
