//! What a strand still has to do when its future is gone: finalizers, and what was entrusted to it (rules R6 and R7).

use std::task::{Context, Poll};
use std::time::Instant;

use super::cancel::{Scoped, shielded};
use super::clock::{self, Alarm};
use super::outcome;
use super::panics;
use super::running::{Entered, Outside};
use super::strand::{Detached, Entrusted, Place, Strand};
use crate::{Error, Result};

/// Runs the tail of one strand, for no longer than the grace of its scope.
pub(crate) struct Ending<T> {
    /// Away once it was handed out.
    result: Option<Result<T>>,
    finalizer: Option<std::pin::Pin<Box<Scoped<Finalizer, ()>>>>,
    /// Without a request the bound is one grace from here.
    unrequested: Instant,
    bound: Alarm,
}

impl<T> Ending<T> {
    pub(crate) fn new(strand: &Strand, result: Result<T>) -> Self {
        let unrequested = clock::from_now(strand.scope().limits().grace);
        Self { result: Some(result), finalizer: None, unrequested, bound: Alarm::at(unrequested) }
    }

    pub(crate) fn poll(&mut self, home: &mut Option<Place>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let Some(strand) = home.as_ref().and_then(Place::made).cloned() else { return self.take_result(Vec::new()) };
        strand.keep(cx.waker());
        strand.poll_entrusted(cx);
        let finalized = self.poll_finalizers(&strand, home, cx);
        if finalized && !strand.is_waited_for() {
            return self.take_result(strand.take_tail().failures);
        }
        self.bound.set(strand.scope().grace_end().map_or(self.unrequested, |end| end.min(self.unrequested)));
        if self.bound.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let failures = self.give_up(&strand, home);
        self.take_result(failures)
    }

    fn take_result(&mut self, failures: Vec<Error>) -> Poll<Result<T>> {
        let result = self.result.take().expect("polled after it was ready");
        Poll::Ready(match outcome::gather(failures) {
            None => result,
            Some(failure) => match result {
                Err(error) if error.mark().is_none() => Err(outcome::join(error, failure)),
                _ => Err(failure),
            },
        })
    }

    /// One after the other, the last one first; true when none is left.
    fn poll_finalizers(&mut self, strand: &Strand, home: &mut Option<Place>, cx: &mut Context<'_>) -> bool {
        loop {
            if let Some(running) = &mut self.finalizer {
                let polled = {
                    let _entered = Entered::poll(home, cx.waker());
                    running.as_mut().poll(cx)
                };
                let Poll::Ready(ended) = polled else { return false };
                if let Err(error) = ended {
                    strand.add_failure(error);
                }
                self.finalizer = None;
            }
            let Some(next) = strand.take_finalizer() else { return true };
            self.finalizer = Some(Box::pin(shielded(Finalizer(next))));
        }
    }

    /// The grace is over. What is dropped here may entrust its rest to nobody: it has to end in its `Drop`.
    fn give_up(&mut self, strand: &Strand, home: &mut Option<Place>) -> Vec<Error> {
        let mut failures = Vec::new();
        let finalizer = self.finalizer.take();
        {
            let _entered = Entered::drop(home);
            panics::dispose(finalizer, |panic| failures.push(panic));
        }
        let tail = strand.take_tail();
        failures.extend(tail.failures);
        let _outside = Outside::enter();
        let count = tail.finalizers.len() + tail.entrusted.len();
        tracing::warn!(count, spawned_at = %strand.location(), "the grace is over: cleanup is dropped unfinished");
        for unfinished in tail.finalizers {
            panics::dispose(unfinished, |panic| failures.push(panic));
        }
        for Entrusted { future, late } in tail.entrusted {
            failures.extend(late);
            panics::dispose(future, |panic| failures.push(panic));
        }
        failures
    }
}

/// A finalizer as the body of a scope.
pub(crate) struct Finalizer(Detached);

impl Future for Finalizer {
    type Output = Result<()>;

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}
