//! Hosts by name.
//!
//! The list is a linker section: each crate that owns a host adds its entry, and a program has those of the crates it
//! uses. Declaring the section needs an attribute that the compiler counts as unsafe; nothing here is executed.
#![allow(unsafe_code)]

use std::fmt;

use super::Host;

/// The hosts that a child of this program can be told to use.
///
/// The crate of a host adds its entry with linkme, which it must depend on itself:
///
/// ```
/// use pleach::host::{HOSTS, Host, HostEntry, Root, Smol};
///
/// /// Smol, with a word at its start.
/// struct Loud;
///
/// impl Host for Loud {
///     fn name(&self) -> &'static str {
///         "example/loud"
///     }
///
///     fn run(&self, root: Root) -> std::io::Result<()> {
///         eprintln!("here we go");
///         Smol::one_thread().run(root)
///     }
/// }
///
/// #[linkme::distributed_slice(HOSTS)]
/// static LOUD: HostEntry = HostEntry { name: "example/loud", make: |_| Some(Box::new(Loud)) };
///
/// assert!(HOSTS.iter().any(|entry| entry.name == "example/loud"));
/// ```
#[linkme::distributed_slice]
pub static HOSTS: [HostEntry];

/// A host by name.
#[derive(Clone, Copy)]
pub struct HostEntry {
    /// The name, `crate/host` by custom.
    pub name: &'static str,
    /// Makes it from what [`Host::config`] gave; `None` if that cannot be read.
    pub make: fn(&[u8]) -> Option<Box<dyn Host>>,
}

impl fmt::Debug for HostEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostEntry").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The host of that name, if this program has it and understands the configuration.
pub(crate) fn make(name: &str, config: &[u8]) -> Option<Box<dyn Host>> {
    let entry = HOSTS.iter().find(|entry| entry.name == name)?;
    (entry.make)(config)
}

/// The names this program knows, for an error that lists them.
pub(crate) fn names() -> Vec<&'static str> {
    HOSTS.iter().map(|entry| entry.name).collect()
}
