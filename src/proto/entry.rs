//! What a connection holds of one dialog, and the table of them.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::credit::{Ledger, Window};
use super::dialog::{Callee, Opener, OutOfTurn, Refused};
use super::event::{DialogId, Outcome};
use super::fragment::Kind;
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::recycle::Recycler;
use super::segments::Segments;
use crate::error::Reason;

/// Which end of the dialog is here.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// It was opened here.
    Opener(Opener),
    /// It was opened by the peer.
    Callee(Callee),
}

impl Side {
    /// May an item be sent?
    pub(crate) fn send(&self) -> Result<(), Refused> {
        match self {
            Self::Opener(opener) => opener.send(),
            Self::Callee(callee) => callee.send(),
        }
    }

    /// Ends the items of this side; `false` if they had already ended.
    pub(crate) fn stop(&mut self) -> Result<bool, Refused> {
        match self {
            Self::Opener(opener) => opener.stop(),
            Self::Callee(callee) => callee.stop(),
        }
    }

    /// The peer has sent an item.
    pub(crate) fn on_item(&self) -> Result<(), OutOfTurn> {
        match self {
            Self::Opener(opener) => opener.on_item(),
            Self::Callee(callee) => callee.on_item(),
        }
    }

    /// The peer has ended its items.
    pub(crate) fn on_stop(&mut self) -> Result<(), OutOfTurn> {
        match self {
            Self::Opener(opener) => opener.on_stop(),
            Self::Callee(callee) => callee.on_stop(),
        }
    }

    /// The peer is gone; `true` if that is the outcome.
    pub(crate) fn on_lost(&mut self) -> bool {
        match self {
            Self::Opener(opener) => opener.on_lost(),
            Self::Callee(callee) => callee.on_lost(),
        }
    }

    /// Whether no further item will come.
    pub(crate) fn is_peer_closed(&self) -> bool {
        match self {
            Self::Opener(opener) => opener.is_peer_closed(),
            Self::Callee(callee) => callee.is_peer_closed(),
        }
    }

    /// Whether it has its outcome.
    pub(crate) fn is_ended(&self) -> bool {
        match self {
            Self::Opener(opener) => opener.is_ended(),
            Self::Callee(callee) => callee.is_ended(),
        }
    }
}

/// A message that a dialog has only one of: a start, or a `started` value.
#[derive(Debug, Default)]
pub(crate) struct Single {
    /// The bytes that have come.
    pub(crate) bytes: Segments,
    /// What they cost, until that is returned.
    pub(crate) cost: u64,
    /// Whether it is complete and not taken.
    pub(crate) ready: bool,
}

/// What a connection holds of one dialog.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Which end is here, and how far it is.
    pub(crate) side: Side,
    /// Items to read.
    pub(crate) inbox: Inbox,
    /// Messages to send.
    pub(crate) outbox: Outbox,
    /// Credit for sending items.
    pub(crate) window: Window,
    /// Credit of the received items.
    pub(crate) ledger: Ledger,
    /// The kind of the message whose fragments are arriving.
    pub(crate) arriving: Option<Kind>,
    /// The start, or the `started` value.
    pub(crate) first: Single,
    /// The outcome while it arrives; later its cost.
    pub(crate) last: Single,
    /// The outcome.
    pub(crate) outcome: Option<Outcome>,
    /// Whether the outcome is a failure, also after it was taken.
    pub(crate) failed: bool,
    /// The reason of a requested cancel, until it is taken.
    pub(crate) cancel: Option<Reason>,
    /// Whether the handle is gone.
    pub(crate) forgotten: bool,
    /// Whether the next item is worth a `Readable`.
    pub(crate) wants_read: bool,
    /// Whether the next credit is worth a `Writable`.
    pub(crate) wants_write: bool,
    /// Whether it is among those that wait for credit of the connection.
    pub(crate) blocked: bool,
}

impl Entry {
    /// A dialog that begins.
    pub(crate) fn new(side: Side, window: Window, ledger: Ledger) -> Self {
        Self {
            side,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            window,
            ledger,
            arriving: None,
            first: Single::default(),
            last: Single::default(),
            outcome: None,
            failed: false,
            cancel: None,
            forgotten: false,
            wants_read: true,
            wants_write: false,
            blocked: false,
        }
    }

    /// Makes an ended dialog, whose buffers are empty, the next one, so that its memory is used again.
    fn reuse(&mut self, side: Side, window: Window, ledger: Ledger) {
        let next = Self::new(side, window, ledger);
        let old = std::mem::replace(self, next);
        self.inbox = old.inbox;
        self.outbox = old.outbox;
        self.first.bytes = old.first.bytes;
        self.last.bytes = old.last.bytes;
    }

    /// Throws away what nobody will read; gives what it costs the connection.
    pub(crate) fn discard(&mut self) -> u64 {
        self.first.ready = false;
        self.inbox.clear() + std::mem::take(&mut self.first.cost) + std::mem::take(&mut self.last.cost)
    }
}

/// How many ended dialogs are kept for their memory.
const SPARE: usize = 64;
/// The largest buffer an ended dialog may keep.
const KEEP: usize = 64 * 1024;

/// The dialogs of a connection.
#[derive(Debug, Default)]
pub(crate) struct Table {
    entries: HashMap<DialogId, Box<Entry>, BuildHasherDefault<IdHasher>>,
    // Boxes are moved between the two as they are; an entry itself is too large to be moved per call.
    #[allow(clippy::vec_box)]
    spare: Vec<Box<Entry>>,
}

impl Table {
    /// The dialog with this number.
    pub(crate) fn get_mut(&mut self, id: DialogId) -> Option<&mut Entry> {
        self.entries.get_mut(&id).map(|entry| &mut **entry)
    }

    /// The dialog with this number.
    pub(crate) fn get(&self, id: DialogId) -> Option<&Entry> {
        self.entries.get(&id).map(|entry| &**entry)
    }

    /// Begins a dialog.
    pub(crate) fn insert(&mut self, id: DialogId, side: Side, window: Window, ledger: Ledger) -> &mut Entry {
        let entry = match self.spare.pop() {
            Some(mut spare) => {
                spare.reuse(side, window, ledger);
                spare
            }
            None => Box::new(Entry::new(side, window, ledger)),
        };
        self.entries.entry(id).insert_entry(entry).into_mut()
    }

    /// Removes a dialog; gives what its unread content costs the connection.
    pub(crate) fn remove(&mut self, id: DialogId, recycler: &mut Recycler) -> u64 {
        let Some(mut entry) = self.entries.remove(&id) else { return 0 };
        let cost = entry.discard();
        entry.inbox.release(recycler);
        entry.outbox.release(recycler);
        if self.spare.len() < SPARE {
            for bytes in [&mut entry.first.bytes, &mut entry.last.bytes] {
                bytes.clear(KEEP);
            }
            self.spare.push(entry);
        }
        cost
    }

    /// The numbers of all dialogs, ascending.
    pub(crate) fn ids(&self) -> Vec<DialogId> {
        let mut ids: Vec<_> = self.entries.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// How many dialogs are held.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

/// Spreads ascending numbers by one multiplication. A peer that picks its numbers to collide is bounded by the number of
/// dialogs it may have open.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0 ^ id).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}
