//! The data connection between a process and its parent, at both ends: passed at birth, or made with proofs of a key.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use futures_lite::future::try_zip;
use thiserror::Error;

use super::dial::{DialError, dial};
use super::gate::{Gate, HANDSHAKE};
use super::info::{ConnectionInfo, connection_info};
use crate::Result;
use crate::actor::ambient::Me;
use crate::actor::carrier::Carrier;
use crate::proto::auth::Purpose;
use crate::proto::control::SpawnSpec;
use crate::proto::handshake::Agreed;
use crate::task::fail_after;
use crate::transport::Transport;
use crate::transport::socket::Stream;

/// The parent's end, before there is a child.
pub(in crate::actor) enum Data {
    /// The other end is passed to the child.
    Passed(UnixStream),
    /// The child comes here.
    Awaited(Box<Gate>),
}

/// A data connection.
pub(in crate::actor) struct Line {
    pub(super) stream: Box<dyn Transport>,
    pub(super) transport: &'static str,
}

impl Line {
    /// What the connection is over which this was agreed.
    pub(in crate::actor) fn info(&self, agreed: &Agreed) -> ConnectionInfo {
        connection_info(self.transport, agreed)
    }
}

impl From<Line> for Box<dyn Transport> {
    fn from(line: Line) -> Self {
        line.stream
    }
}

/// Where a child finds its end: passed to it, or at an address.
pub(in crate::actor) struct OtherEnd {
    pub(in crate::actor) passed: Option<OwnedFd>,
    pub(in crate::actor) address: String,
}

impl Data {
    /// Both ends for a child of `me`.
    pub(in crate::actor) fn new(me: &Me, carrier: Carrier, path: &str, start: u64) -> io::Result<(Self, OtherEnd)> {
        let key = || Arc::new(Mutex::new(me.key.derive_data(path, start)));
        let gate = match carrier {
            Carrier::Uds => Gate::uds(me, key())?,
            Carrier::Tcp(tcp) => Gate::tcp(me, tcp, key())?,
            Carrier::Inherited | Carrier::Mem => {
                let (ours, theirs) = UnixStream::pair()?;
                let other = OtherEnd { passed: Some(theirs.into()), address: String::new() };
                return Ok((Self::Passed(ours), other));
            }
        };
        let address = gate.address().to_string();
        Ok((Self::Awaited(Box::new(gate)), OtherEnd { passed: None, address }))
    }

    /// The connection, once the child has answered; it has come in before that.
    pub(in crate::actor) async fn line(
        self,
        me: &Me,
        answer: impl Future<Output = Result<Agreed>>,
    ) -> Result<(Agreed, Line)> {
        match self {
            Self::Passed(socket) => {
                let agreed = answer.await?;
                Ok((agreed, Line { stream: me.reactor.serve(socket)?, transport: "inherited" }))
            }
            Self::Awaited(gate) => {
                // The answer has a bound of its own, the time to prove the key begins at worst just before that.
                let (agreed, peer) = try_zip(answer, fail_after(HANDSHAKE * 2, gate.first())).await?;
                Ok((agreed, Line { stream: peer.stream, transport: peer.transport }))
            }
        }
    }
}

/// Why a child has no data connection.
#[derive(Debug, Error)]
pub(crate) enum DataError {
    #[error("the parent sent no data connection")]
    NotPassed,
    #[error("the parent sent `{0}` where there is to be its data connection, which this program cannot use")]
    Address(String),
    #[error("the parent sent no key for its data connection")]
    NoKey,
    #[error(transparent)]
    Dial(#[from] DialError),
}

/// The child's end, before anybody serves it.
#[derive(Debug)]
pub(in crate::actor) struct LooseLine {
    stream: Stream,
    transport: &'static str,
}

impl LooseLine {
    /// Finds it. If it must be made, that blocks, for as long as the parent takes to answer.
    pub(in crate::actor) fn find(spec: &SpawnSpec, passed: Option<OwnedFd>) -> Result<Self, DataError> {
        if spec.data.is_empty() {
            let stream = Stream::Unix(passed.ok_or(DataError::NotPassed)?.into());
            return Ok(Self { stream, transport: "inherited" });
        }
        let address = spec.data.parse().map_err(|_| DataError::Address(spec.data.clone()))?;
        let key = spec.key.as_ref().ok_or(DataError::NoKey)?.derive_data(&spec.path, spec.incarnation);
        let stream = dial(&address, &key, Purpose::Data, HANDSHAKE)?;
        let transport = stream.kind();
        Ok(Self { stream, transport })
    }

    /// Has it served by the actor's host.
    pub(in crate::actor) fn serve(self, me: &Me) -> io::Result<Line> {
        let stream = match self.stream {
            Stream::Unix(socket) => me.reactor.serve(socket),
            Stream::Tcp(socket) => me.reactor.serve_tcp(socket),
        }?;
        Ok(Line { stream, transport: self.transport })
    }
}

#[cfg(test)]
impl From<LooseLine> for OwnedFd {
    fn from(line: LooseLine) -> Self {
        match line.stream {
            Stream::Unix(socket) => socket.into(),
            Stream::Tcp(socket) => socket.into(),
        }
    }
}
