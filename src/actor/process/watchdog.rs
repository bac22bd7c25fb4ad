//! Whether threads turn that run foreign code beside a tree: the control thread looks at their pulse.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::host::Beat;
use crate::proto::blocked::Blocked;

/// A thread that has been in one turn for this long is blocked.
pub(crate) const LIMIT: Duration = Duration::from_secs(1);
/// How soon a thread is looked at again that was in a turn, and one that was at rest: an idle one costs next to nothing.
const BUSY: Duration = Duration::from_millis(250);
const IDLE: Duration = Duration::from_secs(1);
/// Who looks so much later than it meant to was stopped itself, and so was the thread.
const STOPPED: Duration = Duration::from_secs(1);

/// Who wants to know. Called on the control thread: an implementation hands on and returns.
pub(crate) trait WatchEvents: Send + Sync + 'static {
    /// The thread has been in this turn for so long. Whoever finds out what it does there tells it by [`report`](super::report).
    fn blocked(&self, turn: u64, time: Duration);

    /// What was found out; or that it turns again after that.
    fn told(&self, blocked: Option<Blocked>);
}

/// One thread.
pub(super) struct Watchdog {
    beat: Arc<Beat>,
    events: Arc<dyn WatchEvents>,
    spell: Spell,
    told: bool,
}

impl Watchdog {
    pub(super) fn new(beat: Arc<Beat>, events: Arc<dyn WatchEvents>, now: Instant) -> Self {
        Self { beat, events, spell: Spell::new(now), told: false }
    }

    pub(super) fn due(&self) -> Instant {
        self.spell.due
    }

    /// Looks at it, if that is due.
    pub(super) fn tick(&mut self, now: Instant) {
        if now < self.spell.due {
            return;
        }
        if let Some((turn, time)) = self.spell.look(self.beat.look(), now) {
            self.events.blocked(turn, time);
        }
        if self.told && self.spell.said.is_none() {
            self.told = false;
            self.events.told(None);
        }
    }

    /// What it does in this turn was found out, which may have taken longer than the turn.
    pub(super) fn found(&mut self, turn: u64, blocked: Blocked) {
        self.events.told(Some(blocked));
        self.told = self.beat.look() == Some(turn);
        if !self.told {
            self.events.told(None);
        }
    }
}

/// How long the thread has been in the turn in which it was seen first.
struct Spell {
    /// The turn, or `None` while it was at rest.
    turn: Option<u64>,
    since: Instant,
    /// How long it had been when that was last said.
    said: Option<Duration>,
    due: Instant,
}

impl Spell {
    fn new(now: Instant) -> Self {
        Self { turn: None, since: now, said: None, due: now + BUSY }
    }

    /// Takes what is seen now. Gives the turn and the time if that is worth to be said: first at the limit, then when it has
    /// become twice as long.
    fn look(&mut self, seen: Option<u64>, now: Instant) -> Option<(u64, Duration)> {
        let was_stopped = now > self.due + STOPPED;
        self.due = now + if seen.is_some() { BUSY } else { IDLE };
        if seen != self.turn {
            (self.turn, self.since, self.said) = (seen, now, None);
        } else if was_stopped {
            self.since = now;
        }
        let time = now - self.since;
        let next = self.said.map_or(LIMIT, |said| said * 2);
        let turn = self.turn.filter(|_| time >= next)?;
        self.said = Some(time);
        Some((turn, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(250);

    /// Looks when it is due, at what `seen` says of each time, and collects when something is said, in milliseconds.
    fn said(looks: u64, seen: impl Fn(u64) -> Option<u64>) -> Vec<u128> {
        let begin = Instant::now();
        let mut spell = Spell::new(begin);
        let mut said = Vec::new();
        for _ in 0..looks {
            let now = spell.due;
            let at = u64::try_from((now - begin).as_millis()).unwrap();
            if spell.look(seen(at), now).is_some() {
                said.push((now - begin).as_millis());
            }
        }
        said
    }

    #[test]
    fn a_thread_that_turns_or_rests_is_not_blocked() {
        assert_eq!(said(100, |_| None), [0; 0]);
        assert_eq!(said(100, Some), [0; 0]);
        let rests_now_and_then = |at| (at % 1000 < 900).then_some(at / 1000);
        assert_eq!(said(100, rests_now_and_then), [0; 0]);
    }

    #[test]
    fn one_that_does_not_turn_is_named_at_the_limit_and_at_each_doubling() {
        assert_eq!(said(34, |_| Some(7)), [1250, 2250, 4250, 8250]);
    }

    #[test]
    fn each_spell_is_named() {
        let two_spells = |at| Some(if at < 3000 { 1 } else { 2 });
        assert_eq!(said(20, two_spells), [1250, 2250, 4000, 5000]);
    }

    #[test]
    fn who_was_stopped_itself_begins_again() {
        let begin = Instant::now();
        let mut spell = Spell::new(begin);
        assert_eq!(spell.look(Some(7), begin + STEP), None);
        let woken = begin + Duration::from_secs(3600);
        assert_eq!(spell.look(Some(7), woken), None, "the machine may have slept");
        assert_eq!(spell.look(Some(7), woken + STEP), None);
        let limit = woken + LIMIT;
        assert_eq!(spell.look(Some(7), limit), Some((7, LIMIT)));
    }
}
