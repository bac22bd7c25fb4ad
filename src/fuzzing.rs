//! What the fuzzers in `fuzz/` feed: each function takes any bytes, and panics where something promised does not hold.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec::Codec;
use crate::error::Reason;
use crate::proto::auth::{Acceptor, Initiator, NONCE, Purpose, Step};
use crate::proto::connection::{Connection, Limits, Role};
use crate::proto::control::{ControlMessage, Decoder};
use crate::proto::event::{DialogId, EventKind, ProtocolError};
use crate::proto::handshake::{ChildSide, Known, ParentSide};
use crate::proto::key::{KEY, Key};
use crate::proto::landing::Landing;
use crate::proto::segments::Segments;
use crate::proto::start::Start;

fn limits() -> Limits {
    Limits { credit_per_dialog: 1000, credit: 4000, max_message: 10_000, max_dialogs: 8, separate_control: false }
}

/// Bytes in pieces whose lengths are the first byte of `input`.
fn pieces(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (size, rest) = input.split_first().map_or((1, input), |(size, rest)| (usize::from(*size).max(1), rest));
    rest.chunks(size)
}

/// Any bytes on a data connection: an error, or within the limits.
pub fn frames(input: &[u8]) {
    let (mut connection, mut landing) = (Connection::new(Role::Child, limits()), None);
    for piece in pieces(input) {
        let taken = read(&mut connection, &mut landing, piece);
        while let Some(event) = connection.next_event() {
            if event.kind == EventKind::Incoming {
                let mut start = Segments::default();
                connection.take_start(event.id, &mut start);
                let _ = Start::decode(start.front());
                let _ = connection.started(event.id, b"first");
            }
        }
        let mut out = Vec::new();
        connection.transmit(&mut out, 1 << 20, None);
        assert!(connection.input_used() <= 4000 + 11_000, "credit holds");
        assert!(connection.held_dialogs() <= 8);
        if taken.is_err() {
            return;
        }
    }
}

/// Bytes as a driver reads them: first to the place of a large payload that is arriving, then into a buffer.
fn read(end: &mut Connection, landing: &mut Option<Landing>, bytes: &[u8]) -> Result<(), ProtocolError> {
    let mut behind = bytes;
    if let Some(landing) = landing {
        let rest = landing.rest();
        let (first, second) = bytes.split_at(rest.len().min(bytes.len()));
        rest[..first.len()].copy_from_slice(first);
        landing.advance(bytes.len());
        behind = second;
    }
    end.receive_landed(landing, behind)
}

/// Any bytes on a control connection: an error, or messages that are read as they are written.
pub fn control(input: &[u8]) {
    let mut decoder = Decoder::default();
    for piece in pieces(input) {
        decoder.feed(piece);
        loop {
            match decoder.next() {
                Ok(Some(message)) => survives(&message),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

fn survives(message: &ControlMessage) {
    let mut bytes = Vec::new();
    if message.encode(&mut bytes).is_ok() {
        let mut decoder = Decoder::default();
        decoder.feed(&bytes);
        assert_eq!(decoder.next().expect("it was just written").as_ref(), Some(message));
    }
    if let ControlMessage::Hello(hello) = message {
        let known = Known { codecs: vec!["msgpack".into(), "json".into()], max_message: 1 << 24 };
        let (answer, theirs) = ChildSide::new(2, known.clone()).answer(hello);
        if let (Ok(theirs), Ok(ours)) = (theirs, ParentSide::new("t", 1, &known).finish(&answer)) {
            assert!(theirs.minor <= hello.minor && ours.max_message <= 1 << 24);
        }
    }
}

/// Any bytes before the key is proven: nobody gets in.
pub fn auth(input: &[u8]) {
    let key = Key::take(&mut [0x42; KEY]);
    let mut acceptor = Acceptor::new(&key, Purpose::Join, [7; NONCE]);
    let mut rest = input;
    while !rest.is_empty() && acceptor.wants() > 0 {
        let (now, later) = rest.split_at(rest.len().min(acceptor.wants()));
        rest = later;
        if acceptor.receive(now).is_err() {
            break;
        }
    }
    assert!(!acceptor.is_done(), "without the key");
    let (mut initiator, _) = Initiator::new(&key, Purpose::Join, [9; NONCE]);
    let mut rest = input;
    while !rest.is_empty() && initiator.wants() > 0 {
        let (now, later) = rest.split_at(rest.len().min(initiator.wants()));
        rest = later;
        match initiator.receive(now) {
            Ok(step) => assert_ne!(step, Step::Done, "without the key"),
            Err(_) => return,
        }
    }
}

/// Two ends that keep to the protocol, told by the input what to do next: neither ever breaks it for the other.
pub fn dialog(input: &[u8]) {
    let mut ends = [Connection::new(Role::Parent, limits()), Connection::new(Role::Child, limits())];
    let mut wires = [Wire::default(), Wire::default()];
    for step in input.chunks_exact(3) {
        let (who, what) = (usize::from(step[0] & 1), step[0] >> 1);
        let (id, size) = (DialogId::from(step[1] & 31), usize::from(step[2]) * 50);
        if what % 12 < 10 {
            act(&mut ends[who], what % 12, id, &vec![7; size]);
        } else {
            carry(&mut ends, &mut wires, who, usize::from(step[2]) + 1);
        }
    }
    for _ in 0..1000 {
        let before = wires.iter().map(|wire| wire.bytes.len()).sum::<usize>();
        let any = carry(&mut ends, &mut wires, 0, usize::MAX) | carry(&mut ends, &mut wires, 1, usize::MAX);
        if !any && before == 0 {
            return;
        }
    }
    panic!("they talk without end");
}

/// What a task may do at any time; what is refused is refused here, and not by the peer.
fn act(end: &mut Connection, what: u8, id: DialogId, bytes: &[u8]) {
    let mut out = Segments::default();
    match what {
        0 => drop(end.open(bytes, bytes.len() % 2 == 0)),
        1 => drop(end.started(id, bytes)),
        2 => drop(end.send(id, bytes)),
        3 => drop(end.send_in_turn(id, &mut bytes.to_vec())),
        4 => drop(end.stop(id)),
        5 => drop(end.finish(id, Ok(&mut bytes.to_vec()))),
        6 => end.cancel(id, &Reason::Deadline),
        7 => drop(end.recv(id, &mut out)),
        8 => {
            end.take_start(id, &mut out);
            end.take_started(id, &mut out);
            end.take_outcome(id, &mut out);
        }
        _ => end.forget(id),
    }
}

/// What one end has written and the other has not read, and where that reads a large payload to.
#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    landing: Option<Landing>,
}

/// Carries some bytes from this end to the other; whether there were any.
fn carry(ends: &mut [Connection; 2], wires: &mut [Wire; 2], from: usize, most: usize) -> bool {
    let Wire { bytes, landing } = &mut wires[from];
    ends[from].transmit(bytes, 1 << 20, None);
    while ends[from].next_event().is_some() {}
    let rest = bytes.split_off(most.min(bytes.len()));
    let piece = std::mem::replace(bytes, rest);
    let to = &mut ends[1 - from];
    read(to, landing, &piece).expect("a peer that keeps to the protocol is not refused");
    while to.next_event().is_some() {}
    // How many are held is up to the tasks here, which need not take an outcome.
    assert!(to.input_used() <= 4000 + 11_000, "credit holds");
    !piece.is_empty()
}

/// Most of what serde knows, at any depth.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Value {
    Nothing,
    Truth(bool),
    Signed(i64),
    Unsigned(u64),
    Real(f32),
    Letter(char),
    Text(String),
    Bytes(ByteBuf),
    Perhaps(Option<Box<Self>>),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
    Fields { left: Box<Self>, right: u8 },
}

/// Any bytes as a value of either codec: an error, or a value that survives both.
pub fn codecs(input: &[u8]) {
    for codec in [Codec::MsgPack, Codec::Json] {
        let Ok(value) = codec.decode::<Value>(input) else { continue };
        for other in [Codec::MsgPack, Codec::Json] {
            let mut bytes = Vec::new();
            // JSON refuses what it cannot say, and each is nested less deep than the other allows.
            if other.encode(&value, &mut bytes).is_ok()
                && let Ok(again) = other.decode::<Value>(&bytes)
            {
                let same = again == value || format!("{again:?}") == format!("{value:?}");
                assert!(same, "{value:?} became {again:?} as {}", other.name());
            }
        }
    }
}
