//! What the handles of the dialogs send: starts, items, outcomes.

use super::Connection;
use super::output::Output;
use crate::error::RemoteError;
use crate::proto::credit::message_cost;
use crate::proto::dialog::{Opener, Refused};
use crate::proto::entry::{Entry, Side};
use crate::proto::event::{DialogId, OpenError, SendError, Sent};
use crate::proto::fragment::Kind;
use crate::proto::recycle::LARGE;

impl Connection {
    /// Opens a dialog with this start. A `call` has no `started` and no items, only an outcome.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn open(&mut self, start: &[u8], call: bool) -> Result<DialogId, OpenError> {
        self.open_from(&mut [&[u8::from(call)], start].concat())
    }

    /// The same for a start in a buffer of its own, behind a byte that says whether it is a call.
    pub(crate) fn open_from(&mut self, start: &mut Vec<u8>) -> Result<DialogId, OpenError> {
        let call = start.first() == Some(&1);
        let (len, max) = (start.len().saturating_sub(1), self.limits.max_message);
        if let Some(lost) = &self.lost {
            return Err(OpenError::Lost(lost.clone()));
        }
        if len > max {
            return Err(OpenError::TooLarge { len, max });
        }
        if self.opened >= self.limits.max_dialogs {
            return Err(OpenError::TooMany { max: self.limits.max_dialogs });
        }
        let id = self.next_id;
        self.next_id += 2;
        self.opened += 1;
        let (window, ledger) = self.dialog_credit();
        let entry = self.dialogs.insert(id, Side::Opener(Opener::new(call)), window, ledger);
        self.output.push_from(id, &mut entry.outbox, Kind::Start, start);
        Ok(id)
    }

    /// Starts a dialog that the peer opened.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn started(&mut self, id: DialogId, first: &[u8]) -> Result<(), SendError> {
        self.started_from(id, &mut first.to_vec())
    }

    /// The same for a first value in a buffer, with which it goes if it is large. It never waits for credit.
    pub(crate) fn started_from(&mut self, id: DialogId, first: &mut Vec<u8>) -> Result<(), SendError> {
        self.check_size(first.len())?;
        let Some(entry) = self.dialogs.get_mut(id) else { return Err(self.gone()) };
        let Side::Callee(callee) = &mut entry.side else { return Err(Refused::StartedTwice.into()) };
        if callee.is_ended() {
            return Err(self.gone());
        }
        callee.started()?;
        self.output.push_from(id, &mut entry.outbox, Kind::Started, first);
        Ok(())
    }

    /// Whether a first value, or an item, could be sent now, credit apart: before much is done for it.
    pub(crate) fn may_send(&self, id: DialogId, first: bool) -> Result<(), SendError> {
        let running = self.dialogs.get(id).filter(|entry| !entry.side.is_ended());
        let Some(entry) = running else { return Err(self.gone()) };
        match entry.side {
            Side::Callee(mut copy) if first => copy.started()?,
            Side::Opener(_) if first => return Err(Refused::StartedTwice.into()),
            side => side.send()?,
        }
        Ok(())
    }

    /// Sends an item, if there is credit for it.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn send(&mut self, id: DialogId, item: &[u8]) -> Result<Sent, SendError> {
        self.send_from(id, &mut item.to_vec())
    }

    /// Sends the item in this buffer, if there is credit for it. A large one goes with its buffer, and leaves an empty one;
    /// a small one stays there.
    pub(crate) fn send_from(&mut self, id: DialogId, item: &mut Vec<u8>) -> Result<Sent, SendError> {
        self.send_as(id, item, false)
    }

    /// The same for a sender who can wait: a large item goes when most of those before it have been written.
    pub(crate) fn send_in_turn(&mut self, id: DialogId, item: &mut Vec<u8>) -> Result<Sent, SendError> {
        self.send_as(id, item, item.len() >= LARGE)
    }

    #[inline]
    fn send_as(&mut self, id: DialogId, item: &mut Vec<u8>, in_turn: bool) -> Result<Sent, SendError> {
        let Some((entry, output)) = self.charge(id, item.len(), in_turn)? else { return Ok(Sent::NoCredit) };
        output.push_from(id, &mut entry.outbox, Kind::Item, item);
        Ok(Sent::Queued)
    }

    /// Takes the credit for an item; `None` if there is not enough, or no room in the queue, and then it will be told of more.
    #[inline]
    fn charge(
        &mut self,
        id: DialogId,
        len: usize,
        in_turn: bool,
    ) -> Result<Option<(&mut Entry, &mut Output)>, SendError> {
        self.check_size(len)?;
        let running = self.dialogs.get_mut(id).filter(|entry| !entry.side.is_ended());
        let Some(entry) = running else { return Err(gone(self.lost.as_deref())) };
        entry.side.send()?;
        let cost = message_cost(Kind::Item, len);
        // Behind something that waits for credit of the connection nothing else may hold such credit.
        let open = self.output.pool.admits(cost) && !entry.outbox.is_starved();
        let room = !in_turn || entry.outbox.has_room();
        if !open || !room || !entry.window.admits(cost) {
            entry.wants_write = true;
            if !open && !std::mem::replace(&mut entry.blocked, true) {
                self.output.blocked.push(id);
            }
            return Ok(None);
        }
        entry.window.take(cost);
        self.output.pool.take(cost);
        Ok(Some((entry, &mut self.output)))
    }

    /// Ends the items of this side; what was sent before arrives before the end.
    pub(crate) fn stop(&mut self, id: DialogId) -> Result<(), SendError> {
        let Some(entry) = self.dialogs.get_mut(id) else { return Err(self.gone()) };
        if entry.side.is_ended() {
            return Err(self.gone());
        }
        if entry.side.stop()? {
            self.output.push(id, &mut entry.outbox, Kind::Stop, [&[], &[]]);
        }
        Ok(())
    }

    /// Gives the one outcome of a dialog that the peer opened. It never waits for credit; what was sent before arrives
    /// before it.
    pub(crate) fn finish(
        &mut self,
        id: DialogId,
        outcome: Result<&mut Vec<u8>, &RemoteError>,
    ) -> Result<(), SendError> {
        let mut encoded;
        let (kind, bytes) = match outcome {
            Ok(value) => (Kind::Return, value),
            Err(error) => {
                encoded = encode_error(error, self.limits.max_message);
                (Kind::Error, &mut encoded)
            }
        };
        self.check_size(bytes.len())?;
        let Some(entry) = self.dialogs.get_mut(id) else { return Err(self.gone()) };
        let Side::Callee(callee) = &mut entry.side else { return Err(Refused::Ended.into()) };
        if callee.finish().is_err() {
            return Err(self.gone());
        }
        self.output.push_from(id, &mut entry.outbox, kind, bytes);
        if entry.outbox.is_empty() {
            self.remove(id);
        } else {
            // Nobody will read the rest.
            let cost = entry.discard();
            self.consume(cost);
        }
        Ok(())
    }

    fn check_size(&self, len: usize) -> Result<(), SendError> {
        let max = self.limits.max_message;
        if len > max { Err(SendError::TooLarge { len, max }) } else { Ok(()) }
    }

    /// Why there is no such dialog any more.
    fn gone(&self) -> SendError {
        gone(self.lost.as_deref())
    }
}

fn gone(lost: Option<&RemoteError>) -> SendError {
    match lost {
        Some(lost) => SendError::Lost(Box::new(lost.clone())),
        None => Refused::Ended.into(),
    }
}

/// The failure as bytes, without its trace, and then cut to its first words, if it is larger than a message may be: an outcome
/// must arrive.
fn encode_error(error: &RemoteError, max: usize) -> Vec<u8> {
    let encode = |error: &RemoteError| rmp_serde::to_vec_named(error).expect("a failure is plain data");
    let mut short = RemoteError { trace: None, ..error.clone() };
    for whole in [error, &short] {
        let bytes = encode(whole);
        if bytes.len() <= max {
            return bytes;
        }
    }
    short.chain.clear();
    short.relay.clear();
    short.message = short.message.chars().take(200).chain("... (cut)".chars()).collect();
    encode(&short)
}
