//! The shipped code of permits, slots, channels and wakers, in every order that its threads could take.
//!
//! `RUSTFLAGS="--cfg pleach_loom" cargo test --release --lib loom_`

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::future::block_on;
use loom::model;
use loom::thread;

use crate::task::sync::{Event, Semaphore};
use crate::task::time::{Clock, VirtualClock};
use crate::task::{CancelScope, cancellable, channel, clock, oneshot};

/// Polls once, with a waker that does nothing.
fn poll_once<F: Future + Unpin>(mut future: F) -> Poll<F::Output> {
    pin!(&mut future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn loom_two_who_want_one_permit_both_get_it() {
    model(|| {
        let permits = Arc::new(Semaphore::new(1));
        let theirs = permits.clone();
        let other = thread::spawn(move || block_on(async { drop(theirs.acquire().await.unwrap()) }));
        block_on(async { drop(permits.acquire().await.unwrap()) });
        other.join().unwrap();
        assert_eq!(permits.available(), 1);
    });
}

/// A wait that was polled once is dropped, while the permit that it may have been woken for is given back.
#[test]
fn loom_a_permit_is_not_lost_with_a_wait_that_is_dropped() {
    model(|| {
        let permits = Arc::new(Semaphore::new(1));
        let held = permits.try_acquire_owned().unwrap();
        let mut dropped = Box::pin(permits.acquire_owned());
        assert!(poll_once(&mut dropped).is_pending());
        let theirs = permits.clone();
        let other = thread::spawn(move || block_on(async { drop(theirs.acquire_owned().await.unwrap()) }));
        let giver = thread::spawn(move || drop(held));
        drop(dropped);
        giver.join().unwrap();
        other.join().unwrap();
        assert_eq!(permits.available(), 1);
    });
}

#[test]
fn loom_a_value_of_a_slot_arrives() {
    model(|| {
        let (sender, mut receiver) = oneshot::channel();
        let giver = thread::spawn(move || drop(sender.send(7)));
        assert_eq!(block_on(receiver.recv()).unwrap(), Some(7));
        giver.join().unwrap();
    });
}

#[test]
fn loom_a_slot_without_a_value_ends() {
    model(|| {
        let (sender, mut receiver) = oneshot::channel::<u32>();
        let giver = thread::spawn(move || drop(sender));
        assert_eq!(block_on(receiver.recv()).unwrap(), None);
        giver.join().unwrap();
    });
}

#[test]
fn loom_values_of_a_full_channel_arrive_in_order() {
    model(|| {
        let (sender, mut receiver) = channel::bounded(1);
        let giver = thread::spawn(move || {
            block_on(async {
                for value in 0..2 {
                    sender.send(value).await.unwrap();
                }
            });
        });
        let taken = block_on(async {
            let mut taken = Vec::new();
            while let Some(value) = receiver.recv().await.unwrap() {
                taken.push(value);
            }
            taken
        });
        giver.join().unwrap();
        assert_eq!(taken, [0, 1]);
    });
}

/// A receive that was polled once is dropped: the value that it may have been woken for is for the other receiver.
#[test]
fn loom_a_value_is_not_lost_with_a_receive_that_is_dropped() {
    model(|| {
        let (sender, receiver) = channel::bounded(1);
        let (mut mine, mut theirs) = (receiver.clone(), receiver);
        let mut dropped = Box::pin(mine.recv());
        assert!(poll_once(&mut dropped).is_pending());
        let taker = thread::spawn(move || block_on(theirs.recv()).unwrap());
        let giver = thread::spawn(move || sender.try_send(7).unwrap());
        drop(dropped);
        giver.join().unwrap();
        assert_eq!(taker.join().unwrap(), Some(7));
    });
}

#[test]
fn loom_all_hear_of_an_event() {
    model(|| {
        let event = Arc::new(Event::new());
        let theirs = event.clone();
        let setter = thread::spawn(move || theirs.set());
        block_on(event.wait()).unwrap();
        setter.join().unwrap();
    });
}

/// The strand that the cancel is for may be in its first poll, about to be entered into the list of those to wake.
#[test]
fn loom_a_cancel_from_another_thread_reaches_a_strand_in_its_first_poll() {
    model(|| {
        // A timer of the real clock keeps its waker for a while.
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        let _entered = clock::enter(&clock);
        let scope = CancelScope::new();
        let theirs = scope.clone();
        let canceller = thread::spawn(move || theirs.cancel("enough"));
        let outcome = block_on(scope.run(cancellable(std::future::pending::<()>())));
        assert!(outcome.unwrap().is_none());
        canceller.join().unwrap();
    });
}
