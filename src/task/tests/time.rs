//! Grace, linger, shields and the tail of a strand, on virtual time (R4, R6, R7).

use std::future::pending;
use std::time::Instant;

use futures_util::future::join;

use super::*;
use crate::task::{clock, defer, entrust, fail_after, move_on_after, nursery, shield, sleep};

/// Runs it on virtual time and says how long it took there.
fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    virtually(async {
        let start = clock::now();
        let output = future.await;
        (output, clock::now() - start)
    })
}

/// A foreign await that takes its time: no cancel is delivered in it.
async fn foreign(after: Duration) {
    let until = clock::now() + after;
    let mut alarm = clock::Alarm::at(until);
    std::future::poll_fn(move |cx| alarm.poll(cx)).await;
}

#[test]
#[should_panic(expected = "deadlock on virtual time")]
fn virtual_time_says_so_when_nothing_can_happen_any_more() {
    virtually(pending::<()>());
}

#[test]
fn virtual_time_jumps_and_keeps_the_order_of_timers() {
    let log = Log::default();
    let (outcome, took) = timed(nursery(async |n| {
        for after in [3, 1, 2] {
            let log = log.clone();
            n.spawn(async move {
                sleep(Duration::from_secs(after * 3600)).await?;
                log.add(after.to_string());
                Ok(())
            })?;
        }
        Ok(())
    }));
    outcome.unwrap();
    assert_eq!((log.take(), took), (vec!["1".into(), "2".into(), "3".into()], Duration::from_secs(3 * 3600)));
}

#[test]
fn c07_deadlines() {
    let (outcome, took) = timed(move_on_after(ms(50), async {
        sleep(ms(500)).await?;
        Ok(1)
    }));
    assert_eq!((outcome.unwrap(), took), (None, ms(50)));
    let (outcome, took) = timed(fail_after(ms(50), sleep(ms(500))));
    assert!(outcome.unwrap_err().is_timeout());
    assert_eq!(took, ms(50));
    assert_eq!(virtually(fail_after(ms(50), async { Ok(2) })).unwrap(), 2);
}

#[test]
fn r4_a_strand_that_was_told_lingers_in_foreign_awaits() {
    for (after, ends) in [(ms(15), true), (ms(50), false)] {
        let (scope, log) = (CancelScope::new(), Log::default());
        let (outcome, took) = timed(scope.run(async {
            scope.cancel("test");
            let told = never().await;
            foreign(after).await;
            log.add("cleaned up");
            told
        }));
        assert_eq!(outcome.unwrap(), None);
        assert_eq!(log.take().len(), usize::from(ends));
        assert_eq!(took, after.min(ms(20)), "the test linger is 20 ms");
    }
}

#[test]
fn r4_the_linger_stands_while_an_inner_scope_unwinds() {
    let (scope, log) = (CancelScope::new(), Log::default());
    let (outcome, took) = timed(scope.run(async {
        scope.cancel("test");
        let _ = never().await;
        let inner = shield(ms(200), sleep(ms(100)));
        let (inner, ()) = join(inner, async {
            foreign(ms(110)).await;
            log.add("foreign");
        })
        .await;
        inner
    }));
    // The shield ended after 100 ms; the foreign await had 20 ms from then on.
    assert_eq!((outcome.unwrap(), took), (Some(()), ms(110)));
    assert_eq!(log.take(), ["foreign"]);
}

#[test]
fn r6_everything_is_dropped_at_the_end_of_the_grace() {
    let (scope, log) = (CancelScope::new().with_grace(ms(70)), Log::default());
    let (outcome, took) = timed(scope.run(nursery(async |n| {
        let gone = log.at_drop("child");
        n.spawn(async move {
            let _gone = gone;
            shield(ms(10_000), never()).await
        })?;
        settle().await?;
        scope.cancel("test");
        shield(ms(10_000), never()).await
    })));
    assert_eq!((outcome.unwrap(), took), (None, ms(70)));
    assert_eq!(log.take(), ["child"]);
}

#[test]
fn r6_the_grace_of_an_inner_scope_cannot_outlast_the_outer() {
    let outer = CancelScope::new().with_grace(ms(30));
    let inner = CancelScope::new().with_grace(ms(5000));
    let (outcome, took) = timed(outer.run(async {
        inner.cancel("inner first");
        inner
            .run(async {
                outer.cancel("then outer");
                for _ in 0..10_000 {
                    let _: Result<()> = never().await;
                }
                panic!("the grace does not end")
            })
            .await
    }));
    assert_eq!((outcome.unwrap(), took), (None::<Option<()>>, ms(30)));
}

#[test]
fn c06_a_shield_is_lifted_after_its_max() {
    let scope = CancelScope::new();
    let (outcome, took) = timed(scope.run(async {
        sleep(ms(1000)).await?; // the bound does not run without a request
        shield(ms(50), async {
            sleep(ms(1000)).await?;
            scope.cancel("test");
            let told = sleep(ms(1000)).await;
            assert!(is_cancel_of(&told, &scope));
            Ok(())
        })
        .await?;
        checkpoint().await
    }));
    assert_eq!((outcome.unwrap(), took), (None, ms(2050)));
}

#[test]
fn c06_the_pending_cancel_is_met_at_the_first_await_after_a_shield() {
    let (scope, log) = (CancelScope::new(), Log::default());
    let outcome = virtually(scope.run(async {
        scope.cancel("test");
        let value = shield(ms(200), async {
            sleep(ms(10)).await?;
            checkpoint().await?;
            Ok(7)
        })
        .await?;
        log.add(value.to_string());
        checkpoint().await?;
        log.add("not reached");
        Ok(())
    }));
    assert_eq!(outcome.unwrap(), None);
    assert_eq!(log.take(), ["7"]);
}

#[test]
fn r6_finalizers_run_in_reverse_also_when_the_strand_was_dropped() {
    let (scope, log) = (CancelScope::new(), Log::default());
    let outcome = virtually(scope.run(async {
        let _gone = log.at_drop("body");
        for name in ["first", "second"] {
            let log = log.clone();
            defer(async move {
                sleep(ms(10)).await.expect("shielded");
                log.add(name);
            })?;
        }
        scope.cancel("test");
        pending::<Result<()>>().await
    }));
    assert_eq!(outcome.unwrap(), None);
    assert_eq!(log.take(), ["body", "second", "first"]);
}

#[test]
fn r6_a_finalizer_that_hangs_is_bounded_by_one_grace() {
    for cancel in [false, true] {
        let (scope, log) = (CancelScope::new(), Log::default());
        let (outcome, took) = timed(scope.run(nursery(async |n| {
            let gone = log.at_drop("dropped");
            n.spawn(async move {
                defer(async move {
                    let _gone = gone;
                    pending::<()>().await;
                })
            })?;
            if cancel {
                settle().await?;
                foreign(ms(100)).await;
                scope.cancel("test");
            }
            Ok(())
        })));
        assert_eq!((outcome.unwrap(), took), (Some(()), ms(300)));
        assert_eq!(log.take(), ["dropped"]);
    }
    assert!(defer(async {}).unwrap_err().is_misuse());
}

/// Entrusts something that takes `after` when it is dropped.
fn entrusts_at_drop(log: &Log, after: Duration) -> AtDrop<impl FnOnce() + use<>> {
    let log = log.clone();
    AtDrop::new(move || {
        let ended = entrust(async move {
            let gone = log.at_drop("given up");
            sleep(after).await.expect("no cancel reaches it");
            log.add("ended");
            std::mem::forget(gone);
        });
        assert!(ended.is_ok());
    })
}

#[test]
fn r7_a_scope_waits_for_what_was_entrusted_to_its_strand() {
    for cancel in [false, true] {
        let (scope, log) = (CancelScope::new(), Log::default());
        let (outcome, took) = timed(scope.run(async {
            let _link = entrusts_at_drop(&log, ms(100));
            if cancel {
                scope.cancel("test");
                pending::<()>().await;
            }
            Ok(())
        }));
        assert_eq!((outcome.unwrap().is_none(), took), (cancel, ms(100)));
        assert_eq!(log.take(), ["ended"]);
    }
}

#[test]
fn r7_what_is_entrusted_runs_beside_its_strand() {
    let log = Log::default();
    let (outcome, took) = timed(CancelScope::new().run(async {
        drop(entrusts_at_drop(&log, ms(10)));
        foreign(ms(50)).await;
        log.add("strand");
        Ok(())
    }));
    assert_eq!((outcome.unwrap(), took), (Some(()), ms(50)));
    assert_eq!(log.take(), ["ended", "strand"]);
}

#[test]
fn r7_entrusted_moves_to_the_strand_around_when_its_own_is_dropped_from_outside() {
    let log = Log::default();
    let (outcome, took) = timed(CancelScope::new().run(async {
        let inner = CancelScope::new();
        let mut work = Box::pin(inner.run(nursery(async |n| {
            let link = entrusts_at_drop(&log, ms(100));
            n.spawn(async move {
                let _link = link;
                never().await
            })?;
            drop(entrusts_at_drop(&log, ms(50))); // held by the body already
            never().await
        })));
        assert!(futures_lite::future::poll_once(&mut work).await.is_none());
        drop(work);
        log.add("dropped from outside");
        Ok(())
    }));
    assert_eq!((outcome.unwrap(), took), (Some(()), ms(100)));
    assert_eq!(log.take(), ["dropped from outside", "ended", "ended"]);
}

#[test]
fn r7_entrusted_is_bounded_by_the_grace() {
    for cancel in [false, true] {
        let (scope, log) = (CancelScope::new(), Log::default());
        let (outcome, took) = timed(scope.run(async {
            let _link = entrusts_at_drop(&log, ms(5000));
            if cancel {
                scope.cancel("test");
                foreign(ms(0)).await;
                let _ = never().await;
            }
            Ok(())
        }));
        assert_eq!((outcome.unwrap(), took), (Some(()), ms(300)));
        assert_eq!(log.take(), ["given up"]);
    }
}

#[test]
fn r7_outside_every_strand_it_comes_back() {
    assert!(entrust(async {}).is_err());
}

#[test]
fn a_request_from_a_thread_with_another_clock_is_stamped_by_the_strands_own() {
    let scope = CancelScope::new();
    let canceller = scope.clone();
    std::thread::spawn(move || canceller.cancel("real time")).join().unwrap();
    let (outcome, took) = timed(async {
        sleep(Duration::from_secs(3600)).await.unwrap();
        let start: Instant = clock::now();
        let outcome = scope.run(shield(ms(10_000), never())).await;
        (outcome, clock::now() - start)
    });
    assert_eq!(outcome.0.unwrap(), None);
    assert_eq!((outcome.1, took), (ms(300), Duration::from_secs(3600) + ms(300)));
}
