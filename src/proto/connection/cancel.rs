//! Cancel, which may overtake everything, and the answers that this end makes itself.

use super::Connection;
use super::output::write;
use crate::error::{FailureId, Kind as ErrorKind, Mark, Reason, RemoteError, ScopeId};
use crate::proto::entry::Side;
use crate::proto::event::{ControlFrame, ControlVerb, DialogId, EventKind, Outcome, ProtocolError};
use crate::proto::fragment::Kind;

impl Connection {
    /// Asks for the end of a dialog opened here. The first reason wins; after the outcome it does nothing.
    pub(crate) fn cancel(&mut self, id: DialogId, reason: &Reason) {
        if self.is_mine(id) && self.output.starved.contains(&id) {
            return self.cancel_unsent(id, reason);
        }
        if let Some(Side::Opener(opener)) = self.dialogs.get_mut(id).map(|entry| &mut entry.side)
            && opener.cancel()
        {
            self.control(id, ControlVerb::Cancel(reason.clone()));
        }
    }

    /// Ends a dialog whose start still waits for credit: the other side never hears of it, so it cannot answer.
    fn cancel_unsent(&mut self, id: DialogId, reason: &Reason) {
        let error = self.cancelled(reason);
        let Some(Side::Opener(opener)) = self.dialogs.get_mut(id).map(|entry| &mut entry.side) else { return };
        if opener.on_error().is_ok() {
            self.output.starved.retain(|other| *other != id);
            self.end(id, Outcome::Error(Box::new(error)));
            // Starts that are small enough to need no credit may have stood behind it.
            self.output.feed(&mut self.dialogs);
        }
    }

    /// Why the opener wants the end of a dialog; once.
    pub(crate) fn take_cancel(&mut self, id: DialogId) -> Option<Reason> {
        self.dialogs.get_mut(id)?.cancel.take()
    }

    /// A cancel has come, here or on the control connection, perhaps before the start it is for.
    pub(crate) fn on_cancel(&mut self, id: DialogId, reason: Reason) -> Result<(), ProtocolError> {
        if self.lost.is_some() {
            return Ok(());
        }
        if id == 0 || self.is_mine(id) {
            return Err(ProtocolError::NoSuchDialog { id, kind: Kind::Cancel });
        }
        self.acknowledge(id)?;
        if id > self.highest {
            return self.keep(id, reason);
        }
        let Some(entry) = self.dialogs.get_mut(id) else { return Ok(()) };
        let Side::Callee(callee) = &mut entry.side else { return Ok(()) };
        if !callee.on_cancel() {
            return Ok(());
        }
        if entry.arriving == Some(Kind::Start) {
            self.answer_cancelled(id, &reason);
        } else {
            entry.cancel = Some(reason);
            self.event(id, EventKind::CancelRequested);
        }
        Ok(())
    }

    /// The peer's runtime has a cancel of ours.
    pub(crate) fn on_cancel_ack(&mut self, id: DialogId) -> Result<(), ProtocolError> {
        if self.lost.is_some() {
            return Ok(());
        }
        if !self.is_mine(id) || !self.was_opened(id) {
            return Err(ProtocolError::NoSuchDialog { id, kind: Kind::CancelAck });
        }
        let Some(entry) = self.dialogs.get_mut(id) else { return Ok(()) };
        let Side::Opener(opener) = &mut entry.side else { return Ok(()) };
        if opener.on_cancel_ack() && !entry.forgotten {
            self.event(id, EventKind::CancelAcked);
        }
        Ok(())
    }

    /// Holds a cancel whose start is still on its way. An opener has at most as many of them as open dialogs.
    fn keep(&mut self, id: DialogId, reason: Reason) -> Result<(), ProtocolError> {
        if self.kept.len() >= self.limits.max_dialogs && !self.kept.contains_key(&id) {
            return Err(ProtocolError::TooMany("cancels of dialogs that have not started"));
        }
        self.kept.entry(id).or_insert(reason);
        Ok(())
    }

    /// The cancel that overtook this start. Those below it are of no use any more: starts come in ascending order.
    pub(super) fn take_kept(&mut self, id: DialogId) -> Option<Reason> {
        if self.kept.is_empty() {
            return None;
        }
        self.kept = self.kept.split_off(&id);
        self.kept.remove(&id)
    }

    /// Answers a dialog that nobody here will run.
    pub(crate) fn refuse(&mut self, id: DialogId, reason: &Reason) {
        self.answer_cancelled(id, reason);
    }

    /// Ends a dialog that was cancelled before it could run.
    pub(super) fn answer_cancelled(&mut self, id: DialogId, reason: &Reason) {
        let error = self.cancelled(reason);
        // A dialog that already has an outcome needs no other.
        let _ = self.finish(id, Err(&error));
    }

    /// The outcome of a dialog that was cancelled here.
    pub(super) fn cancelled(&self, reason: &Reason) -> RemoteError {
        let mark = Mark { scope: ScopeId::fresh(), reason: reason.clone() };
        RemoteError {
            id: FailureId::fresh(),
            kind: ErrorKind::Cancelled,
            actor: self.actor.0.clone(),
            incarnation: self.actor.1,
            location: None,
            relay: Vec::new(),
            type_name: std::any::type_name::<crate::error::Cancelled>().to_owned(),
            message: "cancelled".to_owned(),
            chain: vec![reason.to_string()],
            trace: None,
            mark: Some(mark),
        }
    }

    fn acknowledge(&mut self, id: DialogId) -> Result<(), ProtocolError> {
        self.output.acks += 1;
        if self.output.acks > 4 * self.limits.max_dialogs {
            return Err(ProtocolError::TooMany("cancels at once"));
        }
        self.control(id, ControlVerb::CancelAck);
        Ok(())
    }

    fn control(&mut self, id: DialogId, verb: ControlVerb) {
        if self.limits.separate_control {
            return self.output.control.push(ControlFrame { id, verb });
        }
        match verb {
            ControlVerb::Cancel(reason) => {
                let reason = rmp_serde::to_vec_named(&reason).expect("a reason is plain data");
                write(&mut self.output.urgent, id, Kind::Cancel, [&reason, &[]]);
            }
            ControlVerb::CancelAck => write(&mut self.output.urgent, id, Kind::CancelAck, [&[], &[]]),
        }
    }
}
