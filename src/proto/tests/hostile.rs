//! T2 and T4: limits hold, and a peer that lies is an error, not a burden.

use super::pair::{Pair, Xorshift, failure};
use crate::error::RemoteError;
use crate::proto::connection::{Connection, Limits, Role};
use crate::proto::event::{EventKind, OpenError, ProtocolError, SendError};
use crate::proto::fragment::{HEADER, Header, Kind, MAX_PAYLOAD};

fn frame(kind: Kind, dialog: u64, more: bool, payload: &[u8]) -> Vec<u8> {
    let header = Header { len: payload.len() as u32, kind, more, cpu: 0, dialog };
    [&header.to_bytes()[..], payload].concat()
}

/// What the child says to these frames.
fn says(frames: &[Vec<u8>]) -> Result<(), ProtocolError> {
    let mut child = Connection::new(Role::Child, Pair::small());
    child.receive(&frames.concat())
}

/// A child with a running dialog 2, which has seen `started`.
fn serving() -> Connection {
    let mut pair = Pair::new(Pair::small());
    assert_eq!(pair.running(), 2);
    pair.child.conn
}

#[test]
fn t02_a_message_beyond_the_limit_is_refused_at_its_sender() {
    let mut pair = Pair::new(Pair::small());
    let (len, max) = (10_001, 10_000);
    let mut large = vec![0; len];
    assert_eq!(pair.parent.conn.open(&large, true), Err(OpenError::TooLarge { len, max }));
    let id = pair.open(false);
    assert_eq!(pair.child.conn.started(id, &large), Err(SendError::TooLarge { len, max }));
    pair.child.conn.started(id, &large[1..]).unwrap();
    assert_eq!(pair.child.conn.send(id, &large), Err(SendError::TooLarge { len, max }));
    assert_eq!(pair.child.conn.finish(id, Ok(&mut large)), Err(SendError::TooLarge { len, max }));
    let mut long = failure(&"long ".repeat(5000));
    long.chain = vec!["longer".repeat(5000)];
    pair.child.conn.finish(id, Err(&long)).unwrap();
    pair.drive();
    let error = pair.parent.error(id);
    assert!(error.id == long.id && error.message.ends_with("(cut)"), "an outcome always arrives: {error}");
}

#[test]
fn t02_a_failure_loses_its_trace_before_its_words() {
    let mut pair = Pair::new(Pair::small());
    let id = pair.open(false);
    let traced = RemoteError { trace: Some("frame\n".repeat(5000)), ..failure("no milk") };
    pair.child.conn.finish(id, Err(&traced)).unwrap();
    pair.drive();
    assert_eq!(pair.parent.error(id), RemoteError { trace: None, ..traced });
}

#[test]
fn t02_open_dialogs_are_limited_and_ended_ones_make_room() {
    let mut pair = Pair::new(Pair::small());
    let ids: Vec<_> = (0..8).map(|_| pair.open(true)).collect();
    assert_eq!(pair.parent.conn.open(b"", true), Err(OpenError::TooMany { max: 8 }));
    pair.child.conn.finish(ids[3], Ok(&mut b"".to_vec())).unwrap();
    pair.drive();
    assert!(pair.parent.conn.open(b"", true).is_ok());
    let starts: Vec<_> = (1..=9).map(|n| frame(Kind::Start, 2 * n, false, &[1])).collect();
    assert_eq!(says(&starts[..8]), Ok(()));
    assert_eq!(says(&starts), Err(ProtocolError::TooMany("open dialogs")));
}

#[test]
fn t04_frames_out_of_place_are_refused_by_name() {
    let one = |kind, id, payload: &[u8]| says(&[frame(kind, id, false, payload)]);
    for kind in [Kind::Hello, Kind::SpawnSpec, Kind::StartAck] {
        assert_eq!(one(kind, 0, b""), Err(ProtocolError::Misplaced(kind)));
    }
    for kind in [Kind::Item, Kind::Started, Kind::Return, Kind::Error, Kind::Stop] {
        assert_eq!(one(kind, 2, b""), Err(ProtocolError::NoSuchDialog { id: 2, kind }));
    }
    assert!(matches!(one(Kind::Start, 3, &[0]), Err(ProtocolError::NoSuchDialog { id: 3, .. })), "the child's number");
    assert!(matches!(one(Kind::Start, 0, &[0]), Err(ProtocolError::NoSuchDialog { id: 0, .. })));
    assert_eq!(one(Kind::Start, 2, b""), Err(ProtocolError::Malformed(Kind::Start)));
    assert_eq!(one(Kind::Start, 2, &[2]), Err(ProtocolError::Malformed(Kind::Start)));
    assert_eq!(one(Kind::Cancel, 2, b"?"), Err(ProtocolError::Malformed(Kind::Cancel)));
    assert_eq!(one(Kind::Credit, 0, &[1; 4]), Err(ProtocolError::Malformed(Kind::Credit)));
    assert_eq!(one(Kind::Ping, 1, b""), Err(ProtocolError::Misplaced(Kind::Ping)));
    assert_eq!(says(&[frame(Kind::Stop, 2, true, b"")]), Err(ProtocolError::Malformed(Kind::Stop)));
    assert!(matches!(one(Kind::CancelAck, 1, b""), Err(ProtocolError::NoSuchDialog { id: 1, .. })));
    assert!(matches!(one(Kind::Credit, 0, &[1; 8]), Err(ProtocolError::Credit { id: 0, .. })));
}

#[test]
fn t04_steps_out_of_turn_are_refused() {
    let start = frame(Kind::Start, 2, false, &[0]);
    let turn = |kind| Err(ProtocolError::OutOfTurn { id: 2, kind });
    for kind in [Kind::Item, Kind::Started, Kind::Return, Kind::Error, Kind::Stop, Kind::Start] {
        assert_eq!(says(&[start.clone(), frame(kind, 2, false, b"")]), turn(kind));
    }
    let mut child = serving();
    child.receive(&frame(Kind::Item, 2, true, b"part")).unwrap();
    assert_eq!(child.receive(&frame(Kind::Stop, 2, false, b"")), turn(Kind::Stop));
    assert_eq!(child.receive(b""), Err(ProtocolError::Closed), "after an error nothing is taken");
    let mut child = serving();
    child.receive(&frame(Kind::Stop, 2, false, b"")).unwrap();
    assert_eq!(child.receive(&frame(Kind::Item, 2, false, b"")), turn(Kind::Item));
}

#[test]
fn t04_a_replayed_start_does_not_run_again() {
    let mut child = Connection::new(Role::Child, Pair::small());
    let start = frame(Kind::Start, 2, false, &[1]);
    child.receive(&start).unwrap();
    child.finish(2, Ok(&mut b"".to_vec())).unwrap();
    child.receive(&start).unwrap();
    let incoming = std::iter::from_fn(|| child.next_event()).filter(|event| event.kind == EventKind::Incoming);
    assert_eq!(incoming.count(), 1);
}

#[test]
fn t04_more_than_the_credit_is_refused() {
    let item = frame(Kind::Item, 2, false, &[0; 84]);
    let mut child = serving();
    child.receive(&item.repeat(10)).unwrap();
    assert!(matches!(child.receive(&item), Err(ProtocolError::Credit { id: 2, .. })));
    let mut child = serving();
    child.receive(&frame(Kind::Item, 2, true, &[0; 6000])).unwrap();
    let more = child.receive(&frame(Kind::Item, 2, true, &[0; 6000]));
    assert!(matches!(more, Err(ProtocolError::Credit { .. } | ProtocolError::TooLarge { .. })), "{more:?}");
    let mut child = serving();
    let empty = frame(Kind::Item, 2, true, b"").repeat(100_000);
    assert!(matches!(child.receive(&empty), Err(ProtocolError::Credit { .. })), "empty fragments without end");
}

#[test]
fn t04_messages_begun_in_every_dialog_are_bounded_together() {
    let frames = (1..=8).map(|n| frame(Kind::Start, 2 * n, true, &[0; 3000]));
    let error = says(&frames.collect::<Vec<_>>());
    assert!(matches!(error, Err(ProtocolError::Credit { id: 0, .. })), "{error:?}");
}

#[test]
fn t04_nothing_is_allocated_for_what_is_only_announced() {
    for kind in [Kind::Start, Kind::Item, Kind::Return] {
        let header = Header { len: MAX_PAYLOAD as u32, kind, more: true, cpu: 0, dialog: 2 };
        for cut in [7, HEADER] {
            let mut child = Connection::new(Role::Child, Limits::default());
            child.receive(&header.to_bytes()[..cut]).unwrap();
            child.receive(&header.to_bytes()[cut..]).unwrap();
            assert!(child.buffered() < 64, "{}", child.buffered());
        }
    }
}

#[test]
fn t04_what_has_begun_to_come_takes_up_one_fragment_and_no_more() {
    let start = |id| frame(Kind::Start, id, false, &[0]);
    let mut child = Connection::new(Role::Child, Limits::default());
    child.receive(&[start(2), start(4)].concat()).unwrap();
    child.started(2, b"").unwrap();
    child.started(4, b"").unwrap();
    for id in [2, 4] {
        child.receive(&frame(Kind::Item, id, true, &[0; MAX_PAYLOAD])).unwrap();
        let header = Header { len: MAX_PAYLOAD as u32, kind: Kind::Item, more: true, cpu: 0, dialog: id };
        child.receive(&header.to_bytes()).unwrap();
        child.receive(&[0]).unwrap();
        let room = child.buffered();
        assert!((MAX_PAYLOAD..MAX_PAYLOAD + 2048).contains(&room), "{room}");
        child.receive(&[0; MAX_PAYLOAD - 1]).unwrap();
        assert!(child.buffered() < 64, "the fragment has gone to its dialog");
    }
}

#[test]
fn t04_pings_without_end_cost_nothing() {
    let mut child = Connection::new(Role::Child, Limits::default());
    child.receive(&frame(Kind::Ping, 0, false, b"").repeat(10_000)).unwrap();
    let mut out = Vec::new();
    child.transmit(&mut out, usize::MAX, None);
    assert_eq!(out, frame(Kind::Pong, 0, false, b""));
}

#[test]
fn t04_random_bytes_end_in_an_error_soon() {
    let mut random = Xorshift(0x1234_5678_9ABC);
    for _ in 0..2000 {
        let mut child = serving();
        let bytes: Vec<u8> = (0..400).map(|_| random.next() as u8).collect();
        let error = bytes.chunks(7).find_map(|part| child.receive(part).err());
        assert!(error.is_some() || child.buffered() <= 400, "a header may ask for more, and gets no more than came");
    }
}

#[test]
fn t04_random_frames_are_errors_or_keep_to_the_limits() {
    let mut random = Xorshift(0x0DDB_1A5E);
    for _ in 0..2000 {
        let mut child = serving();
        for _ in 0..200 {
            let header = Header {
                len: 0,
                kind: Kind::from_byte(1 + random.below(15) as u8).unwrap(),
                more: random.below(3) == 0,
                cpu: 0,
                dialog: random.below(12),
            };
            let payload = vec![random.below(3) as u8; random.below(2000) as usize];
            if child.receive(&frame(header.kind, header.dialog, header.more, &payload)).is_err() {
                break;
            }
            assert!(child.input_used() <= 4000 + 10_017, "{}", child.input_used());
            assert!(child.held_dialogs() <= 8);
        }
    }
}

#[test]
fn t04_a_flipped_bit_never_does_worse_than_end_the_connection() {
    let mut pair = Pair::new(Pair::small());
    let id = pair.running();
    let _ = pair.parent.conn.send(id, b"item").unwrap();
    let _ = pair.parent.conn.open(b"start", true).unwrap();
    pair.parent.conn.stop(id).unwrap();
    pair.parent.flush();
    let stream = std::mem::take(&mut pair.parent.written);
    for bit in 0..stream.len() * 8 {
        let mut flipped = stream.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let mut child = serving();
        let _ = child.receive(&flipped);
        // A length that was raised makes room for one fragment.
        assert!(child.held_dialogs() <= 8 && child.buffered() <= MAX_PAYLOAD + 2048);
    }
}
