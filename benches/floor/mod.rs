//! The floor: the same work by hand. Two processes, a socket pair that the child inherits as its standard input, frames of
//! msgpack behind a length of four bytes, blocking reads and writes. No dialogs, no credit, no cancel, no errors.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use crate::Payload;

/// The argument by which the other process knows what it is.
const ROLE: &str = "--floor";
/// Set in a length: nothing comes back for this frame.
const ONE_WAY: u32 = 1 << 31;
/// Frames are gathered up to this many bytes before they are written.
const GATHER: usize = 32 * 1024;

/// Lives the life of the other process if this is it.
pub(crate) fn enter(place: impl FnOnce()) {
    if std::env::args().nth(1).is_none_or(|first| first != ROLE) {
        return;
    }
    place();
    let status = match serve() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("floor: {error}");
            1
        }
    };
    std::process::exit(status);
}

fn serve() -> io::Result<()> {
    let socket = UnixStream::from(rustix::io::dup(io::stdin())?);
    let mut pipe = Pipe::new(socket);
    let mut taken: u64 = 0;
    while let Some((head, payload)) = pipe.receive()? {
        if head & ONE_WAY == 0 {
            pipe.put(0, &payload);
            pipe.flush()?;
        } else {
            taken += 1;
            if payload.bytes.is_empty() {
                pipe.put(0, &Payload { bytes: taken.to_le_bytes().to_vec() });
                pipe.flush()?;
                taken = 0;
            }
        }
    }
    Ok(())
}

/// The near process's hold of the other one.
pub(crate) struct Floor {
    child: Child,
    /// `None` only while it is being dropped.
    pipe: Option<Pipe>,
}

impl Floor {
    pub(crate) fn start() -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let stdin = Stdio::from(OwnedFd::from(theirs));
        let child = Command::new("/proc/self/exe").arg(ROLE).stdin(stdin).spawn()?;
        Ok(Self { child, pipe: Some(Pipe::new(ours)) })
    }

    fn pipe(&mut self) -> &mut Pipe {
        self.pipe.as_mut().expect("it is only taken by drop")
    }

    /// One round trip.
    pub(crate) fn echo(&mut self, payload: &Payload) -> io::Result<Payload> {
        let pipe = self.pipe();
        pipe.put(0, payload);
        pipe.flush()?;
        pipe.answer()
    }

    /// Sends `count` payloads, gathered, and waits until the last has been taken.
    pub(crate) fn one_way(&mut self, payload: &Payload, count: u64) -> io::Result<()> {
        let pipe = self.pipe();
        for _ in 0..count {
            pipe.put(ONE_WAY, payload);
            if pipe.out.len() >= GATHER {
                pipe.flush()?;
            }
        }
        pipe.put(ONE_WAY, &Payload { bytes: Vec::new() });
        pipe.flush()?;
        let answer = pipe.answer()?;
        assert_eq!(answer.bytes, (count + 1).to_le_bytes(), "the other side took another number");
        Ok(())
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // The end of the socket is the end of the child.
        self.pipe = None;
        let _ = self.child.wait();
    }
}

/// Frames over a socket: gathered when written, taken apart when read.
struct Pipe {
    socket: UnixStream,
    out: Vec<u8>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Pipe {
    fn new(socket: UnixStream) -> Self {
        Self { socket, out: Vec::new(), buffer: vec![0; 64 * 1024], start: 0, end: 0 }
    }

    fn put(&mut self, flag: u32, payload: &Payload) {
        let at = self.out.len();
        self.out.extend([0; 4]);
        rmp_serde::encode::write_named(&mut self.out, payload).expect("bytes can always be encoded");
        let length = u32::try_from(self.out.len() - at - 4).expect("a frame is small");
        self.out[at..at + 4].copy_from_slice(&(length | flag).to_le_bytes());
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    fn answer(&mut self) -> io::Result<Payload> {
        let received = self.receive()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(received.1)
    }

    /// The next frame, or `None` at the end.
    fn receive(&mut self) -> io::Result<Option<(u32, Payload)>> {
        if !self.fill(4)? {
            return Ok(None);
        }
        let head = self.buffer[self.start..self.start + 4].try_into().expect("four bytes");
        let head = u32::from_le_bytes(head);
        let length = (head & !ONE_WAY) as usize;
        if !self.fill(4 + length)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let body = &self.buffer[self.start + 4..self.start + 4 + length];
        let payload = rmp_serde::from_slice(body).map_err(io::Error::other)?;
        self.start += 4 + length;
        Ok(Some((head & ONE_WAY, payload)))
    }

    /// Reads until `length` bytes are there; `false` if the other side is gone.
    fn fill(&mut self, length: usize) -> io::Result<bool> {
        while self.end - self.start < length {
            if self.start == self.end {
                (self.start, self.end) = (0, 0);
            } else if self.buffer.len() - self.start < length.max(4096) {
                self.buffer.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            if self.buffer.len() < length {
                self.buffer.resize(length, 0);
            }
            match self.socket.read(&mut self.buffer[self.end..])? {
                0 => return Ok(false),
                taken => self.end += taken,
            }
        }
        Ok(true)
    }
}
