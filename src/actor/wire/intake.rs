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
/// The same where a large payload is likely to come: so little of it has to be copied to its place, where the rest is then
/// read to.
const BEHIND: usize = 4 * 1024;

/// What is read into.
pub(super) struct Intake {
    buffer: Vec<u8>,
    landing: Option<Landing>,
    /// The last read was part of a large payload.
    large: bool,
}

impl Intake {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; READ], landing: None, large: false }
    }

    /// Reads, or registers for something to read.
    pub(super) fn poll(&mut self, transport: &mut dyn Transport, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let transport = Pin::new(transport);
        let buffer = &mut self.buffer[..size(self.large)];
        match &mut self.landing {
            None => transport.poll_read(cx, buffer),
            Some(landing) => {
                transport.poll_read_vectored(cx, &mut [IoSliceMut::new(landing.rest()), IoSliceMut::new(buffer)])
            }
        }
    }

    /// Reads what is there.
    pub(super) fn try_read(&mut self, transport: &mut dyn Transport) -> io::Result<usize> {
        let buffer = &mut self.buffer[..size(self.large)];
        match &mut self.landing {
            None => transport.try_read(buffer),
            Some(landing) => {
                transport.try_read_vectored(&mut [IoSliceMut::new(landing.rest()), IoSliceMut::new(buffer)])
            }
        }
    }

    /// Whether a read of so many bytes has taken all there was, as far as that can be seen. A transport that reads into one
    /// buffer at a time may have filled the first one.
    pub(super) fn has_taken_all(&mut self, read: usize) -> bool {
        let first = self.landing.as_mut().map_or(0, |landing| landing.rest().len());
        read != first && read < first + size(self.large)
    }

    /// Gives the protocol what was read.
    pub(super) fn give(&mut self, read: usize, proto: &mut Connection) -> Result<(), ProtocolError> {
        let lands = self.landing.is_some();
        let behind = self.landing.as_mut().map_or(read, |landing| landing.advance(read));
        let taken = proto.receive_landed(&mut self.landing, &self.buffer[..behind]);
        self.large = lands || self.landing.is_some();
        taken
    }
}

/// How much to read beside a payload that has its place.
fn size(large: bool) -> usize {
    if large { BEHIND } else { READ }
}
