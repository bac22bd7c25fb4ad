//! A control connection: messages over a socket, without ever waiting.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

use crate::proto::control::{ControlError, ControlMessage, Decoder, EncodeError};

/// Most bytes that wait for a peer that does not read.
const MAX_OUT: usize = 4 * 1024 * 1024;

/// What a look at the socket gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Bytes: ask [`Conn::next`].
    Bytes,
    /// Nothing yet.
    Nothing,
    /// The other end is gone, and all it ever wrote has been read.
    End,
}

/// The socket with what is not yet written and not yet understood.
#[derive(Debug)]
pub(super) struct Conn {
    socket: OwnedFd,
    decoder: Decoder,
    out: VecDeque<u8>,
    /// The descriptor that came with the bytes; one is expected, others are closed.
    passed: Option<OwnedFd>,
}

impl AsFd for Conn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Conn {
    /// Over this socket, of which it makes no assumption about blocking.
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, decoder: Decoder::default(), out: VecDeque::new(), passed: None }
    }

    /// Sends the first `bytes`, and with them the descriptor `fd`, as far as the socket takes them; the rest waits.
    pub(super) fn send_with_fd(&mut self, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds: Vec<_> = fd.into_iter().collect();
        let fits = fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(&fds));
        debug_assert!(fits, "the space is for one descriptor");
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = rustix::net::sendmsg(&self.socket, &[io::IoSlice::new(bytes)], &mut control, flags)?;
        self.out.extend(&bytes[sent..]);
        Ok(())
    }

    /// Puts the bytes of a message behind those that wait. False if too many do: the other end does not read.
    #[must_use]
    pub(super) fn queue(&mut self, bytes: &[u8]) -> bool {
        self.out.extend(bytes);
        self.out.len() <= MAX_OUT
    }

    /// Queues a message that this layer makes itself.
    #[must_use]
    pub(super) fn queue_message(&mut self, message: &ControlMessage) -> bool {
        encode(message).is_ok_and(|bytes| self.queue(&bytes))
    }

    /// Writes as much as goes without waiting. What can never be written is thrown away: reading tells the end.
    pub(super) fn flush(&mut self) {
        while !self.out.is_empty() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::send(&self.socket, self.out.as_slices().0, flags) {
                Ok(sent) => drop(self.out.drain(..sent)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.out.clear(),
            }
        }
    }

    /// Whether bytes wait to be written.
    pub(super) fn wants_write(&self) -> bool {
        !self.out.is_empty()
    }

    /// Reads once into `chunk`, without waiting.
    pub(super) fn receive(&mut self, chunk: &mut [u8]) -> Received {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let got = rustix::net::recvmsg(&self.socket, &mut [IoSliceMut::new(chunk)], &mut control, flags);
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.passed = fds.fold(self.passed.take(), |kept, fd| kept.or(Some(fd)));
            }
        }
        match got.map(|got| got.bytes) {
            Ok(0) => Received::End,
            Ok(len) => {
                self.decoder.feed(&chunk[..len]);
                Received::Bytes
            }
            Err(Errno::AGAIN | Errno::INTR) => Received::Nothing,
            Err(_) => Received::End,
        }
    }

    /// The next message among the bytes that were received.
    pub(super) fn next(&mut self) -> Result<Option<ControlMessage>, ControlError> {
        self.decoder.next()
    }

    /// Wipes from memory what was read, see [`Decoder::wipe`].
    pub(super) fn wipe(&mut self) {
        self.decoder.wipe();
    }

    /// The descriptor that came, once.
    pub(super) fn take_passed(&mut self) -> Option<OwnedFd> {
        self.passed.take()
    }
}

/// The bytes of one message.
pub(super) fn encode(message: &ControlMessage) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes)?;
    Ok(bytes)
}
