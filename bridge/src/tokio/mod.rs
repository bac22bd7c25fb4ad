//! tokio: the host of an actor, and the loop of links on its thread or on one of their own.

mod here;
mod socket;
mod host;
mod thread;

pub use here::{Here, NotInfected, is_infected};
pub use host::Tokio;
pub use thread::{Foreign, Leaked, LeakedProcess, LoopFailed, OnLeak, Thread, stragglers};
