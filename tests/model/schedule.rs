//! Schedules at random: the same for the same seed.

use std::fmt;

use crate::model::Model;
use crate::words::{Event, Reaction, Terms};

/// Steps of a schedule before it is brought to its end.
const STEPS: usize = 24;

/// xorshift64*, from a seed that splitmix64 has spread.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let spread = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self((spread ^ (spread >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9) | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }
}

/// A link that is opened on some terms, and what happens to it then.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) terms: Terms,
    pub(crate) events: Vec<Event>,
}

impl Schedule {
    pub(crate) fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let kind = random.below(16);
        let terms = Terms {
            capacity: 1 + random.below(3),
            reaction: [Reaction::Obeys, Reaction::Fails, Reaction::Value][random.below(3)],
            late: kind == 0,
            short: kind == 1,
            alone: kind == 2,
            races: kind >= 12,
        };
        let mut model = Model::new(terms);
        let mut events = Vec::new();
        while let Some(event) = next(&model, &mut random, events.len()) {
            model.apply(event, 0);
            events.push(event);
        }
        Self { terms, events }
    }

    /// What is done at once.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &[Event]> {
        let races = |a: Event, b: Event| self.terms.races && (a.races(b) || b.races(a));
        let mut rest = &self.events[..];
        std::iter::from_fn(move || {
            let at_once = match rest {
                [] => return None,
                [a, b, ..] if races(*a, *b) => 2,
                _ => 1,
            };
            let step;
            (step, rest) = rest.split_at(at_once);
            Some(step)
        })
    }

    /// The same without the steps that are impossible once others are missing; brought to its end.
    fn without(&self, dropped: usize) -> Self {
        let mut model = Model::new(self.terms);
        let mut events = Vec::new();
        let rest = self.events.iter().enumerate().filter(|(at, _)| *at != dropped).map(|(_, event)| *event);
        for event in rest {
            if model.bars(event).is_none() {
                model.apply(event, 0);
                events.push(event);
            }
        }
        while let Some(event) = to_the_end(&model) {
            model.apply(event, 0);
            events.push(event);
        }
        Self { terms: self.terms, events }
    }

    /// A shorter one for which `fails` still holds.
    pub(crate) fn shrunk(self, mut fails: impl FnMut(&Self) -> bool) -> Self {
        let (mut best, mut at) = (self, 0);
        while at < best.events.len() {
            let shorter = best.without(at);
            if shorter.events.len() < best.events.len() && fails(&shorter) {
                best = shorter;
            } else {
                at += 1;
            }
        }
        best
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, then {:?}", self.terms, self.events)
    }
}

/// What happens next; nothing when the link is over.
fn next(model: &Model, random: &mut Random, step: usize) -> Option<Event> {
    if step >= STEPS {
        return to_the_end(model);
    }
    let possible: Vec<Event> = Event::ALL.into_iter().filter(|&event| model.bars(event).is_none()).collect();
    if possible.contains(&Event::GraceEnds) || possible.contains(&Event::StartDeadline) && step > 0 {
        return possible.into_iter().find(|event| matches!(event, Event::GraceEnds | Event::StartDeadline));
    }
    let total: usize = possible.iter().map(|&event| weight(event)).sum();
    if total == 0 {
        return None;
    }
    let mut at = random.below(total);
    possible.into_iter().find(|&event| {
        let here = at < weight(event);
        at = at.saturating_sub(weight(event));
        here
    })
}

/// What ends something comes seldom, so that much happens before.
fn weight(event: Event) -> usize {
    use Event::*;
    match event {
        FarStart | FarSend | NearSend => 24,
        FarRecv | NearRecv | FarTrySend | NearTrySend | FarListen | NearFinish | GraceEnds | StartDeadline => 8,
        FarLeave | NearLeave | FarAsk | NearAsk => 4,
        FarReturn | NearReturn | NearStop | FarPass => 2,
        _ => 1,
    }
}

/// The shortest way to the end.
pub(crate) fn to_the_end(model: &Model) -> Option<Event> {
    use Event::*;
    let ways = [GraceEnds, StartDeadline, NearLeave, NearReturn, FarLeave, FarReturn];
    ways.into_iter().find(|&event| model.bars(event).is_none())
}
