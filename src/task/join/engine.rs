//! What all policies run on: a nursery whose body is told how each child has ended.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use super::{Flow, Joining, Policy};
use crate::error::Reason;
use crate::task::child::Hears;
use crate::task::clock::{self, Alarm};
use crate::task::nursery::{Nursery, nursery_at};
use crate::task::outcome;
use crate::task::scope::Scope;
use crate::task::wait::Wait;
use crate::task::waits_for::WaitsFor;
use crate::{Error, Result};

/// Runs `futures` by `policy`. They are made here and now: an iterator need not be `Send`.
#[track_caller]
pub(super) fn join<'env, T, P, I>(policy: P, futures: I) -> Joining<'env, P::Output>
where
    P: Policy<T> + Send + 'env,
    I: IntoIterator<Item: Future<Output = Result<T>> + Send + 'env>,
    T: Send + 'env,
{
    let futures: Vec<_> = futures.into_iter().collect();
    Joining { run: Box::pin(run(policy, futures, Wait::new(WaitsFor::Child), Location::caller())) }
}

async fn run<'env, T, P, F>(policy: P, futures: Vec<F>, wait: Wait, at: &'static Location<'static>) -> Result<P::Output>
where
    P: Policy<T>,
    F: Future<Output = Result<T>> + Send + 'env,
    T: Send + 'env,
{
    let mut course = Course { policy, left: futures.len(), enough: false };
    course.enough = course.policy.begin(futures.len()) == Flow::Enough;
    if course.is_certain() {
        return course.policy.finish();
    }
    let arrivals = Arc::new(Arrivals::default());
    let body = async |n: Nursery<'env>| {
        for (index, future) in futures.into_iter().enumerate() {
            n.spawn_heard(at, future, Entrant { index, arrivals: arrivals.clone() })?;
        }
        course.follow(&n, &arrivals, wait).await
    };
    match nursery_at(at, body).await {
        Err(failure) if !failure.is_cancelled() => return Err(failure),
        Err(cancel) => {
            course.take_late(&arrivals);
            if !course.is_certain() {
                return Err(cancel);
            }
        }
        Ok(()) => course.take_late(&arrivals),
    }
    course.policy.finish()
}

/// A policy, and how far it has come.
struct Course<P> {
    policy: P,
    /// How many have no outcome yet.
    left: usize,
    /// The policy has said so.
    enough: bool,
}

impl<P> Course<P> {
    /// Whether a cancel from outside comes too late to change anything.
    fn is_certain(&self) -> bool {
        self.enough || self.left == 0
    }

    /// Tells the policy of what ends, until that is enough or time is up; the others are cancelled then.
    async fn follow<T>(&mut self, n: &Nursery<'_>, arrivals: &Arrivals<T>, mut wait: Wait) -> Result<()>
    where
        P: Policy<T>,
    {
        let end = self.policy.limit().map(clock::from_now);
        let mut alarm = end.map(Alarm::at);
        if let Some(end) = end {
            n.announce_deadline(end);
        }
        while !self.is_certain() {
            let Some((index, ended)) = poll_fn(|cx| poll_next(arrivals, alarm.as_mut(), &mut wait, cx)).await? else {
                n.request_children(Reason::Deadline);
                break;
            };
            let outcome = ended?;
            let failed = outcome.as_ref().err().map(Reason::failed);
            self.tell(index, outcome);
            if self.enough {
                let enough = || Reason::Explicit { by: String::new(), message: "the others were enough".to_owned() };
                n.request_children(failed.unwrap_or_else(enough));
            }
        }
        Ok(())
    }

    /// What has ended with an outcome of its own although it was cancelled.
    fn take_late<T>(&mut self, arrivals: &Arrivals<T>)
    where
        P: Policy<T>,
    {
        while let Some((index, ended)) = arrivals.take() {
            if let Ok(outcome) = ended {
                self.tell(index, outcome);
            }
        }
    }

    fn tell<T>(&mut self, index: usize, outcome: Result<T>)
    where
        P: Policy<T>,
    {
        self.left -= 1;
        self.enough |= self.policy.ended(index, outcome) == Flow::Enough;
    }
}

/// The next that has ended; `None` when time is up.
fn poll_next<T>(
    arrivals: &Arrivals<T>,
    alarm: Option<&mut Alarm>,
    wait: &mut Wait,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Arrival<T>>>> {
    ready!(wait.check(cx))?;
    let polled = match arrivals.poll(cx) {
        Poll::Ready(arrival) => Poll::Ready(Some(arrival)),
        Poll::Pending => alarm.map_or(Poll::Pending, |alarm| alarm.poll(cx)).map(|()| None),
    };
    match polled {
        Poll::Ready(_) => wait.done(),
        Poll::Pending => wait.park(cx),
    }
    polled.map(Ok)
}

/// How a child has ended: its outcome, or the cancel that has ended it.
type Ended<T> = Result<Result<T>, Error>;
/// Who has ended, and how.
type Arrival<T> = (usize, Ended<T>);

/// Those that have ended and that the policy has not heard of, in the order in which they came.
struct Arrivals<T>(Mutex<Queue<T>>);

struct Queue<T> {
    ended: VecDeque<Arrival<T>>,
    waker: Option<Waker>,
}

impl<T> Default for Arrivals<T> {
    fn default() -> Self {
        Self(Mutex::new(Queue { ended: VecDeque::new(), waker: None }))
    }
}

impl<T> Arrivals<T> {
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn add(&self, index: usize, ended: Ended<T>) {
        let waker = {
            let mut queue = self.lock();
            queue.ended.push_back((index, ended));
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn take(&self) -> Option<Arrival<T>> {
        self.lock().ended.pop_front()
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Arrival<T>> {
        let mut queue = self.lock();
        if let Some(arrival) = queue.ended.pop_front() {
            return Poll::Ready(arrival);
        }
        let old = queue.waker.replace(cx.waker().clone());
        drop(queue);
        drop(old);
        Poll::Pending
    }
}

/// One of the children.
struct Entrant<T> {
    index: usize,
    arrivals: Arc<Arrivals<T>>,
}

impl<T> Hears<T> for Entrant<T> {
    type Left = ();

    fn hear(&mut self, children: &Scope, result: Result<T>) {
        let ended = match result {
            Ok(value) => Ok(Ok(value)),
            Err(error) => match outcome::sift(error, |mark| children.encloses_request(mark.scope)) {
                (Some(cancel), None) => Err(cancel),
                (_, Some(failure)) => Ok(Err(outcome::stray(failure))),
                (None, None) => unreachable!("an error is a cancel or a failure"),
            },
        };
        self.arrivals.add(self.index, ended);
    }
}
