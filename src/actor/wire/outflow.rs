//! What a driver writes: what was gathered last, as far as it has not left.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::thread::sched_getcpu;

use crate::proto::connection::Connection;
use crate::proto::gather::Gather;
use crate::transport::Transport;

/// Gathered into one write.
const WRITE: usize = 256 * 1024;
/// Pieces of one write: about as many as there are headers and large payloads in what is gathered. What is more comes with the
/// next one.
const PIECES: usize = 40;

/// What is to be written.
#[derive(Default)]
pub(super) struct Outflow {
    gathered: Gather,
    written: usize,
    /// The transport had no room.
    blocked: bool,
}

impl Outflow {
    /// Whether all of it has been written.
    pub(super) fn is_written(&self) -> bool {
        self.written == self.gathered.len()
    }

    /// Whether it holds large messages.
    pub(super) fn has_lent(&self) -> bool {
        self.gathered.plain().is_none()
    }

    /// All is written, and its memory goes back.
    pub(super) fn give_back(&mut self, proto: &mut Connection) {
        proto.written(&mut self.gathered);
        self.written = 0;
    }

    /// All is written: takes what comes next.
    pub(super) fn refill(&mut self, proto: &mut Connection) {
        self.give_back(proto);
        if proto.has_output() {
            proto.gather(&mut self.gathered, WRITE, Some(sched_getcpu()));
        }
    }

    /// Writes as far as there is room, and registers for more; `true` if there was some again.
    pub(super) fn poll(&mut self, transport: &mut dyn Transport, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut room = false;
        while !self.is_written() {
            match self.poll_once(transport, cx) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => self.written += written,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.blocked = true;
                    break;
                }
            }
            room |= std::mem::take(&mut self.blocked);
        }
        Ok(room)
    }

    fn poll_once(&self, transport: &mut dyn Transport, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let transport = Pin::new(transport);
        if let Some(bytes) = self.gathered.plain() {
            return transport.poll_write(cx, &bytes[self.written..]);
        }
        let mut slices = [IoSlice::new(&[]); PIECES];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(self.gathered.pieces(self.written)) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        transport.poll_write_vectored(cx, &slices[..count])
    }
}
