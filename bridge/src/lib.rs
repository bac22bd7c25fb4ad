//! Foreign event loops interlaced into a pleach tree.
//!
//! A foreign loop's tasks are commanded by the tree's tasks through **links**: one of ours, one of theirs, two bounded
//! queues of values that move, one outcome. Errors and cancels cross in both directions, and no foreign task that was
//! linked outlives its link.
//!
//! ```no_run
//! use pleach::prelude::*;
//! use pleach_bridge::{Tokio, open_link};
//!
//! /// Plain tokio code.
//! async fn doubles(mut far: Far<(), u64, u64>) -> Result<()> {
//!     far.started(()).await?;
//!     while let Some(n) = far.recv().await? {
//!         tokio::task::yield_now().await;
//!         far.send(2 * n).await?;
//!     }
//!     Ok(())
//! }
//!
//! #[pleach::endpoint]
//! async fn doubled(n: u64) -> Result<u64> {
//!     open_link(Tokio::here()?, doubles, async |mut near, ()| {
//!         near.send(n).await?;
//!         Ok(near.recv().await?.ok_or(Ended)?)
//!     })
//!     .await
//! }
//!
//! #[pleach::main]
//! async fn main() -> Result<()> {
//!     actor_nursery(async |n| {
//!         let infected = n.actor("infected").host(Tokio::current_thread()).expose(doubled).start().await?;
//!         assert_eq!(infected.run(doubled, (21,)).await?, 42);
//!         infected.cancel_actor().await
//!     })
//!     .await
//! }
//! ```
#![forbid(unsafe_code)]

mod bytes;
mod coded;
mod drops;
mod foreign;
mod link;
mod soon;
mod spawn;
mod task;
mod tokio;
mod tree;

pub use self::tokio::{
    Foreign, Here, Leaked, LeakedProcess, LoopFailed, NotInfected, OnLeak, Thread, Tokio, is_infected, stragglers,
};
pub use bytes::{FarBytes, NearBytes, open_byte_link};
pub use coded::CodedLink;
pub(crate) use foreign::call;
pub use foreign::{ForeignLoop, ForeignTask, Placement, foreign, run};
pub use link::{LinkBuilder, link, open_link};
pub use soon::{Job, RunSoon};
pub use spawn::{NotLinked, Spawned, spawn};
pub use task::{ForeignCancelled, Translated};
pub use tree::{Held, TreeHandle};

/// The programs before and after a move must compile.
#[cfg(doctest)]
#[doc = include_str!("../../docs/migrating.md")]
struct Migrating;
