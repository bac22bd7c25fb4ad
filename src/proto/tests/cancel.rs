//! D10: every order in which Start, Cancel and Return can meet, on one connection and on two.

use super::pair::{Pair, because, failure};
use crate::error::Kind;
use crate::proto::connection::Limits;
use crate::proto::event::{ControlFrame, ControlVerb, EventKind, Outcome, ProtocolError, Sent};
use crate::proto::segments::Segments;

fn limits(separate_control: bool) -> Limits {
    Limits { separate_control, ..Limits::default() }
}

/// One thing that happens to a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The opener asks for the end.
    Cancel,
    /// Data from the opener arrives.
    DataThere,
    /// Data from the callee arrives.
    DataBack,
    /// Control frames from the opener arrive.
    ControlThere,
    /// Control frames from the callee arrive.
    ControlBack,
    /// The callee returns, if it runs.
    Return,
}

const STEPS: [Step; 6] =
    [Step::Cancel, Step::DataThere, Step::DataBack, Step::ControlThere, Step::ControlBack, Step::Return];

/// Every order of all steps.
fn orders() -> Vec<Vec<Step>> {
    fn extend(order: Vec<Step>, all: &mut Vec<Vec<Step>>) {
        if order.len() == STEPS.len() {
            return all.push(order);
        }
        for step in STEPS {
            if !order.contains(&step) {
                let mut longer = order.clone();
                longer.push(step);
                extend(longer, all);
            }
        }
    }
    let mut all = Vec::new();
    extend(Vec::new(), &mut all);
    all
}

/// Takes one step of dialog 2; gives whether the callee ran to its return.
fn take(pair: &mut Pair, step: Step) -> bool {
    let Pair { parent, child, .. } = pair;
    match step {
        Step::Cancel => parent.conn.cancel(2, &because("enough")),
        Step::DataThere => {
            parent.flush();
            child.receive(&std::mem::take(&mut parent.written), usize::MAX);
        }
        Step::DataBack => {
            child.flush();
            parent.receive(&std::mem::take(&mut child.written), usize::MAX);
        }
        Step::ControlThere => {
            parent.flush();
            child.receive_control(std::mem::take(&mut parent.control));
        }
        Step::ControlBack => {
            child.flush();
            parent.receive_control(std::mem::take(&mut child.control));
        }
        Step::Return => return returns(pair),
    }
    false
}

/// Runs the callee, if it may run.
fn returns(pair: &mut Pair) -> bool {
    let runs = pair.child.conn.take_start(2, &mut Segments::default()).is_some();
    if runs {
        pair.child.conn.finish(2, Ok(&mut b"done".to_vec())).unwrap();
    }
    runs
}

#[test]
fn d10_every_order_of_start_cancel_and_return_ends_in_one_outcome() {
    for separate in [false, true] {
        for order in orders() {
            let mut pair = Pair::new(limits(separate));
            assert_eq!(pair.parent.conn.open(b"", true), Ok(2));
            let mut ran = false;
            for step in &order {
                ran |= take(&mut pair, *step);
            }
            pair.drive();
            ran |= returns(&mut pair);
            pair.drive();
            let at = |step| order.iter().position(|other| *other == step).expect("every step is in every order");
            // The opener writes at both of its steps; on one connection, a start that was written before is not overtaken.
            let (cancel, control, data) = (at(Step::Cancel), at(Step::ControlThere), at(Step::DataThere));
            let overtakes = if separate { cancel < control && control < data } else { cancel < control.min(data) };
            if overtakes {
                assert!(!ran, "{order:?}: the cancel was there before the start");
            }
            let outcome = pair.parent.outcome(2);
            let incoming = pair.child.count(2, EventKind::Incoming);
            assert_eq!(incoming, usize::from(ran), "{order:?}: what was announced has run");
            match outcome {
                Some((Outcome::Return, bytes)) if ran => assert_eq!(bytes, b"done"),
                Some((Outcome::Error(error), _)) if !ran => assert_eq!(error.kind, Kind::Cancelled),
                other => panic!("{order:?}: ran = {ran}, outcome {other:?}"),
            }
            assert_eq!(pair.parent.outcome(2), None, "{order:?}: one outcome");
            assert_eq!(pair.parent.count(2, EventKind::Outcome), 1, "{order:?}");
            pair.parent.conn.forget(2);
            assert_eq!(pair.parent.conn.open_dialogs(), 0);
        }
    }
}

#[test]
fn d10_a_cancelled_start_does_not_run_and_says_why() {
    let mut pair = Pair::new(limits(true));
    let id = pair.parent.conn.open(b"", false).unwrap();
    pair.parent.conn.cancel(id, &because("first"));
    pair.parent.conn.cancel(id, &because("second"));
    pair.parent.flush();
    assert_eq!(pair.parent.control.len(), 1, "the first reason wins");
    pair.child.conn.set_actor("root/child", 3);
    pair.drive();
    assert!(pair.child.events.is_empty());
    let error = pair.parent.error(id);
    assert_eq!((error.kind, error.mark.unwrap().reason), (Kind::Cancelled, because("first")));
    assert_eq!((error.actor.as_str(), error.incarnation), ("root/child", 3));
}

#[test]
fn d10_a_cancel_in_the_middle_of_a_large_start_is_answered_at_once() {
    let mut pair = Pair::new(limits(true));
    let id = pair.parent.conn.open(&vec![1; 300_000], false).unwrap();
    pair.parent.conn.transmit(&mut pair.parent.written, 1, None);
    let part = std::mem::take(&mut pair.parent.written);
    pair.child.receive(&part, usize::MAX);
    pair.parent.conn.cancel(id, &because("enough"));
    pair.drive();
    assert!(pair.child.events.is_empty());
    assert_eq!(pair.parent.error(id).kind, Kind::Cancelled);
    let paid = pair.parent.conn.output_used();
    assert_eq!(paid, pair.child.conn.input_used(), "both ends agree on what is under way");
}

#[test]
fn d10_a_running_callee_is_told_once_and_with_the_reason() {
    let mut pair = Pair::new(limits(true));
    let id = pair.running();
    pair.parent.conn.cancel(id, &because("enough"));
    pair.drive();
    let again = ControlFrame { id, verb: ControlVerb::Cancel(because("again")) };
    pair.child.receive_control(vec![again]);
    assert_eq!(pair.child.count(id, EventKind::CancelRequested), 1);
    assert_eq!(pair.child.conn.take_cancel(id), Some(because("enough")));
    assert_eq!(pair.child.conn.take_cancel(id), None);
    pair.drive();
    assert_eq!(pair.parent.count(id, EventKind::CancelAcked), 1);
}

#[test]
fn d10_a_cancel_goes_before_queued_data_on_one_connection() {
    let mut pair = Pair::new(limits(false));
    let other = pair.running();
    let id = pair.running();
    let _ = pair.parent.conn.send(other, &vec![0; 1 << 20]).unwrap();
    pair.parent.conn.cancel(id, &because("enough"));
    let mut out = Vec::new();
    pair.parent.conn.transmit(&mut out, 1, None);
    pair.child.receive(&out, usize::MAX);
    assert_eq!(pair.child.count(id, EventKind::CancelRequested), 1);
}

#[test]
fn d10_kept_cancels_are_bounded_and_go_with_their_start() {
    let mut pair = Pair::new(Limits { max_dialogs: 4, ..limits(true) });
    for id in [20, 22, 24, 26, 20, 22] {
        pair.child.conn.on_cancel(id, because("early")).unwrap();
    }
    let more = pair.child.conn.on_cancel(28, because("early"));
    assert!(matches!(more, Err(ProtocolError::TooMany(_))), "{more:?}");
    assert!(pair.child.conn.on_cancel(3, because("mine")).is_err(), "its own dialog");
    assert!(pair.child.conn.on_cancel(0, because("none")).is_err());
}

#[test]
fn d10_cancels_without_end_are_refused_while_acks_cannot_leave() {
    let mut pair = Pair::new(limits(false));
    let id = pair.open(true);
    pair.child.conn.finish(id, Err(&failure("over"))).unwrap();
    let flood = (0..).find_map(|n| pair.child.conn.on_cancel(id, because("again")).err().map(|error| (n, error)));
    assert!(matches!(flood, Some((4096, ProtocolError::TooMany(_)))), "{flood:?}");
}

#[test]
fn d02_a_cancelled_start_that_waits_for_credit_ends_at_once() {
    for forgets in [false, true] {
        let mut pair = Pair::new(Pair::small());
        let full: Vec<_> = (0..4).map(|_| pair.running()).collect();
        for id in &full {
            while pair.parent.conn.send(*id, &[7; 484]).unwrap() == Sent::Queued {}
        }
        pair.drive();
        let large = pair.parent.conn.open(&[1; 9000], true).unwrap();
        let small = pair.parent.conn.open(b"small", true).unwrap();
        pair.drive();
        let mut start = Segments::default();
        assert!(pair.child.conn.take_start(small, &mut start).is_none(), "starts keep their order");
        if forgets {
            pair.parent.conn.forget(large);
        } else {
            pair.parent.conn.cancel(large, &because("enough"));
            assert_eq!(pair.parent.error(large).kind, Kind::Cancelled);
            pair.parent.conn.forget(large);
        }
        pair.drive();
        assert!(pair.child.conn.take_start(small, &mut start).is_some(), "nothing stands before it any more");
        assert_eq!(start.join(), b"small");
        pair.child.conn.finish(small, Ok(&mut b"done".to_vec())).unwrap();
        pair.drive();
        assert_eq!(pair.parent.returned(small), b"done");
        assert_eq!(
            pair.parent.conn.held_dialogs(),
            full.len() + 1,
            "the large one is gone, the small one not forgotten"
        );
    }
}
