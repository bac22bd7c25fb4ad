//! How one side of a queue waits for the other: by looking, where that is on another thread, or asleep.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::sched_getcpu;

use crate::waiting::{Pace, Place, Step, Waiting};

/// How long a look lasts, before the executor gets a turn.
const BURST: Duration = Duration::from_micros(2);
/// Pauses between two looks at the clock.
const PAUSES: u32 = 16;
/// Operations in a row without a wait, before the executor gets a turn.
const STREAK: u32 = 128;

/// Where a side was when it last waited, or now and then while it did not have to: thread and CPU.
#[derive(Default)]
pub(super) struct Seat(AtomicU64);

/// Bits of a seat that hold the CPU, one too high; 0 is unknown.
const CPU_BITS: u32 = 16;

impl Seat {
    /// Takes the seat, and says where the other side is: `None` if that is this thread, or not known.
    #[inline]
    fn take(&self, other: &Self) -> Option<Place> {
        let (me, there) = (thread_number() << CPU_BITS, other.0.load(Ordering::Relaxed));
        if there >> CPU_BITS != me >> CPU_BITS {
            return self.take_apart(me, there);
        }
        self.set(me);
        None
    }

    #[inline(never)]
    fn take_apart(&self, me: u64, there: u64) -> Option<Place> {
        let cpu = sched_getcpu();
        self.set(me | (cpu as u64 + 1));
        if there == 0 {
            return None;
        }
        let there = there as usize & ((1 << CPU_BITS) - 1);
        Some(Place::of(there.checked_sub(1), cpu))
    }

    /// Written only where it changes: the other side reads it.
    fn set(&self, seat: u64) {
        if self.0.load(Ordering::Relaxed) != seat {
            self.0.store(seat, Ordering::Relaxed);
        }
    }
}

/// A number that no other thread of this process ever has.
fn thread_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
        }
        number.get()
    })
}

/// How closely one looks. Each look takes the cache line away from the other side, which is just writing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eye {
    /// At an answer: the other side has nothing else to write.
    Close,
    /// At a stream: a little later there is more.
    Relaxed,
}

impl Eye {
    /// Pauses before each look.
    fn pauses(self) -> u32 {
        match self {
            Self::Close => 1,
            Self::Relaxed => 8,
        }
    }
}

/// What a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// What it looked for.
    Found,
    /// Nothing yet: look again after a turn of the executor.
    Turn,
    /// Nothing, and it is time to sleep.
    Sleep,
}

/// One side of one queue.
pub(super) struct Lookout {
    pace: Pace,
    streak: u32,
    waits: bool,
}

impl Lookout {
    pub(super) fn new(waiting: Waiting) -> Self {
        Self { pace: Pace::new(waiting), streak: 0, waits: false }
    }

    /// Whether so much was done without a wait that others should have a turn.
    #[inline]
    pub(super) fn is_spent(&mut self, own: &Seat, other: &Seat) -> bool {
        self.streak += 1;
        if self.streak < STREAK {
            return false;
        }
        self.streak = 0;
        own.take(other);
        true
    }

    /// Nothing is there: `found` says when that changes, asked at this pace. It is asked for the last time with `true`,
    /// which means that it should not ask for too much.
    #[inline]
    pub(super) fn look(&mut self, own: &Seat, other: &Seat, eye: Eye, found: impl Fn(bool) -> bool) -> Look {
        self.streak = 0;
        self.waits = true;
        if self.pace.parked() {
            return Look::Sleep;
        }
        own.take(other).map_or(Look::Sleep, |place| self.look_at(place, eye, found))
    }

    #[inline(never)]
    fn look_at(&mut self, place: Place, eye: Eye, found: impl Fn(bool) -> bool) -> Look {
        let now = Instant::now();
        let is_there = match self.pace.dry(now, place) {
            Step::Spin => spin(now, eye, found),
            Step::Yield => self.give_way(now, found),
            Step::Park => return Look::Sleep,
        };
        if is_there { Look::Found } else { Look::Turn }
    }

    fn give_way(&mut self, before: Instant, found: impl Fn(bool) -> bool) -> bool {
        std::thread::yield_now();
        let now = Instant::now();
        self.pace.yielded(now, now - before);
        found(true)
    }

    /// The wait is over, if there was one.
    #[inline]
    pub(super) fn over(&mut self) -> bool {
        std::mem::take(&mut self.waits)
    }

    /// The wait is over because something came.
    pub(super) fn data(&mut self) {
        self.pace.data(Instant::now);
    }
}

fn spin(since: Instant, eye: Eye, found: impl Fn(bool) -> bool) -> bool {
    let pauses = eye.pauses();
    loop {
        for _ in 0..PAUSES / pauses {
            for _ in 0..pauses {
                std::hint::spin_loop();
            }
            if found(false) {
                return true;
            }
        }
        if since.elapsed() >= BURST {
            return found(true);
        }
    }
}
