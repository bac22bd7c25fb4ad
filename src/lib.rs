//! A structured-concurrency runtime: tasks in nurseries in actors, with foreign event loops interlaced.
//!
//! A program is a tree. Its tasks live in [nurseries](nursery), its nurseries in actors, and each actor is a process that
//! belongs to an [actor nursery](actor_nursery) of its parent. Everything has an owner, and a scope that completes has
//! nothing left running.
//!
//! ```no_run
//! use pleach::prelude::*;
//!
//! /// Runs in another process: it stays an ordinary function.
//! #[pleach::endpoint]
//! async fn double(n: u64) -> Result<u64> {
//!     Ok(2 * n)
//! }
//!
//! #[pleach::main]
//! async fn main() -> Result<()> {
//!     actor_nursery(async |n| {
//!         let worker = n.actor("worker").expose(double).start().await?;
//!         assert_eq!(worker.run(double, (21,)).await?, 42);
//!         worker.cancel_actor().await
//!     })
//!     .await
//! }
//! ```
//!
//! In reading order:
//!
//! * [`error`]: the one error type. It knows where it was born, and keeps its identity over every process it crosses.
//! * [`task`]: structured concurrency inside one process. Nurseries, cancel scopes, channels, time.
//! * [`codec`], [`transport`]: how values become bytes, and how bytes travel.
//! * [`host`]: what runs an actor.
//! * [`dialog`]: the conversation between an opener and the task it started; the same over a connection and in memory.
//! * [`actor`]: processes joined by dialogs.
//!
//! Links to tokio are in the package `pleach-bridge`. The README shows how to write a program, `ARCHITECTURE.md` how this
//! one is built, `docs/laws.md` what it promises. Linux only.
#![deny(unsafe_code)]

pub mod error;
mod shim;
mod waiting;
pub mod task;
pub mod codec;
mod proto;
pub mod transport;
pub mod dialog;
pub mod host;
mod sys;
pub mod actor;
pub mod testing;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;

pub use actor::actor_nursery;
pub use error::{Error, Result};
pub use pleach_macros::{endpoint, main, test};
pub use task::nursery;
pub use waiting::Waiting;

/// What most programs need: `use pleach::prelude::*;`.
pub mod prelude {
    pub use crate::actor::{Carrier, Portal, actor_nursery, run_in_actor};
    pub use crate::dialog::{Far, Near};
    pub use crate::error::{Ended, Error, Result};
    pub use crate::task::{
        CancelScope, Nursery, cancellable, checkpoint, fail_after, move_on_after, nursery, shield, sleep,
    };
}

pub mod tree {
    //! What belongs to a tree besides its actors: foreign programs.
    //!
    //! ```no_run
    //! use pleach::prelude::*;
    //! use pleach::tree::Command;
    //!
    //! #[pleach::main]
    //! async fn main() -> Result<()> {
    //!     let status = Command::new("make").arg("all").current_dir("/src/project").run().await?;
    //!     println!("{status}");
    //!     Ok(())
    //! }
    //! ```
    pub use crate::actor::command::{Command, Lack, NotEnded, NotStarted, Program};
}

#[doc(hidden)]
pub mod __private {
    //! What the macros write. Not for use by hand.
    pub use crate::actor::endpoint::{ENDPOINTS, Entry, Serving, key_of, serve_call, serve_dialog};
    pub use crate::actor::root::main;
    pub use crate::actor::test_root::{before_main, test, test_that_panics};
    pub use linkme;
}

/// The README's programs must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// And those about codecs.
#[cfg(doctest)]
#[doc = include_str!("../docs/codecs.md")]
struct Codecs;
