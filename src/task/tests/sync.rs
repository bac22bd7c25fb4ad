//! Permits, locks and events.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_lite::future::{or, poll_once};

use super::{Log, is_cancel_of, ms, never, settle, virtually};
use crate::Result;
use crate::error::Closed;
use crate::task::sync::{Event, Mutex, Semaphore};
use crate::task::{CancelScope, nursery, sleep};

#[test]
fn no_more_than_the_permits_at_a_time() {
    let (permits, log) = (Semaphore::new(2), Mutex::new((0, 0)));
    virtually(nursery(async |n| {
        for _ in 0..10 {
            n.spawn(async {
                let _permit = permits.acquire().await?;
                {
                    let mut now = log.lock().await?;
                    now.0 += 1;
                    now.1 = now.1.max(now.0);
                }
                sleep(ms(10)).await?;
                log.lock().await?.0 -= 1;
                Ok(())
            })?;
        }
        Ok(())
    }))
    .unwrap();
    assert_eq!(log.into_inner(), (0, 2));
    assert_eq!(permits.available(), 2);
}

#[test]
fn many_permits_are_taken_at_once_or_not_at_all() {
    let permits = Arc::new(Semaphore::new(3));
    virtually(nursery(async |n| {
        let one = permits.acquire_owned().await?;
        let all = n.spawn(async { permits.acquire_many(3).await.map(|all| drop((all, permits.available()))) })?;
        settle().await?;
        assert_eq!(permits.available(), 2, "nothing is held while it waits");
        drop(one);
        all.join().await
    }))
    .unwrap();
    permits.try_acquire().unwrap().forget();
    assert_eq!(permits.available(), 2);
    permits.add(1);
    assert_eq!(permits.available(), 3);
}

#[test]
fn c02_a_cancelled_acquire_takes_nothing_and_passes_its_wake_on() {
    let permits = Semaphore::new(1);
    let scope = CancelScope::new();
    virtually(nursery(async |n| {
        let held = permits.acquire().await?;
        let first = n.spawn(async { scope.run(async { permits.acquire().await.map(drop) }).await })?;
        let second = n.spawn(async { permits.acquire().await.map(drop) })?;
        settle().await?;
        drop(held); // wakes the first, which is cancelled before it runs
        scope.cancel("too late");
        assert_eq!(first.join().await?, None);
        second.join().await
    }))
    .unwrap();
    assert_eq!(permits.available(), 1);
}

/// Oxide's RFD 609: a task waits for a lock in a branch that it does not poll, and then for something that needs the lock. Where
/// the lock is handed over to the branch, nobody ever gets it.
#[test]
fn c13_the_futurelock_program_ends() {
    let (lock, log) = (Mutex::new(()), Log::default());
    virtually(nursery(async |n| {
        let background = n.spawn(async {
            let held = lock.lock().await?;
            sleep(ms(500)).await?;
            drop(held);
            Ok(())
        })?;
        settle().await?;
        let mut set_aside = pin!(async {
            let _held = lock.lock().await?;
            log.add("set aside");
            Result::<()>::Ok(())
        });
        let timeout = async {
            sleep(ms(50)).await?;
            Ok(())
        };
        or(set_aside.as_mut(), timeout).await?;
        // `set_aside` waits for the lock, and is not polled here.
        drop(lock.lock().await?);
        log.add("went on");
        set_aside.await?;
        background.join().await
    }))
    .unwrap();
    assert_eq!(log.take(), ["went on", "set aside"]);
}

/// The one that was woken is dropped, or is not polled when another asks: the permit is nobody's.
#[test]
fn c13_a_permit_is_for_whoever_is_polled_first() {
    let permits = Semaphore::new(1);
    virtually(async {
        let held = permits.acquire().await?;
        let (mut first, mut second) = (pin!(permits.acquire()), pin!(permits.acquire()));
        poll_fn(|cx| {
            assert!(first.as_mut().poll(cx).is_pending() && second.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(held); // wakes the first
        drop(second.await?);
        drop(first.await?);
        Result::<()>::Ok(())
    })
    .unwrap();
    assert_eq!(permits.available(), 1);
}

#[test]
fn c13_a_woken_wait_that_is_dropped_wakes_the_next() {
    let permits = Semaphore::new(1);
    virtually(nursery(async |n| {
        let held = permits.acquire().await?;
        {
            let mut first = pin!(permits.acquire());
            assert!(poll_once(first.as_mut()).await.is_none());
            n.spawn(async { permits.acquire().await.map(drop) })?;
            settle().await?;
            drop(held);
        }
        Ok(())
    }))
    .unwrap();
}

#[test]
fn who_waits_at_a_closed_semaphore_is_told() {
    let permits = Semaphore::new(0);
    let error = virtually(nursery(async |n| {
        n.spawn(async { permits.acquire().await.map(drop) })?;
        settle().await?;
        permits.close();
        assert!(permits.try_acquire().is_none());
        Ok(())
    }));
    assert!(error.unwrap_err().downcast_ref::<Closed>().is_some());
}

#[test]
fn a_lock_keeps_its_value_over_a_panic_and_a_cancel() {
    let (lock, scope) = (Mutex::new(1), CancelScope::new());
    let outcome = virtually(nursery(async |n| {
        n.spawn(async {
            let mut value = lock.lock().await?;
            *value = 2;
            assert_eq!(*value, 3, "with the lock held");
            Ok(())
        })?;
        never().await
    }));
    assert!(outcome.unwrap_err().is_panic());
    let cancelled = virtually(scope.run(async {
        let mut value = lock.lock().await?;
        *value += 1;
        scope.cancel("stop");
        never().await
    }));
    assert_eq!(cancelled.unwrap(), None);
    assert_eq!(*lock.try_lock().unwrap(), 3);
}

#[test]
fn an_event_wakes_all_who_wait_and_lets_all_through_who_come() {
    let (event, log) = (Event::new(), Log::default());
    virtually(nursery(async |n| {
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
        event.wait().await
    }))
    .unwrap();
    assert_eq!(log.take().len(), 3);
}

#[test]
fn c01_waits_for_permits_locks_and_events_end_with_their_scope() {
    let (permits, event) = (Semaphore::new(0), Event::new());
    let lock = Mutex::new(());
    let scope = CancelScope::new();
    virtually(async {
        let _held = lock.lock().await?;
        let ended = scope.run(async {
            scope.cancel("stop");
            assert!(is_cancel_of(&permits.acquire().await, &scope));
            assert!(is_cancel_of(&lock.lock().await, &scope));
            assert!(is_cancel_of(&event.wait().await, &scope));
            event.set();
            assert!(is_cancel_of(&event.wait().await, &scope), "also one that would be ready");
            Ok(())
        });
        assert_eq!(ended.await?, Some(()));
        Result::<()>::Ok(())
    })
    .unwrap();
}
