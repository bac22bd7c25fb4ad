//! D8, T6 and credit: both directions are bounded, nothing is lost, nothing stands still.

use super::pair::{Pair, Xorshift, failure};
use crate::proto::connection::Limits;
use crate::proto::event::{DialogId, EventKind, Received, Sent};
use crate::proto::segments::Segments;

/// Sends until there is no credit; gives how many went.
fn fill(end: &mut super::pair::End, id: DialogId, item: &[u8]) -> usize {
    (0..).take_while(|_| end.conn.send(id, item).unwrap() == Sent::Queued).count()
}

#[test]
fn d08_a_sender_waits_for_a_slow_receiver_and_goes_on_when_it_reads() {
    let mut pair = Pair::new(Pair::small());
    let id = pair.running();
    assert_eq!(fill(&mut pair.parent, id, &[1; 84]), 10, "1000 bytes at 100 each");
    pair.drive();
    assert_eq!(pair.parent.count(id, EventKind::Writable), 0);
    for _ in 0..5 {
        assert!(matches!(pair.child.recv(id), Received::Item(_)));
    }
    pair.drive();
    assert_eq!(pair.parent.count(id, EventKind::Writable), 1);
    assert_eq!(fill(&mut pair.parent, id, &[1; 84]), 5);
}

#[test]
fn d08_empty_items_are_bounded_too() {
    let mut pair = Pair::new(Pair::small());
    let id = pair.running();
    assert_eq!(fill(&mut pair.parent, id, b""), 1000 / 16);
}

#[test]
fn d08_a_message_larger_than_the_window_goes_when_little_is_under_way() {
    let mut pair = Pair::new(Pair::small());
    let id = pair.running();
    assert_eq!(fill(&mut pair.parent, id, &[1; 484]), 2);
    assert_eq!(pair.parent.conn.send(id, &[2; 9000]), Ok(Sent::NoCredit));
    pair.drive();
    assert!(matches!(pair.child.recv(id), Received::Item(_)));
    assert!(matches!(pair.child.recv(id), Received::Item(_)));
    pair.drive();
    assert_eq!(pair.parent.conn.send(id, &[2; 9000]), Ok(Sent::Queued));
    assert_eq!(pair.parent.conn.send(id, b""), Ok(Sent::NoCredit));
    pair.drive();
    assert_eq!(pair.child.recv(id), Received::Item(vec![2; 9000]));
}

#[test]
fn d08_the_connection_bounds_all_dialogs_together() {
    let mut pair = Pair::new(Pair::small());
    let ids: Vec<_> = (0..6).map(|_| pair.running()).collect();
    let sent: usize = ids.iter().map(|id| fill(&mut pair.parent, *id, &[1; 84])).sum();
    assert_eq!(sent, 40, "4000 bytes at 100 each");
    pair.drive();
    while let Received::Item(_) = pair.child.recv(ids[0]) {}
    while let Received::Item(_) = pair.child.recv(ids[1]) {}
    pair.drive();
    assert_eq!(pair.parent.count(ids[4], EventKind::Writable), 1, "it waited for the connection");
    assert_eq!(fill(&mut pair.parent, ids[4], &[1; 84]), 10);
}

#[test]
fn a_call_and_a_failure_never_wait_for_somebody_to_read() {
    let mut pair = Pair::new(Pair::small());
    let ids: Vec<_> = (0..6).map(|_| pair.running()).collect();
    for id in &ids {
        fill(&mut pair.child, *id, &[1; 84]);
        fill(&mut pair.parent, *id, &[1; 84]);
    }
    pair.drive();
    let call = pair.open(true);
    pair.child.conn.finish(call, Ok(&mut vec![7; 4000])).unwrap();
    pair.child.conn.finish(ids[0], Err(&failure("disk full"))).unwrap();
    pair.drive();
    assert_eq!(pair.parent.returned(call), [7; 4000]);
    assert_eq!(pair.parent.error(ids[0]).message, "disk full");
}

#[test]
fn d08_what_waits_for_credit_is_not_overtaken_in_its_dialog() {
    let mut pair = Pair::new(Pair::small());
    let ids: Vec<_> = (0..5).map(|_| pair.running()).collect();
    let late = pair.open(false);
    for id in &ids {
        fill(&mut pair.child, *id, &[1; 84]);
    }
    pair.child.conn.started(late, &[5; 9000]).unwrap();
    assert_eq!(pair.child.conn.send(late, b"item"), Ok(Sent::NoCredit));
    pair.child.conn.stop(late).unwrap();
    pair.child.conn.finish(late, Ok(&mut b"done".to_vec())).unwrap();
    pair.drive();
    assert_eq!(pair.parent.count(late, EventKind::Started), 0, "it waits for credit of the connection");
    for id in &ids {
        while let Received::Item(_) = pair.parent.recv(*id) {}
    }
    pair.drive();
    let mut first = Segments::default();
    assert!(pair.parent.conn.take_started(late, &mut first));
    assert_eq!((first.join(), pair.parent.returned(late)), (vec![5; 9000], b"done".to_vec()));
    assert_eq!(pair.parent.count(late, EventKind::Stopped), 1);
}

#[test]
fn large_starts_wait_for_credit_and_keep_their_order() {
    let mut pair = Pair::new(Pair::small());
    let ids: Vec<_> =
        (0..8).map(|n| pair.parent.conn.open(&vec![n; 9000 * usize::from(n % 2)], true).unwrap()).collect();
    pair.drive();
    let mut served = Vec::new();
    while served.len() < ids.len() {
        let fresh = pair.child.events.split_off(0);
        assert!(!fresh.is_empty(), "stuck after {served:?}");
        for event in fresh {
            let mut start = Segments::default();
            assert!(pair.child.conn.take_start(event.id, &mut start).is_some());
            assert!(start.len() == 9000 || start.is_empty());
            served.push(event.id);
            pair.child.conn.finish(event.id, Ok(&mut vec![1; 9000])).unwrap();
            pair.drive();
            for id in &ids {
                pair.parent.outcome(*id);
            }
        }
        pair.drive();
    }
    assert_eq!(served, ids);
    for id in ids {
        assert_eq!(pair.parent.count(id, EventKind::Outcome), 1);
    }
}

#[test]
fn t06_a_ping_pong_is_not_delayed_by_a_large_message() {
    let mut pair = Pair::new(Limits::default());
    let (bulk, ping) = (pair.running(), pair.running());
    assert_eq!(pair.parent.conn.send(bulk, &vec![1; 16 << 20]), Ok(Sent::Queued));
    let mut rounds = 0;
    while pair.parent.conn.has_output() {
        assert_eq!(pair.parent.conn.send(ping, b"ping"), Ok(Sent::Queued));
        let mut between = 0;
        while pair.child.recv(ping) != Received::Item(b"ping".to_vec()) {
            let mut out = Vec::new();
            pair.parent.conn.transmit(&mut out, 1, None);
            between += out.len();
            pair.child.receive(&out, usize::MAX);
        }
        assert!(between <= 3 * (64 * 1024 + 16), "{between} bytes between ping and pong");
        rounds += 1;
    }
    assert!(rounds > 100, "{rounds}");
    pair.drive();
    assert_eq!(pair.child.recv(bulk), Received::Item(vec![1; 16 << 20]));
}

#[test]
fn t06_dialogs_take_turns() {
    let mut pair = Pair::new(Limits::default());
    let ids = [pair.running(), pair.running(), pair.running()];
    for id in ids {
        let _ = pair.parent.conn.send(id, &vec![1; 10 * 65_536]).unwrap();
    }
    let mut shares = [0; 3];
    for _ in 0..9 {
        let mut out = Vec::new();
        pair.parent.conn.transmit(&mut out, 1, None);
        let id = u64::from_le_bytes(out[8..16].try_into().unwrap());
        shares[ids.iter().position(|known| *known == id).unwrap()] += 1;
    }
    assert_eq!(shares, [3, 3, 3]);
}

/// What one end has sent in a dialog and what the other has read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Count {
    sent: usize,
    read: usize,
}

#[test]
fn credit_is_conserved_under_any_schedule_and_nobody_is_stuck() {
    for seed in 1..=30 {
        random_traffic(Xorshift(seed * 0x9E37_79B9));
    }
}

fn random_traffic(mut random: Xorshift) {
    let mut pair = Pair::new(Pair::small());
    pair.chunk = 1 + random.below(5000) as usize;
    let ids: Vec<_> = (0..6).map(|_| pair.running()).collect();
    let mut counts = [[Count::default(); 2]; 6];
    for _ in 0..3000 {
        let (at, back) = (random.below(6) as usize, random.below(2) as usize);
        let Pair { parent, child, .. } = &mut pair;
        let (from, to) = if back == 0 { (parent, child) } else { (child, parent) };
        let count = &mut counts[at][back];
        match random.below(5) {
            0 | 1 => {
                let size = if random.below(20) == 0 { random.below(10_000) } else { random.below(300) } as usize;
                let item = vec![count.sent as u8; size];
                count.sent += usize::from(from.conn.send(ids[at], &item).unwrap() == Sent::Queued);
            }
            2 | 3 => count.read += usize::from(read_next(to, ids[at], count.read)),
            _ => {
                pair.step();
            }
        }
        let used = pair.parent.conn.output_used().max(pair.child.conn.output_used());
        assert!(used <= 4000 + 10_017, "{used} bytes are under way");
    }
    finish(&mut pair, &ids, &mut counts);
}

fn read_next(end: &mut super::pair::End, id: DialogId, number: usize) -> bool {
    match end.recv(id) {
        Received::Item(item) => {
            assert!(item.iter().all(|byte| *byte == number as u8), "in order");
            true
        }
        _ => false,
    }
}

/// Reads everything; then the next item must have a way in every dialog.
fn finish(pair: &mut Pair, ids: &[DialogId], counts: &mut [[Count; 2]; 6]) {
    let mut again = true;
    while again {
        let before = *counts;
        again = pair.step();
        for (id, count) in ids.iter().zip(counts.iter_mut()) {
            while read_next(&mut pair.child, *id, count[0].read) {
                count[0].read += 1;
            }
            while read_next(&mut pair.parent, *id, count[1].read) {
                count[1].read += 1;
            }
        }
        again |= before != *counts;
    }
    for count in counts.iter().flatten() {
        assert_eq!(count.sent, count.read);
    }
    assert_eq!(pair.parent.conn.output_used(), pair.child.conn.input_used());
    assert_eq!(pair.child.conn.output_used(), pair.parent.conn.input_used());
    assert!(pair.parent.conn.output_used() < 2000, "all but what is not worth returning has come back");
    for id in ids {
        assert_eq!(pair.parent.conn.send(*id, &[0; 10_000]), Ok(Sent::Queued), "not stuck");
        pair.drive();
        assert_eq!(pair.child.recv(*id), Received::Item(vec![0; 10_000]));
        pair.drive();
    }
}

#[test]
fn credit_of_what_nobody_reads_comes_back() {
    let mut pair = Pair::new(Pair::small());
    for round in 0..50 {
        let id = pair.running();
        fill(&mut pair.child, id, &[1; 84]);
        fill(&mut pair.parent, id, &[1; 84]);
        pair.drive();
        match round % 3 {
            0 => pair.parent.conn.forget(id),
            1 => pair.child.conn.forget(id),
            _ => pair.child.conn.finish(id, Ok(&mut vec![9; 9000])).unwrap(),
        }
        pair.drive();
        pair.child.conn.forget(id);
        pair.drive();
        pair.parent.conn.forget(id);
        pair.drive();
        assert_eq!(pair.parent.conn.output_used(), pair.child.conn.input_used());
        assert_eq!(pair.child.conn.output_used(), pair.parent.conn.input_used());
    }
    assert_eq!((pair.parent.conn.held_dialogs(), pair.child.conn.held_dialogs()), (0, 0));
}

#[test]
fn d08_whoever_is_refused_again_and_again_is_noted_once() {
    let mut pair = Pair::new(Limits { credit: 1 << 20, ..Limits::default() });
    let (first, second) = (pair.running(), pair.running());
    let item = [0; 60_000];
    for _ in 0..2 {
        fill(&mut pair.parent, first, &item);
        for _ in 0..1000 {
            for id in [first, second] {
                assert_eq!(pair.parent.conn.send(id, &item), Ok(Sent::NoCredit));
            }
        }
        assert_eq!(pair.parent.conn.blocked_dialogs(), 2);
        let before = [first, second].map(|id| pair.parent.count(id, EventKind::Writable));
        pair.drive();
        while let Received::Item(_) = pair.child.recv(first) {}
        pair.drive();
        let after = [first, second].map(|id| pair.parent.count(id, EventKind::Writable));
        assert_eq!(after, before.map(|count| count + 1));
        assert_eq!(pair.parent.conn.blocked_dialogs(), 0);
    }
}
