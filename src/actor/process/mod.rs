//! Child processes: how they are born, spoken to, cancelled and buried. Nothing here knows of executors or dialogs.
//!
//! Two threads per process do all of it, started when first needed and never ended: the *spawner* forks, because the
//! kernel ties a child's death signal to the thread that forked it; the *control thread* watches pidfds, stderr pipes and
//! control connections, in one `poll(2)` loop that never blocks and runs no user code.

mod child;
mod conn;
mod control;
mod death;
mod entry;
mod handle;
mod interrupts;
mod ladder;
mod lines;
mod parent;
mod sink;
mod spawner;
#[cfg(test)]
mod tests;
mod unreaped;
mod watchdog;
mod watched;

pub(crate) use child::{ChildRole, is_called_child, take_role};
pub(crate) use control::{Watching, found, say, watch, watch_id};
pub(crate) use death::{Death, Outcome};
pub(crate) use entry::{may_be_root, note_tests, require_entry};
pub(crate) use handle::{ChildEvents, ChildHandle, Launch, StartError, Times, start};
pub(crate) use interrupts::{RootEvents, guard_root};
pub(crate) use parent::{ParentEvents, ParentHandle};
pub use spawner::SpawnErrorKind;
pub(crate) use spawner::{Program, SpawnError, on_spawner};
pub(crate) use unreaped::Unreaped;
pub(crate) use watchdog::WatchEvents;
#[cfg(test)]
pub(crate) use {
    child::BootError,
    death::{Fault, Step},
    entry::take_entry,
};
