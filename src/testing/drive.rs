//! The drivers: a scenario is run again and again, and ended at another point each time.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use super::{Finding, Findings, Trial, VirtualClock, What};
use crate::task::census::{self, Census};
use crate::task::time::Step;
use crate::task::{CancelScope, panics};
use crate::{Error, Result};

/// Polls after which a scenario is taken to spin.
const POLLS: usize = 1_000_000;

/// Runs `scenario` on virtual time, over and over, and cancels it at its first poll of a runtime await, at its second, and so
/// on, until it has as many as it needs to end by itself.
///
/// After each run it looks whether the scenario has ended, whether something is left of it (a [probe](Trial::probe), a scope, a
/// task, a permit), and whether a [failure](Trial::failure) that a task has returned is in the outcome. An outcome that is a
/// failure is not wrong by itself.
pub fn cancel_at_every_await<T, F, Fut>(scenario: F) -> Findings
where
    F: Fn(Trial) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let mut findings = Findings { runs: 0, found: Vec::new() };
    loop {
        findings.runs += 1;
        let at = findings.runs;
        let reached = run(at, &mut findings, |trial| {
            let scope = CancelScope::new();
            let (cancelled, awaits, reached) = (scope.clone(), Cell::new(0), Rc::new(Cell::new(false)));
            let says = reached.clone();
            let trap = census::set_trap(move || {
                awaits.set(awaits.get() + 1);
                if awaits.get() == at {
                    says.set(true);
                    cancelled.cancel("a driver cancels at every await");
                }
            });
            let ended = finish(Box::pin(scope.run(scenario(trial))), usize::MAX);
            drop(trap);
            (ended, reached.get())
        });
        if !reached {
            return findings;
        }
    }
}

/// Runs `scenario` on virtual time, over and over, and drops it before its first poll, after its first, and so on, until it has
/// as many as it needs to end.
///
/// After each run it looks whether something is left of it, as [`cancel_at_every_await`] does.
pub fn drop_at_every_poll<T, F, Fut>(scenario: F) -> Findings
where
    F: Fn(Trial) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let mut findings = Findings { runs: 0, found: Vec::new() };
    loop {
        findings.runs += 1;
        let at = findings.runs;
        let more = run(at, &mut findings, |trial| {
            let scope = CancelScope::new();
            let ended = finish(Box::pin(scope.run(scenario(trial))), at - 1);
            let more = matches!(ended, Ended::Dropped);
            (ended, more)
        });
        if !more {
            return findings;
        }
    }
}

/// How a run came to its end.
enum Ended {
    With(Option<Error>),
    /// Its polls were over.
    Dropped,
    Hangs,
    Spins,
}

/// Polls `future` on a clock of its own, `polls` times at most, and drops it.
fn finish<T>(mut future: Pin<Box<impl Future<Output = Result<T>>>>, polls: usize) -> Ended {
    let clock = VirtualClock::new();
    let mut steps = clock.steps();
    for _ in 0..polls.min(POLLS) {
        match steps.next(future.as_mut()) {
            Step::Ready(result) => return Ended::With(result.err()),
            Step::Pending => {}
            Step::Stuck => return Ended::Hangs,
        }
    }
    // While its clock is there.
    drop(future);
    if polls < POLLS { Ended::Dropped } else { Ended::Spins }
}

/// One run, and what is left after it.
fn run(at: usize, findings: &mut Findings, work: impl FnOnce(Trial) -> (Ended, bool)) -> bool {
    let (trial, before) = (Trial::default(), census::take());
    let mut found = |what| findings.found.push(Finding { at, what });
    let (ended, goes_on) = match panics::catch(|| work(trial.clone())) {
        Ok(ended) => ended,
        Err(panic) => {
            found(What::Panicked(panic.to_string()));
            return false;
        }
    };
    if let Some(left) = left(&trial, before) {
        found(What::Leaked(left));
    }
    match &ended {
        Ended::With(error) => trial.lost(error.as_ref()).into_iter().for_each(|text| found(What::LostFailure(text))),
        Ended::Dropped => {}
        Ended::Hangs => found(What::Hangs),
        Ended::Spins => found(What::Spins),
    }
    goes_on
}

/// What the run has left behind.
fn left(trial: &Trial, before: Census) -> Option<String> {
    let after = census::take();
    let mut left: Vec<String> = trial.alive().into_iter().map(|name| format!("the probe `{name}`")).collect();
    let counts = [
        ("scopes", before.scopes, after.scopes),
        ("tasks", before.strands, after.strands),
        ("permits", before.leases, after.leases),
    ];
    left.extend(
        counts
            .iter()
            .filter(|(_, before, after)| before != after)
            .map(|(name, before, after)| format!("{} {name}", after - before)),
    );
    (!left.is_empty()).then(|| left.join(", "))
}
