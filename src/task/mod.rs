#![doc = include_str!("tutorial.md")]
#![forbid(unsafe_code)]

mod body;
pub mod broadcast;
mod budget;
mod cancel;
mod cancellable;
pub(crate) mod census;
pub mod channel;
mod child;
pub mod clock;
mod crowd;
mod defer;
mod ending;
mod entitled;
mod gather;
pub mod guest;
mod interval;
pub mod join;
mod limit;
mod link;
mod nursery;
pub mod oneshot;
mod outcome;
pub(crate) mod panics;
mod roster;
mod running;
mod scope;
mod shared;
mod snapshot;
mod strand;
pub mod sync;
pub mod time;
mod wait;
mod waiters;
mod waits_for;
pub mod watch;

#[cfg(test)]
mod tests;

pub use cancel::CancelScope;
pub use cancellable::{Cancellable, cancellable, checkpoint};
pub use child::{Child, ChildFailed, Joining};
pub(crate) use defer::entrust_or;
pub use defer::{defer, entrust};
pub(crate) use entitled::Entitled;
pub use gather::gather;
pub use guest::{start_guest_run, start_guest_run_with};
pub use interval::{Interval, MissedTicks, interval};
pub use limit::{current_effective_deadline, fail_after, fail_at, move_on_after, move_on_at, shield};
pub use nursery::{
    LocalNursery, Named, NeverStarted, Nursery, Parallel, TaskStatus, enter_parallel, local_nursery, nursery,
};
pub use shared::{Holder, Shared};
pub use snapshot::{ScopeKind, ScopeNode, TaskNode, TaskState, snapshot};
pub use time::{Clock, VirtualClock, sleep, sleep_until};
pub use wait::Wait;
pub use waits_for::WaitsFor;

pub(crate) use cancellable::not_cancelled;
pub(crate) use outcome::{gather as one_error, sift, stray};
pub(crate) use wait::{current_mark, grace_here, reason_below, remaining_grace};
