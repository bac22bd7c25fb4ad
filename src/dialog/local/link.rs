//! What both sides of a link look at without a lock.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use super::lookout::Seat;
use super::sleeper::{Padded, Sleeper};

/// What has happened, in bits that are only ever set.
pub(super) mod news {
    /// The far task has said its first value.
    pub(crate) const STARTED: u8 = 1;
    /// The opener sends no more.
    pub(crate) const STOPPED: u8 = 1 << 1;
    /// The opener has asked the far task to end.
    pub(crate) const CANCELLED: u8 = 1 << 2;
    /// The far task has ended, and its outcome is there.
    pub(crate) const ENDED: u8 = 1 << 3;
    /// It has failed; comes together with the end.
    pub(crate) const FAILED: u8 = 1 << 4;
    /// The opener has left for good.
    pub(crate) const GONE: u8 = 1 << 5;
    /// The opener reads no more either: its body is done, and the far task may end in its own time.
    pub(crate) const FINISHED: u8 = 1 << 6;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Near,
    Far,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Near => Self::Far,
            Self::Far => Self::Near,
        }
    }
}

/// Who waits at one direction.
#[derive(Default)]
pub(super) struct Gate {
    pub(super) reader: Padded<Sleeper>,
    pub(super) writer: Padded<Sleeper>,
}

#[derive(Default)]
pub(super) struct Link {
    news: Padded<AtomicU8>,
    to_far: Gate,
    to_near: Gate,
    near: Padded<Seat>,
    far: Padded<Seat>,
    /// The far task waits in one of our operations, where a cancel finds it.
    far_waits: Padded<AtomicBool>,
    /// The far task, while it waits for a cancel alone.
    pub(super) signal: Sleeper,
    /// The opener, while it waits for the first value or the end.
    pub(super) opener: Sleeper,
}

impl Link {
    /// Where `side` writes.
    #[inline]
    pub(super) fn gate(&self, side: Side) -> &Gate {
        match side {
            Side::Near => &self.to_far,
            Side::Far => &self.to_near,
        }
    }

    #[inline]
    pub(super) fn seat(&self, side: Side) -> &Seat {
        match side {
            Side::Near => &self.near,
            Side::Far => &self.far,
        }
    }

    #[inline]
    pub(super) fn news(&self) -> u8 {
        self.news.load(Ordering::SeqCst)
    }

    /// Makes something known. It is seen by whoever is woken after this.
    pub(super) fn announce(&self, news: u8) {
        self.news.fetch_or(news, Ordering::SeqCst);
    }

    /// The far task begins to wait: if a cancel does not see that, the next look at the news sees the cancel.
    pub(super) fn far_waits(&self) {
        self.far_waits.store(true, Ordering::SeqCst);
    }

    pub(super) fn far_goes_on(&self) {
        self.far_waits.store(false, Ordering::Release);
    }

    /// Announces the cancel, and says whether the far task waits where it will find it.
    pub(super) fn cancel(&self) -> bool {
        self.announce(news::CANCELLED);
        self.far_waits.load(Ordering::SeqCst)
    }

    /// Wakes `side` wherever it waits for values or room.
    pub(super) fn wake(&self, side: Side) {
        self.gate(side.other()).reader.wake();
        self.gate(side).writer.wake();
        if side == Side::Far {
            self.signal.wake();
        }
    }
}
