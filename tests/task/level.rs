//! A cancel is a level: every runtime await says so until the scope ends (laws C1 and C3).

use std::sync::atomic::{AtomicUsize, Ordering};

use async_executor::Executor;
use futures_lite::future::{or, poll_once, yield_now};
use futures_util::future::{FutureExt, join};
use futures_util::stream::{FuturesUnordered, StreamExt};
use pleach::Result;
use pleach::error::{Mark, Reason};
use pleach::task::sync::{Event, Mutex, Semaphore};
use pleach::task::{
    CancelScope, broadcast, channel, checkpoint, clock, interval, nursery, oneshot, sleep, sleep_until, watch,
};

use crate::kit::{AtDrop, Log, is_cancel_of, ms, never, scenarios, settle, timed};

scenarios! {
    Virtual:
    c01_in_a_select,
    c01_in_a_join,
    c01_in_forty_awaits_at_once,
    c01_in_awaits_nested_in_others,
    c01_in_one_that_was_polled_once_and_set_aside,
    c01_in_a_future_shared_by_two_strands,
    c01_in_tasks_of_an_executor_inside_a_strand,
    c01_in_an_executor_inside_a_strand_that_is_busy,
    c01_in_waits_of_every_kind,
    c01_in_the_leaves_of_a_tree,
    c01_by_the_strand_itself,
    c01_by_a_drop,
    c01_a_loop_that_swallows_it_ends,
    c01_catching_it_does_not_reset_it,
    c03_the_first_reason_wins,
    c03_a_second_cancel_changes_nothing,
    c03_after_the_end_it_is_a_no_op,
    c03_before_the_run_it_is_met_at_the_first_await,
}

/// Runs `strand` in a scope that is cancelled when everybody waits.
async fn cancelled<T, F: Future<Output = Result<T>>>(strand: impl FnOnce(CancelScope) -> F) -> Result<Option<T>> {
    let scope = CancelScope::new();
    let canceller = scope.clone();
    let work = strand(scope.clone());
    let cancels = async {
        settle().await.expect("nobody has cancelled it yet");
        canceller.cancel("test");
    };
    scope.run(async { join(work, cancels).await.0 }).await
}

async fn c01_in_a_select() -> Result<()> {
    let told = cancelled(async |scope| {
        for _ in 0..3 {
            let either = or(never(), sleep(ms(100_000))).await;
            assert!(is_cancel_of(&either, &scope));
        }
        Ok("three times")
    });
    assert_eq!(told.await?, Some("three times"));
    Ok(())
}

async fn c01_in_a_join() -> Result<()> {
    let told = cancelled(async |scope| {
        let (first, second) = join(never(), async {
            assert!(is_cancel_of(&never().await, &scope));
            never().await
        })
        .await;
        assert!(is_cancel_of(&first, &scope) && is_cancel_of(&second, &scope));
        Ok("both")
    });
    assert_eq!(told.await?, Some("both"));
    Ok(())
}

async fn c01_in_forty_awaits_at_once() -> Result<()> {
    let told = cancelled(async |scope| {
        let all: FuturesUnordered<_> = (0..40).map(|_| never()).collect();
        let results: Vec<_> = all.collect().await;
        assert!(results.iter().all(|result| is_cancel_of(result, &scope)));
        Ok(results.len())
    });
    assert_eq!(told.await?, Some(40));
    Ok(())
}

async fn c01_in_awaits_nested_in_others() -> Result<()> {
    async fn five() -> Vec<Result<()>> {
        let all: FuturesUnordered<_> = (0..5).map(|_| never()).collect();
        all.collect().await
    }
    let told = cancelled(async |scope| {
        let outer: FuturesUnordered<_> = (0..8).map(|_| five()).collect();
        let results: Vec<_> = outer.collect::<Vec<_>>().await.into_iter().flatten().collect();
        assert!(results.iter().all(|result| is_cancel_of(result, &scope)));
        Ok(results.len())
    });
    assert_eq!(told.await?, Some(40));
    Ok(())
}

async fn c01_in_one_that_was_polled_once_and_set_aside() -> Result<()> {
    let told = cancelled(async |scope| {
        let mut aside = Box::pin(never());
        assert!(poll_once(&mut aside).await.is_none());
        assert!(is_cancel_of(&never().await, &scope));
        assert!(is_cancel_of(&aside.await, &scope));
        Ok("both")
    });
    assert_eq!(told.await?, Some("both"));
    Ok(())
}

async fn c01_in_a_future_shared_by_two_strands() -> Result<()> {
    let (scope, told) = (CancelScope::new(), AtomicUsize::new(0));
    let outcome = scope.run(nursery(async |n| {
        let shared = async { never().await.map_err(|error| error.mark().cloned()) }.boxed().shared();
        for _ in 0..2 {
            let (shared, told) = (shared.clone(), &told);
            n.spawn(async move {
                let mark: Mark = shared.await.unwrap_err().expect("a cancel has a mark");
                told.fetch_add(1, Ordering::SeqCst);
                Err::<(), _>(mark.into())
            })?;
        }
        settle().await?;
        scope.cancel("test");
        Ok(())
    }));
    assert_eq!(outcome.await?, None);
    assert_eq!(told.into_inner(), 2);
    Ok(())
}

async fn c01_in_tasks_of_an_executor_inside_a_strand() -> Result<()> {
    let told = cancelled(async |scope| {
        let executor = Executor::new();
        let tasks: Vec<_> = (0..300).map(|_| executor.spawn(never())).collect();
        let all = async {
            for task in tasks {
                assert!(is_cancel_of(&task.await, &scope));
            }
        };
        executor.run(all).await;
        Ok("all")
    });
    assert_eq!(told.await?, Some("all"));
    Ok(())
}

/// The await stands in a queue behind tasks that never wait, more than the executor polls in a turn.
async fn c01_in_an_executor_inside_a_strand_that_is_busy() -> Result<()> {
    async fn spins() {
        loop {
            yield_now().await;
        }
    }
    let told = cancelled(async |scope| {
        let executor = Executor::new();
        let _busy: Vec<_> = (0..300).map(|_| executor.spawn(spins())).collect();
        let told = executor.run(executor.spawn(never())).await;
        assert!(is_cancel_of(&told, &scope));
        Ok("it was told before it was dropped")
    });
    assert!(told.await?.is_some());
    Ok(())
}

/// Also where what it waits for is there.
async fn c01_in_waits_of_every_kind() -> Result<()> {
    let (permits, lock, event) = (Semaphore::new(1), Mutex::new(()), Event::new());
    let (full, mut ready) = channel::bounded(1);
    let ((_once, mut once), (shout, mut heard)) = (oneshot::channel::<u32>(), broadcast::channel::<u32>(2));
    let (_news, mut news) = watch::channel(1);
    let mut ticks = interval(ms(1));
    event.set();
    full.send(1).await?;
    shout.send(1)?;
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        scope.cancel("test");
        assert!(is_cancel_of(&checkpoint().await, &scope));
        assert!(is_cancel_of(&sleep(ms(0)).await, &scope));
        assert!(is_cancel_of(&sleep_until(clock::now()).await, &scope));
        assert!(is_cancel_of(&permits.acquire().await, &scope));
        assert!(is_cancel_of(&lock.lock().await, &scope));
        assert!(is_cancel_of(&event.wait().await, &scope));
        assert!(is_cancel_of(&ready.recv().await, &scope));
        assert!(full.send(2).await.unwrap_err().is_cancelled());
        assert!(is_cancel_of(&full.reserve().await, &scope));
        assert!(is_cancel_of(&once.recv().await, &scope));
        assert!(is_cancel_of(&heard.recv().await, &scope));
        assert!(is_cancel_of(&news.changed().await, &scope));
        assert!(is_cancel_of(&ticks.tick().await, &scope));
        Ok("all")
    });
    assert_eq!(outcome.await?, Some("all"));
    assert_eq!((permits.available(), ready.try_recv(), heard.try_recv().is_some()), (1, Some(1), true));
    Ok(())
}

async fn c01_in_the_leaves_of_a_tree() -> Result<()> {
    let (scope, log) = (CancelScope::new(), Log::default());
    let outcome = scope.run(nursery(async |n| {
        for branch in ["a", "b", "c"] {
            let log = log.clone();
            n.spawn(nursery(async move |n| {
                for leaf in 0..3 {
                    let log = log.clone();
                    n.spawn(async move {
                        let told = never().await;
                        log.add(format!("{branch}{leaf}"));
                        told
                    })?;
                }
                never().await
            }))?;
        }
        settle().await?;
        scope.cancel("test");
        never().await
    }));
    assert_eq!(outcome.await?, None::<()>);
    assert_eq!(log.sorted().concat(), "a0a1a2b0b1b2c0c1c2");
    Ok(())
}

async fn c01_by_the_strand_itself() -> Result<()> {
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        scope.cancel("from inside");
        for _ in 0..3 {
            assert!(is_cancel_of(&never().await, &scope));
        }
        assert!(checkpoint().await.is_err());
        Ok("told")
    });
    assert_eq!(outcome.await?, Some("told"));
    Ok(())
}

async fn c01_by_a_drop() -> Result<()> {
    let (scope, log) = (CancelScope::new(), Log::default());
    let canceller = scope.clone();
    let outcome = scope.run(nursery(async |n| {
        let child = n.spawn(never())?;
        let guard = AtDrop::new(move || canceller.cancel("from a drop"));
        n.spawn(async move {
            let _guard = guard;
            settle().await
        })?;
        let told = child.join().await;
        assert!(is_cancel_of(&told, &scope));
        log.add("told");
        told
    }));
    assert_eq!(outcome.await?, None);
    assert_eq!(log.take(), ["told"]);
    Ok(())
}

async fn c01_a_loop_that_swallows_it_ends() -> Result<()> {
    let (scope, rounds) = (CancelScope::new().with_grace(ms(300)), AtomicUsize::new(0));
    let (outcome, took) = timed(scope.run(async {
        scope.cancel("test");
        loop {
            let _: Result<()> = never().await;
            assert!(rounds.fetch_add(1, Ordering::SeqCst) < 10_000, "the grace does not end");
        }
        #[allow(unreachable_code, reason = "it says what the loop would give")]
        Ok(())
    }))
    .await;
    assert_eq!(outcome?, None);
    assert!((ms(299)..ms(305)).contains(&took), "its grace is 300 ms, and it took {took:?}");
    Ok(())
}

async fn c01_catching_it_does_not_reset_it() -> Result<()> {
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        scope.cancel("test");
        for _ in 0..100 {
            let caught = checkpoint().await.unwrap_err();
            assert!(caught.is_cancelled());
            drop(caught);
        }
        assert!(nursery(async |_| never().await).await.unwrap_err().is_cancelled());
        assert!(is_cancel_of(&CancelScope::new().run(never()).await, &scope));
        Ok("as it likes")
    });
    assert_eq!(outcome.await?, Some("as it likes"));
    Ok(())
}

async fn c03_the_first_reason_wins() -> Result<()> {
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        scope.request(Reason::PeerGone);
        scope.cancel("too late");
        let seen = never().await.unwrap_err().mark().cloned();
        assert_eq!(seen, Some(Mark { scope: scope.id(), reason: Reason::PeerGone }));
        scope.request(Reason::Shutdown);
        assert_eq!(never().await.unwrap_err().mark().cloned(), seen);
        Ok("the first")
    });
    assert_eq!(outcome.await?, Some("the first"));
    Ok(())
}

async fn c03_a_second_cancel_changes_nothing() -> Result<()> {
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        scope.cancel("test");
        scope.cancel("test");
        checkpoint().await
    });
    assert_eq!(outcome.await?, None);
    assert!(scope.cancel_called() && scope.cancelled_caught());
    Ok(())
}

async fn c03_after_the_end_it_is_a_no_op() -> Result<()> {
    let scope = CancelScope::new();
    assert_eq!(scope.run(async { Ok(1) }).await?, Some(1));
    scope.cancel("too late");
    assert!(!scope.is_cancelled() && !scope.cancelled_caught());
    assert!(scope.cancel_called(), "it is remembered all the same");
    checkpoint().await
}

async fn c03_before_the_run_it_is_met_at_the_first_await() -> Result<()> {
    let (scope, log) = (CancelScope::new(), Log::default());
    scope.cancel("early");
    let outcome = scope.run(async {
        log.add("started");
        checkpoint().await?;
        log.add("not reached");
        Ok(())
    });
    assert_eq!(outcome.await?, None);
    assert_eq!(log.take(), ["started"]);
    Ok(())
}
