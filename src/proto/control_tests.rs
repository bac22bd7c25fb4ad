use super::*;
use crate::error::Reason;

fn hello() -> Hello {
    Hello {
        magic: 7,
        major: 1,
        minor: 2,
        tree: "t".into(),
        pid: 9,
        codecs: vec!["msgpack".into()],
        chosen: None,
        max_message: 16,
    }
}

fn spec(config: usize) -> SpawnSpec {
    SpawnSpec {
        path: "root/a".into(),
        incarnation: 3,
        host_config: vec![5; config],
        waiting: "idle".into(),
        extra: vec![("k".into(), ByteBuf::from(vec![1, 2]))],
        ..SpawnSpec::default()
    }
}

fn all() -> Vec<ControlMessage> {
    let reason = Reason::Explicit { by: String::new(), message: "enough".into() };
    vec![
        ControlMessage::Hello(hello()),
        ControlMessage::SpawnSpec(Box::new(spec(200_000))),
        ControlMessage::Cancel { dialog: 8, reason: reason.clone() },
        ControlMessage::CancelAck { dialog: 8 },
        ControlMessage::CancelActor { reason, budget_ms: 5_000 },
        ControlMessage::CancelActorAck,
        ControlMessage::Ping(u64::MAX),
        ControlMessage::Pong(0),
        ControlMessage::Bye { error: None },
        ControlMessage::Bye { error: Some(crate::Error::from(crate::error::Closed).to_remote("root/a", 1)) },
    ]
}

fn bytes_of(messages: &[ControlMessage]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        message.encode(&mut bytes).unwrap();
    }
    bytes
}

fn read_in_pieces(bytes: &[u8], piece: usize) -> Vec<ControlMessage> {
    let mut decoder = Decoder::default();
    let mut read = Vec::new();
    for piece in bytes.chunks(piece) {
        decoder.feed(piece);
        while let Some(message) = decoder.next().unwrap() {
            read.push(message);
        }
    }
    read
}

#[test]
fn every_message_is_read_as_it_was_written_in_any_pieces() {
    let all = all();
    let bytes = bytes_of(&all);
    for piece in [1, 2, 3, 15, 16, 17, 1_000, 65_551, 65_552, 65_553, bytes.len()] {
        assert!(read_in_pieces(&bytes, piece) == all, "in pieces of {piece}");
    }
}

#[test]
fn sizes_around_a_fragment_are_read_as_written() {
    for config in 65_300..65_600 {
        let message = [ControlMessage::SpawnSpec(Box::new(spec(config)))];
        assert!(read_in_pieces(&bytes_of(&message), 40_000) == message, "a configuration of {config}");
    }
}

#[test]
fn a_message_over_the_limit_is_refused_at_both_ends() {
    let mut out = vec![1];
    let large = ControlMessage::SpawnSpec(Box::new(spec(MAX_MESSAGE)));
    assert!(matches!(large.encode(&mut out), Err(EncodeError::TooLarge(_))));
    assert_eq!(out, [1]);
    let header = Header { len: 65_536, kind: Kind::SpawnSpec, more: true, cpu: 0, dialog: 0 }.to_bytes();
    let mut decoder = Decoder::default();
    let outcome = (0..17).find_map(|_| {
        decoder.feed(&header);
        decoder.feed(&[0; 65_536]);
        decoder.next().err()
    });
    assert_eq!(outcome, Some(ControlError::TooLarge));
}

#[test]
fn a_second_message_inside_of_a_first_is_refused() {
    let mut bytes = bytes_of(&[ControlMessage::SpawnSpec(Box::new(spec(70_000)))]);
    bytes.truncate(HEADER + MAX_PAYLOAD);
    ControlMessage::Ping(1).encode(&mut bytes).unwrap();
    let mut decoder = Decoder::default();
    decoder.feed(&bytes);
    assert!(matches!(decoder.next(), Err(ControlError::Interleaved { found: Kind::Ping, .. })));
}

#[test]
fn x07_unknown_fields_are_ignored_and_unknown_kinds_are_not() {
    #[derive(Serialize)]
    struct Newer {
        number: u64,
        colour: &'static str,
    }
    let payload = rmp_serde::to_vec_named(&Newer { number: 4, colour: "red" }).unwrap();
    assert_eq!(ControlMessage::from_payload(Kind::Ping, 0, &payload), Ok(ControlMessage::Ping(4)));
    let mut decoder = Decoder::default();
    let mut bytes = bytes_of(&[ControlMessage::CancelActorAck]);
    bytes[4] = 0x40;
    decoder.feed(&bytes);
    assert_eq!(decoder.next(), Err(ControlError::Header(BadHeader::Kind(0x40))));
}

#[test]
fn a_frame_of_the_data_connection_is_refused() {
    assert_eq!(ControlMessage::from_payload(Kind::Item, 1, &[]), Err(ControlError::Misplaced(Kind::Item)));
}

#[test]
fn malformed_payloads_are_errors_and_allocate_nothing_they_only_declare() {
    // An array header that claims four thousand million entries.
    for payload in [&[0xdd, 0xff, 0xff, 0xff, 0xff][..], &[], &[0xc1], &[0x91; 200]] {
        for kind in [Kind::Hello, Kind::SpawnSpec, Kind::Cancel, Kind::Ping, Kind::Bye] {
            assert!(matches!(ControlMessage::from_payload(kind, 0, payload), Err(ControlError::Payload(..))));
        }
    }
}
