//! How trees end: nothing is left of them (laws C8, C10 and C11).

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::poll_once;
use pleach::error::Closed;
use pleach::task::sync::{Mutex, Semaphore};
use pleach::task::{CancelScope, Nursery, TaskStatus, channel, defer, entrust, nursery, sleep};
use pleach::{Error, Result};

use crate::kit::{AtDrop, Log, is_cancel_of, ms, never, scenarios, settle};

scenarios! {
    Virtual:
    c08_a_scope_that_ends_has_nothing_left_in_it,
    c08_what_a_cancelled_strand_had_is_given_back,
    c08_a_nursery_that_is_dropped_drops_body_and_children,
    c08_a_child_whose_handle_is_dropped_is_waited_for,
    c10_a_child_of_a_cancelled_nursery_is_refused_with_its_cancel,
    c10_a_child_of_a_nursery_that_has_ended_is_refused_as_closed,
    c10_a_child_that_was_never_polled_does_not_start,
    c11_a_cancel_ends_ten_thousand_parked_strands_each_once,
    c11_a_cancel_ends_a_hundred_nurseries_of_a_hundred,
}

async fn c08_a_scope_that_ends_has_nothing_left_in_it() -> Result<()> {
    let (scope, log) = (CancelScope::new(), Log::default());
    let mut kept = None;
    let outcome = scope.run(nursery(async |n| {
        kept = Some(n.clone());
        for number in 0..6 {
            let (ends, cleanup, rest) = (log.at_drop("dropped"), log.clone(), log.clone());
            n.spawn(async move {
                let _ends = ends;
                defer(async move {
                    let _ = sleep(ms(10 * number)).await;
                    cleanup.add("finalized");
                })?;
                let _link = AtDrop::new(move || {
                    let ended = entrust(async move { rest.add("entrusted") });
                    assert!(ended.is_ok());
                });
                if number % 2 == 0 { never().await } else { sleep(ms(1)).await }
            })?;
        }
        sleep(ms(2)).await?;
        assert_eq!(n.snapshot().expect("it is open").tasks.len(), 1 + 6, "the body, and who waits or cleans up");
        scope.cancel("test");
        never().await
    }));
    assert_eq!(outcome.await?, None::<()>);
    assert_eq!(
        log.sorted().join(" "),
        [["dropped"; 6].join(" "), ["entrusted"; 6].join(" "), ["finalized"; 6].join(" ")].join(" ")
    );
    assert!(kept.expect("it was started").snapshot().is_none());
    assert!(scope.snapshot().tasks.is_empty());
    Ok(())
}

async fn c08_what_a_cancelled_strand_had_is_given_back() -> Result<()> {
    let (permits, lock, scope) = (Semaphore::new(3), Mutex::new(()), CancelScope::new());
    let (sender, _receiver) = channel::bounded::<u32>(1);
    let outcome = scope.run(nursery(async |n| {
        n.spawn(async {
            let _permits = permits.acquire_many(2).await?;
            let _held = lock.lock().await?;
            let _place = sender.reserve().await?;
            never().await
        })?;
        n.spawn(async { permits.acquire_many(2).await.map(drop) })?;
        n.spawn(async { sender.send(1).await.map_err(Error::from) })?;
        settle().await?;
        assert_eq!((permits.available(), lock.try_lock().is_none(), sender.try_reserve().is_err()), (1, true, true));
        scope.cancel("test");
        never().await
    }));
    assert_eq!(outcome.await?, None::<()>);
    assert_eq!((permits.available(), lock.try_lock().is_none(), sender.try_reserve().is_err()), (3, false, false));
    Ok(())
}

async fn c08_a_nursery_that_is_dropped_drops_body_and_children() -> Result<()> {
    let log = Log::default();
    let mut work = Box::pin(nursery(async |n| {
        let _body = log.at_drop("body");
        for _ in 0..3 {
            let gone = log.at_drop("child");
            n.spawn(async {
                let _gone = gone;
                never().await
            })?;
        }
        never().await
    }));
    assert!(poll_once(&mut work).await.is_none());
    drop(work);
    assert_eq!(log.sorted(), ["body", "child", "child", "child"]);
    Ok(())
}

async fn c08_a_child_whose_handle_is_dropped_is_waited_for() -> Result<()> {
    let log = Log::default();
    nursery(async |n| {
        drop(n.spawn(async {
            sleep(ms(5)).await?;
            log.add("ended");
            Ok(())
        })?);
        Ok(())
    })
    .await?;
    assert_eq!(log.take(), ["ended"]);
    Ok(())
}

async fn c10_a_child_of_a_cancelled_nursery_is_refused_with_its_cancel() -> Result<()> {
    let scope = CancelScope::new();
    let outcome = scope.run(nursery(async |n| {
        scope.cancel("test");
        assert!(is_cancel_of(&n.spawn(async { Ok(()) }), &scope));
        assert!(is_cancel_of(&n.start(async |_: TaskStatus<()>| Ok(())).await, &scope));
        Ok("refused")
    }));
    assert_eq!(outcome.await?, Some("refused"));
    Ok(())
}

async fn c10_a_child_of_a_nursery_that_has_ended_is_refused_as_closed() -> Result<()> {
    let kept = nursery(async |n: Nursery<'static>| Ok(n)).await?;
    let refused = kept.spawn(async { Ok(()) }).unwrap_err();
    assert_eq!(refused.downcast_ref(), Some(&Closed));
    assert!(refused.location().file().ends_with("ends.rs"), "{}", refused.location());
    let starts = async |status: TaskStatus<()>| {
        status.started(());
        Ok(())
    };
    assert_eq!(kept.start(starts).await.map(drop).unwrap_err().downcast_ref(), Some(&Closed));
    Ok(())
}

async fn c10_a_child_that_was_never_polled_does_not_start() -> Result<()> {
    let log = Log::default();
    nursery(async |n| {
        let gone = log.at_drop("dropped");
        n.spawn(async {
            let _gone = gone;
            log.add("started");
            Ok(())
        })?;
        n.cancel();
        Ok(())
    })
    .await?;
    assert_eq!(log.take(), ["dropped"]);
    Ok(())
}

/// Half of them wait for the runtime, half for something else.
const PARKED: usize = 10_000;

/// What has become of the strands.
#[derive(Default)]
struct Counts {
    started: AtomicUsize,
    told: AtomicUsize,
    dropped: AtomicUsize,
    finalized: AtomicUsize,
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A strand that waits: for the runtime, or for something that knows of no cancel.
async fn parked(counts: &'static Counts, foreign: bool) -> Result<()> {
    count(&counts.started);
    let _gone = AtDrop::new(|| count(&counts.dropped));
    defer(async { count(&counts.finalized) })?;
    if foreign {
        return pending().await;
    }
    let told = never().await;
    count(&counts.told);
    told
}

async fn c11_a_cancel_ends_ten_thousand_parked_strands_each_once() -> Result<()> {
    let counts: &'static Counts = Box::leak(Box::default());
    let scope = CancelScope::new();
    let outcome = scope.run(nursery(async |n: Nursery<'static>| {
        for number in 0..PARKED {
            n.spawn(parked(counts, number % 2 == 1))?;
        }
        while counts.started.load(Ordering::Relaxed) < PARKED {
            settle().await?;
        }
        assert_eq!(counts.dropped.load(Ordering::Relaxed), 0, "they wait");
        scope.cancel("enough");
        never().await
    }));
    assert_eq!(outcome.await?, None);
    let seen =
        [&counts.started, &counts.told, &counts.dropped, &counts.finalized].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(seen, [PARKED, PARKED / 2, PARKED, PARKED], "started, told, dropped, cleaned up");
    Ok(())
}

async fn c11_a_cancel_ends_a_hundred_nurseries_of_a_hundred() -> Result<()> {
    let (scope, started, dropped) = (CancelScope::new(), AtomicUsize::new(0), AtomicUsize::new(0));
    let outcome = scope.run(nursery(async |n| {
        for _ in 0..100 {
            let (started, dropped) = (&started, &dropped);
            n.spawn(nursery(async move |n| {
                for _ in 0..100 {
                    n.spawn(async {
                        count(started);
                        let _gone = AtDrop::new(|| count(dropped));
                        never().await
                    })?;
                }
                never().await
            }))?;
        }
        while started.load(Ordering::Relaxed) < PARKED {
            settle().await?;
        }
        scope.cancel("enough");
        never().await
    }));
    assert_eq!(outcome.await?, None::<()>);
    assert_eq!((started.into_inner(), dropped.into_inner()), (PARKED, PARKED));
    Ok(())
}
