//! Both ends, on one thread and on two.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_lite::future::block_on;

use super::super::{Local, LocalOpener, Report, local};
use super::{Dice, bounded, counted};
use crate::Result;
use crate::dialog::{Far, Near, Opener};
use crate::error::Reason;

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn reason() -> Reason {
    Reason::Explicit { by: String::new(), message: "enough".to_owned() }
}

type Opened = (LocalOpener<(), u64, u64, ()>, Far<(), u64, u64>, Report<()>);

/// A dialog whose far task has started.
fn started() -> Opened {
    let Local { opener, mut far, report } = local(4);
    block_on(far.started(())).unwrap();
    (opener, far, report)
}

#[test]
fn who_waits_in_an_operation_is_told_of_a_cancel() {
    let (mut opener, mut far, report) = started();
    let mut waits = pin!(far.recv());
    assert!(poll(waits.as_mut()).is_pending());
    opener.cancel(reason());
    assert!(report.is_told());
    assert!(matches!(poll(waits), Poll::Ready(Err(error)) if error.is_cancelled()));
}

#[test]
fn who_waits_for_the_cancel_alone_is_told() {
    let (mut opener, mut far, report) = started();
    let mut waits = pin!(far.cancelled());
    assert!(poll(waits.as_mut()).is_pending());
    opener.cancel(reason());
    assert!(report.is_told());
    assert_eq!(poll(waits), Poll::Ready(()));
}

/// Its waker would still be there, and it would have the whole grace without ever hearing of it.
#[test]
fn who_no_longer_waits_is_not_told() {
    let (mut opener, mut far, report) = started();
    assert!(poll(pin!(far.recv())).is_pending());
    opener.cancel(reason());
    assert!(!report.is_told());

    let (mut opener, mut far, report) = started();
    for value in 0..4 {
        block_on(far.send(value)).unwrap();
    }
    assert!(poll(pin!(far.send(4))).is_pending());
    assert!(poll(pin!(far.cancelled())).is_pending());
    opener.cancel(reason());
    assert!(!report.is_told());
}

#[test]
fn who_was_given_something_no_longer_waits() {
    let (mut opener, mut far, report) = started();
    let mut near = opener.near();
    let mut waits = Box::pin(far.recv());
    assert!(poll(waits.as_mut()).is_pending());
    block_on(near.send(1)).unwrap();
    assert!(matches!(poll(waits.as_mut()), Poll::Ready(Ok(Some(1)))));
    drop(waits);
    opener.cancel(reason());
    assert!(!report.is_told());
}

/// A side that never has to wait gives its executor a turn all the same, and loses nothing by it.
#[test]
fn l29_who_never_waits_gives_others_a_turn() {
    let Local { opener, mut far, report } = local::<(), u64, u64, ()>(1000);
    let mut near = opener.near();
    block_on(far.started(())).unwrap();
    let (woken, waker) = counted();
    let mut cx = Context::from_waker(&waker);
    let turns = {
        let mut sending = pin!(async {
            for value in 0..1000 {
                near.send(value).await.unwrap();
            }
        });
        (0..).find(|_| sending.as_mut().poll(&mut cx).is_ready()).expect("it ends")
    };
    assert!((5..20).contains(&turns), "{turns} turns in 1000 sends");
    assert_eq!(woken.get(), turns, "it is polled again");
    block_on(async {
        for value in 0..1000 {
            assert_eq!(far.recv().await.unwrap(), Some(value));
        }
    });
    drop(report);
}

/// Both ends wait and are woken, on two threads, by whatever comes first.
async fn echo(mut far: Far<(), u64, u64>, mut dice: Dice) -> Result<u64> {
    far.started(()).await?;
    let mut echoed = 0;
    while let Some(value) = far.recv().await? {
        if dice.roll(64) == 0 {
            std::thread::yield_now();
        }
        far.send(value).await?;
        echoed += 1;
    }
    Ok(echoed)
}

async fn converse(mut near: Near<u64, u64, u64>, count: u64, mut dice: Dice) -> Result<u64> {
    let (mut sent, mut received) = (0, 0);
    while received < count {
        // No more at once than a link of capacity 1 takes while nobody reads.
        while sent < count && sent - received < 1 + dice.roll(3) {
            near.send(sent).await?;
            sent += 1;
        }
        if received < sent {
            assert_eq!(near.recv().await?, Some(received));
            received += 1;
        }
    }
    near.finish().await
}

fn started_here<R: Send + 'static>(opener: &mut LocalOpener<(), u64, u64, R>) {
    block_on(std::future::poll_fn(|cx| opener.poll_first(cx))).expect("it has started").unwrap();
}

#[test]
fn l28_a_conversation_of_two_threads_comes_to_its_end() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    for _ in 0..50 {
        let (count, capacity) = (dice.roll(3000), 1 + dice.roll(5) as usize);
        let seeds = [1 + dice.roll(1 << 40), 1 + dice.roll(1 << 40)];
        bounded(move || {
            let Local { mut opener, far, report } = local(capacity);
            let there = std::thread::spawn(move || report.ended(block_on(echo(far, Dice(seeds[0])))));
            started_here(&mut opener);
            let echoed = block_on(converse(opener.near(), count, Dice(seeds[1]))).unwrap();
            assert_eq!(echoed, count);
            assert!(!block_on(std::future::poll_fn(|cx| Opener::<()>::poll_ended(&mut opener, cx))));
            there.join().unwrap();
        });
    }
}

/// A cancel reaches a far task on another thread whatever it does at that moment, and both sides end.
#[test]
fn l28_a_cancel_from_another_thread_is_always_heard() {
    let mut dice = Dice(0xda94_2042_e4dd_58b5);
    for _ in 0..300 {
        let (values, seed) = (dice.roll(300), 1 + dice.roll(1 << 40));
        bounded(move || {
            let Local { mut opener, far, report } = local(2);
            let there = std::thread::spawn(move || report.ended(block_on(echo(far, Dice(seed)))));
            started_here(&mut opener);
            let mut near = opener.near();
            block_on(async {
                for value in 0..values {
                    near.send(value).await.unwrap();
                    near.recv().await.unwrap();
                }
            });
            opener.cancel(reason());
            assert!(block_on(std::future::poll_fn(|cx| Opener::<()>::poll_ended(&mut opener, cx))), "it has failed");
            assert!(Opener::<()>::take_failure(&mut opener).unwrap().is_cancelled());
            there.join().unwrap();
        });
    }
}
