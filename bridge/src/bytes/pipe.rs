//! One direction of a link of bytes: a ring, who waits at it, and how the two sides are.

use std::cmp::min;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// Bytes that a ring has room for from the first write on, if its capacity is not less.
const AT_ONCE: usize = 64 * 1024;

/// How a side of the link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Going,
    /// It returned a value: all that it will ever write is written.
    Done,
    /// It failed, or was cancelled: what it has written may be half of something.
    Failed,
}

/// Both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lives {
    pub(super) near: Life,
    pub(super) far: Life,
}

impl Lives {
    const GOING: Self = Self { near: Life::Going, far: Life::Going };
}

/// Which side uses a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Near,
    Far,
}

impl Side {
    fn own(self, lives: Lives) -> Life {
        match self {
            Self::Near => lives.near,
            Self::Far => lives.far,
        }
    }

    fn other(self, lives: Lives) -> Life {
        match self {
            Self::Near => lives.far,
            Self::Far => lives.near,
        }
    }
}

/// Why a pipe takes or gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// This side has ended: its end was carried out of its function.
    Over,
    /// This side has closed its direction.
    Closed,
    /// The other side has returned.
    OtherDone,
    /// The other side has failed. The far side hears of it at once, the near side when it has read the rest: a failure
    /// of the near side is a cancel.
    OtherFailed,
}

pub(super) type Taken = Poll<Result<usize, Refusal>>;

struct Ring {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// The writer has closed it: after the rest comes the end.
    closed: bool,
    lives: Lives,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One direction, of one reader and one writer.
pub(super) struct Pipe {
    ring: Mutex<Ring>,
}

impl Pipe {
    pub(super) fn new(capacity: usize) -> Self {
        let bytes = VecDeque::new();
        let ring = Ring { bytes, capacity, closed: false, lives: Lives::GOING, reader: None, writer: None };
        Self { ring: Mutex::new(ring) }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Gives `sink` up to `room` bytes in order, in one piece or two; 0 is the end.
    pub(super) fn poll_take(&self, side: Side, cx: &mut Context<'_>, room: usize, sink: impl FnMut(&[u8])) -> Taken {
        let mut ring = self.lock();
        if let Some(refusal) = ring.refusal(side) {
            return Poll::Ready(Err(refusal));
        }
        if room == 0 {
            return Poll::Ready(Ok(0));
        }
        if !ring.bytes.is_empty() {
            let count = ring.take(room, sink);
            let writer = ring.writer.take();
            drop(ring);
            wake(writer);
            return Poll::Ready(Ok(count));
        }
        if ring.closed {
            return Poll::Ready(Ok(0));
        }
        match side.other(ring.lives) {
            Life::Done => Poll::Ready(Ok(0)),
            Life::Failed => Poll::Ready(Err(Refusal::OtherFailed)),
            Life::Going => park(&mut ring.reader, cx),
        }
    }

    /// Takes as many of these bytes as there is room for.
    pub(super) fn poll_put(&self, side: Side, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Taken {
        let mut ring = self.lock();
        if let Some(refusal) = ring.refusal(side).or_else(|| ring.unread(side)) {
            return Poll::Ready(Err(refusal));
        }
        if pieces.iter().all(|piece| piece.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        if ring.bytes.len() == ring.capacity {
            return park(&mut ring.writer, cx);
        }
        let count = ring.put(pieces);
        let reader = ring.reader.take();
        drop(ring);
        wake(reader);
        Poll::Ready(Ok(count))
    }

    /// The writer writes no more.
    pub(super) fn close(&self, side: Side) -> Result<(), Refusal> {
        let reader = {
            let mut ring = self.lock();
            if let Some(refusal) = ring.refusal(side) {
                return Err(refusal);
            }
            ring.closed = true;
            ring.reader.take()
        };
        wake(reader);
        Ok(())
    }

    /// Says how the sides are now, and wakes who waits.
    pub(super) fn tell(&self, change: impl FnOnce(&mut Lives)) {
        let (reader, writer) = {
            let mut ring = self.lock();
            change(&mut ring.lives);
            (ring.reader.take(), ring.writer.take())
        };
        wake(reader);
        wake(writer);
    }

    /// Nobody reads any more: who waited will not hear of anything.
    pub(super) fn forget_reader(&self) {
        let reader = self.lock().reader.take();
        drop(reader);
    }

    /// Nobody writes any more.
    pub(super) fn forget_writer(&self) {
        let writer = self.lock().writer.take();
        drop(writer);
    }

    /// Drops what nobody will read.
    pub(super) fn clear(&self) {
        let unread = std::mem::take(&mut self.lock().bytes);
        drop(unread);
    }
}

impl Ring {
    /// Why this side can do nothing at all, if it cannot.
    fn refusal(&self, side: Side) -> Option<Refusal> {
        if side == Side::Far && self.lives.near == Life::Failed {
            return Some(Refusal::OtherFailed);
        }
        (side.own(self.lives) != Life::Going).then_some(Refusal::Over)
    }

    /// Why nobody would read what this side writes.
    fn unread(&self, side: Side) -> Option<Refusal> {
        if self.closed {
            return Some(Refusal::Closed);
        }
        match side.other(self.lives) {
            Life::Going => None,
            Life::Done => Some(Refusal::OtherDone),
            Life::Failed => Some(Refusal::OtherFailed),
        }
    }

    fn take(&mut self, room: usize, mut sink: impl FnMut(&[u8])) -> usize {
        let count = min(room, self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let first = min(count, front.len());
        sink(&front[..first]);
        if count > first {
            sink(&back[..count - first]);
        }
        self.bytes.drain(..count);
        count
    }

    /// At once up to [`AT_ONCE`], beyond it by doubling, and never more than was promised.
    fn make_room(&mut self, pieces: &[IoSlice<'_>]) {
        let before = self.bytes.len();
        let coming = pieces.iter().fold(0_usize, |sum, piece| sum.saturating_add(piece.len()));
        let needed = min(before.saturating_add(coming), self.capacity);
        if needed > self.bytes.capacity() {
            let most = needed.max(self.bytes.capacity().saturating_mul(2)).max(AT_ONCE);
            self.bytes.reserve_exact(min(most, self.capacity) - before);
        }
    }

    fn put(&mut self, pieces: &[IoSlice<'_>]) -> usize {
        let before = self.bytes.len();
        self.make_room(pieces);
        for piece in pieces {
            let count = min(piece.len(), self.capacity - self.bytes.len());
            self.bytes.extend(&piece[..count]);
        }
        self.bytes.len() - before
    }
}

fn park(slot: &mut Option<Waker>, cx: &Context<'_>) -> Taken {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        other => *other = Some(cx.waker().clone()),
    }
    Poll::Pending
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
