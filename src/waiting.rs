//! How long to look for what a peer is about to send before going to sleep.
//!
//! To be woken costs more than most answers take: across CPUs a parked round trip takes 50 us, one that is looked for
//! takes 4. So whoever has nothing to do looks for a while, where that can help:
//!
//! * the peer runs on another CPU: read again and again, up to [`LOOK`], without giving the CPU away;
//! * the peer runs on this CPU, or nobody knows: give it the CPU, at most [`YIELDS`] times;
//! * neither helped twice in a row: sleep at once, until short gaps show that it would help again;
//! * giving the CPU away took longer than [`STOLEN`]: somebody else computes on it, and it is kept for a while.
//!
//! The rule is a state machine: time and the places of both sides come as arguments.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::thread::sched_getaffinity;

/// How long the peer is looked for.
const LOOK: Duration = Duration::from_micros(50);
/// What a wake-up adds to a gap, so that a gap of `LOOK` without sleep is seen as `LOOK + WAKE` with it.
const WAKE: Duration = Duration::from_micros(50);
/// The same for whoever would rather spend CPU than time.
const EAGER_WAKE: Duration = Duration::from_micros(100);
/// How often the CPU is given to a peer on the same one.
const YIELDS: u32 = 3;
/// A turn that somebody else took for longer was no turn of the peer's.
const STOLEN: Duration = Duration::from_micros(500);
/// For how long the CPU is then kept, doubled each time.
const BAN: Duration = Duration::from_millis(10);
const LONGEST_BAN: Duration = Duration::from_secs(1);
/// Looks in a row that found something, after which the past is forgotten.
const FORGET: u32 = 16;
const FORGET_BANS: u32 = 1000;
/// Looks in vain after which looking stops.
const MISSES: u32 = 2;
/// Short gaps in a row after which it starts again: at first, and at most.
const NEED: u32 = 2;
const MOST_NEED: u32 = 64;

/// What a side that waits for its peer spends: CPU or time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waiting {
    /// Looks for the peer's answer also where gaps are up to 150 us long, at the price of a busy CPU.
    Latency,
    /// Looks where the peer answers within 50 us, sleeps otherwise. What is idle costs nothing.
    #[default]
    Balanced,
    /// Always sleeps.
    Idle,
}

impl Waiting {
    const ALL: [Self; 3] = [Self::Latency, Self::Balanced, Self::Idle];

    /// What it is called in another process.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Balanced => "balanced",
            Self::Idle => "idle",
        }
    }

    /// The one of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|waiting| waiting.name() == name)
    }
}

/// Where the peer was when it was last heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this CPU, or unknown.
    Here,
    /// On another one.
    Elsewhere,
}

impl Place {
    /// From CPU numbers; `None` is unknown.
    pub(crate) fn of(peer: Option<usize>, mine: usize) -> Self {
        match peer {
            Some(cpu) if cpu != mine => Self::Elsewhere,
            _ => Self::Here,
        }
    }
}

/// What to do now that nothing is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Look again at once.
    Spin,
    /// Give the CPU away, say how long that took with [`Pace::yielded`], look again.
    Yield,
    /// Sleep until woken.
    Park,
}

/// The rule, for one direction of one connection or link.
#[derive(Debug)]
pub(crate) struct Pace {
    policy: Waiting,
    /// Looking helped lately.
    on: bool,
    hits: u32,
    misses: u32,
    short_gaps: u32,
    need: u32,
    ban: Duration,
    banned_until: Option<Instant>,
    hits_since_ban: u32,
    dry: Option<Dry>,
}

/// A wait that is going on.
#[derive(Debug)]
struct Dry {
    since: Instant,
    yields: u32,
    end: Option<End>,
}

/// How a look ended that found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// After all the time it may take.
    Missed,
    /// There was none, as it did not help lately.
    Off,
    /// After the yields, which says nothing about the peer: it had no CPU to answer on.
    Yielded,
}

impl Pace {
    pub(crate) fn new(policy: Waiting) -> Self {
        Self {
            policy,
            on: true,
            hits: 0,
            misses: 0,
            short_gaps: 0,
            need: NEED,
            ban: Duration::ZERO,
            banned_until: None,
            hits_since_ban: 0,
            dry: None,
        }
    }

    /// Nothing is ready, and everything is flushed.
    pub(crate) fn dry(&mut self, now: Instant, peer: Place) -> Step {
        let looks = self.looks(|| now);
        let dry = self.dry.get_or_insert(Dry { since: now, yields: 0, end: None });
        if dry.end.is_some() {
            return Step::Park;
        }
        let end = match peer {
            _ if !looks => End::Off,
            Place::Elsewhere if !quota_of_one() => {
                if now.saturating_duration_since(dry.since) <= LOOK {
                    return Step::Spin;
                }
                End::Missed
            }
            _ if dry.yields < YIELDS => {
                dry.yields += 1;
                return Step::Yield;
            }
            _ => End::Yielded,
        };
        dry.end = Some(end);
        Step::Park
    }

    /// Whether a wait has come to the point of sleeping: no need to look at the clock again.
    pub(crate) fn parked(&self) -> bool {
        self.dry.as_ref().is_some_and(|dry| dry.end.is_some())
    }

    /// Whether [`dry`](Self::dry) would have something better to say than to sleep: for whoever must prepare for looking.
    pub(crate) fn may_look(&mut self, now: impl FnOnce() -> Instant) -> bool {
        !self.parked() && self.looks(now)
    }

    /// Nothing is ready, and it sleeps without having looked.
    pub(crate) fn sleeps(&mut self, now: impl FnOnce() -> Instant) {
        if self.policy != Waiting::Idle && self.dry.is_none() {
            self.dry = Some(Dry { since: now(), yields: 0, end: Some(End::Off) });
        }
    }

    /// The CPU was given away, and came back after this time.
    pub(crate) fn yielded(&mut self, now: Instant, took: Duration) {
        if took <= STOLEN {
            return;
        }
        self.ban = (self.ban * 2).clamp(BAN, LONGEST_BAN);
        self.banned_until = Some(now + self.ban);
        self.hits_since_ban = 0;
    }

    /// Something has come. The clock is only asked where the answer matters.
    #[inline]
    pub(crate) fn data(&mut self, now: impl FnOnce() -> Instant) {
        if self.dry.is_some() {
            self.learn(now);
        }
    }

    #[inline(never)]
    fn learn(&mut self, now: impl FnOnce() -> Instant) {
        let Some(dry) = self.dry.take() else { return };
        match dry.end {
            None => self.hit(),
            Some(End::Yielded) => {}
            Some(End::Missed) => self.miss(),
            Some(End::Off) => self.gap(now().saturating_duration_since(dry.since)),
        }
    }

    fn looks(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.policy == Waiting::Idle {
            return false;
        }
        match self.banned_until {
            Some(until) if now() < until => false,
            Some(_) => {
                self.banned_until = None;
                self.on = true;
                self.misses = 0;
                true
            }
            None => self.on,
        }
    }

    fn hit(&mut self) {
        self.misses = 0;
        self.hits += 1;
        self.hits_since_ban += 1;
        if self.hits >= FORGET {
            self.hits = 0;
            self.need = NEED;
        }
        if self.hits_since_ban >= FORGET_BANS {
            self.hits_since_ban = 0;
            self.ban = Duration::ZERO;
        }
    }

    fn miss(&mut self) {
        self.hits = 0;
        self.misses += 1;
        if self.misses >= MISSES {
            self.on = false;
            self.misses = 0;
            self.short_gaps = 0;
            self.need = (self.need * 2).min(MOST_NEED);
        }
    }

    fn gap(&mut self, gap: Duration) {
        let wake = if self.policy == Waiting::Latency { EAGER_WAKE } else { WAKE };
        if gap > LOOK + wake {
            self.short_gaps = 0;
            return;
        }
        self.short_gaps += 1;
        if self.short_gaps >= self.need {
            self.on = true;
            self.short_gaps = 0;
            self.misses = 0;
        }
    }
}

/// Whether a quota allows no more than one CPU at a time: a look takes away what the peer would answer with. A side that is
/// bound to one CPU itself looks all the same: that the peer is on another one shows that there are more.
fn quota_of_one() -> bool {
    static QUOTA: OnceLock<bool> = OnceLock::new();
    *QUOTA.get_or_init(|| {
        let usable = std::thread::available_parallelism().map_or(1, usize::from);
        let bound_to_one = sched_getaffinity(None).is_ok_and(|allowed| allowed.count() == 1);
        usable == 1 && !bound_to_one
    })
}

#[cfg(test)]
mod tests;
