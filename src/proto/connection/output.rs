//! What waits to be written, in three classes: urgent frames, what is ready as it is, and the dialogs whose turn comes.

use std::collections::VecDeque;

use crate::proto::credit::{Pool, message_cost};
use crate::proto::entry::Table;
use crate::proto::event::{ControlFrame, DialogId};
use crate::proto::fragment::{HEADER, Header, Kind, MAX_PAYLOAD};
use crate::proto::outbox::{Outbox, Parts};
use crate::proto::recycle::{LARGE, Recycler};

/// Beyond this many bytes ready to be written, messages wait in their dialog, so that dialogs take turns and an urgent frame
/// does not wait behind more than that.
const READY_BYTES: usize = MAX_PAYLOAD;

/// The queues of the writing side.
#[derive(Debug)]
pub(crate) struct Output {
    /// What may be under way over all dialogs.
    pub(crate) pool: Pool,
    /// Cancels and acks, as bytes.
    pub(crate) urgent: Vec<u8>,
    /// How many acks are among them.
    pub(crate) acks: usize,
    /// Small messages in the order in which they were sent, as bytes.
    pub(crate) wire: Vec<u8>,
    /// Dialogs whose first message may go.
    pub(crate) ready: VecDeque<DialogId>,
    /// Dialogs whose first message waits for credit of the connection.
    pub(crate) starved: VecDeque<DialogId>,
    /// Dialogs whose sender waits for credit of the connection.
    pub(crate) blocked: Vec<DialogId>,
    /// Dialogs that owe credit; 0 is the connection.
    pub(crate) credit_due: Vec<DialogId>,
    /// Cancels and acks for the control connection.
    pub(crate) control: Vec<ControlFrame>,
    /// A ping is to be sent.
    pub(crate) ping: bool,
    /// A ping is to be answered.
    pub(crate) pong: bool,
    /// A bye is to be sent, once all else is.
    pub(crate) bye: bool,
    /// Large buffers of both directions.
    pub(crate) recycler: Recycler,
}

impl Output {
    /// Empty queues.
    pub(crate) fn new(pool: Pool) -> Self {
        Self {
            pool,
            urgent: Vec::new(),
            acks: 0,
            wire: Vec::new(),
            ready: VecDeque::new(),
            starved: VecDeque::new(),
            blocked: Vec::new(),
            credit_due: Vec::new(),
            control: Vec::new(),
            ping: false,
            pong: false,
            bye: false,
            recycler: Recycler::default(),
        }
    }

    /// Queues a message of a dialog. Credit for an item has been taken by the caller; other kinds get it here, once
    /// they are the first in their dialog.
    pub(crate) fn push(&mut self, id: DialogId, outbox: &mut Outbox, kind: Kind, parts: Parts<'_>) {
        let len = parts[0].len() + parts[1].len();
        let idle = outbox.is_empty();
        let charged = self.is_charged(id, idle, kind, len);
        if charged && idle && len <= MAX_PAYLOAD && self.ready.is_empty() && self.wire.len() < READY_BYTES {
            return write(&mut self.wire, id, kind, parts);
        }
        outbox.reserve(len, &mut self.recycler);
        outbox.push(kind, parts, charged);
        self.queued(id, idle, charged);
    }

    /// The same for a message in a buffer of its own: a large one goes with it, and leaves an empty one.
    #[inline]
    pub(crate) fn push_from(&mut self, id: DialogId, outbox: &mut Outbox, kind: Kind, message: &mut Vec<u8>) {
        if message.len() < LARGE {
            self.push(id, outbox, kind, [message, &[]]);
        } else {
            self.push_own(id, outbox, kind, message);
        }
    }

    fn push_own(&mut self, id: DialogId, outbox: &mut Outbox, kind: Kind, message: &mut Vec<u8>) {
        let idle = outbox.is_empty();
        let charged = self.is_charged(id, idle, kind, message.len());
        let mut next = if kind == Kind::Item { self.recycler.take(message.len()) } else { Vec::new() };
        next.clear();
        outbox.push_own(kind, std::mem::replace(message, next), charged);
        self.queued(id, idle, charged);
    }

    fn is_charged(&mut self, id: DialogId, idle: bool, kind: Kind, len: usize) -> bool {
        kind == Kind::Item || (idle && self.charge(id, kind, len))
    }

    fn queued(&mut self, id: DialogId, idle: bool, charged: bool) {
        match (idle, charged) {
            (true, true) => self.ready.push_back(id),
            (true, false) => self.starved.push_back(id),
            (false, _) => {}
        }
    }

    /// Takes credit of the connection for a message that is the first of its dialog.
    fn charge(&mut self, id: DialogId, kind: Kind, len: usize) -> bool {
        // Starts keep their order: the other side takes a number below the highest for an ended dialog.
        if kind == Kind::Start && self.starved.iter().any(|other| (other ^ id) & 1 == 0) {
            return false;
        }
        let cost = message_cost(kind, len);
        let charged = cost == 0 || self.pool.admits(cost);
        if charged {
            self.pool.take(cost);
        }
        charged
    }

    /// After a fragment of `id`: its next turn, if it has more to say.
    pub(crate) fn requeue(&mut self, id: DialogId, outbox: &mut Outbox) {
        let Some(head) = outbox.head() else { return outbox.release(&mut self.recycler) };
        if head.charged {
            self.ready.push_back(id);
        } else if self.charge(id, head.kind, head.len) {
            outbox.charge_head();
            self.ready.push_back(id);
        } else {
            self.starved.push_back(id);
        }
    }

    /// Gives credit to the dialogs that wait for it, in their order.
    pub(crate) fn feed(&mut self, dialogs: &mut Table) {
        while let Some(&id) = self.starved.front() {
            if let Some((entry, head)) =
                dialogs.get_mut(id).and_then(|entry| entry.outbox.head().map(|head| (entry, head)))
            {
                let cost = message_cost(head.kind, head.len);
                if cost > 0 && !self.pool.admits(cost) {
                    return;
                }
                self.pool.take(cost);
                entry.outbox.charge_head();
                self.ready.push_back(id);
            }
            self.starved.pop_front();
        }
    }

    /// Whether there is anything to write.
    pub(crate) fn is_empty(&self) -> bool {
        let data = self.wire.is_empty() && self.ready.is_empty();
        let urgent = self.urgent.is_empty() && self.credit_due.is_empty();
        data && urgent && !self.ping && !self.pong && !(self.bye && self.starved.is_empty())
    }

    /// Throws everything away.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.pool);
    }
}

/// Appends a message of one fragment.
pub(crate) fn write(out: &mut Vec<u8>, dialog: DialogId, kind: Kind, parts: Parts<'_>) {
    let len = parts[0].len() + parts[1].len();
    let header = Header { len: len as u32, kind, more: false, cpu: 0, dialog };
    out.reserve(HEADER + len);
    out.extend_from_slice(&header.to_bytes());
    out.extend_from_slice(parts[0]);
    out.extend_from_slice(parts[1]);
}
