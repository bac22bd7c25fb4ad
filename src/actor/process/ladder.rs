//! The ladder: ask, SIGTERM, SIGKILL, give up. What to do next and when, without doing it.

use std::time::{Duration, Instant};

use super::death::Step;

/// Where a child stands on the ladder.
#[derive(Debug)]
pub(super) struct Ladder {
    terminate: Duration,
    give_up: Duration,
    next: Option<(Instant, Step)>,
    steps: Vec<Step>,
}

/// The moment `wait` after `now`; a wait without end is a century.
pub(super) fn later(now: Instant, wait: Duration) -> Instant {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    now + wait.min(CENTURY)
}

impl Ladder {
    /// At its foot. `terminate` is how long SIGTERM, and `give_up` how long SIGKILL has to work.
    pub(super) fn new(terminate: Duration, give_up: Duration) -> Self {
        Self { terminate, give_up, next: None, steps: Vec::new() }
    }

    /// Asks for the end within `grace`. Whether the child is to be told: the first time, and when its time gets shorter.
    pub(super) fn ask(&mut self, now: Instant, grace: Duration) -> bool {
        let asked = self.steps.contains(&Step::Asked);
        let shorter = self.limit(later(now, grace));
        if self.past(Step::Terminated) || (asked && !shorter) {
            return false;
        }
        if !asked {
            self.steps.push(Step::Asked);
        }
        true
    }

    /// Sends SIGTERM at `at` at the latest. Whether that is sooner than before.
    pub(super) fn limit(&mut self, at: Instant) -> bool {
        let sooner = self.next.is_none_or(|(due, step)| step == Step::Terminated && at < due);
        if sooner && !self.past(Step::Terminated) {
            self.next = Some((at, Step::Terminated));
            return true;
        }
        false
    }

    /// Goes to SIGKILL at once, unless it is past that.
    pub(super) fn kill(&mut self, now: Instant) {
        if !self.past(Step::Killed) {
            self.next = Some((now, Step::Killed));
        }
    }

    /// The child has ended: nothing more to do.
    pub(super) fn stop(&mut self) {
        self.next = None;
    }

    /// When [`step`](Self::step) has something next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.next.map(|(due, _)| due)
    }

    /// What to do now, if anything.
    pub(super) fn step(&mut self, now: Instant) -> Option<Step> {
        let (_, step) = self.next.filter(|(due, _)| *due <= now)?;
        self.steps.push(step);
        self.next = match step {
            Step::Asked | Step::GaveUp => None,
            Step::Terminated => Some((later(now, self.terminate), Step::Killed)),
            Step::Killed => Some((later(now, self.give_up), Step::GaveUp)),
        };
        Some(step)
    }

    /// What has been done.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether `step` or a later one has been done.
    fn past(&self, step: Step) -> bool {
        self.steps.iter().any(|done| *done as u8 >= step as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ladder() -> Ladder {
        Ladder::new(SECOND, SECOND * 2)
    }

    #[test]
    fn p06_the_ladder_is_climbed_step_by_step_and_ends() {
        let (mut ladder, start) = (ladder(), Instant::now());
        assert!(ladder.ask(start, SECOND * 5));
        assert_eq!(ladder.step(start), None);
        for (at, step) in [(5, Step::Terminated), (6, Step::Killed), (8, Step::GaveUp)] {
            assert_eq!(ladder.step(start + SECOND * at - Duration::from_nanos(1)), None, "{step:?} is too early");
            assert_eq!(ladder.due(), Some(start + SECOND * at));
            assert_eq!(ladder.step(start + SECOND * at), Some(step));
        }
        assert_eq!(ladder.due(), None);
        assert_eq!(ladder.steps(), [Step::Asked, Step::Terminated, Step::Killed, Step::GaveUp]);
    }

    #[test]
    fn p06_a_second_request_can_only_shorten_the_time() {
        let (mut ladder, start) = (ladder(), Instant::now());
        assert!(ladder.ask(start, SECOND * 5));
        assert!(!ladder.ask(start, SECOND * 9));
        assert!(ladder.ask(start, SECOND * 2));
        assert_eq!(ladder.due(), Some(start + SECOND * 2));
        assert_eq!(ladder.steps(), [Step::Asked]);
        ladder.step(start + SECOND * 2);
        assert!(!ladder.ask(start, Duration::ZERO), "SIGTERM has been sent");
        assert_eq!(ladder.due(), Some(start + SECOND * 3));
    }

    #[test]
    fn p06_a_request_after_a_hang_up_keeps_the_sooner_end() {
        let (mut ladder, start) = (ladder(), Instant::now());
        ladder.limit(start + SECOND);
        assert!(ladder.ask(start, SECOND * 5), "it has not been told yet");
        assert_eq!(ladder.due(), Some(start + SECOND));
    }

    #[test]
    fn p06_kill_goes_past_the_lower_steps_once() {
        let (mut ladder, start) = (ladder(), Instant::now());
        assert!(ladder.ask(start, Duration::MAX));
        ladder.kill(start);
        assert_eq!(ladder.step(start), Some(Step::Killed));
        ladder.kill(start + SECOND);
        assert_eq!(ladder.step(start + SECOND), None);
        assert!(!ladder.limit(start));
        assert_eq!(ladder.step(start + SECOND * 2), Some(Step::GaveUp));
    }
}
