//! The way out: urgent frames first, then what is ready, then one fragment of each dialog in turn.

use super::Connection;
use super::output::write;
use crate::proto::entry::Side;
use crate::proto::event::{ControlFrame, DialogId};
use crate::proto::fragment::{Kind, tell_cpu};
use crate::proto::gather::Gather;

impl Connection {
    /// Appends what is to be written; `false` if that is nothing.
    ///
    /// It stops at the first fragment that reaches `budget`, so what it appends may be longer by one fragment. Call it
    /// whenever the transport has room and [`Connection::has_output`]; with an empty `out` the bytes are not copied
    /// again. The peer is told that it was written on this CPU. What was written goes to [`Connection::written`]. There may
    /// be events, for those who wait for room.
    pub(crate) fn gather(&mut self, out: &mut Gather, budget: usize, cpu: Option<usize>) -> bool {
        let (from, before) = (out.bytes.len(), out.len());
        let end = before.saturating_add(budget);
        self.write_urgent(&mut out.bytes);
        self.write_ready(&mut out.bytes);
        while out.len() < end {
            let Some(id) = self.output.ready.pop_front() else { break };
            self.take_turn(id, out);
        }
        self.write_bye(&mut out.bytes);
        if let Some(cpu) = cpu {
            // The first of it is a header, and those are never lent.
            tell_cpu(&mut out.bytes[from..], cpu);
        }
        out.len() > before
    }

    /// The same into one vector.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn transmit(&mut self, out: &mut Vec<u8>, budget: usize, cpu: Option<usize>) -> bool {
        let mut gathered = Gather::default();
        let any = self.gather(&mut gathered, budget, cpu);
        gathered.pieces(0).for_each(|piece| out.extend_from_slice(piece));
        self.written(&mut gathered);
        any
    }

    /// Empties what was written as a whole, and keeps its memory for what is to come.
    pub(crate) fn written(&mut self, out: &mut Gather) {
        out.clear(&mut self.output.recycler);
    }

    /// Whether [`Connection::gather`] would append anything.
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Moves the frames for the control connection to `out`. Empty unless the limits say that there is one.
    pub(crate) fn transmit_control(&mut self, out: &mut Vec<ControlFrame>) {
        self.output.acks = 0;
        out.append(&mut self.output.control);
    }

    /// Whether [`Connection::transmit_control`] would give anything.
    pub(crate) fn has_control(&self) -> bool {
        !self.output.control.is_empty()
    }

    /// Asks for a sign of life; the answer is a `Pong` event. Pings that have not left yet are one.
    #[cfg(test)]
    pub(crate) fn ping(&mut self) {
        self.output.ping = self.lost.is_none();
    }

    /// Says that nothing more comes, once everything has been written that is queued.
    pub(crate) fn bye(&mut self) {
        self.output.bye = self.lost.is_none();
    }

    fn write_urgent(&mut self, out: &mut Vec<u8>) {
        if !self.output.credit_due.is_empty() {
            self.write_credit(out);
        }
        if !self.output.urgent.is_empty() {
            out.append(&mut self.output.urgent);
            self.output.acks = 0;
        }
        if std::mem::take(&mut self.output.ping) {
            write(out, 0, Kind::Ping, [&[], &[]]);
        }
        if std::mem::take(&mut self.output.pong) {
            write(out, 0, Kind::Pong, [&[], &[]]);
        }
    }

    fn write_credit(&mut self, out: &mut Vec<u8>) {
        let mut due = std::mem::take(&mut self.output.credit_due);
        for id in due.drain(..) {
            let ledger = match self.dialogs.get_mut(id) {
                _ if id == 0 => &mut self.ledger,
                Some(entry) => &mut entry.ledger,
                None => continue,
            };
            write(out, id, Kind::Credit, [&ledger.settle().to_le_bytes(), &[]]);
        }
        self.output.credit_due = due;
    }

    fn write_ready(&mut self, out: &mut Vec<u8>) {
        if out.is_empty() {
            std::mem::swap(out, &mut self.output.wire);
        } else {
            out.append(&mut self.output.wire);
        }
    }

    /// One fragment of one dialog.
    fn take_turn(&mut self, id: DialogId, out: &mut Gather) {
        let Some(entry) = self.dialogs.get_mut(id) else { return };
        entry.outbox.next_fragment(id, out);
        self.output.requeue(id, &mut entry.outbox);
        let over = matches!(&entry.side, Side::Callee(callee) if callee.is_ended());
        if over && entry.outbox.is_empty() {
            self.remove(id);
        } else if entry.outbox.has_room_again() {
            self.writable(id);
        }
    }

    fn write_bye(&mut self, out: &mut Vec<u8>) {
        let quiet = self.output.ready.is_empty() && self.output.starved.is_empty();
        if self.output.bye && quiet {
            self.output.bye = false;
            write(out, 0, Kind::Bye, [&[], &[]]);
        }
    }
}
