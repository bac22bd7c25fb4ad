//! The messages of a control connection, and their bytes.
//!
//! Every message travels as one or more [fragments](super::fragment) of one kind. A message is msgpack with named
//! fields: fields that the reader does not know are ignored, kinds that it does not know are errors.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use thiserror::Error;
use zeroize::Zeroize;

use super::blocked::Blocked;
use super::fragment::{BadHeader, HEADER, Header, Kind, MAX_PAYLOAD};
use super::key::Key;
use super::plain;
use crate::error::{Reason, RemoteError};

/// Most bytes of one message.
pub(crate) const MAX_MESSAGE: usize = 1024 * 1024;

/// How a side introduces itself. The child's answer is one too, and names the codec it chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Tells this protocol from any other.
    pub(crate) magic: u32,
    /// Must be the same on both sides.
    pub(crate) major: u16,
    /// The smaller one holds.
    pub(crate) minor: u16,
    /// The tree of actors that both belong to.
    #[serde(default)]
    pub(crate) tree: String,
    /// The writer's process.
    #[serde(default)]
    pub(crate) pid: u32,
    /// The codecs the writer knows, its favourite first.
    #[serde(default)]
    pub(crate) codecs: Vec<String>,
    /// The codec of the data connection; only in an answer that agrees.
    #[serde(default)]
    pub(crate) chosen: Option<String>,
    /// The largest message the writer takes on the data connection.
    #[serde(default)]
    pub(crate) max_message: u64,
}

/// What a child is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpawnSpec {
    /// Its place in the tree, such as `root/feeds/quotes`.
    pub(crate) path: String,
    /// Which start of that actor it is.
    pub(crate) incarnation: u64,
    /// The key of its tree. Before what may be long, so that it is in the first fragment.
    #[serde(default)]
    pub(crate) key: Option<Key>,
    /// Where it finds its data connection; empty if that is passed to it.
    #[serde(default)]
    pub(crate) data: String,
    /// What runs its root future.
    #[serde(default)]
    pub(crate) host: String,
    /// The host's own configuration, opaque.
    #[serde(default, with = "serde_bytes")]
    pub(crate) host_config: Vec<u8>,
    /// What others may call in it.
    #[serde(default)]
    pub(crate) exposed: Vec<String>,
    /// Codecs for the connections it opens itself, its favourite first.
    #[serde(default)]
    pub(crate) codecs: Vec<String>,
    /// How long it may unwind after a cancel, in milliseconds.
    #[serde(default)]
    pub(crate) grace_ms: u64,
    /// How it waits for what its parent sends.
    #[serde(default)]
    pub(crate) waiting: String,
    /// Whatever the layers above add.
    #[serde(default)]
    pub(crate) extra: Vec<(String, ByteBuf)>,
}

/// One message of a control connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ControlMessage {
    /// The first message of each side.
    Hello(Hello),
    /// The parent's second message.
    SpawnSpec(Box<SpawnSpec>),
    /// Cancel one dialog (never 0).
    Cancel {
        /// Which.
        dialog: u64,
        /// Why.
        reason: Reason,
    },
    /// The cancel of one dialog has been heard.
    CancelAck {
        /// Which.
        dialog: u64,
    },
    /// Cancel the whole actor.
    CancelActor {
        /// Why.
        reason: Reason,
        /// How long it has, in milliseconds.
        budget_ms: u64,
    },
    /// The process has heard that it is cancelled. Its executor may not have.
    CancelActorAck,
    /// Is the process alive? Answered by the control thread itself.
    Ping(u64),
    /// It is: the number of the ping.
    Pong(u64),
    /// The last word of a child: its failure, if it failed.
    Bye {
        /// The failure.
        error: Option<RemoteError>,
    },
    /// The child's thread does not turn, or does so again.
    Blocked(Option<Box<Blocked>>),
}

#[derive(Serialize, Deserialize)]
struct CancelBody {
    reason: Reason,
    #[serde(default)]
    budget_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct NumberBody {
    number: u64,
}

#[derive(Serialize, Deserialize)]
struct ByeBody {
    #[serde(default)]
    error: Option<RemoteError>,
}

#[derive(Serialize, Deserialize)]
struct BlockedBody {
    #[serde(default)]
    blocked: Option<Box<Blocked>>,
}

/// A message that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum EncodeError {
    #[error("a control message of {0} bytes, at most {MAX_MESSAGE} are allowed: send large values as an argument")]
    TooLarge(usize),
    #[error("a control message cannot be encoded: {0}")]
    Value(String),
}

/// Bytes that are no control message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ControlError {
    #[error(transparent)]
    Header(#[from] BadHeader),
    #[error("a {0:?} does not belong on a control connection")]
    Misplaced(Kind),
    #[error("a fragment of {found:?} {found_dialog} inside of a message of {open:?} {open_dialog}")]
    Interleaved { open: Kind, open_dialog: u64, found: Kind, found_dialog: u64 },
    #[error("a control message of more than {MAX_MESSAGE} bytes")]
    TooLarge,
    #[error("the payload of {0:?} is malformed: {1}")]
    Payload(Kind, String),
}

impl ControlMessage {
    /// Appends the bytes of it to `out`, which is left as it was if that fails.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        out.resize(start + HEADER, 0);
        let written = self.write_payload(out);
        let len = out.len() - start - HEADER;
        if written.is_err() || len > MAX_MESSAGE {
            out.truncate(start);
            return written.and(Err(EncodeError::TooLarge(len)));
        }
        self.put_headers(out, start);
        Ok(())
    }

    fn write_payload(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            Self::Hello(hello) => put(out, hello),
            Self::SpawnSpec(spec) => put(out, spec),
            Self::Cancel { reason, .. } => put(out, &CancelBody { reason: reason.clone(), budget_ms: 0 }),
            Self::CancelActor { reason, budget_ms } => {
                put(out, &CancelBody { reason: reason.clone(), budget_ms: *budget_ms })
            }
            Self::CancelAck { .. } | Self::CancelActorAck => Ok(()),
            Self::Ping(number) | Self::Pong(number) => put(out, &NumberBody { number: *number }),
            Self::Bye { error } => put(out, &ByeBody { error: error.clone() }),
            Self::Blocked(blocked) => put(out, &BlockedBody { blocked: blocked.clone() }),
        }
    }

    /// Fills in the header left free at `start`, and adds those of further fragments.
    fn put_headers(&self, out: &mut Vec<u8>, start: usize) {
        let rest = match out.len() - start - HEADER {
            0..=MAX_PAYLOAD => Vec::new(),
            _ => out.split_off(start + HEADER + MAX_PAYLOAD),
        };
        let first = self.header(out.len() - start - HEADER, !rest.is_empty());
        out[start..start + HEADER].copy_from_slice(&first);
        let mut chunks = rest.chunks(MAX_PAYLOAD).peekable();
        while let Some(chunk) = chunks.next() {
            out.extend_from_slice(&self.header(chunk.len(), chunks.peek().is_some()));
            out.extend_from_slice(chunk);
        }
    }

    fn header(&self, len: usize, more: bool) -> [u8; HEADER] {
        let (kind, dialog) = self.kind();
        let len = u32::try_from(len).expect("a fragment is small");
        Header { len, kind, more, cpu: 0, dialog }.to_bytes()
    }

    /// Its kind and dialog on the wire. A cancel of dialog 0 is that of the actor.
    fn kind(&self) -> (Kind, u64) {
        match self {
            Self::Hello(_) => (Kind::Hello, 0),
            Self::SpawnSpec(_) => (Kind::SpawnSpec, 0),
            Self::Cancel { dialog, .. } => (Kind::Cancel, *dialog),
            Self::CancelAck { dialog } => (Kind::CancelAck, *dialog),
            Self::CancelActor { .. } => (Kind::Cancel, 0),
            Self::CancelActorAck => (Kind::CancelAck, 0),
            Self::Ping(_) => (Kind::Ping, 0),
            Self::Pong(_) => (Kind::Pong, 0),
            Self::Bye { .. } => (Kind::Bye, 0),
            Self::Blocked(_) => (Kind::Blocked, 0),
        }
    }

    fn from_payload(kind: Kind, dialog: u64, payload: &[u8]) -> Result<Self, ControlError> {
        Ok(match (kind, dialog) {
            (Kind::Hello, _) => Self::Hello(get(kind, payload)?),
            (Kind::SpawnSpec, _) => Self::SpawnSpec(get(kind, payload)?),
            (Kind::Cancel, 0) => {
                let CancelBody { reason, budget_ms } = get(kind, payload)?;
                Self::CancelActor { reason, budget_ms }
            }
            (Kind::Cancel, dialog) => Self::Cancel { dialog, reason: get::<CancelBody>(kind, payload)?.reason },
            (Kind::CancelAck, 0) => Self::CancelActorAck,
            (Kind::CancelAck, dialog) => Self::CancelAck { dialog },
            (Kind::Ping, _) => Self::Ping(get::<NumberBody>(kind, payload)?.number),
            (Kind::Pong, _) => Self::Pong(get::<NumberBody>(kind, payload)?.number),
            (Kind::Bye, _) => Self::Bye { error: get::<ByeBody>(kind, payload)?.error },
            (Kind::Blocked, _) => Self::Blocked(get::<BlockedBody>(kind, payload)?.blocked),
            (other, _) => return Err(ControlError::Misplaced(other)),
        })
    }
}

fn put<T: Serialize>(out: &mut Vec<u8>, value: &T) -> Result<(), EncodeError> {
    plain::put(out, value).map_err(|error| EncodeError::Value(error.to_string()))
}

fn get<T: DeserializeOwned>(kind: Kind, payload: &[u8]) -> Result<T, ControlError> {
    plain::get(payload).map_err(|error| ControlError::Payload(kind, error.to_string()))
}

/// Makes messages of bytes that arrive in any pieces.
///
/// It holds no more than one message and the piece that was fed last, and allocates only as bytes arrive.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// Bytes not yet looked at, from `at` on.
    bytes: Vec<u8>,
    at: usize,
    /// The message of which fragments are still missing.
    open: Option<(Kind, u64)>,
    partial: Vec<u8>,
}

impl Decoder {
    /// Takes the next bytes. Call [`next`](Self::next) until it has nothing before feeding more.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Wipes from memory what was read: there was a key in it.
    pub(crate) fn wipe(&mut self) {
        let rest = self.bytes.split_off(self.at);
        self.bytes.zeroize();
        self.partial.zeroize();
        (self.bytes, self.at) = (rest, 0);
    }

    /// The next whole message, if it has arrived. After an error the connection cannot be read any further.
    pub(crate) fn next(&mut self) -> Result<Option<ControlMessage>, ControlError> {
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let body = self.at + HEADER..self.at + HEADER + header.len as usize;
            if self.bytes.len() < body.end {
                return Ok(None);
            }
            self.at = body.end;
            if self.open.is_none() && !header.more {
                return ControlMessage::from_payload(header.kind, header.dialog, &self.bytes[body]).map(Some);
            }
            if self.partial.len() + body.len() > MAX_MESSAGE {
                return Err(ControlError::TooLarge);
            }
            self.partial.extend_from_slice(&self.bytes[body]);
            self.open = Some((header.kind, header.dialog));
            if !header.more {
                return self.close(header).map(Some);
            }
        }
    }

    fn header(&self) -> Result<Option<Header>, ControlError> {
        let Some(bytes) = self.bytes[self.at..].first_chunk::<HEADER>() else { return Ok(None) };
        let header = Header::parse(bytes)?;
        match self.open {
            Some((open, open_dialog)) if (open, open_dialog) != (header.kind, header.dialog) => {
                let (found, found_dialog) = (header.kind, header.dialog);
                Err(ControlError::Interleaved { open, open_dialog, found, found_dialog })
            }
            _ => Ok(Some(header)),
        }
    }

    fn close(&mut self, header: Header) -> Result<ControlMessage, ControlError> {
        self.open = None;
        let mut payload = std::mem::take(&mut self.partial);
        let message = ControlMessage::from_payload(header.kind, header.dialog, &payload);
        if header.kind == Kind::SpawnSpec {
            payload.zeroize();
        }
        message
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
