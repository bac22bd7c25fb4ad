//! The other side of a [gate](super::gate): connects and proves the key, before this process does anything else.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use thiserror::Error;

use crate::proto::auth::{AuthError, Initiator, NONCE, Purpose, Step};
use crate::proto::key::Key;
use crate::transport::Address;
use crate::transport::socket::Stream;

/// Why there is no connection.
#[derive(Debug, Error)]
#[error("the connection to {address}: {cause}")]
pub(crate) struct DialError {
    address: Address,
    cause: Cause,
}

#[derive(Debug, Error)]
enum Cause {
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("the other end belongs to another user")]
    User,
    #[error("the other end has not shown within {0:?} that it has the key")]
    Late(Duration),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Connects, and gives the socket when both ends have proven the key. Blocks this thread for `bound` at most.
pub(in crate::actor) fn dial(
    address: &Address,
    key: &Key,
    purpose: Purpose,
    bound: Duration,
) -> Result<Stream, DialError> {
    try_dial(address, key, purpose, bound).map_err(|cause| DialError { address: address.clone(), cause })
}

fn try_dial(address: &Address, key: &Key, purpose: Purpose, bound: Duration) -> Result<Stream, Cause> {
    let deadline = Instant::now() + bound;
    let stream = Stream::connect(address, bound)?;
    if let Stream::Unix(socket) = &stream
        && socket_peercred(socket).map_err(io::Error::from)?.uid != geteuid()
    {
        return Err(Cause::User);
    }
    let mut nonce = [0; NONCE];
    getrandom::fill(&mut nonce).map_err(io::Error::from)?;
    let (mut initiator, hello) = Initiator::new(key, purpose, nonce);
    (&stream).write_all(&hello)?;
    let mut buffer = [0; 256];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Cause::Late(bound));
        }
        stream.set_timeout(Some(left))?;
        let wants = initiator.wants().min(buffer.len());
        let taken = match (&stream).read(&mut buffer[..wants]) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(taken) => taken,
            Err(error) if is_no_news(&error) => continue,
            Err(error) => return Err(error.into()),
        };
        match initiator.receive(&buffer[..taken])? {
            Step::Send(bytes) => (&stream).write_all(&bytes)?,
            Step::Read => {}
            Step::Done => {
                stream.set_timeout(None)?;
                return Ok(stream);
            }
        }
    }
}

fn is_no_news(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
