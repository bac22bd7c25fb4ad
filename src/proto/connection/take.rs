//! What the handles of the dialogs take out, and that they are gone.

use super::Connection;
use crate::error::Reason;
#[cfg(test)]
use crate::error::RemoteError;
use crate::proto::entry::Side;
use crate::proto::event::{DialogId, Outcome, Received};
use crate::proto::segments::Segments;

impl Connection {
    /// Whether the peer has said that it sends no more in this dialog.
    pub(crate) fn is_peer_closed(&self, id: DialogId) -> bool {
        self.dialogs.get(id).is_none_or(|entry| entry.side.is_peer_closed())
    }

    /// Takes the start of a dialog that the peer opened into `out`, once. `None` if there is none, or nobody to run it
    /// for any more.
    pub(crate) fn take_start(&mut self, id: DialogId, out: &mut Segments) -> Option<StartInfo> {
        let call = match &self.dialogs.get(id)?.side {
            Side::Callee(callee) => callee.is_call(),
            Side::Opener(_) => return None,
        };
        self.take_first(id, out).then_some(StartInfo { call })
    }

    /// Takes the value of `started` into `out`, once; `false` if there is none.
    pub(crate) fn take_started(&mut self, id: DialogId, out: &mut Segments) -> bool {
        self.is_mine(id) && self.take_first(id, out)
    }

    fn take_first(&mut self, id: DialogId, out: &mut Segments) -> bool {
        let Some(entry) = self.dialogs.get_mut(id) else { return false };
        if !std::mem::take(&mut entry.first.ready) {
            return false;
        }
        entry.first.bytes.hand_over(out);
        let cost = std::mem::take(&mut entry.first.cost);
        self.consume(cost);
        true
    }

    /// Takes the next item into `out`, instead of what was there.
    pub(crate) fn recv(&mut self, id: DialogId, out: &mut Segments) -> Received<()> {
        let Some(entry) = self.dialogs.get_mut(id) else { return Received::End };
        if let Some(cost) = entry.inbox.pop(out, &mut self.output.recycler) {
            entry.inbox.release(&mut self.output.recycler);
            self.consume_item(id, cost);
            return Received::Item(());
        }
        if entry.failed {
            Received::Failed
        } else if entry.side.is_peer_closed() {
            Received::End
        } else {
            entry.wants_read = true;
            Received::Empty
        }
    }

    /// Takes the outcome, once; an encoded result is taken into `out`. Items that came before it stay readable.
    pub(crate) fn take_outcome(&mut self, id: DialogId, out: &mut Segments) -> Option<Outcome> {
        let entry = self.dialogs.get_mut(id)?;
        let outcome = entry.outcome.take()?;
        if outcome == Outcome::Return {
            entry.last.bytes.hand_over(out);
        }
        let cost = std::mem::take(&mut entry.last.cost);
        self.consume(cost);
        Some(outcome)
    }

    /// Looks at the failure of a dialog, as long as its outcome was not taken.
    #[cfg(test)]
    pub(crate) fn failure(&self, id: DialogId) -> Option<&RemoteError> {
        match &self.dialogs.get(id)?.outcome {
            Some(Outcome::Error(error)) => Some(error),
            _ => None,
        }
    }

    /// The handle is gone: nobody will read or send any more. A dialog that runs is ended: at its opener cancelled, at
    /// its callee failed.
    pub(crate) fn forget(&mut self, id: DialogId) {
        let Some(entry) = self.dialogs.get_mut(id) else { return };
        match &entry.side {
            side if side.is_ended() => {
                if self.lost.is_some() || matches!(side, Side::Opener(_)) {
                    self.remove(id);
                }
            }
            Side::Opener(_) => {
                entry.forgotten = true;
                self.cancel(id, &Reason::PeerGone);
                self.drop_unread(id);
            }
            Side::Callee(_) => {
                let reason = entry.cancel.take().unwrap_or(Reason::NurseryDropped);
                self.answer_cancelled(id, &reason);
            }
        }
    }

    /// Nobody reads what a dialog holds: its credit goes back.
    fn drop_unread(&mut self, id: DialogId) {
        let Some(entry) = self.dialogs.get_mut(id) else { return };
        let items = entry.inbox.clear();
        let others = entry.discard();
        self.consume_item(id, items);
        self.consume(others);
    }

    /// Returns credit for an item, to its dialog and to the connection.
    pub(super) fn consume_item(&mut self, id: DialogId, cost: u64) {
        let Some(entry) = self.dialogs.get_mut(id) else { return };
        if entry.ledger.consume(cost) {
            self.owe(id);
        }
        self.consume(cost);
    }
}

/// What is known of a dialog that the peer opened, beside its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StartInfo {
    /// Whether it is a plain call: no `started`, no items.
    pub(crate) call: bool,
}
