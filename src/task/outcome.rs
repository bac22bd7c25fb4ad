//! Which errors are cancels, which are failures, and how several become one (laws C5 and C9).

use crate::Error;
use crate::error::{Cancelled, Group, Kind, Mark};

/// A runtime await was cut short.
#[track_caller]
pub(crate) fn cancelled(mark: Mark) -> Error {
    Cancelled { mark }.into()
}

/// Takes the cancels that `takes` out of `error`, leaf by leaf: the first of them, and what is left.
pub(crate) fn sift(error: Error, mut takes: impl FnMut(&Mark) -> bool) -> (Option<Error>, Option<Error>) {
    let mut taken = |leaf: &Error| leaf.mark().is_some_and(&mut takes);
    if !error.failures().iter().any(&mut taken) {
        return (None, Some(error)); // a group that holds none keeps its identity
    }
    let (cancels, rest): (Vec<_>, Vec<_>) = error.into_failures().into_iter().partition(taken);
    (cancels.into_iter().next(), gather(rest))
}

/// One error for several failures: one leaf per identity, the original cause first, what came of a cancel last.
pub(crate) fn gather(mut failures: Vec<Error>) -> Option<Error> {
    if failures.len() < 2 {
        return failures.pop();
    }
    // A group is taken apart, and whoever has joined the child that returned it knows it only by its identity.
    let groups: Vec<_> = failures.iter().filter(|error| error.failures().len() > 1).map(Error::id).collect();
    let mut leaves: Vec<Error> = Vec::with_capacity(failures.len());
    for leaf in failures.into_iter().flat_map(Error::into_failures) {
        if !groups.contains(&leaf.id()) && leaves.iter().all(|known| known.id() != leaf.id()) {
            leaves.push(leaf);
        }
    }
    leaves.sort_by_key(Error::is_after_cancel); // stable: otherwise in the order of their arrival
    if leaves.len() == 1 { leaves.pop() } else { Some(Group(leaves).into()) }
}

/// Two failures of one strand.
pub(crate) fn join(first: Error, second: Error) -> Error {
    gather(vec![first, second]).expect("two failures make at least one")
}

/// A `Cancelled` that was kept too long, or came through a shared future or a channel, tells nothing about this place:
/// here it is a failure like any other.
pub(crate) fn stray(error: Error) -> Error {
    if error.is_cancelled() {
        error.with_kind(Kind::Failed).context("a cancel of a scope that is not around this task")
    } else {
        error
    }
}
