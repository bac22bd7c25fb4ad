//! T5: the bytes of this minor version, as files. What is written is what the files say, and what the files say is read; a version
//! that is one minor number further reads them too, and is read where it uses nothing new.
//!
//! `GOLDEN=write cargo test -p pleach --lib golden` writes the files: only for a new version of the protocol.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec::Codec;
use crate::error::{FailureId, Kind as ErrorKind, Mark, Reason, RemoteError, ScopeId};
use crate::proto::blocked::Blocked;
use crate::proto::connection::{Connection, Limits, Role};
use crate::proto::control::{ControlError, ControlMessage, Decoder, Hello, SpawnSpec};
use crate::proto::event::{EventKind, Outcome, Received};
use crate::proto::fragment::{BadHeader, Header, Kind};
use crate::proto::handshake::{ChildSide, Known, MAGIC, MAJOR, MINOR, ParentSide};
use crate::proto::key::{KEY, Key};
use crate::proto::plain;
use crate::proto::segments::Segments;
use crate::proto::start::Start;

/// A value with one of everything that is written differently.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    sensor: String,
    number: u64,
    value: f64,
    raw: ByteBuf,
    tags: Vec<String>,
    next: Option<Box<Self>>,
}

fn reading() -> Reading {
    Reading {
        sensor: "grün".into(),
        number: 1 << 40,
        value: -0.5,
        raw: ByteBuf::from(vec![0, 255]),
        tags: vec!["a".into()],
        next: None,
    }
}

fn reason() -> Reason {
    Reason::Explicit { by: "root/a".into(), message: "enough".into() }
}

fn error() -> RemoteError {
    let id: FailureId = plain::get(&rmp_serde::to_vec(&7).unwrap()).unwrap();
    RemoteError {
        id,
        kind: ErrorKind::Cancelled,
        actor: "root/a".into(),
        incarnation: 2,
        location: Some("src/a.rs:1".into()),
        relay: vec!["root".into()],
        type_name: "Lost".into(),
        message: "lost".into(),
        chain: vec!["because".into()],
        trace: None,
        mark: Some(Mark { scope: ScopeId(9), reason: reason() }),
    }
}

fn hello() -> Hello {
    Hello {
        magic: MAGIC,
        major: 1,
        minor: 0,
        tree: "0123456789abcdef".into(),
        pid: 4711,
        codecs: vec!["msgpack".into(), "json".into()],
        chosen: Some("json".into()),
        max_message: 16 << 20,
    }
}

fn spec() -> SpawnSpec {
    SpawnSpec {
        path: "root/a".into(),
        incarnation: 3,
        key: Some(Key::take(&mut [5; KEY])),
        data: "/uds/run/app/x.sock".into(),
        host: "pleach/smol".into(),
        host_config: vec![1, 0],
        exposed: vec!["a::double".into()],
        codecs: vec!["json".into()],
        grace_ms: 5000,
        waiting: "balanced".into(),
        extra: vec![("k".into(), ByteBuf::from(vec![1]))],
    }
}

fn control() -> Vec<(&'static str, ControlMessage)> {
    let blocked = Blocked {
        task: Some("reader".into()),
        time: Duration::from_millis(1500),
        state: "runs".into(),
        stack: vec!["main".into()],
    };
    vec![
        ("hello", ControlMessage::Hello(hello())),
        ("spawn_spec", ControlMessage::SpawnSpec(Box::new(spec()))),
        ("cancel", ControlMessage::Cancel { dialog: 8, reason: reason() }),
        ("cancel_ack", ControlMessage::CancelAck { dialog: 8 }),
        ("cancel_actor", ControlMessage::CancelActor { reason: Reason::Signal(15), budget_ms: 5000 }),
        ("cancel_actor_ack", ControlMessage::CancelActorAck),
        ("ping", ControlMessage::Ping(3)),
        ("pong", ControlMessage::Pong(3)),
        ("bye", ControlMessage::Bye { error: None }),
        ("bye_failed", ControlMessage::Bye { error: Some(error()) }),
        ("blocked", ControlMessage::Blocked(Some(Box::new(blocked)))),
        ("blocked_no_more", ControlMessage::Blocked(None)),
    ]
}

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", &format!("{name}.hex")].iter().collect()
}

/// The bytes of a file: hexadecimal, 32 to a line.
fn golden(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Asserts that these are the bytes of the file.
fn is_golden(name: &str, bytes: &[u8]) {
    if std::env::var_os("GOLDEN").is_some_and(|what| what == "write") {
        let line = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n";
        let path = path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes.chunks(32).map(line).collect::<String>()).unwrap();
    }
    assert!(golden(name) == bytes, "{name} is written otherwise now: a new minor version of the protocol");
}

fn one_message(bytes: &[u8]) -> Result<Option<ControlMessage>, ControlError> {
    let mut decoder = Decoder::default();
    decoder.feed(bytes);
    decoder.next()
}

#[test]
fn t05_golden_control_messages_are_written_and_read() {
    for (name, message) in control() {
        let mut bytes = Vec::new();
        message.encode(&mut bytes).unwrap();
        let name = format!("control/{name}");
        is_golden(&name, &bytes);
        assert_eq!(one_message(&golden(&name)), Ok(Some(message)), "{name}");
    }
}

/// A conversation in which each kind of a data connection comes once: what each side wrote, by name.
fn conversation(codec: Codec) -> Vec<(&'static str, Vec<u8>)> {
    let mut value = Vec::new();
    codec.encode(&reading(), &mut value).unwrap();
    let mut args = Vec::new();
    codec.encode(&(21, "x"), &mut args).unwrap();
    let start = Start { endpoint: "a::double", signature: 99, version: 1, remaining_ms: Some(1500), args: &args };
    let mut head = Vec::new();
    start.encode(&mut head).unwrap();
    let limits = Limits { credit_per_dialog: 100, ..Limits::default() };
    let mut parent = Connection::new(Role::Parent, limits);
    let mut child = Connection::new(Role::Child, limits);
    let mut said = Vec::new();
    let mut note = |from: &mut Connection, to: &mut Connection, name| {
        let mut bytes = Vec::new();
        from.transmit(&mut bytes, usize::MAX, None);
        to.receive(&bytes).expect("the peer keeps to the protocol");
        while to.next_event().is_some() {}
        said.push((name, bytes));
    };
    let id = parent.open(&head, false).unwrap();
    note(&mut parent, &mut child, "start");
    child.take_start(id, &mut Segments::default()).unwrap();
    child.started(id, &value).unwrap();
    note(&mut child, &mut parent, "started");
    let _ = parent.send(id, &value).unwrap();
    note(&mut parent, &mut child, "item");
    assert_eq!(child.recv(id, &mut Segments::default()), Received::Item(()));
    note(&mut child, &mut parent, "credit");
    parent.stop(id).unwrap();
    note(&mut parent, &mut child, "stop");
    parent.cancel(id, &reason());
    note(&mut parent, &mut child, "cancel");
    note(&mut child, &mut parent, "cancel_ack");
    child.finish(id, Err(&error())).unwrap();
    note(&mut child, &mut parent, "error");
    let call = parent.open(&head, true).unwrap();
    note(&mut parent, &mut child, "start_of_a_call");
    child.finish(call, Ok(&mut value.clone())).unwrap();
    note(&mut child, &mut parent, "return");
    parent.ping();
    note(&mut parent, &mut child, "ping");
    note(&mut child, &mut parent, "pong");
    child.bye();
    note(&mut child, &mut parent, "bye");
    said
}

#[test]
fn t05_golden_conversations_are_written_and_read() {
    for codec in [Codec::MsgPack, Codec::Json] {
        let folder = format!("data.{}", codec.name());
        for (name, bytes) in conversation(codec) {
            is_golden(&format!("{folder}/{name}"), &bytes);
        }
        let file = |name: &str| golden(&format!("{folder}/{name}"));
        assert_eq!(codec.decode::<Reading>(&file("item")[16..]).unwrap(), reading());
        assert_eq!(codec.decode::<Reading>(&file("return")[16..]).unwrap(), reading());
        assert_eq!(plain::get::<RemoteError>(&file("error")[16..]).unwrap(), error());
        // The first byte behind the header says whether it is a call.
        let (start, call) = (file("start"), file("start_of_a_call"));
        assert_eq!((start[16], call[16]), (0, 1));
        let read = Start::decode(&start[17..]).unwrap();
        assert_eq!((read.endpoint, read.signature, read.version, read.remaining_ms), ("a::double", 99, 1, Some(1500)));
        assert_eq!(codec.decode::<(u64, String)>(read.args).unwrap(), (21, "x".to_owned()));
    }
}

/// What was written down is a conversation that two ends of this version have.
#[test]
fn t05_golden_bytes_are_a_conversation() {
    let mut child = Connection::new(Role::Child, Limits { credit_per_dialog: 100, ..Limits::default() });
    let file = |name: &str| golden(&format!("data.msgpack/{name}"));
    child.receive(&file("start")).unwrap();
    child.take_start(2, &mut Segments::default()).unwrap();
    child.started(2, b"").unwrap();
    for name in ["item", "stop", "cancel", "start_of_a_call", "ping"] {
        child.receive(&file(name)).unwrap();
    }
    assert_eq!(child.take_cancel(2), Some(reason()));
    let mut parent = Connection::new(Role::Parent, Limits { credit_per_dialog: 100, ..Limits::default() });
    assert_eq!(parent.open(b"x", false), Ok(2));
    assert_eq!(parent.open(b"x", true), Ok(4));
    parent.cancel(2, &reason());
    for name in ["started", "cancel_ack", "error", "return", "pong", "bye"] {
        parent.receive(&file(name)).unwrap();
    }
    assert_eq!(parent.take_outcome(2, &mut Segments::default()), Some(Outcome::Error(Box::new(error()))));
    assert!(std::iter::from_fn(|| parent.next_event()).any(|event| event.kind == EventKind::Bye));
}

/// The next minor version: a raised number, a new optional field, and a new kind of frame that it sends to its like.
mod next {
    use super::*;

    pub(super) const MINOR: u16 = super::MINOR + 1;
    pub(super) const PROBE: u8 = 17;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Hello {
        #[serde(flatten)]
        pub(super) old: super::Hello,
        #[serde(default)]
        pub(super) lanes: Option<u32>,
    }

    /// A message of it, by hand.
    pub(super) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let header = Header { len: payload.len() as u32, kind: Kind::Ping, more: false, cpu: 0, dialog: 0 };
        let mut bytes = header.to_bytes().to_vec();
        bytes[4] = kind;
        bytes.extend_from_slice(payload);
        bytes
    }

    pub(super) fn hello() -> Vec<u8> {
        let old = super::Hello { minor: MINOR, ..super::hello() };
        frame(Kind::Hello as u8, &rmp_serde::to_vec_named(&Hello { old, lanes: Some(2) }).unwrap())
    }

    /// What it writes to a peer with which it agreed on this minor version.
    pub(super) fn says(agreed: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        ControlMessage::Ping(3).encode(&mut bytes).unwrap();
        if agreed >= MINOR {
            bytes.extend(frame(PROBE, b""));
        }
        bytes
    }

    /// Reads a kind as it does: one more than this version knows.
    pub(super) fn reads(bytes: &[u8]) -> bool {
        bytes[4] == PROBE || Header::parse(bytes.first_chunk().unwrap()).is_ok()
    }
}

#[test]
fn t05_this_version_reads_the_next_one_where_that_uses_nothing_new() {
    let Ok(Some(ControlMessage::Hello(theirs))) = one_message(&next::hello()) else { panic!("its hello is read") };
    assert_eq!(theirs.minor, MINOR + 1);
    let known = Known { codecs: vec!["json".into()], max_message: 100 };
    let (_, agreed) = ChildSide::new(2, known.clone()).answer(&theirs);
    let agreed = agreed.expect("a higher minor version is no obstacle");
    assert_eq!(agreed.minor, MINOR, "the smaller one holds");
    let answer = Hello { chosen: Some("json".into()), ..theirs };
    assert_eq!(ParentSide::new("t", 1, &known).finish(&answer).expect("nor in an answer").minor, MINOR);
    assert_eq!(one_message(&next::says(agreed.minor)), Ok(Some(ControlMessage::Ping(3))));
}

#[test]
fn t05_the_next_version_reads_this_one() {
    let bytes = golden("control/hello");
    let read: next::Hello = plain::get(&bytes[16..]).unwrap();
    assert_eq!(read, next::Hello { old: hello(), lanes: None });
    assert_eq!(read.old.minor.min(next::MINOR), MINOR);
    assert!(control().iter().all(|(name, _)| next::reads(&golden(&format!("control/{name}")))));
}

#[test]
fn t05_a_new_kind_that_was_not_agreed_on_is_an_error() {
    let newer = next::says(next::MINOR);
    let mut decoder = Decoder::default();
    decoder.feed(&newer);
    assert_eq!(decoder.next(), Ok(Some(ControlMessage::Ping(3))));
    assert_eq!(decoder.next(), Err(ControlError::Header(BadHeader::Kind(next::PROBE))));
    let mut data = Connection::new(Role::Child, Limits::default());
    assert!(data.receive(&next::frame(next::PROBE, b"")).is_err());
}

#[test]
fn x07_the_major_version_must_match_in_every_first_message() {
    let known = Known { codecs: vec!["json".into()], max_message: 100 };
    for major in [MAJOR - 1, MAJOR + 1, u16::MAX] {
        let theirs = Hello { major, ..hello() };
        let (_, agreed) = ChildSide::new(2, known.clone()).answer(&theirs);
        let text = agreed.expect_err("it is refused").to_string();
        assert!(text.contains(&format!("{major}.0")) && text.contains(&format!("{MAJOR}.{MINOR}")), "{text}");
        assert!(ParentSide::new("t", 1, &known).finish(&theirs).is_err());
    }
}
