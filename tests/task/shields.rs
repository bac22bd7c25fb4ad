//! What is kept from a cancel, and for how long: shields, finalizers, the grace (law C6).

use std::future::pending;

use pleach::Result;
use pleach::task::{CancelScope, checkpoint, defer, entrust, move_on_after, nursery, shield, sleep};

use crate::kit::{AtDrop, Log, is_cancel_of, ms, never, scenarios, settle, timed};

scenarios! {
    Virtual:
    c06_a_shield_is_lifted_after_its_max,
    c06_the_pending_cancel_is_met_at_the_first_await_after,
    c06_what_is_started_inside_is_shielded_too,
    c06_a_shield_does_not_keep_a_scope_inside_it_from_its_own_cancel,
    c06_no_shield_is_longer_than_the_grace,
    c06_the_grace_of_an_inner_scope_is_no_longer_than_that_of_the_outer,
    c06_a_finalizer_is_shielded_and_bounded,
    c06_what_was_entrusted_is_waited_for_and_bounded,
    c06_what_waits_for_others_is_dropped_after_the_linger,
}

async fn c06_a_shield_is_lifted_after_its_max() -> Result<()> {
    let scope = CancelScope::new();
    let (outcome, took) = timed(scope.run(async {
        sleep(ms(1000)).await?;
        shield(ms(50), async {
            sleep(ms(1000)).await?; // the bound does not run without a request
            scope.cancel("test");
            let told = sleep(ms(1000)).await;
            assert!(is_cancel_of(&told, &scope));
            Ok(())
        })
        .await?;
        checkpoint().await
    }))
    .await;
    assert_eq!((outcome?, took), (None, ms(2050)));
    Ok(())
}

async fn c06_the_pending_cancel_is_met_at_the_first_await_after() -> Result<()> {
    let (scope, log) = (CancelScope::new(), Log::default());
    let outcome = scope.run(async {
        scope.cancel("test");
        let value = shield(ms(200), async {
            sleep(ms(10)).await?;
            Ok("shielded")
        })
        .await?;
        log.add(value);
        checkpoint().await?;
        log.add("not reached");
        Ok(())
    });
    assert_eq!(outcome.await?, None);
    assert_eq!(log.take(), ["shielded"]);
    Ok(())
}

/// Whether the cancel is there before, or comes while they are at work.
async fn c06_what_is_started_inside_is_shielded_too() -> Result<()> {
    for early in [true, false] {
        let (scope, log) = (CancelScope::new(), Log::default());
        let outcome = scope.run(async {
            if early {
                scope.cancel("test");
            }
            let inside = nursery(async |n| {
                n.spawn(async {
                    sleep(ms(10)).await?;
                    move_on_after(ms(1000), sleep(ms(10))).await?;
                    log.add("the child");
                    Ok(())
                })?;
                sleep(ms(5)).await?;
                scope.cancel("test");
                Ok(())
            });
            shield(ms(200), inside).await?;
            log.add("after it");
            checkpoint().await?;
            log.add("not reached");
            Ok(())
        });
        assert_eq!(outcome.await?, None);
        assert_eq!(log.take(), ["the child", "after it"]);
    }
    Ok(())
}

async fn c06_a_shield_does_not_keep_a_scope_inside_it_from_its_own_cancel() -> Result<()> {
    let (outer, inner) = (CancelScope::new(), CancelScope::new());
    let outcome = outer.run(async {
        outer.cancel("outer");
        shield(ms(200), async {
            inner.cancel("inner");
            assert_eq!(inner.run(never()).await?, None);
            checkpoint().await // the shield holds
        })
        .await?;
        checkpoint().await
    });
    assert_eq!(outcome.await?, None);
    Ok(())
}

async fn c06_no_shield_is_longer_than_the_grace() -> Result<()> {
    let (scope, log) = (CancelScope::new().with_grace(ms(70)), Log::default());
    let (outcome, took) = timed(scope.run(nursery(async |n| {
        let gone = log.at_drop("child");
        n.spawn(async {
            let _gone = gone;
            shield(ms(10_000), never()).await
        })?;
        settle().await?;
        scope.cancel("test");
        shield(ms(10_000), never()).await
    })))
    .await;
    assert_eq!((outcome?, took), (None::<()>, ms(70)));
    assert_eq!(log.take(), ["child"]);
    Ok(())
}

async fn c06_the_grace_of_an_inner_scope_is_no_longer_than_that_of_the_outer() -> Result<()> {
    let (outer, inner) = (CancelScope::new().with_grace(ms(30)), CancelScope::new().with_grace(ms(5000)));
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
    }))
    .await;
    assert_eq!((outcome?, took), (None::<Option<()>>, ms(30)));
    Ok(())
}

async fn c06_a_finalizer_is_shielded_and_bounded() -> Result<()> {
    let (scope, log) = (CancelScope::new().with_grace(ms(300)), Log::default());
    let (outcome, took) = timed(scope.run(async {
        let (hangs, ends) = (log.at_drop("dropped"), log.clone());
        defer(async move {
            let _hangs = hangs;
            pending::<()>().await;
        })?;
        defer(async move {
            sleep(ms(10)).await.expect("no cancel reaches it");
            ends.add("ended");
        })?;
        scope.cancel("test");
        pending::<Result<()>>().await
    }))
    .await;
    assert_eq!((outcome?, took), (None, ms(300)));
    assert_eq!(log.take(), ["ended", "dropped"], "the last one first");
    Ok(())
}

async fn c06_what_was_entrusted_is_waited_for_and_bounded() -> Result<()> {
    for (takes, ends) in [(100, "ended"), (5000, "given up")] {
        let (scope, log) = (CancelScope::new().with_grace(ms(300)), Log::default());
        let (outcome, took) = timed(scope.run(async {
            let seen = log.clone();
            let _link = AtDrop::new(move || {
                let late = seen.at_drop("given up");
                let ends = async move {
                    sleep(ms(takes)).await.expect("no cancel reaches it");
                    seen.add("ended");
                    std::mem::forget(late);
                };
                assert!(entrust(ends).is_ok());
            });
            scope.cancel("test");
            pending::<Result<()>>().await
        }))
        .await;
        assert_eq!((outcome?, took), (None, ms(takes.min(300))));
        assert_eq!(log.take(), [ends]);
    }
    Ok(())
}

async fn c06_what_waits_for_others_is_dropped_after_the_linger() -> Result<()> {
    for (told, takes) in [(false, 0), (true, 20)] {
        let (scope, log) = (CancelScope::new().with_linger(ms(20)), Log::default());
        let (outcome, took) = timed(scope.run(async {
            let _gone = log.at_drop("dropped");
            scope.cancel("test");
            if told {
                assert!(checkpoint().await.is_err());
            }
            pending::<Result<()>>().await
        }))
        .await;
        assert_eq!((outcome?, took), (None, ms(takes)));
        assert_eq!(log.take(), ["dropped"]);
    }
    Ok(())
}
