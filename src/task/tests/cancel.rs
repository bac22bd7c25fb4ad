//! C1, C3, C5: what a cancel does to the awaits of a scope.

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::Poll;

use futures_util::future::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};

use super::*;
use crate::Error;
use crate::error::{Closed, Mark, Reason};
use crate::task::outcome::cancelled;
use crate::task::{Wait, clock, fail_after, move_on_after, nursery, sleep};

/// Runs `strand` in a scope and cancels that scope when everybody waits.
fn cancelled_run<T, F: Future<Output = Result<T>>>(strand: impl FnOnce(CancelScope) -> F) -> Result<Option<T>> {
    let scope = CancelScope::new();
    let canceller = scope.clone();
    let work = strand(scope.clone());
    virtually(scope.run(async {
        let (outcome, ()) = futures_util::future::join(work, async {
            settle().await.unwrap();
            canceller.cancel("test");
        })
        .await;
        outcome
    }))
}

#[test]
fn c01_select() {
    let told = Log::default();
    let outcome = cancelled_run(async |scope| {
        for round in 0..3 {
            let either = futures_lite::future::or(never(), sleep(ms(10_000))).await;
            assert!(is_cancel_of(&either, &scope), "round {round}");
            told.add("told");
        }
        Ok(())
    });
    assert_eq!(outcome.unwrap(), Some(()));
    assert_eq!(told.take().len(), 3);
}

#[test]
fn c01_join() {
    let outcome = cancelled_run(async |scope| {
        let (first, second) = futures_util::future::join(never(), async {
            assert!(is_cancel_of(&never().await, &scope));
            never().await
        })
        .await;
        assert!(is_cancel_of(&first, &scope) && is_cancel_of(&second, &scope));
        first
    });
    assert_eq!(outcome.unwrap(), None, "absorbed");
}

#[test]
fn c01_futures_unordered() {
    let outcome = cancelled_run(async |scope| {
        let mut all: FuturesUnordered<_> = (0..40).map(|_| never()).collect();
        let mut told = 0;
        while let Some(result) = all.next().await {
            assert!(is_cancel_of(&result, &scope));
            told += 1;
        }
        Ok(told)
    });
    assert_eq!(outcome.unwrap(), Some(40));
}

#[test]
fn c01_futures_unordered_nested() {
    let outcome = cancelled_run(async |scope| {
        let inner = || async {
            let all: FuturesUnordered<_> = (0..5).map(|_| never()).collect();
            all.collect::<Vec<_>>().await
        };
        let outer: FuturesUnordered<_> = (0..8).map(|_| inner()).collect();
        let results: Vec<_> = outer.collect::<Vec<_>>().await.into_iter().flatten().collect();
        assert!(results.iter().all(|result| is_cancel_of(result, &scope)));
        Ok(results.len())
    });
    assert_eq!(outcome.unwrap(), Some(40));
}

#[test]
fn c01_polled_once_and_set_aside() {
    let outcome = cancelled_run(async |scope| {
        let mut aside = Box::pin(never());
        assert!(poll_fn(|cx| Poll::Ready(aside.as_mut().poll(cx))).await.is_pending());
        assert!(is_cancel_of(&never().await, &scope));
        assert!(is_cancel_of(&aside.await, &scope));
        Ok(())
    });
    assert_eq!(outcome.unwrap(), Some(()));
}

#[test]
fn c01_shared_across_two_strands() {
    let scope = CancelScope::new();
    let told = AtomicUsize::new(0);
    let outcome = virtually(scope.run(nursery(async |n| {
        let shared = async { never().await.map_err(|error| error.mark().unwrap().clone()) }.boxed().shared();
        for _ in 0..2 {
            let (shared, told) = (shared.clone(), &told);
            n.spawn(async move {
                let mark = shared.await.unwrap_err();
                told.fetch_add(1, Ordering::SeqCst);
                Err::<(), _>(cancelled(mark))
            })?;
        }
        settle().await?;
        scope.cancel("test");
        Ok(())
    })));
    assert_eq!(outcome.unwrap(), None);
    assert_eq!(told.load(Ordering::SeqCst), 2);
}

#[test]
fn c05_a_cancel_shared_with_another_scope_is_a_failure_there() {
    let inner = CancelScope::new();
    let outcome = virtually(nursery(async |n| {
        let shared = async { never().await.map_err(|error| error.mark().unwrap().clone()) }.boxed().shared();
        let (mine, theirs, scope) = (shared.clone(), shared, inner.clone());
        n.spawn(async move { scope.run(async { mine.await.map_err(cancelled) }).await })?;
        n.spawn(async move { theirs.await.map_err(cancelled) })?;
        settle().await?;
        inner.cancel("only one of them");
        Ok(())
    }));
    let stray = outcome.unwrap_err();
    assert!(!stray.is_cancelled(), "{stray:?}");
    assert_eq!(stray.mark().unwrap().scope, inner.id());
}

#[test]
fn c01_executor_inside_a_strand() {
    let outcome = cancelled_run(async |scope| {
        let executor = async_executor::LocalExecutor::new();
        let tasks: Vec<_> = (0..1000).map(|_| executor.spawn(never())).collect();
        executor
            .run(async {
                for task in tasks {
                    assert!(is_cancel_of(&task.await, &scope));
                }
            })
            .await;
        Ok(())
    });
    assert_eq!(outcome.unwrap(), Some(()));
}

/// The await that must be told stands in a queue behind a thousand tasks that never wait; the executor polls 200 a turn.
#[test]
fn c01_executor_inside_a_strand_that_is_busy() {
    let outcome = cancelled_run(async |scope| {
        let executor = async_executor::LocalExecutor::new();
        let busy = || async {
            loop {
                futures_lite::future::yield_now().await;
            }
        };
        let _busy: Vec<async_executor::Task<()>> = (0..1000).map(|_| executor.spawn(busy())).collect();
        let told = executor.run(executor.spawn(never())).await;
        assert!(is_cancel_of(&told, &scope));
        Ok(())
    });
    assert_eq!(outcome.unwrap(), Some(()), "it was told before it was dropped");
}

#[test]
fn c01_cancel_from_the_strand_itself() {
    let scope = CancelScope::new();
    let outcome = virtually(scope.run(async {
        scope.cancel("from inside");
        for _ in 0..3 {
            assert!(is_cancel_of(&never().await, &scope));
        }
        checkpoint().await
    }));
    assert_eq!(outcome.unwrap(), None);
}

#[test]
fn c01_cancel_from_drop() {
    let scope = CancelScope::new();
    let canceller = scope.clone();
    let outcome = virtually(scope.run(nursery(async |n| {
        let child = n.spawn(never())?;
        let guard = AtDrop::new(move || canceller.cancel("from a drop"));
        n.spawn(async move {
            let _guard = guard;
            settle().await
        })?;
        let told = child.join().await;
        assert!(is_cancel_of(&told, &scope));
        told
    })));
    assert_eq!(outcome.unwrap(), None);
}

#[test]
fn c01_cancel_from_another_thread_during_a_poll() {
    for deep in [false, true] {
        let scope = CancelScope::new();
        let barrier = Arc::new(Barrier::new(2));
        let (canceller, meet) = (scope.clone(), barrier.clone());
        let thread = std::thread::spawn(move || {
            meet.wait();
            canceller.cancel("from another thread");
            meet.wait();
        });
        let outcome = really(scope.run(async {
            let mut first = true;
            let spins = poll_fn(move |_| {
                if std::mem::take(&mut first) {
                    barrier.wait();
                    barrier.wait(); // the cancel has come in the middle of this poll
                }
                Poll::Ready(())
            });
            spins.await;
            if deep {
                let mut all: FuturesUnordered<_> = [never()].into_iter().collect();
                all.next().await.unwrap()
            } else {
                never().await
            }
        }));
        assert_eq!(outcome.unwrap(), None);
        thread.join().unwrap();
    }
}

/// A strand that spins, awaits behind three wakers, and a thread that cancels it at some point: it is told each time.
#[test]
fn c01_race_across_threads() {
    let told = AtomicUsize::new(0);
    let (send, receive) = std::sync::mpsc::channel::<(CancelScope, usize)>();
    let thread = std::thread::spawn(move || {
        for (scope, spins) in receive {
            (0..spins).for_each(|_| std::hint::spin_loop());
            scope.cancel("race");
        }
    });
    for round in 0..2000 {
        let scope = CancelScope::new().with_grace(ms(20_000)).with_linger(ms(10_000));
        let outcome = really(scope.run(async {
            let deep = || async {
                let mut inner: FuturesUnordered<_> = [never().boxed()].into_iter().collect();
                inner.next().await.unwrap()
            };
            let mut outer: FuturesUnordered<_> = [deep().boxed()].into_iter().collect();
            // Inner scopes, set aside: a request goes to them first, which gives the strand time to be polled meanwhile.
            let mut aside: Vec<_> = (0..20).map(|_| Box::pin(CancelScope::new().run(never()))).collect();
            for scope in &mut aside {
                assert!(futures_lite::future::poll_once(scope).await.is_none());
            }
            send.send((scope.clone(), round * 7 % 3000)).unwrap();
            // Polled without a pause, so that the cancel comes at any place of a poll.
            let spin = async {
                loop {
                    futures_lite::future::yield_now().await;
                }
            };
            let result = futures_lite::future::or(async { outer.next().await.unwrap() }, spin).await;
            told.fetch_add(1, Ordering::SeqCst);
            result
        }));
        assert_eq!(outcome.unwrap(), None);
    }
    drop(send);
    thread.join().unwrap();
    assert_eq!(told.load(Ordering::SeqCst), 2000, "an await was dropped untold");
}

#[test]
fn c01_a_loop_that_swallows_ends() {
    let scope = CancelScope::new();
    let rounds = AtomicUsize::new(0);
    let (outcome, took) = virtually(async {
        let start = clock::now();
        let outcome = scope.run(async {
            scope.cancel("test");
            loop {
                let _: Result<()> = never().await;
                assert!(rounds.fetch_add(1, Ordering::SeqCst) < 10_000, "the grace does not end");
            }
            #[allow(unreachable_code)]
            Ok(())
        });
        (outcome.await, clock::now() - start)
    });
    assert_eq!(outcome.unwrap(), None);
    assert!((ms(299)..ms(305)).contains(&took), "the test grace is 300 ms, it took {took:?}");
    assert!((1000..1400).contains(&rounds.load(Ordering::SeqCst)), "{rounds:?}: fast, then slow");
}

/// The same where all awaits are one object's: the reads of a stream.
#[test]
fn c01_a_loop_that_swallows_with_one_wait_ends() {
    let scope = CancelScope::new();
    let rounds = AtomicUsize::new(0);
    let mut wait = Wait::default();
    let outcome = virtually(scope.run(async {
        scope.cancel("test");
        loop {
            let told: Result<()> = poll_fn(|cx| wait.check(cx)).await;
            assert!(told.is_err());
            assert!(rounds.fetch_add(1, Ordering::SeqCst) < 10_000, "the grace does not end");
        }
        #[allow(unreachable_code)]
        Ok(())
    }));
    assert_eq!(outcome.unwrap(), None);
    assert!((1000..1400).contains(&rounds.load(Ordering::SeqCst)), "{rounds:?}: fast, then slow");
}

#[test]
fn c03_the_first_reason_wins() {
    let scope = CancelScope::new();
    let outcome = virtually(scope.run(async {
        scope.request(Reason::PeerGone);
        scope.cancel("too late");
        let seen = never().await.unwrap_err().mark().unwrap().clone();
        assert_eq!(seen, Mark { scope: scope.id(), reason: Reason::PeerGone });
        scope.request(Reason::Shutdown);
        assert_eq!(never().await.unwrap_err().mark(), Some(&seen));
        Ok(())
    }));
    assert_eq!(outcome.unwrap(), Some(()));
}

#[test]
fn c03_a_cancel_after_completion_is_a_no_op() {
    let scope = CancelScope::new();
    assert_eq!(virtually(scope.run(async { Ok(1) })).unwrap(), Some(1));
    scope.cancel("too late");
    assert!(!scope.is_cancelled());
    let again = virtually(scope.run(async { Ok(2) })).unwrap_err();
    assert!(again.is_misuse());
}

#[test]
fn c03_a_cancel_before_the_run_is_met_at_the_first_await() {
    let (scope, log) = (CancelScope::new(), Log::default());
    scope.cancel("early");
    let outcome = virtually(scope.run(async {
        log.add("started");
        checkpoint().await?;
        log.add("not reached");
        Ok(())
    }));
    assert_eq!(outcome.unwrap(), None);
    assert_eq!(log.take(), ["started"]);
}

#[test]
fn c05_a_scope_absorbs_its_own_cancel_and_no_other() {
    let (outer, inner) = (CancelScope::new(), CancelScope::new());
    let outcome = virtually(outer.run(async {
        inner.cancel("inner");
        assert_eq!(inner.run(never()).await?, None);
        checkpoint().await?; // the outer scope is untouched
        let other = CancelScope::new();
        outer.cancel("outer");
        let passed = other.run(never()).await;
        assert!(is_cancel_of(&passed, &outer));
        passed
    }));
    assert_eq!(outcome.unwrap(), None);
}

#[derive(Debug)]
struct Wrapped(Box<dyn std::error::Error + Send + Sync>);
impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "wrapped")
    }
}
impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

#[test]
fn c05_absorbs_also_when_wrapped() {
    let wrap: [fn(Error) -> Error; 4] = [
        |error| error,
        |error| error.context("while testing"),
        |error| Wrapped(error.into_boxed()).into(),
        |error| std::io::Error::other(error.into_boxed()).into(),
    ];
    for wrap in wrap {
        let scope = CancelScope::new();
        scope.cancel("test");
        assert_eq!(virtually(scope.run(async { never().await.map_err(wrap) })).unwrap(), None);
    }
}

#[test]
fn c05_a_group_loses_only_its_cancelled_leaves() {
    let scope = CancelScope::new();
    let outcome = virtually(scope.run(async {
        scope.cancel("test");
        let own = never().await.unwrap_err();
        let failures = vec![Failed("one").into(), own, Failed("two").into()];
        Err::<(), _>(crate::error::Group(failures).into())
    }));
    let left = outcome.unwrap_err();
    let left: Vec<_> = left.failures().iter().map(ToString::to_string).collect();
    assert_eq!(left, ["one", "two"]);
}

#[test]
fn r3_a_strand_in_a_foreign_await_is_dropped() {
    let (scope, log) = (CancelScope::new(), Log::default());
    let took = virtually(async {
        let start = clock::now();
        let outcome = scope.run(async {
            let _gone = log.at_drop("dropped");
            scope.cancel("test");
            pending::<Result<()>>().await
        });
        assert_eq!(outcome.await.unwrap(), None);
        clock::now() - start
    });
    assert_eq!(log.take(), ["dropped"]);
    assert_eq!(took, ms(0), "nothing to wait for");
}

#[test]
fn r2_a_value_that_is_ready_is_not_taken_by_a_cancelled_receive() {
    let (sender, mut receiver) = crate::task::channel::bounded(1);
    sender.try_send(7).unwrap();
    let scope = CancelScope::new();
    scope.cancel("test");
    assert_eq!(virtually(scope.run(async { receiver.recv().await })).unwrap(), None);
    assert_eq!(receiver.try_recv(), Some(7));
}

#[test]
fn r5_what_has_happened_wins_over_the_cancel() {
    let scope = CancelScope::new();
    let ready = AtomicBool::new(false);
    let outcome = virtually(scope.run(async {
        let foreign = poll_fn(|_| if ready.load(Ordering::SeqCst) { Poll::Ready(7) } else { Poll::Pending });
        let (value, ()) = futures_util::future::join(cancellable(foreign), async {
            settle().await.unwrap();
            ready.store(true, Ordering::SeqCst);
            scope.cancel("at the same moment");
        })
        .await;
        assert_eq!(value.unwrap(), 7);
        let log = Log::default();
        assert!(cancellable(async { log.add("started") }).await.is_err());
        assert!(log.take().is_empty(), "not started any more");
        Ok(())
    }));
    assert_eq!(outcome.unwrap(), Some(()));
}

#[test]
fn c07_the_inner_deadline_does_not_outlive_the_outer() {
    let (outcome, took) = virtually(async {
        let start = clock::now();
        let inner = fail_after(ms(5000), sleep(ms(10_000)));
        (move_on_after(ms(50), inner).await, clock::now() - start)
    });
    assert_eq!((outcome.unwrap(), took), (None, ms(50)));
}

#[test]
fn runtime_awaits_work_outside_every_strand() {
    let scope = CancelScope::new();
    scope.cancel("nobody is in it");
    virtually(async {
        checkpoint().await.unwrap();
        sleep(ms(5)).await.unwrap();
    });
    assert!(Error::from(Closed).mark().is_none());
}
