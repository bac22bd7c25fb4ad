//! The rule, on a clock that is an argument.

use super::*;

/// Time in microseconds, and the pace under test.
struct Run {
    start: Instant,
    now: u64,
    pace: Pace,
}

impl Run {
    fn new(policy: Waiting) -> Self {
        Self { start: Instant::now(), now: 0, pace: Pace::new(policy) }
    }

    fn at(&self) -> Instant {
        self.start + Duration::from_micros(self.now)
    }

    fn dry(&mut self, peer: Place) -> Step {
        let now = self.at();
        self.pace.dry(now, peer)
    }

    /// Waits for something that comes after `gap` us; whether it was found by looking.
    fn wait(&mut self, gap: u64, peer: Place) -> bool {
        let until = self.now + gap;
        loop {
            match self.dry(peer) {
                Step::Park => break,
                Step::Spin | Step::Yield if self.now + 5 >= until => break,
                Step::Spin | Step::Yield => self.now += 5,
            }
        }
        let found = !self.pace.parked();
        self.now = until;
        let now = self.at();
        self.pace.data(|| now);
        found
    }
}

#[test]
fn a_peer_elsewhere_is_looked_for_and_no_longer_than_it_may() {
    if quota_of_one() {
        return;
    }
    let mut run = Run::new(Waiting::Balanced);
    for _ in 0..100 {
        assert!(run.wait(20, Place::Elsewhere));
    }
    assert!(!run.wait(80, Place::Elsewhere), "it slept after 50 us");
}

#[test]
fn each_has_a_name_by_which_another_process_finds_it() {
    for waiting in [Waiting::Latency, Waiting::Balanced, Waiting::Idle] {
        assert_eq!(Waiting::from_name(waiting.name()), Some(waiting));
    }
    assert_eq!(Waiting::from_name("eager"), None);
}

#[test]
fn a_peer_here_gets_the_cpu_three_times() {
    let mut run = Run::new(Waiting::Balanced);
    for _ in 0..10 {
        let steps: Vec<_> = (0..5).map(|_| run.dry(Place::Here)).collect();
        assert_eq!(steps, [Step::Yield, Step::Yield, Step::Yield, Step::Park, Step::Park]);
        let now = run.at();
        run.pace.data(|| now);
    }
}

#[test]
fn two_looks_in_vain_end_looking_and_short_gaps_start_it_again() {
    if quota_of_one() {
        return;
    }
    let mut run = Run::new(Waiting::Balanced);
    assert!(!run.wait(1_000, Place::Elsewhere));
    assert!(!run.wait(1_000, Place::Elsewhere));
    assert_eq!(run.dry(Place::Elsewhere), Step::Park, "off: it sleeps at once");
    let now = run.at();
    run.pace.data(|| now);
    let slept = (0..).take_while(|_| !run.wait(40, Place::Elsewhere)).count();
    assert!(slept <= 5, "{slept}");
}

#[test]
fn one_message_in_a_while_never_starts_it_again() {
    let mut run = Run::new(Waiting::Balanced);
    let found = (0..1_000).filter(|_| run.wait(1_000, Place::Elsewhere)).count();
    assert_eq!(found, 0);
    assert!(!run.pace.on || quota_of_one());
}

#[test]
fn whoever_takes_the_cpu_for_long_is_not_given_it_again() {
    let mut run = Run::new(Waiting::Balanced);
    assert_eq!(run.dry(Place::Here), Step::Yield);
    run.now += 3_000;
    let now = run.at();
    run.pace.yielded(now, Duration::from_millis(3));
    assert_eq!(run.dry(Place::Here), Step::Park);
    run.pace.data(|| now);
    run.now += 9_000;
    assert_eq!(run.dry(Place::Here), Step::Park, "for 10 ms");
    let now = run.at();
    run.pace.data(|| now);
    run.now += 2_000;
    assert_eq!(run.dry(Place::Here), Step::Yield, "then it is tried once more");
}

#[test]
fn the_policies_differ_where_gaps_are_longer_than_a_look() {
    let learns = |policy| {
        let mut run = Run::new(policy);
        run.pace.on = false;
        for _ in 0..10 {
            run.wait(130, Place::Elsewhere);
        }
        run.pace.misses > 0 || run.pace.need > NEED
    };
    assert!(!learns(Waiting::Balanced));
    assert!(learns(Waiting::Latency) || quota_of_one());
    let mut idle = Run::new(Waiting::Idle);
    assert_eq!(idle.dry(Place::Elsewhere), Step::Park);
}
