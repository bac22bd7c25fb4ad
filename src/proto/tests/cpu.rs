//! Each end knows the CPU on which the other one wrote last.

use super::pair::Pair;
use crate::proto::event::Sent;

/// Carries what the parent has to say, written on `cpu`, in pieces of 5 bytes; where the child then sees it.
fn carry(pair: &mut Pair, cpu: Option<usize>) -> Option<usize> {
    let mut out = Vec::new();
    assert!(pair.parent.conn.transmit(&mut out, usize::MAX, cpu));
    pair.child.receive(&out, 5);
    pair.child.conn.peer_cpu()
}

#[test]
fn a_write_tells_its_cpu_and_one_without_leaves_what_was_told() {
    let mut pair = Pair::new(Pair::small());
    assert_eq!(pair.child.conn.peer_cpu(), None);
    let id = pair.running();
    for (cpu, seen) in [(Some(3), Some(3)), (Some(0), Some(0)), (None, Some(0)), (Some(70_000), Some(0))] {
        // A message, and a frame that goes before all messages: either may be the first fragment.
        assert_eq!(pair.parent.conn.send(id, b"item"), Ok(Sent::Queued));
        assert_eq!(carry(&mut pair, cpu), seen);
        pair.parent.conn.ping();
        assert_eq!(carry(&mut pair, cpu), seen);
    }
    assert_eq!(pair.parent.conn.peer_cpu(), None, "the child has not told");
}

#[test]
fn only_the_bytes_of_this_write_are_marked() {
    let mut pair = Pair::new(Pair::small());
    let id = pair.running();
    let mut out = b"written before".to_vec();
    assert!(!pair.parent.conn.transmit(&mut out, usize::MAX, Some(1)), "nothing to say");
    assert_eq!(out, b"written before");
    assert_eq!(pair.parent.conn.send(id, b"item"), Ok(Sent::Queued));
    pair.parent.conn.transmit(&mut out, usize::MAX, Some(1));
    assert_eq!(&out[..14], b"written before");
    pair.child.receive(&out[14..], usize::MAX);
    assert_eq!(pair.child.conn.peer_cpu(), Some(1));
}
