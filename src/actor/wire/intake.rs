//! Where a driver reads to: a buffer for whatever comes, and before it the place of a large payload that is on its way.

use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::proto::connection::Connection;
use crate::proto::event::ProtocolError;
use crate::proto::landing::Landing;
use crate::transport::Transport;

/// Read at once.
const READ: usize = 64 * 1024;
/// Of what comes behind a large payload, at least this much. It is copied, so not more is read than the next few headers.
const BEHIND: usize = 4 * 1024;

/// What is read into.
pub(super) struct Intake {
    buffer: Vec<u8>,
    landing: Option<Landing>,
}

impl Intake {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; READ], landing: None }
    }

    /// Reads, or registers for something to read.
    pub(super) fn poll(&mut self, transport: &mut dyn Transport, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let transport = Pin::new(transport);
        match &mut self.landing {
            None => transport.poll_read(cx, &mut self.buffer),
            Some(landing) => transport.poll_read_vectored(cx, &mut places(landing, &mut self.buffer)),
        }
    }

    /// Reads what is there.
    pub(super) fn try_read(&mut self, transport: &mut dyn Transport) -> io::Result<usize> {
        match &mut self.landing {
            None => transport.try_read(&mut self.buffer),
            Some(landing) => transport.try_read_vectored(&mut places(landing, &mut self.buffer)),
        }
    }

    /// Whether a read of so many bytes has taken all there was, as far as that can be seen. A transport that reads into one
    /// buffer at a time may have filled the first one.
    pub(super) fn has_taken_all(&mut self, read: usize) -> bool {
        match &mut self.landing {
            None => read < self.buffer.len(),
            Some(landing) => {
                let first = landing.rest().len();
                read != first && read < first + behind(first)
            }
        }
    }

    /// Gives the protocol what was read.
    pub(super) fn give(&mut self, read: usize, proto: &mut Connection) -> Result<(), ProtocolError> {
        let behind = self.landing.as_mut().map_or(read, |landing| landing.advance(read));
        proto.receive_landed(&mut self.landing, &self.buffer[..behind])
    }
}

/// The payload's place, and that of what comes behind it.
fn places<'a>(landing: &'a mut Landing, buffer: &'a mut [u8]) -> [IoSliceMut<'a>; 2] {
    let rest = landing.rest();
    let behind = behind(rest.len());
    [IoSliceMut::new(rest), IoSliceMut::new(&mut buffer[..behind])]
}

/// How much to read behind a payload of which so much is missing.
fn behind(missing: usize) -> usize {
    READ.saturating_sub(missing).max(BEHIND)
}
