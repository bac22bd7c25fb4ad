//! D1, D3, D4, D8 and T1: what a dialog is, however its bytes are split.

use super::pair::{Pair, failure};
use crate::proto::connection::Limits;
use crate::proto::dialog::Refused;
use crate::proto::event::{EventKind, Outcome, Received, SendError, Sent};

/// A dialog with everything in it; gives what both sides saw.
fn conversation(pair: &mut Pair) -> Vec<Vec<u8>> {
    let id = pair.running();
    let mut seen = Vec::new();
    for n in 0..5u8 {
        assert_eq!(pair.parent.conn.send(id, &vec![n; usize::from(n) * 7]), Ok(Sent::Queued));
        assert_eq!(pair.child.conn.send(id, &vec![n; 70_000]), Ok(Sent::Queued));
    }
    pair.parent.conn.stop(id).unwrap();
    pair.drive();
    while let Received::Item(item) = pair.child.recv(id) {
        seen.push(item);
    }
    assert_eq!(pair.child.recv(id), Received::End);
    pair.child.conn.finish(id, Ok(&mut b"result".to_vec())).unwrap();
    pair.drive();
    while let Received::Item(item) = pair.parent.recv(id) {
        seen.push(item);
    }
    seen.push(pair.parent.returned(id));
    seen
}

#[test]
fn d01_the_opener_has_exactly_one_outcome() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.open(true);
    pair.child.conn.finish(id, Ok(&mut b"one".to_vec())).unwrap();
    assert_eq!(pair.child.conn.finish(id, Ok(&mut b"two".to_vec())), Err(SendError::Refused(Refused::Ended)));
    pair.drive();
    assert_eq!(pair.parent.returned(id), b"one");
    assert_eq!(pair.parent.outcome(id), None);
    pair.parent.conn.abort(failure("gone"));
    pair.parent.drain();
    assert_eq!(pair.parent.outcome(id), None);
    assert_eq!(pair.parent.count(id, EventKind::Outcome), 1);
}

#[test]
fn d01_an_outcome_that_waits_behind_items_is_still_the_only_one() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.running();
    assert_eq!(pair.child.conn.send(id, &[1; 200_000]), Ok(Sent::Queued));
    pair.child.conn.finish(id, Ok(&mut b"one".to_vec())).unwrap();
    assert_eq!(pair.child.conn.finish(id, Err(&failure("two"))), Err(SendError::Refused(Refused::Ended)));
    pair.child.conn.forget(id);
    pair.drive();
    assert_eq!(pair.parent.recv(id), Received::Item(vec![1; 200_000]));
    assert_eq!(pair.parent.returned(id), b"one");
    assert_eq!(pair.parent.count(id, EventKind::Outcome), 1);
}

#[test]
fn d01_a_callee_that_is_dropped_has_an_outcome_too() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.open(false);
    pair.child.conn.forget(id);
    pair.drive();
    assert_eq!(pair.parent.error(id).kind, crate::error::Kind::Cancelled);
}

#[test]
fn d03_misuse_is_an_error_at_its_caller_and_nothing_is_sent() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.open(false);
    let refused = |refused| Err(SendError::Refused(refused));
    assert_eq!(pair.parent.conn.send(id, b"x"), refused(Refused::NotStarted).map(|()| Sent::Queued));
    assert_eq!(pair.child.conn.send(id, b"x"), refused(Refused::NotStarted).map(|()| Sent::Queued));
    assert_eq!(pair.child.conn.stop(id), refused(Refused::NotStarted));
    pair.child.conn.started(id, b"first").unwrap();
    assert_eq!(pair.child.conn.started(id, b"again"), refused(Refused::StartedTwice));
    pair.child.conn.stop(id).unwrap();
    pair.child.conn.stop(id).unwrap();
    assert_eq!(pair.child.conn.send(id, b"x"), refused(Refused::Closed).map(|()| Sent::Queued));
    pair.drive();
    assert_eq!(pair.parent.count(id, EventKind::Started), 1);
    assert_eq!(pair.parent.count(id, EventKind::Stopped), 1);
    assert_eq!(pair.parent.recv(id), Received::End);
}

#[test]
fn d03_a_plain_call_has_no_stream() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.open(true);
    assert_eq!(pair.child.conn.started(id, b"x"), Err(SendError::Refused(Refused::PlainCall)));
    assert_eq!(pair.child.conn.send(id, b"x"), Err(SendError::Refused(Refused::PlainCall)));
    assert_eq!(pair.parent.conn.send(id, b"x"), Err(SendError::Refused(Refused::PlainCall)));
}

#[test]
fn d04_a_failure_before_started_is_that_failure() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.open(false);
    let error = failure("no such file");
    pair.child.conn.finish(id, Err(&error)).unwrap();
    pair.drive();
    assert_eq!(pair.parent.recv(id), Received::Failed);
    assert_eq!(pair.parent.conn.failure(id), Some(&error));
    assert_eq!(pair.parent.error(id), error);
}

#[test]
fn d04_a_return_before_started_is_never_started() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.open(false);
    pair.child.conn.finish(id, Ok(&mut b"early".to_vec())).unwrap();
    pair.drive();
    assert_eq!(pair.parent.outcome(id), Some((Outcome::NeverStarted, vec![])));
    let call = pair.open(true);
    pair.child.conn.finish(call, Ok(&mut b"early".to_vec())).unwrap();
    pair.drive();
    assert_eq!(pair.parent.returned(call), b"early");
}

#[test]
fn d08_everything_accepted_before_the_end_is_readable_before_it() {
    for stop in [false, true] {
        let mut pair = Pair::new(Limits::default());
        let id = pair.running();
        for n in 0..100u8 {
            assert_eq!(pair.child.conn.send(id, &[n; 300]), Ok(Sent::Queued));
        }
        if stop {
            pair.child.conn.stop(id).unwrap();
        }
        pair.child.conn.finish(id, Ok(&mut b"".to_vec())).unwrap();
        pair.drive();
        assert_eq!(pair.parent.returned(id), b"", "the outcome may be taken first");
        for n in 0..100u8 {
            assert_eq!(pair.parent.recv(id), Received::Item(vec![n; 300]));
        }
        assert_eq!(pair.parent.recv(id), Received::End);
    }
}

#[test]
fn d08_after_a_failure_the_receiver_drains_and_then_gets_it() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.running();
    assert_eq!(pair.child.conn.send(id, b"last words"), Ok(Sent::Queued));
    pair.child.conn.finish(id, Err(&failure("disk full"))).unwrap();
    pair.drive();
    assert_eq!(pair.parent.recv(id), Received::Item(b"last words".to_vec()));
    assert_eq!(pair.parent.recv(id), Received::Failed);
    assert_eq!(pair.parent.error(id).message, "disk full");
    assert_eq!(pair.parent.recv(id), Received::Failed);
}

#[test]
fn t01_a_conversation_is_the_same_in_pieces_of_any_size() {
    let whole = conversation(&mut Pair::new(Limits::default()));
    for chunk in [1, 2, 3, 5, 7, 15, 16, 17, 31, 4096, 65_535, 65_536, 65_537] {
        let mut pair = Pair::new(Limits::default());
        pair.chunk = chunk;
        assert_eq!(conversation(&mut pair), whole, "in pieces of {chunk}");
    }
}

#[test]
fn t01_a_stream_may_be_cut_once_anywhere() {
    let mut sender = Pair::new(Limits::default());
    let id = sender.parent.conn.open(&[3; 300], false).unwrap();
    sender.parent.conn.ping();
    sender.parent.conn.cancel(id, &super::pair::because("enough"));
    sender.parent.flush();
    let stream = sender.parent.written;
    let mut answers = Vec::new();
    for cut in 0..=stream.len() {
        let mut child = Pair::new(Limits::default()).child;
        child.receive(&stream[..cut], usize::MAX);
        child.receive(&stream[cut..], usize::MAX);
        assert!(child.events.is_empty(), "the cancel goes first, so nothing runs");
        child.flush();
        answers.push(child.written.len());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the failure has the same size every time: {answers:?}");
}

#[test]
fn readable_comes_once_until_the_inbox_was_found_empty() {
    let mut pair = Pair::new(Limits::default());
    let id = pair.running();
    for _ in 0..3 {
        assert_eq!(pair.parent.conn.send(id, b"x"), Ok(Sent::Queued));
        pair.drive();
    }
    assert_eq!(pair.child.count(id, EventKind::Readable), 1);
    while pair.child.recv(id) != Received::Empty {}
    assert_eq!(pair.parent.conn.send(id, b"x"), Ok(Sent::Queued));
    pair.drive();
    assert_eq!(pair.child.count(id, EventKind::Readable), 2);
}
