//! The default host: the actor's executor on one thread, parked in a `poll(2)` of its own.

use std::io;

use super::poll::PollLoop;
use super::{HOSTS, Host, HostEntry, Root};

/// The smol host.
///
/// ```
/// use pleach::host::{Host, Smol};
///
/// assert_eq!(Smol::one_thread().name(), "pleach/smol");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Smol {
    _private: (),
}

const NAME: &str = "pleach/smol";

impl Smol {
    /// Everything on the actor's one thread.
    pub fn one_thread() -> Self {
        Self::default()
    }
}

impl Host for Smol {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&self, root: Root) -> io::Result<()> {
        PollLoop::new()?.run(root);
        Ok(())
    }
}

mod entry {
    #![allow(unsafe_code)] // an entry of a linker section, see `registry`
    use super::*;

    #[linkme::distributed_slice(HOSTS)]
    static SMOL: HostEntry = HostEntry { name: NAME, make: |_| Some(Box::new(Smol::one_thread())) };
}
