//! What tests of structured programs need: virtual time, waiting until nothing goes on, and drivers that cancel or drop a
//! scenario at every point where it waits.
//!
//! ```
//! use pleach::task::{channel, nursery};
//! use pleach::testing::{Trial, cancel_at_every_await, drop_at_every_poll};
//!
//! /// Two tasks and a full channel. Whenever it is cancelled, nothing may hang, be left behind or be lost.
//! async fn scenario(trial: Trial) -> pleach::Result<u32> {
//!     nursery(async |n| {
//!         let (sender, mut receiver) = channel::bounded(1);
//!         let open = trial.probe("a connection");
//!         n.spawn(async move {
//!             for number in 0..10 {
//!                 sender.send(number).await?;
//!             }
//!             drop(open);
//!             Ok(())
//!         })?;
//!         let mut sum = 0;
//!         while let Some(number) = receiver.recv().await? {
//!             sum += number;
//!         }
//!         Ok(sum)
//!     })
//!     .await
//! }
//!
//! let cancelled = cancel_at_every_await(scenario).assert_none();
//! let dropped = drop_at_every_poll(scenario).assert_none();
//! assert!(cancelled > 10 && dropped > 1);
//! ```
#![forbid(unsafe_code)]

mod drive;
mod findings;
mod trial;

pub use drive::{cancel_at_every_await, drop_at_every_poll};
pub use findings::{Finding, Findings, What};
pub use trial::{Probe, Trial};

use crate::Result;
use crate::error::Misuse;
use crate::task::cancellable;
pub use crate::task::time::VirtualClock;

/// Waits until every other task waits for something that only time, or somebody outside, can bring.
///
/// For a test that must know that another task has come to its await: instead of a sleep that is long enough on most machines.
/// On a [`VirtualClock`] only, which knows what goes on; the time does not move.
///
/// # Errors
/// `Cancelled`; [`Misuse`] if no virtual clock runs on this thread.
///
/// ```
/// use pleach::task::{channel, nursery};
/// use pleach::testing::{VirtualClock, wait_all_blocked};
///
/// VirtualClock::block_on(nursery(async |n| {
///     let (sender, mut receiver) = channel::bounded(1);
///     n.spawn(async move { receiver.recv().await.map(drop) })?;
///     wait_all_blocked().await?; // it waits in `recv`
///     sender.try_send(1).unwrap();
///     Ok(())
/// }))
/// .unwrap();
/// ```
pub async fn wait_all_blocked() -> Result<()> {
    let Some(clock) = VirtualClock::current() else {
        return Err(Misuse::new(
            "wait_all_blocked: no virtual clock runs here that would know who waits; run the test by VirtualClock::block_on",
        )
        .into());
    };
    cancellable(clock.all_blocked()).await
}
