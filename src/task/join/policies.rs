//! What the functions of `join` make of the outcomes.

use std::time::Duration;

use super::{Flow, Policy, TooFew, gather};
use crate::{Error, Result};

/// Every value, in the order of the futures, or the failures.
pub(super) struct All<T> {
    values: Vec<Option<T>>,
    failures: Vec<Error>,
}

impl<T> Default for All<T> {
    fn default() -> Self {
        Self { values: Vec::new(), failures: Vec::new() }
    }
}

impl<T> Policy<T> for All<T> {
    type Output = Vec<T>;

    fn begin(&mut self, count: usize) -> Flow {
        self.values.resize_with(count, || None);
        Flow::GoOn
    }

    fn ended(&mut self, index: usize, outcome: Result<T>) -> Flow {
        match outcome {
            Ok(value) => {
                self.values[index] = Some(value);
                Flow::GoOn
            }
            Err(failure) => {
                self.failures.push(failure);
                Flow::Enough
            }
        }
    }

    fn finish(self) -> Result<Vec<T>> {
        match gather(self.failures) {
            Some(failure) => Err(failure),
            None => Ok(self.values.into_iter().map(|value| value.expect("none has failed")).collect()),
        }
    }
}

/// The first `needed` values, as they come, or the failures that made that impossible.
pub(super) struct Quorum<T> {
    needed: usize,
    given: usize,
    values: Vec<(usize, T)>,
    failures: Vec<Error>,
}

impl<T> Quorum<T> {
    pub(super) fn of(needed: usize) -> Self {
        Self { needed, given: 0, values: Vec::new(), failures: Vec::new() }
    }

    /// It is enough when it is reached, and when too many have failed or there never were enough.
    fn flow(&self) -> Flow {
        let reached = self.values.len() == self.needed;
        if reached || self.given < self.needed + self.failures.len() { Flow::Enough } else { Flow::GoOn }
    }
}

impl<T> Policy<T> for Quorum<T> {
    type Output = Vec<(usize, T)>;

    fn begin(&mut self, count: usize) -> Flow {
        self.given = count;
        self.flow()
    }

    fn ended(&mut self, index: usize, outcome: Result<T>) -> Flow {
        match outcome {
            Ok(value) if self.flow() == Flow::GoOn => self.values.push((index, value)),
            Ok(_) => {}
            Err(failure) => self.failures.push(failure),
        }
        self.flow()
    }

    fn finish(self) -> Result<Vec<(usize, T)>> {
        if self.values.len() == self.needed {
            return Ok(self.values);
        }
        let too_few = TooFew { needed: self.needed, given: self.given };
        Err(gather(self.failures).unwrap_or_else(|| too_few.into()))
    }
}

/// What each has ended with, if it has ended.
pub(super) struct Outcomes<T> {
    limit: Option<Duration>,
    outcomes: Vec<Option<Result<T>>>,
}

impl<T> Default for Outcomes<T> {
    fn default() -> Self {
        Self { limit: None, outcomes: Vec::new() }
    }
}

impl<T> Outcomes<T> {
    pub(super) fn within(limit: Duration) -> Self {
        Self { limit: Some(limit), outcomes: Vec::new() }
    }
}

impl<T> Policy<T> for Outcomes<T> {
    type Output = Vec<Option<Result<T>>>;

    fn begin(&mut self, count: usize) -> Flow {
        self.outcomes.resize_with(count, || None);
        Flow::GoOn
    }

    fn limit(&self) -> Option<Duration> {
        self.limit
    }

    fn ended(&mut self, index: usize, outcome: Result<T>) -> Flow {
        self.outcomes[index] = Some(outcome);
        Flow::GoOn
    }

    fn finish(self) -> Result<Self::Output> {
        Ok(self.outcomes)
    }
}

/// A policy whose result is put into another form.
pub(super) struct Then<P, A, B> {
    policy: P,
    then: fn(A) -> B,
}

impl<P, A, B> Then<P, A, B> {
    pub(super) fn new(policy: P, then: fn(A) -> B) -> Self {
        Self { policy, then }
    }
}

impl<T, P: Policy<T>, B> Policy<T> for Then<P, P::Output, B> {
    type Output = B;

    fn begin(&mut self, count: usize) -> Flow {
        self.policy.begin(count)
    }

    fn limit(&self) -> Option<Duration> {
        self.policy.limit()
    }

    fn ended(&mut self, index: usize, outcome: Result<T>) -> Flow {
        self.policy.ended(index, outcome)
    }

    fn finish(self) -> Result<B> {
        self.policy.finish().map(self.then)
    }
}
