//! Actors: processes in a tree, each owned by a nursery of its parent.
//!
//! ```text
//! nursery.rs    the scope that owns actors       builder.rs   what one is to be       child/    how it is started and ends
//! portal.rs     the parent's handle of one       endpoint.rs  functions by name       wire/     a connection and its driver
//! one_call.rs   an actor for one call            interrupted.rs  SIGINT and SIGTERM at a root
//! command/      foreign programs
//! root.rs       a program's entry                serve.rs     an actor's life         process/  birth and death of processes
//! test_root.rs  a test as a root                 started.rs   what it may wait for
//! blocked.rs    threads that do not turn         defaults.rs  transport and codecs of a tree
//! ```

mod ambient;
mod aside;
mod blocked;
mod builder;
mod carrier;
mod child;
mod defaults;
mod door;
pub(crate) mod command;
pub(crate) mod endpoint;
mod failure;
mod interrupted;
mod nursery;
mod one_call;
mod portal;
mod preference;
pub(crate) mod process;
pub(crate) mod root;
mod serve;
mod started;
pub(crate) mod test_root;
mod turns;
mod wire;

pub use crate::proto::blocked::Blocked;
pub use builder::{ActorBuilder, StartFailed};
pub use carrier::{Carrier, CarrierKind};
pub use defaults::Defaults;
pub use door::{Door, DoorBuilder, door};
pub use endpoint::{CallFn, DialogFn, Named};
pub use failure::ActorDied;
pub use nursery::{ActorNursery, actor_nursery};
pub use one_call::run_in_actor;
pub use portal::Portal;
pub use root::{end_actor, enter, run};
pub use wire::ConnectionInfo;
#[doc(hidden)]
pub use wire::Inbound;
