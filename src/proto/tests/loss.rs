//! D12: the loss of a peer is one failure, in every dialog, once.

use super::pair::{Pair, because, failure};
use crate::error::Reason;
use crate::proto::connection::Limits;
use crate::proto::event::{EventKind, OpenError, ProtocolError, Received, SendError, Sent};
use crate::proto::segments::Segments;

#[test]
fn d12_every_open_dialog_fails_with_the_one_failure_after_what_had_arrived() {
    let mut pair = Pair::new(Limits::default());
    let streams = [pair.running(), pair.running()];
    let (starting, done) = (pair.open(false), pair.open(true));
    pair.child.conn.finish(done, Ok(&mut b"value".to_vec())).unwrap();
    for id in streams {
        assert_eq!(pair.child.conn.send(id, b"before"), Ok(Sent::Queued));
    }
    pair.drive();
    let lost = failure("killed by signal 9");
    pair.parent.conn.abort(lost.clone());
    pair.parent.conn.abort(failure("a second report"));
    pair.parent.drain();
    for id in streams {
        assert_eq!(pair.parent.recv(id), Received::Item(b"before".to_vec()));
        assert_eq!(pair.parent.recv(id), Received::Failed);
    }
    for id in [streams[0], streams[1], starting] {
        assert_eq!(pair.parent.error(id).id, lost.id);
        assert_eq!(pair.parent.count(id, EventKind::Outcome), 1);
        pair.parent.conn.forget(id);
    }
    assert_eq!(pair.parent.returned(done), b"value", "an outcome that was there stays");
    assert_eq!(pair.parent.count(done, EventKind::Outcome), 1);
    assert_eq!(pair.parent.conn.open_dialogs(), 0);
}

#[test]
fn d12_callees_are_cancelled_and_can_still_read_what_had_arrived() {
    let mut pair = Pair::new(Limits::default());
    let (id, waiting) = (pair.running(), pair.parent.conn.open(b"", false).unwrap());
    let _ = pair.parent.conn.send(id, b"before").unwrap();
    pair.drive();
    pair.child.conn.abort(failure("gone"));
    pair.child.drain();
    assert_eq!(pair.child.conn.take_cancel(id), Some(Reason::PeerGone));
    assert_eq!(pair.child.recv(id), Received::Item(b"before".to_vec()));
    assert_eq!(pair.child.recv(id), Received::Failed);
    assert_eq!(pair.child.error(id).message, "gone");
    assert_eq!(pair.child.count(id, EventKind::Outcome), 1);
    assert!(pair.child.conn.take_start(waiting, &mut Segments::default()).is_none(), "there is nobody to run it for");
    for id in [id, waiting] {
        pair.child.conn.forget(id);
    }
    assert_eq!(pair.child.conn.held_dialogs(), 0);
}

#[test]
fn d12_every_later_call_is_refused_with_the_failure() {
    let mut pair = Pair::new(Limits::default());
    let (id, callee) = (pair.running(), pair.running());
    let lost = failure("gone");
    for end in [&mut pair.parent, &mut pair.child] {
        end.conn.abort(lost.clone());
        assert_eq!(end.conn.open(b"", true), Err(OpenError::Lost(Box::new(lost.clone()))));
        assert_eq!(end.conn.send(id, b""), Err(SendError::Lost(Box::new(lost.clone()))));
        assert_eq!(end.conn.stop(id), Err(SendError::Lost(Box::new(lost.clone()))));
        assert_eq!(end.conn.receive(b""), Err(ProtocolError::Closed));
        end.conn.cancel(id, &because("late"));
        end.conn.ping();
        assert!(!end.conn.has_output() && !end.conn.has_control());
    }
    assert_eq!(pair.child.conn.finish(callee, Ok(&mut b"".to_vec())), Err(SendError::Lost(Box::new(lost.clone()))));
    assert_eq!(pair.child.conn.started(callee, b""), Err(SendError::Lost(Box::new(lost))));
}
