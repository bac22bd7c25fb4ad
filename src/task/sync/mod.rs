//! What tasks take in turns: permits, locks, events.
//!
//! None of them hands over what it has (law C13): a release makes it free and wakes the first who waits, and whoever is polled
//! first takes it. So a wait that was set aside in a `select` holds up nobody.

mod event;
mod mutex;
mod semaphore;

pub use event::{Event, Waiting};
pub use mutex::{Guard, Locking, Mutex};
pub use semaphore::{Acquiring, AcquiringOwned, OwnedPermit, Permit, Semaphore};
