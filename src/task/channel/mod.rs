//! Bounded channels between tasks: any number of senders and of receivers, each value to one of them.
//!
//! They work in every task and also outside of them, in a foreign task or thread, where nothing cancels them.

mod error;
mod permit;
mod receive;
mod ring;
mod send;
mod stream;

use std::sync::Arc;

pub(crate) use self::error::Why;
pub use self::error::{ClosedBecause, SendError, TrySendError};
pub use self::permit::{Place, Reserving};
pub use self::receive::{Receiver, Receiving};
use self::ring::Shared;
pub use self::send::{Sender, Sending};
pub use self::stream::{IntoSink, IntoStream};

/// A channel that holds up to `capacity` values; a full one makes its senders wait.
///
/// # Panics
/// If `capacity` is 0.
///
/// ```
/// use pleach::task::{channel, time::VirtualClock};
///
/// let (sender, mut receiver) = channel::bounded(2);
/// VirtualClock::block_on(async {
///     sender.send("one").await.unwrap();
///     drop(sender);
///     assert_eq!(receiver.recv().await.unwrap(), Some("one"));
///     assert_eq!(receiver.recv().await.unwrap(), None);
/// });
/// ```
#[track_caller]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a channel of capacity 0 could never take a value; use 1 or more");
    let shared = Arc::new(Shared::new(capacity));
    (Sender::new(shared.clone()), Receiver::new(shared))
}
