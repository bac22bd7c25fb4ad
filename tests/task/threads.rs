//! What other threads do to a tree, and what it does on other threads; by the time of the host.

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::{block_on, or, yield_now};
use futures_util::stream::{FuturesUnordered, StreamExt};
use pleach::error::{Closed, Panicked};
use pleach::task::{
    CancelScope, Nursery, channel, checkpoint, defer, fail_after, move_on_after, nursery, shield, sleep,
};
use pleach::{Error, Result};

use crate::kit::{AtDrop, Failed, Log, ms, never, scenarios, settle, timed};

scenarios! {
    Real:
    c01_by_another_thread_during_a_poll,
    c01_by_another_thread_at_any_moment,
    c01_in_children_that_run_beside_the_tree,
    c02_nothing_is_lost_between_a_thread_and_a_task_that_is_cancelled,
    c03_of_many_threads_one_reason_wins,
    c07_deadlines_by_the_timers_of_the_host,
    c07_a_deadline_that_another_thread_sets_is_heard_of,
    c08_children_that_run_beside_the_tree_have_left_with_it,
    c09_failures_of_children_that_run_beside_the_tree_are_all_told,
    c10_a_child_that_would_run_beside_a_cancelled_tree_is_refused,
    c11_a_cancel_by_another_thread_ends_all,
    c14_a_panic_of_a_child_that_runs_beside_the_tree_is_its_failure,
    a_child_is_started_by_another_thread,
}

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(100);

async fn c01_by_another_thread_during_a_poll() -> Result<()> {
    for deep in [false, true] {
        let (scope, barrier) = (CancelScope::new(), Arc::new(Barrier::new(2)));
        let (canceller, meet) = (scope.clone(), barrier.clone());
        let thread = thread::spawn(move || {
            meet.wait();
            canceller.cancel("from another thread");
            meet.wait();
        });
        let outcome = scope.run(async move {
            poll_fn(|_| {
                barrier.wait();
                barrier.wait(); // the cancel has come in the middle of this poll
                Poll::Ready(())
            })
            .await;
            let mut all: FuturesUnordered<_> = [never()].into_iter().collect();
            let told = if deep { all.next().await.expect("there is one") } else { never().await };
            Ok(told.is_err())
        });
        assert_eq!(outcome.await?, Some(true));
        thread.join().expect("it does not panic");
    }
    Ok(())
}

/// A thread that cancels at some point of a strand that awaits behind two wakers: it is told each time.
async fn c01_by_another_thread_at_any_moment() -> Result<()> {
    const ROUNDS: usize = 200;
    let (send, receive) = std::sync::mpsc::channel::<(CancelScope, usize)>();
    let thread = thread::spawn(move || {
        for (scope, spins) in receive {
            (0..spins).for_each(|_| std::hint::spin_loop());
            scope.cancel("race");
        }
    });
    let mut told = 0;
    for round in 0..ROUNDS {
        let scope = CancelScope::new().with_grace(ms(20_000)).with_linger(ms(10_000));
        let spins = async {
            loop {
                yield_now().await;
            }
        };
        let outcome = scope.run(async {
            let mut deep: FuturesUnordered<_> = [never()].into_iter().collect();
            send.send((scope.clone(), round * 7 % 3000)).expect("it is there");
            let result = or(async { deep.next().await.expect("there is one") }, spins).await;
            told += 1;
            result
        });
        assert_eq!(outcome.await?, None);
    }
    drop(send);
    thread.join().expect("it does not panic");
    assert_eq!(told, ROUNDS, "an await was dropped untold");
    Ok(())
}

async fn c03_of_many_threads_one_reason_wins() -> Result<()> {
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        let barrier = Arc::new(Barrier::new(4));
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (scope, barrier) = (scope.clone(), barrier.clone());
                thread::spawn(move || {
                    barrier.wait();
                    scope.cancel(number.to_string());
                })
            })
            .collect();
        let first: Error = never().await.unwrap_err();
        threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
        assert_eq!(never().await.unwrap_err().mark(), first.mark());
        Err::<(), _>(first)
    });
    assert_eq!(outcome.await?, None);
    Ok(())
}

/// On the host's other threads, where it has some.
async fn c01_in_children_that_run_beside_the_tree() -> Result<()> {
    let (scope, log) = (CancelScope::new(), Log::default());
    let (started, mut starts) = channel::bounded(10);
    let outcome = scope.run(nursery(async |n| {
        for _ in 0..10 {
            let (log, started) = (log.clone(), started.clone());
            n.spawn_parallel(async move {
                started.send(()).await?;
                let cancel = never().await;
                shield(LONG, sleep(ms(5))).await?;
                log.add("cleaned up");
                cancel
            })?;
        }
        for _ in 0..10 {
            starts.recv().await?;
        }
        scope.cancel("test");
        never().await
    }));
    assert_eq!(outcome.await?, None::<()>);
    assert_eq!(log.take().len(), 10);
    Ok(())
}

/// Each value of a thread is taken once, by a task that is cancelled again and again.
async fn c02_nothing_is_lost_between_a_thread_and_a_task_that_is_cancelled() -> Result<()> {
    const COUNT: u32 = 500;
    let (sender, mut receiver) = channel::bounded(2);
    let thread = thread::spawn(move || {
        block_on(async {
            for number in 0..COUNT {
                sender.send(number).await.expect("somebody receives");
            }
        });
    });
    let mut taken = Vec::new();
    let mut ended = false;
    while !ended {
        let scope = CancelScope::new();
        scope
            .run(async {
                let cancels = async {
                    (0..taken.len() % 4).for_each(|_| thread::yield_now());
                    checkpoint().await?;
                    scope.cancel("again");
                    never().await.map(|()| None)
                };
                match or(receiver.recv(), cancels).await? {
                    Some(number) => taken.push(number),
                    None => ended = true,
                }
                Ok(())
            })
            .await?;
    }
    thread.join().expect("it does not panic");
    assert_eq!(taken, (0..COUNT).collect::<Vec<_>>());
    Ok(())
}

/// The only time that is measured: by whatever the host has for it.
async fn c07_deadlines_by_the_timers_of_the_host() -> Result<()> {
    let begun = Instant::now();
    let (outcome, took) = timed(move_on_after(ms(30), sleep(LONG))).await;
    assert!(outcome?.is_none() && took >= ms(30), "{took:?}");
    let (outcome, took) = timed(fail_after(ms(30), pending::<Result<()>>())).await;
    assert!(outcome.unwrap_err().is_timeout() && took >= ms(30), "{took:?}");
    assert_eq!(fail_after(LONG, async { sleep(ms(10)).await.map(|()| 2) }).await?, 2);
    let took = begun.elapsed();
    assert!(took >= ms(70) && took < LONG / 2, "{took:?}");
    Ok(())
}

async fn c07_a_deadline_that_another_thread_sets_is_heard_of() -> Result<()> {
    for after in [ms(0), ms(20)] {
        let scope = CancelScope::new().with_timeout(LONG);
        let outcome = scope.run(async {
            settle().await?;
            let setter = scope.clone();
            let thread = thread::spawn(move || setter.set_deadline(Some(Instant::now() + after)));
            let told = never().await;
            thread.join().expect("it does not panic");
            told
        });
        assert_eq!(outcome.await?, None);
    }
    Ok(())
}

async fn c08_children_that_run_beside_the_tree_have_left_with_it() -> Result<()> {
    let (ended, cleaned) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    nursery(async |n| {
        for _ in 0..20 {
            let (ended, cleaned) = (ended.clone(), cleaned.clone());
            n.spawn_parallel(async move {
                defer(async move {
                    let _ = sleep(ms(2)).await;
                    cleaned.fetch_add(1, Ordering::SeqCst);
                })?;
                let _gone = AtDrop::new(|| {
                    ended.fetch_add(1, Ordering::SeqCst);
                });
                sleep(ms(2)).await
            })?;
        }
        Ok(())
    })
    .await?;
    assert_eq!((ended.load(Ordering::SeqCst), cleaned.load(Ordering::SeqCst)), (20, 20));
    Ok(())
}

async fn c09_failures_of_children_that_run_beside_the_tree_are_all_told() -> Result<()> {
    const COUNT: usize = 5;
    let ready = Arc::new(AtomicUsize::new(0));
    let failure = nursery(async |n| {
        for _ in 0..COUNT {
            let ready = ready.clone();
            n.spawn_parallel(async move {
                ready.fetch_add(1, Ordering::SeqCst);
                // No runtime await: the first failure cannot cancel the rest.
                while ready.load(Ordering::SeqCst) < COUNT {
                    yield_now().await;
                }
                Err::<(), Error>(Failed("one of five").into())
            })?;
        }
        Ok(())
    });
    let failure = failure.await.unwrap_err();
    assert_eq!(failure.failures().len(), COUNT, "{failure:?}");
    Ok(())
}

async fn c10_a_child_that_would_run_beside_a_cancelled_tree_is_refused() -> Result<()> {
    let kept = nursery(async |n: Nursery<'static>| {
        n.cancel();
        assert!(n.spawn_parallel(async { Ok(()) }).unwrap_err().is_cancelled());
        Ok(n)
    });
    let refused = kept.await?.spawn_parallel(async { Ok(()) }).unwrap_err();
    assert!(refused.downcast_ref::<Closed>().is_some(), "{refused:?}");
    Ok(())
}

async fn c11_a_cancel_by_another_thread_ends_all() -> Result<()> {
    const COUNT: usize = 1000;
    let (scope, counter) = (CancelScope::new(), AtomicUsize::new(0));
    let outcome = scope.run(nursery(async |n| {
        for _ in 0..COUNT {
            let gone = AtDrop::new(|| {
                counter.fetch_add(1, Ordering::SeqCst);
            });
            n.spawn(async {
                let _gone = gone;
                never().await
            })?;
        }
        settle().await?;
        let canceller = scope.clone();
        let thread = thread::spawn(move || canceller.cancel("from another thread"));
        let told = never().await;
        thread.join().expect("it does not panic");
        told
    }));
    assert_eq!(outcome.await?, None);
    assert_eq!(counter.into_inner(), COUNT);
    Ok(())
}

async fn c14_a_panic_of_a_child_that_runs_beside_the_tree_is_its_failure() -> Result<()> {
    let failure = nursery(async |n| {
        n.spawn_parallel(async {
            if checkpoint().await.is_ok() {
                panic!("on purpose");
            }
            Ok(())
        })?;
        never().await
    });
    let failure = failure.await.unwrap_err();
    assert_eq!(failure.downcast_ref::<Panicked>().map(Panicked::message), Some("on purpose"));
    Ok(())
}

async fn a_child_is_started_by_another_thread() -> Result<()> {
    let (sender, mut receiver) = channel::bounded(1);
    let got = nursery(async |n: Nursery<'static>| {
        let thread = thread::spawn(move || n.spawn(async move { Ok(sender.send(7).await?) }).map(drop));
        let got = receiver.recv().await?;
        thread.join().expect("it does not panic")?;
        Ok(got)
    });
    assert_eq!(got.await?, Some(7));
    Ok(())
}
