//! What a connection is, for whoever asks.

use std::fmt;

use crate::proto::handshake::{Agreed, MAJOR};

/// How this process and one of its peers talk to each other: what was chosen, and what was agreed on.
///
/// ```no_run
/// use pleach::prelude::*;
///
/// async fn print_it(worker: &Portal) {
///     println!("{}", worker.connection()); // uds, msgpack, version 1.0, to process 4711
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// What carries its bytes: `inherited`, `mem`, `uds`, `tcp` or `own`.
    pub transport: &'static str,
    /// The name of the codec of its values.
    pub codec: String,
    /// Major and minor version of the protocol.
    pub version: (u16, u16),
    /// The process at the other end; this one if the peer is in it.
    pub peer_pid: u32,
}

/// That of a connection over `transport`, on which this was agreed.
pub(in crate::actor) fn connection_info(transport: &'static str, agreed: &Agreed) -> ConnectionInfo {
    let version = (MAJOR, agreed.minor);
    ConnectionInfo { transport, codec: agreed.codec.clone(), version, peer_pid: agreed.peer }
}

impl fmt::Display for ConnectionInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transport, codec, version: (major, minor), peer_pid } = self;
        write!(f, "{transport}, {codec}, version {major}.{minor}, to process {peer_pid}")
    }
}
