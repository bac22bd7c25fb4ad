//! Large items: in the buffer of their sender until they are written, in that of their reader from when they arrive.

use std::collections::BTreeSet;

use super::pair::{Pair, Xorshift, because, failure};
use crate::proto::connection::Limits;
use crate::proto::event::{ControlVerb, DialogId, EventKind, Outcome, Received, Sent};
use crate::proto::fragment::{HEADER, Header, Kind, MAX_PAYLOAD};
use crate::proto::gather::Gather;
use crate::proto::recycle::LARGE;
use crate::proto::segments::Segments;

/// What each dialog sends, in its order: large items of one fragment and of several, with small ones before and behind.
const SIZES: [&[usize]; 3] = [&[3, MAX_PAYLOAD + 3, 0, LARGE], &[MAX_PAYLOAD, LARGE - 1, LARGE + 1], &[5, 6, 7, 8]];

fn item(dialog: usize, at: usize, size: usize) -> Vec<u8> {
    (0..size).map(|byte| (byte / 7 + 31 * dialog + 13 * at) as u8).collect()
}

/// Sends all of it, and writes it fragment by fragment; the dialogs, and the bytes.
fn say_all(pair: &mut Pair) -> (Vec<DialogId>, Vec<u8>) {
    let ids: Vec<_> = SIZES.iter().map(|_| pair.running()).collect();
    let mut stream = Vec::new();
    for at in 0..4 {
        for (dialog, sizes) in SIZES.iter().enumerate() {
            if let Some(size) = sizes.get(at) {
                assert_eq!(pair.parent.conn.send(ids[dialog], &item(dialog, at, *size)), Ok(Sent::Queued));
            }
        }
        pair.parent.conn.transmit(&mut stream, 1, None);
    }
    while pair.parent.conn.transmit(&mut stream, 1, None) {}
    (ids, stream)
}

fn hears_all(pair: &mut Pair, ids: &[DialogId], how: &str) {
    for (dialog, sizes) in SIZES.iter().enumerate() {
        for (at, size) in sizes.iter().enumerate() {
            assert!(pair.child.recv(ids[dialog]) == Received::Item(item(dialog, at, *size)), "{how}: {dialog}, {at}");
        }
        assert_eq!(pair.child.recv(ids[dialog]), Received::Empty, "{how}");
    }
    pair.drive();
    assert_eq!(pair.parent.conn.output_used(), pair.child.conn.input_used(), "{how}");
}

/// Where the fragments begin.
fn headers(stream: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(head) = stream[at..].first_chunk::<HEADER>() {
        found.push(at);
        at += HEADER + Header::parse(head).unwrap().len as usize;
    }
    assert_eq!(at, stream.len());
    found
}

#[test]
fn large_and_small_items_of_several_dialogs_arrive_whole_however_they_are_cut() {
    let (_, stream) = say_all(&mut Pair::new(Limits::default()));
    let begins = headers(&stream);
    let split = |pair: &[usize]| stream[pair[0] + 5] == 1 && stream[pair[0] + 8] != stream[pair[1] + 8];
    assert!(begins.windows(2).any(split), "another dialog has its turn between two fragments of a message");
    let near = |begin: &usize| [0, 1, 7, 15, 16, 17, 40].map(|more| begin + more);
    let before = |begin: &usize| [1, 2].map(|less| begin.saturating_sub(less));
    let cuts: BTreeSet<_> = begins.iter().flat_map(near).chain(begins.iter().flat_map(before)).collect();
    for cut in cuts.into_iter().filter(|cut| *cut <= stream.len()) {
        let mut pair = Pair::new(Limits::default());
        let (ids, stream) = say_all(&mut pair);
        let (first, second) = stream.split_at(cut);
        pair.child.receive(first, usize::MAX);
        pair.child.receive(second, usize::MAX);
        hears_all(&mut pair, &ids, &format!("cut at {cut}"));
    }
}

#[test]
fn they_arrive_whole_in_pieces_of_any_size() {
    for chunk in [1, 15, 16, 17, 1000, LARGE, MAX_PAYLOAD, MAX_PAYLOAD + HEADER, MAX_PAYLOAD + 4096] {
        for lands in [true, false] {
            let mut pair = Pair::new(Limits::default());
            let (ids, stream) = say_all(&mut pair);
            for part in stream.chunks(chunk) {
                if lands {
                    pair.child.read(part);
                } else {
                    pair.child.conn.receive(part).unwrap();
                }
            }
            hears_all(&mut pair, &ids, &format!("pieces of {chunk}, {lands}"));
        }
    }
}

#[test]
fn a_large_item_is_written_from_where_it_was_encoded_and_decoded_where_it_was_read() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.running();
    let mut scratch = item(1, 2, MAX_PAYLOAD + 3);
    let encoded = scratch.as_ptr();
    assert_eq!(pair.parent.conn.send_from(id, &mut scratch), Ok(Sent::Queued));
    assert!(scratch.is_empty(), "it is the queue's now");
    let mut out = Gather::default();
    assert!(pair.parent.conn.gather(&mut out, usize::MAX, Some(3)));
    let pieces: Vec<_> = out.pieces(0).collect();
    let sizes: Vec<_> = pieces.iter().map(|piece| piece.len()).collect();
    assert_eq!(sizes, [HEADER, MAX_PAYLOAD, HEADER + 3]);
    assert_eq!(pieces[1].as_ptr(), encoded);
    let stream = pieces.concat();
    pair.child.read(&stream[..HEADER + 1]);
    assert_eq!(pair.child.conn.peer_cpu(), None, "the fragment is not whole");
    let place = pair.child.landing().expect("a large payload has begun").as_ptr().wrapping_sub(1);
    pair.child.read(&stream[HEADER + 1..]);
    assert_eq!(pair.child.conn.peer_cpu(), Some(3));
    let mut read = Segments::default();
    assert_eq!(pair.child.conn.recv(id, &mut read), Received::Item(()));
    let read = read.join();
    assert!(read == item(1, 2, MAX_PAYLOAD + 3));
    assert_eq!(read.as_ptr(), place, "the rest of three bytes had room behind it");
}

#[test]
fn a_steady_stream_of_large_items_uses_the_same_few_buffers() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.running();
    let (mut scratch, mut read, mut out) = (Vec::new(), Segments::default(), Gather::default());
    let mut buffers = BTreeSet::new();
    for n in 0..200 {
        scratch.clear();
        scratch.extend_from_slice(&item(0, n, MAX_PAYLOAD + 3));
        buffers.insert(scratch.as_ptr());
        assert_eq!(pair.parent.conn.send_from(id, &mut scratch), Ok(Sent::Queued));
        pair.parent.conn.gather(&mut out, usize::MAX, None);
        for piece in out.pieces(0) {
            pair.child.receive(piece, 5000);
        }
        pair.parent.conn.written(&mut out);
        assert_eq!(pair.child.conn.recv(id, &mut read), Received::Item(()));
        buffers.insert(read.single().expect("it is not very large").as_ptr());
        pair.drive();
    }
    assert!(buffers.len() <= 6, "{} buffers", buffers.len());
}

#[test]
fn a_sender_who_can_wait_does_so_while_enough_large_items_are_queued() {
    let mut pair = Pair::new(Limits::default());
    let (id, other) = (pair.running(), pair.running());
    let large = item(0, 0, MAX_PAYLOAD);
    let waits = |pair: &mut Pair, id| pair.parent.conn.send_in_turn(id, &mut large.clone()) == Ok(Sent::NoCredit);
    assert_eq!((0..).take_while(|_| !waits(&mut pair, id)).count(), 2, "there is credit for more");
    assert_eq!(pair.parent.conn.send_in_turn(id, &mut b"small".to_vec()), Ok(Sent::Queued));
    assert_eq!(pair.parent.conn.send(id, &large), Ok(Sent::Queued), "who cannot wait has all the credit");
    assert!(!waits(&mut pair, other), "another dialog has its own queue");
    let mut out = Vec::new();
    for (fragments, told) in [(1, 0), (1, 0), (1, 1), (9, 1)] {
        (0..fragments).for_each(|_| assert!(pair.parent.conn.transmit(&mut out, 1, None) || told == 1));
        pair.parent.drain();
        assert_eq!(pair.parent.count(id, EventKind::Writable), told, "once");
    }
    assert!(!waits(&mut pair, id) && !waits(&mut pair, id) && waits(&mut pair, id));
    pair.parent.conn.abort(failure("gone"));
    assert!(pair.parent.conn.send_in_turn(id, &mut large.clone()).is_err(), "nobody waits for what is lost");
    pair.child.receive(&out, usize::MAX);
    let items = std::iter::from_fn(|| match pair.child.recv(id) {
        Received::Item(item) => Some(item.len()),
        _ => None,
    });
    assert_eq!(items.collect::<Vec<_>>(), [MAX_PAYLOAD, MAX_PAYLOAD, 5, MAX_PAYLOAD]);
}

#[test]
fn d08_the_credit_of_a_large_item_that_is_thrown_away_half_sent_comes_back() {
    for ends in 0..3 {
        let mut pair = Pair::new(Limits::default());
        for round in 0..20 {
            let id = pair.running();
            assert_eq!(pair.parent.conn.send(id, &vec![7; 10 * MAX_PAYLOAD]), Ok(Sent::Queued));
            assert_eq!(pair.parent.conn.send(id, b"behind it"), Ok(Sent::Queued));
            let mut part = Vec::new();
            (0..round % 4).for_each(|_| assert!(pair.parent.conn.transmit(&mut part, 1, None)));
            // The last fragment is on its way when the dialog ends.
            let late = part.split_off(part.len() - part.len().min(100));
            pair.child.receive(&part, 4000);
            match ends {
                0 => pair.parent.conn.forget(id),
                1 => pair.child.conn.forget(id),
                _ => pair.child.conn.finish(id, Ok(&mut vec![9; MAX_PAYLOAD + 1])).unwrap(),
            }
            pair.child.receive(&late, 30);
            tell_before_the_rest(&mut pair, id);
            pair.drive();
            pair.parent.conn.forget(id);
            pair.drive();
            assert_eq!(pair.parent.conn.output_used(), pair.child.conn.input_used(), "{ends}, {round}");
            assert_eq!(pair.child.conn.output_used(), pair.parent.conn.input_used(), "{ends}, {round}");
        }
        assert_eq!((pair.parent.conn.held_dialogs(), pair.child.conn.held_dialogs()), (0, 0));
    }
}

/// What both sides have to say of the end arrives before most of the large item has left.
fn tell_before_the_rest(pair: &mut Pair, id: DialogId) {
    let mut cancel = Vec::new();
    pair.parent.conn.transmit(&mut cancel, 1, None);
    pair.child.receive(&cancel, usize::MAX);
    pair.child.conn.forget(id);
    pair.child.flush();
    let outcome = std::mem::take(&mut pair.child.written);
    pair.parent.receive(&outcome, usize::MAX);
    let mut rest = Vec::new();
    pair.parent.conn.transmit(&mut rest, usize::MAX, None);
    assert!(rest.is_empty(), "nothing more leaves for a dialog that has ended");
}

#[test]
fn d10_a_cancel_overtakes_the_rest_of_a_large_item() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.running();
    let large = vec![7; 5 * MAX_PAYLOAD];
    assert_eq!(pair.parent.conn.send(id, &large), Ok(Sent::Queued));
    let mut out = Vec::new();
    pair.parent.conn.transmit(&mut out, 1, None);
    pair.parent.conn.cancel(id, &because("enough"));
    pair.parent.conn.transmit(&mut out, 1, None);
    let behind = &out[HEADER + MAX_PAYLOAD..];
    assert_eq!(Header::parse(behind.first_chunk().unwrap()).unwrap().kind, Kind::Cancel);
    pair.child.receive(&out, 4000);
    assert_eq!(pair.child.count(id, EventKind::CancelRequested), 1);
    pair.drive();
    assert_eq!(pair.child.recv(id), Received::Item(large), "a cancel asks, and cuts nothing");
}

#[test]
fn d10_a_cancel_on_the_other_connection_comes_in_the_midst_of_a_large_payload() {
    let mut pair = Pair::new(Limits { separate_control: true, ..Limits::default() });
    let id = pair.running();
    assert_eq!(pair.parent.conn.send(id, &vec![7; MAX_PAYLOAD + 3]), Ok(Sent::Queued));
    pair.parent.conn.cancel(id, &because("enough"));
    pair.parent.flush();
    let (first, second) = pair.parent.written.split_at(1000);
    pair.child.receive(first, usize::MAX);
    let frames = std::mem::take(&mut pair.parent.control);
    assert!(matches!(frames[..], [ref frame] if matches!(frame.verb, ControlVerb::Cancel(_))));
    pair.child.receive_control(frames);
    assert_eq!(pair.child.count(id, EventKind::CancelRequested), 1);
    assert!(pair.child.landing().is_some(), "the payload still has its place");
    pair.child.conn.finish(id, Err(&failure("cancelled"))).unwrap();
    pair.child.receive(second, usize::MAX);
    pair.parent.written.clear();
    pair.drive();
    assert!(matches!(pair.parent.outcome(id), Some((Outcome::Error(_), _))));
    assert_eq!(
        pair.parent.conn.output_used(),
        pair.child.conn.input_used(),
        "what came for the ended dialog is counted"
    );
}

#[test]
fn a_result_of_many_bytes_arrives_where_it_will_be_decoded() {
    let mut pair = Pair::new(Limits::default());
    for size in [LARGE, MAX_PAYLOAD, MAX_PAYLOAD + 1, 3 * MAX_PAYLOAD] {
        let call = pair.open(true);
        pair.child.conn.finish(call, Ok(&mut item(0, 0, size))).unwrap();
        pair.chunk = 10_000;
        pair.drive();
        assert!(pair.parent.returned(call) == item(0, 0, size));
    }
}

#[test]
fn credit_is_conserved_by_large_and_small_items_under_any_schedule() {
    for seed in 1..=10 {
        let mut random = Xorshift(seed * 0x9E37_79B9);
        let mut pair = Pair::new(Limits { max_message: 4 * MAX_PAYLOAD, ..Limits::default() });
        pair.chunk = 1 + random.below(100_000) as usize;
        let ids: Vec<_> = (0..3).map(|_| pair.running()).collect();
        let (mut sent, mut read) = ([0; 3], [0; 3]);
        for _ in 0..300 {
            let at = random.below(3) as usize;
            match random.below(4) {
                0 | 1 => {
                    let size = [10, LARGE, MAX_PAYLOAD + 3, 4 * MAX_PAYLOAD][random.below(4) as usize];
                    let went = pair.parent.conn.send_in_turn(ids[at], &mut vec![sent[at] as u8; size]).unwrap();
                    sent[at] += usize::from(went == Sent::Queued);
                }
                2 => read[at] += usize::from(reads(&mut pair, ids[at], read[at])),
                _ => drop(pair.step()),
            }
        }
        pair.drive();
        for _ in 0..300 {
            for at in 0..3 {
                read[at] += usize::from(reads(&mut pair, ids[at], read[at]));
            }
            pair.drive();
        }
        assert_eq!(read, sent);
        assert_eq!(pair.parent.conn.output_used(), pair.child.conn.input_used());
        for id in ids {
            let item = &mut vec![0; 4 * MAX_PAYLOAD];
            assert_eq!(pair.parent.conn.send_in_turn(id, item), Ok(Sent::Queued), "not stuck");
        }
    }
}

fn reads(pair: &mut Pair, id: DialogId, number: usize) -> bool {
    match pair.child.recv(id) {
        Received::Item(item) => {
            assert!(item.iter().all(|byte| *byte == number as u8), "in order");
            true
        }
        _ => false,
    }
}
