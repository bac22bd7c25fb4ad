//! What tasks take in turns: permits, locks, events. Nobody is in anybody's way who does not come for what is his (law C13).

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::{or, poll_once};
use pleach::Result;
use pleach::error::Closed;
use pleach::task::channel;
use pleach::task::sync::{Event, Mutex, Semaphore};
use pleach::task::{CancelScope, checkpoint, nursery, sleep, watch};

use crate::kit::{Log, ms, never, scenarios, settle, timed};

scenarios! {
    Virtual:
    c13_the_futurelock_program_ends,
    c13_a_permit_is_for_whoever_is_polled_first,
    c13_a_woken_wait_for_a_permit_that_is_dropped_wakes_the_next,
    c13_a_woken_receive_that_is_dropped_wakes_the_next,
    c13_a_woken_send_that_is_not_polled_is_passed,
    c13_a_lock_that_is_released_by_a_cancel_goes_on,
    an_event_lets_all_through_from_then_on,
    permits_are_counted,
    permits_can_be_made_more_and_fewer,
    no_more_than_the_permits_at_a_time,
    many_permits_are_taken_at_once_or_not_at_all,
    who_waits_at_a_closed_semaphore_is_told,
    a_wait_that_was_cancelled_is_in_no_queue,
    a_lock_is_held_by_one,
    a_lock_is_taken_in_the_order_of_the_queue,
    a_lock_has_no_owner_that_could_be_asked,
    a_condition_is_a_watch_that_is_waited_for,
}

/// Oxide's RFD 609: a task waits for a lock in a branch that it does not poll, and then for something that needs the lock. Where
/// the lock is handed over to the branch, nobody ever gets it.
async fn c13_the_futurelock_program_ends() -> Result<()> {
    let (lock, log) = (Mutex::new(()), Log::default());
    nursery(async |n| {
        let background = n.spawn(async {
            let held = lock.lock().await?;
            sleep(ms(5000)).await?;
            drop(held);
            Ok(())
        })?;
        settle().await?;
        let mut aside = pin!(async {
            let _held = lock.lock().await?;
            log.add("set aside");
            Result::<()>::Ok(())
        });
        or(aside.as_mut(), sleep(ms(500))).await?;
        drop(lock.lock().await?); // `aside` waits for it too, and is not polled
        log.add("went on");
        aside.await?;
        background.join().await
    })
    .await?;
    assert_eq!(log.take(), ["went on", "set aside"]);
    Ok(())
}

/// One is woken and not polled when another asks.
async fn c13_a_permit_is_for_whoever_is_polled_first() -> Result<()> {
    let permits = Semaphore::new(1);
    let held = permits.acquire().await?;
    let (mut first, mut second) = (pin!(permits.acquire()), pin!(permits.acquire()));
    assert!(poll_once(first.as_mut()).await.is_none() && poll_once(second.as_mut()).await.is_none());
    drop(held); // wakes the first
    drop(second.await?);
    drop(first.await?);
    assert_eq!(permits.available(), 1);
    Ok(())
}

async fn c13_a_woken_wait_for_a_permit_that_is_dropped_wakes_the_next() -> Result<()> {
    let permits = Semaphore::new(1);
    nursery(async |n| {
        let held = permits.acquire().await?;
        let mut first = Box::pin(permits.acquire());
        assert!(poll_once(&mut first).await.is_none());
        let second = n.spawn(async { permits.acquire().await.map(drop) })?;
        settle().await?;
        drop(held); // wakes the first
        drop(first);
        second.join().await
    })
    .await
}

async fn c13_a_woken_receive_that_is_dropped_wakes_the_next() -> Result<()> {
    let (sender, receiver) = channel::bounded(1);
    nursery(async |n| {
        let (mut one, mut other) = (receiver.clone(), receiver);
        let mut first = Box::pin(one.recv());
        assert!(poll_once(&mut first).await.is_none());
        let second = n.spawn(async move { other.recv().await })?;
        settle().await?;
        sender.send(7).await?; // wakes the first
        drop(first);
        assert_eq!(second.join().await?, Some(7));
        Ok(())
    })
    .await
}

async fn c13_a_woken_send_that_is_not_polled_is_passed() -> Result<()> {
    let (sender, mut receiver) = channel::bounded(1);
    sender.send(1).await?;
    let mut aside = pin!(sender.send(2));
    assert!(poll_once(aside.as_mut()).await.is_none());
    assert_eq!(receiver.recv().await?, Some(1)); // wakes it
    sender.send(3).await?;
    assert_eq!(receiver.recv().await?, Some(3));
    aside.await?;
    assert_eq!(receiver.recv().await?, Some(2));
    Ok(())
}

async fn c13_a_lock_that_is_released_by_a_cancel_goes_on() -> Result<()> {
    let (lock, scope) = (Mutex::new(0), CancelScope::new());
    nursery(async |n| {
        let holder = n.spawn(scope.run(async {
            let _held = lock.lock().await?;
            sleep(ms(5000)).await
        }))?;
        settle().await?;
        let next = n.spawn(async {
            *lock.lock().await? += 1;
            Ok(())
        })?;
        settle().await?;
        scope.cancel("give it back");
        assert_eq!(holder.join().await?, None);
        next.join().await
    })
    .await?;
    assert_eq!(lock.into_inner(), 1);
    Ok(())
}

async fn an_event_lets_all_through_from_then_on() -> Result<()> {
    let (event, log) = (Event::new(), Log::default());
    nursery(async |n| {
        for name in ["one", "two", "three"] {
            let (event, log) = (&event, &log);
            n.spawn(async move {
                event.wait().await?;
                log.add(name);
                Ok(())
            })?;
        }
        settle().await?;
        assert!(log.take().is_empty() && !event.is_set());
        event.set();
        settle().await?;
        assert_eq!(log.take().len(), 3);
        event.wait().await
    })
    .await?;
    assert!(event.is_set());
    event.wait().await
}

async fn permits_are_counted() -> Result<()> {
    let permits = Arc::new(Semaphore::new(2));
    let (one, other) = (permits.acquire().await?, permits.try_acquire_owned().expect("there is one more"));
    assert!((permits.available(), permits.try_acquire().is_none()) == (0, true));
    drop(one);
    assert_eq!(permits.available(), 1);
    drop((permits.acquire_owned().await?, other));
    assert_eq!(permits.available(), 2);
    Ok(())
}

async fn permits_can_be_made_more_and_fewer() -> Result<()> {
    let permits = Semaphore::new(1);
    permits.try_acquire().expect("there is one").forget();
    assert_eq!(permits.available(), 0);
    nursery(async |n| {
        let all = n.spawn(async { permits.acquire_many(3).await.map(drop) })?;
        settle().await?;
        permits.add(2);
        settle().await?;
        assert_eq!(permits.available(), 2, "nothing is taken before all are there");
        permits.add(1);
        all.join().await
    })
    .await?;
    assert_eq!(permits.available(), 3);
    Ok(())
}

async fn no_more_than_the_permits_at_a_time() -> Result<()> {
    let (permits, now, most) = (Semaphore::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
    let (outcome, took) = timed(nursery(async |n| {
        for _ in 0..10 {
            n.spawn(async {
                let _permit = permits.acquire().await?;
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                sleep(ms(10)).await?;
                now.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            })?;
        }
        Ok(())
    }))
    .await;
    outcome?;
    assert_eq!((most.into_inner(), permits.available(), took), (2, 2, ms(50)));
    Ok(())
}

async fn many_permits_are_taken_at_once_or_not_at_all() -> Result<()> {
    let permits = Semaphore::new(3);
    nursery(async |n| {
        let one = permits.acquire().await?;
        let all = n.spawn(async { permits.acquire_many(3).await.map(|_all| permits.available()) })?;
        settle().await?;
        assert_eq!(permits.available(), 2, "nothing is held while it waits");
        drop(one);
        assert_eq!(all.join().await?, 0);
        Ok(())
    })
    .await
}

async fn who_waits_at_a_closed_semaphore_is_told() -> Result<()> {
    let permits = Semaphore::new(0);
    let told = nursery(async |n| {
        n.spawn(async { permits.acquire().await.map(drop) })?;
        settle().await?;
        permits.close();
        Ok(())
    });
    assert!(told.await.unwrap_err().downcast_ref::<Closed>().is_some());
    assert!(permits.try_acquire().is_none());
    Ok(())
}

async fn a_wait_that_was_cancelled_is_in_no_queue() -> Result<()> {
    let (permits, lock, scope) = (Semaphore::new(0), Mutex::new(()), CancelScope::new());
    let held = lock.lock().await?;
    let outcome = scope.run(nursery(async |n| {
        for _ in 0..10 {
            n.spawn(async { permits.acquire().await.map(drop) })?;
            n.spawn(async { lock.lock().await.map(drop) })?;
        }
        settle().await?;
        scope.cancel("test");
        never().await
    }));
    assert_eq!(outcome.await?, None::<()>);
    drop(held);
    permits.add(1);
    // Nobody before these is woken in their place.
    drop((permits.acquire().await?, lock.lock().await?));
    Ok(())
}

async fn a_lock_is_held_by_one() -> Result<()> {
    let lock = Mutex::new((false, 0));
    nursery(async |n| {
        for _ in 0..5 {
            n.spawn(async {
                for _ in 0..10 {
                    let mut value = lock.lock().await?;
                    assert!(!std::mem::replace(&mut value.0, true), "somebody else has it");
                    checkpoint().await?;
                    checkpoint().await?;
                    *value = (false, value.1 + 1);
                }
                Ok(())
            })?;
        }
        Ok(())
    })
    .await?;
    assert_eq!(lock.into_inner(), (false, 50));
    Ok(())
}

async fn a_lock_is_taken_in_the_order_of_the_queue() -> Result<()> {
    let (lock, log) = (Mutex::new(()), Log::default());
    nursery(async |n| {
        let held = lock.lock().await?;
        for number in 0..5 {
            let (lock, log) = (&lock, &log);
            n.spawn(async move {
                let _held = lock.lock().await?;
                log.add(number.to_string());
                checkpoint().await
            })?;
            settle().await?;
        }
        drop(held);
        Ok(())
    })
    .await?;
    assert_eq!(log.take().concat(), "01234");
    Ok(())
}

/// A guard is what has the lock: it can be given to another task, and a task that takes it twice waits until it is cancelled.
async fn a_lock_has_no_owner_that_could_be_asked() -> Result<()> {
    let lock = Mutex::new(1);
    nursery(async |n| {
        let mut held = lock.lock().await?;
        assert!(lock.try_lock().is_none());
        assert!(pleach::task::move_on_after(ms(50), lock.lock()).await?.is_none());
        n.spawn(async move {
            *held += 1;
            Ok(())
        })?;
        assert_eq!(*lock.lock().await?, 2);
        Ok(())
    })
    .await
}

async fn a_condition_is_a_watch_that_is_waited_for() -> Result<()> {
    let (level, watched) = watch::channel(0);
    let log = Log::default();
    nursery(async |n| {
        for wanted in [3, 1, 2] {
            let (mut watched, log) = (watched.clone(), &log);
            n.spawn(async move {
                watched.wait_for(|level| *level >= wanted).await?;
                log.add(wanted.to_string());
                Ok(())
            })?;
        }
        for now in 1..=3 {
            settle().await?;
            level.send(now)?;
        }
        Ok(())
    })
    .await?;
    assert_eq!(log.take().concat(), "123");
    Ok(())
}
