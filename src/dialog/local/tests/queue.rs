//! One direction: values, wakes, and who is woken when.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use futures_lite::future::block_on;

use super::super::link::{Link, Side};
use super::super::lookout::{Eye, Look, Lookout, Seat};
use super::super::queue::{Reader, Rest, Writer, poll_attempts, queue};
use super::super::sleeper::Sleeper;
use super::{Dice, bounded, counted};
use crate::waiting::Waiting;

/// Values of one run of two threads.
const VALUES: u64 = if cfg!(debug_assertions) { 50_000 } else { 2_000_000 };

fn pair(capacity: usize, waiting: Waiting) -> (Writer<u64>, Reader<u64>) {
    queue(capacity, &Arc::default(), Side::Near, waiting)
}

fn poll_push(writer: &mut Writer<u64>, cx: &mut Context<'_>, value: u64) -> Poll<()> {
    poll_attempts(writer, cx, |writer| writer.push(value).ok(), |writer, cx| writer.rest(cx)).map(|()| writer.done())
}

fn poll_pop(reader: &mut Reader<u64>, cx: &mut Context<'_>) -> Poll<u64> {
    let popped = poll_attempts(reader, cx, Reader::pop, |reader, cx| reader.rest(cx));
    if popped.is_ready() {
        reader.done();
    }
    popped
}

/// A wait that is given up now and then, at its first poll, and begun anew.
async fn fickle<E, T>(
    end: &mut E,
    dice: &mut Dice,
    mut poll: impl FnMut(&mut E, &mut Context<'_>) -> Poll<T>,
    leave: impl Fn(&mut E),
) -> T {
    loop {
        let gives_up = dice.roll(4) == 0;
        let polled = poll_fn(|cx| match poll(end, cx) {
            Poll::Pending if gives_up => Poll::Ready(None),
            polled => polled.map(Some),
        });
        match polled.await {
            Some(value) => return value,
            None => leave(end),
        }
        if dice.roll(8) == 0 {
            std::thread::yield_now();
        }
    }
}

async fn write_all(mut writer: Writer<u64>, mut dice: Dice) {
    for value in 0..VALUES {
        let poll = |writer: &mut Writer<u64>, cx: &mut Context<'_>| poll_push(writer, cx, value);
        fickle(&mut writer, &mut dice, poll, Writer::leave).await;
    }
}

async fn read_all(mut reader: Reader<u64>, mut dice: Dice) {
    for value in 0..VALUES {
        assert_eq!(fickle(&mut reader, &mut dice, poll_pop, Reader::leave).await, value);
    }
}

/// Two threads, and every way to wait and to stop waiting: all values come, in order, and nobody sleeps for ever.
#[test]
fn no_wake_is_lost_between_two_threads() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for waiting in [Waiting::Idle, Waiting::Balanced, Waiting::Latency] {
        for capacity in [1, 2, 1 + dice.roll(7), 1 + dice.roll(100), 1 + dice.roll(2000)] {
            let (writer, reader) = pair(capacity as usize, waiting);
            let (one, other) = (Dice(1 + dice.roll(u64::MAX)), Dice(1 + dice.roll(u64::MAX)));
            bounded(move || {
                let writing = std::thread::spawn(move || block_on(write_all(writer, one)));
                block_on(read_all(reader, other));
                writing.join().unwrap();
            });
        }
    }
}

#[test]
fn l23_a_full_queue_gives_the_value_back_and_one_free_place_wakes() {
    let (mut writer, mut reader) = pair(4, Waiting::Balanced);
    let (woken, waker) = counted();
    let mut cx = Context::from_waker(&waker);
    assert_eq!([0, 1, 2, 3, 4].map(|value| writer.push(value)), [Ok(()), Ok(()), Ok(()), Ok(()), Err(4)]);
    assert_eq!(poll_push(&mut writer, &mut cx, 4), Poll::Pending);
    assert_eq!((reader.pop(), woken.get()), (Some(0), 1));
    assert_eq!((reader.pop(), woken.get()), (Some(1), 1), "nobody waits any more");
    assert_eq!(poll_push(&mut writer, &mut cx, 4), Poll::Ready(()));
}

#[test]
fn a_sleeper_is_woken_once_and_not_at_all_after_it_has_left() {
    let (mut writer, mut reader) = pair(8, Waiting::Balanced);
    let (woken, waker) = counted();
    let mut cx = Context::from_waker(&waker);
    assert_eq!(poll_pop(&mut reader, &mut cx), Poll::Pending);
    assert_eq!((writer.push(1), writer.push(2), woken.get()), (Ok(()), Ok(()), 1));
    assert_eq!(poll_pop(&mut reader, &mut cx), Poll::Ready(1));
    assert_eq!(poll_pop(&mut reader, &mut cx), Poll::Ready(2));
    assert_eq!(poll_pop(&mut reader, &mut cx), Poll::Pending);
    reader.leave();
    assert_eq!((writer.push(3), woken.get()), (Ok(()), 1), "a wait that was dropped is not woken");
    assert_eq!(Arc::strong_count(&woken), 2, "its waker is gone");
}

/// Wakes the sleeper that it was registered with when it is dropped.
struct Clings(Weak<Sleeper>);

impl Wake for Clings {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Clings {
    fn drop(&mut self) {
        if let Some(sleeper) = self.0.upgrade() {
            sleeper.sleep(Waker::noop());
        }
    }
}

#[test]
fn a_waker_is_dropped_without_a_lock() {
    bounded(|| {
        let sleeper = Arc::new(Sleeper::default());
        let clings = || Waker::from(Arc::new(Clings(Arc::downgrade(&sleeper))));
        sleeper.sleep(&clings());
        sleeper.sleep(&clings());
        sleeper.leave();
        sleeper.sleep(&clings());
        sleeper.wake();
    });
}

/// The seat of a thread that has ended.
fn taken_elsewhere() -> Arc<Seat> {
    let seat = Arc::new(Seat::default());
    let taken = seat.clone();
    std::thread::spawn(move || Lookout::new(Waiting::Idle).look(&taken, &Seat::default(), Eye::Close, |_| false))
        .join()
        .unwrap();
    seat
}

#[test]
fn only_a_side_on_another_thread_is_looked_for() {
    let (here, unknown, elsewhere) = (Seat::default(), Seat::default(), taken_elsewhere());
    let mut lookout = Lookout::new(Waiting::Balanced);
    assert_eq!(lookout.look(&here, &unknown, Eye::Close, |_| true), Look::Sleep);
    assert_eq!(lookout.look(&unknown, &here, Eye::Close, |_| true), Look::Sleep, "it would take the other's time");
    assert_eq!(lookout.look(&here, &elsewhere, Eye::Close, |_| true), Look::Found);
}

/// Each wait ends asleep, and after a few in vain it begins so.
#[test]
fn l29_an_idle_side_sleeps() {
    let (here, elsewhere) = (Seat::default(), taken_elsewhere());
    let mut lookout = Lookout::new(Waiting::Balanced);
    let turns = (0..10_000).find(|_| lookout.look(&here, &elsewhere, Eye::Close, |_| false) == Look::Sleep);
    assert!(turns.is_some(), "it looks for ever");
    assert_eq!(lookout.look(&here, &elsewhere, Eye::Close, |_| true), Look::Sleep, "until something comes");
}

#[test]
fn whoever_looks_has_left_no_waker() {
    let link = Arc::<Link>::default();
    let (mut writer, mut reader) = queue(8, &link, Side::Near, Waiting::Balanced);
    let (woken, waker) = counted();
    std::thread::spawn(move || {
        // It says where it is.
        assert_eq!(poll_push_until_full(&mut writer), 8);
        writer
    })
    .join()
    .map(|mut writer| {
        let mut cx = Context::from_waker(&waker);
        for value in 0..8 {
            assert_eq!(poll_pop(&mut reader, &mut cx), Poll::Ready(value));
        }
        assert_eq!(reader.rest(&cx), Rest::Turn);
        assert_eq!((woken.get(), Arc::strong_count(&woken)), (1, 2), "it has woken itself, and no more");
        assert_eq!((writer.push(9), woken.get()), (Ok(()), 1), "what comes wakes nobody");
    })
    .unwrap();
}

fn poll_push_until_full(writer: &mut Writer<u64>) -> u64 {
    let mut cx = Context::from_waker(Waker::noop());
    let full = (0..).find(|&value| poll_push(writer, &mut cx, value).is_pending());
    full.expect("a queue is bounded")
}
