//! Whether the other end of a socket has the same key: before that, nothing it sends reaches a decoder.
//!
//! Four messages of a fixed layout, 160 bytes together. Each side sends a nonce of its own and proves the key by a MAC over
//! everything that was said, under a label that only its role has: nothing that was said before, or by the other side, is
//! an answer.
//!
//! ```text
//! header   magic "plch" | major version | message | purpose | 0            8 bytes
//! 1 Hello  header | nonce of the initiator                                 40
//! 2 Proof  header | nonce of the acceptor | MAC("acceptor", 1 | nonce..)   72
//! 3 Proof  header | MAC("initiator", 1 | 2)                                40
//! 4 Verdict header, message 4 = welcome, 5 = refused                       8
//! ```

use hmac::Mac;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::handshake::{MAGIC, MAJOR};
use super::key::Key;

const HEADER: usize = 8;
/// Bytes of a nonce.
pub(crate) const NONCE: usize = 32;
const MAC: usize = 32;
const HELLO: usize = HEADER + NONCE;
const ANSWER: usize = HEADER + NONCE + MAC;
const PROOF: usize = HEADER + MAC;

/// What the connection is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Purpose {
    /// The data connection of a child, under a key that only this child has.
    Data = 1,
    /// That of a program from outside the tree, under a join key.
    Join = 2,
}

/// The messages, by their number.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Message {
    Hello = 1,
    Answer = 2,
    Proof = 3,
    Welcome = 4,
    Refused = 5,
}

/// Why it has failed. The other end never learns which of these it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum AuthError {
    #[error("what it sent is not of this protocol and version")]
    Foreign,
    #[error("it has not the same key")]
    Key,
    #[error("it has refused us")]
    Refused,
    #[error("it sent more than was asked for")]
    TooMuch,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Read on, at most as many bytes as `wants` says.
    Read,
    /// Send this, then read on unless it is done.
    Send(Vec<u8>),
    /// The other end has the key, and knows that this end has it.
    Done,
}

/// The bytes of a refusal: the same, whatever the reason.
pub(crate) fn refusal(purpose: Purpose) -> [u8; HEADER] {
    header(Message::Refused, purpose)
}

fn header(message: Message, purpose: Purpose) -> [u8; HEADER] {
    let [a, b, c, d] = MAGIC.to_le_bytes();
    [a, b, c, d, MAJOR as u8, message as u8, purpose as u8, 0]
}

/// Everything that both sides have said so far, and who proves the key with it.
#[derive(Debug)]
struct Talk {
    key: Key,
    purpose: Purpose,
    said: Sha256,
}

impl Talk {
    fn new(key: &Key, purpose: Purpose) -> Self {
        Self { key: key.clone(), purpose, said: Sha256::new() }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.said.update(bytes);
    }

    /// The MAC of what was said, in the mouth of this role.
    fn mac(&self, role: &str) -> hmac::Hmac<Sha256> {
        let mut mac = self.key.mac();
        mac.update(b"pleach ");
        mac.update(role.as_bytes());
        mac.update(&self.said.clone().finalize());
        mac
    }

    fn tag(&self, role: &str) -> [u8; MAC] {
        self.mac(role).finalize().into_bytes().into()
    }

    /// Compares in constant time.
    fn check(&self, role: &str, tag: &[u8]) -> Result<(), AuthError> {
        self.mac(role).verify_slice(tag).map_err(|_| AuthError::Key)
    }

    fn check_header(&self, bytes: &[u8], message: Message) -> Result<(), AuthError> {
        if bytes[..HEADER] == header(message, self.purpose) { Ok(()) } else { Err(AuthError::Foreign) }
    }
}

const ACCEPTOR: &str = "acceptor";
const INITIATOR: &str = "initiator";

/// The message that is arriving.
#[derive(Debug, Default)]
struct Part {
    bytes: Vec<u8>,
    len: usize,
}

impl Part {
    fn of(len: usize) -> Self {
        Self { bytes: Vec::with_capacity(len), len }
    }

    fn wants(&self) -> usize {
        self.len - self.bytes.len()
    }

    /// Whether the message is whole now.
    fn take(&mut self, bytes: &[u8]) -> Result<bool, AuthError> {
        if bytes.len() > self.wants() {
            return Err(AuthError::TooMuch);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(self.wants() == 0)
    }
}

/// The side that was connected to. It says nothing about the key before it has heard a hello, and lets nobody in before it
/// has seen a proof.
#[derive(Debug)]
pub(crate) struct Acceptor {
    talk: Talk,
    nonce: [u8; NONCE],
    part: Part,
    heard_hello: bool,
    done: bool,
}

impl Acceptor {
    /// Waits for a hello. The nonce must be fresh and random.
    pub(crate) fn new(key: &Key, purpose: Purpose, nonce: [u8; NONCE]) -> Self {
        Self { talk: Talk::new(key, purpose), nonce, part: Part::of(HELLO), heard_hello: false, done: false }
    }

    /// How many bytes may be read next; 0 when it is done.
    pub(crate) fn wants(&self) -> usize {
        self.part.wants()
    }

    /// Whether the other end has proven the key; what is left is to send the last answer.
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// Takes bytes, at most as many as are wanted. After an error there is only the refusal to be sent.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<Step, AuthError> {
        if !self.part.take(bytes)? {
            return Ok(Step::Read);
        }
        let message = std::mem::take(&mut self.part).bytes;
        if self.heard_hello { self.proof(&message) } else { self.hello(&message) }
    }

    fn hello(&mut self, hello: &[u8]) -> Result<Step, AuthError> {
        self.talk.check_header(hello, Message::Hello)?;
        let mut answer = header(Message::Answer, self.talk.purpose).to_vec();
        answer.extend_from_slice(&self.nonce);
        self.talk.say(hello);
        self.talk.say(&answer);
        answer.extend_from_slice(&self.talk.tag(ACCEPTOR));
        self.talk.say(&answer[HEADER + NONCE..]);
        self.heard_hello = true;
        self.part = Part::of(PROOF);
        Ok(Step::Send(answer))
    }

    fn proof(&mut self, proof: &[u8]) -> Result<Step, AuthError> {
        self.talk.check_header(proof, Message::Proof)?;
        self.talk.check(INITIATOR, &proof[HEADER..])?;
        self.done = true;
        Ok(Step::Send(header(Message::Welcome, self.talk.purpose).to_vec()))
    }
}

/// The side that has connected.
#[derive(Debug)]
pub(crate) struct Initiator {
    talk: Talk,
    part: Part,
    proven: bool,
}

impl Initiator {
    /// Begins, with the first message to send. The nonce must be fresh and random.
    pub(crate) fn new(key: &Key, purpose: Purpose, nonce: [u8; NONCE]) -> (Self, Vec<u8>) {
        let mut hello = header(Message::Hello, purpose).to_vec();
        hello.extend_from_slice(&nonce);
        let mut talk = Talk::new(key, purpose);
        talk.say(&hello);
        // A refusal is shorter than an answer, so the header is read first.
        (Self { talk, part: Part::of(HEADER), proven: false }, hello)
    }

    /// How many bytes may be read next; 0 when it is done.
    pub(crate) fn wants(&self) -> usize {
        self.part.wants()
    }

    /// Takes bytes, at most as many as are wanted. After an error the connection is of no use.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<Step, AuthError> {
        if !self.part.take(bytes)? {
            return Ok(Step::Read);
        }
        let message = std::mem::take(&mut self.part).bytes;
        if message.len() == ANSWER {
            return self.answer(&message);
        }
        if message[..] == refusal(self.talk.purpose) {
            return Err(AuthError::Refused);
        }
        let expected = if self.proven { Message::Welcome } else { Message::Answer };
        self.talk.check_header(&message, expected)?;
        if self.proven {
            return Ok(Step::Done);
        }
        self.part = Part { bytes: message, len: ANSWER };
        Ok(Step::Read)
    }

    fn answer(&mut self, answer: &[u8]) -> Result<Step, AuthError> {
        let (said, tag) = answer.split_at(HEADER + NONCE);
        self.talk.say(said);
        self.talk.check(ACCEPTOR, tag)?;
        self.talk.say(tag);
        let mut proof = header(Message::Proof, self.talk.purpose).to_vec();
        proof.extend_from_slice(&self.talk.tag(INITIATOR));
        (self.proven, self.part) = (true, Part::of(HEADER));
        Ok(Step::Send(proof))
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
