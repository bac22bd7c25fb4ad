//! Deadlines, and the clock behind them (law C7).

use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join;
use pleach::Result;
use pleach::task::time::Clock;
use pleach::task::{
    CancelScope, VirtualClock, cancellable, checkpoint, clock, current_effective_deadline, fail_after, fail_at,
    move_on_after, move_on_at, nursery, shield, sleep, sleep_until,
};
use pleach::testing::wait_all_blocked;

use crate::kit::{Log, ms, never, scenarios, timed};

scenarios! {
    Virtual:
    c07_the_end_of_a_time_is_a_none_or_a_failure,
    c07_an_inner_deadline_does_not_outlive_the_outer,
    c07_a_time_in_the_past_is_over_at_the_first_await,
    c07_a_timeout_counts_from_the_first_poll,
    c07_a_deadline_can_be_moved_while_it_runs,
    c07_a_deadline_that_comes_after_the_end_is_none,
    c07_a_deadline_that_is_moved_often_is_the_last_one,
    c07_a_checkpoint_sees_a_deadline_that_has_passed,
    c07_the_effective_deadline_is_the_soonest_up_to_a_shield,
    c07_the_unwinding_comes_on_top,
    c07_sleepers_wake_in_the_order_of_their_times,
    the_time_stands_while_anybody_has_something_to_do,
    all_are_blocked_when_nobody_has_anything_to_do;
    Real:
    the_time_is_that_of_whoever_polls,
}

async fn c07_the_end_of_a_time_is_a_none_or_a_failure() -> Result<()> {
    let (outcome, took) = timed(move_on_after(ms(50), sleep(ms(500)))).await;
    assert_eq!((outcome?, took), (None, ms(50)));
    let (outcome, took) = timed(fail_after(ms(50), sleep(ms(500)))).await;
    assert!(outcome.unwrap_err().is_timeout());
    assert_eq!(took, ms(50));
    let at = clock::now() + ms(50);
    assert!(fail_at(at, pending::<Result<()>>()).await.unwrap_err().is_timeout());
    assert_eq!(clock::now(), at);
    assert_eq!(move_on_at(at, never()).await?, None);
    assert_eq!(fail_after(ms(50), async { sleep(ms(49)).await.map(|()| 2) }).await?, 2);
    Ok(())
}

async fn c07_an_inner_deadline_does_not_outlive_the_outer() -> Result<()> {
    let inner = fail_after(ms(5000), nursery(async |n| n.spawn(fail_after(ms(9000), sleep(ms(10_000)))).map(drop)));
    let (outcome, took) = timed(move_on_after(ms(50), inner)).await;
    assert_eq!((outcome?, took), (None, ms(50)));
    Ok(())
}

async fn c07_a_time_in_the_past_is_over_at_the_first_await() -> Result<()> {
    let log = Log::default();
    let past = clock::now();
    sleep(ms(10)).await?;
    for limited in [CancelScope::new().with_deadline(past), CancelScope::new().with_timeout(ms(0))] {
        let outcome = limited.run(async {
            log.add("started");
            checkpoint().await?;
            log.add("not reached");
            Ok(())
        });
        assert_eq!(outcome.await?, None);
    }
    assert_eq!(log.take(), ["started", "started"]);
    sleep_until(past).await
}

async fn c07_a_timeout_counts_from_the_first_poll() -> Result<()> {
    let scope = CancelScope::new().with_timeout(ms(50));
    let (early, other) = (move_on_after(ms(50), never()), scope.run(never()));
    sleep(ms(1000)).await?;
    let (outcomes, took) = timed(join(early, other)).await;
    assert_eq!((outcomes.0?, outcomes.1?, took), (None, None, ms(50)));
    Ok(())
}

async fn c07_a_deadline_can_be_moved_while_it_runs() -> Result<()> {
    let (scope, begun) = (CancelScope::new().with_timeout(ms(100)), clock::now());
    let outcome = scope.run(async {
        sleep(ms(90)).await?;
        scope.set_deadline(Some(begun + ms(1000)));
        sleep(ms(500)).await?;
        scope.set_deadline(None);
        sleep(ms(5000)).await?;
        scope.set_deadline(Some(begun + ms(10))); // long ago
        assert!(checkpoint().await.is_err());
        scope.set_deadline(None); // a cancel is not taken back
        checkpoint().await
    });
    let (outcome, took) = timed(outcome).await;
    assert_eq!((outcome?, took), (None, ms(5590)));
    Ok(())
}

async fn c07_a_deadline_that_comes_after_the_end_is_none() -> Result<()> {
    let scope = CancelScope::new().with_timeout(ms(50));
    assert_eq!(scope.run(async { sleep(ms(49)).await.map(|()| "in time") }).await?, Some("in time"));
    sleep(ms(100)).await?;
    assert!(!scope.cancel_called() && !scope.is_cancelled());
    checkpoint().await
}

async fn c07_a_deadline_that_is_moved_often_is_the_last_one() -> Result<()> {
    let (scope, begun) = (CancelScope::new(), clock::now());
    let (outcome, took) = timed(scope.run(async {
        for number in 1..2000 {
            scope.set_deadline(Some(begun + ms(10_000 - number)));
            scope.set_deadline(Some(begun + ms(100)));
        }
        never().await
    }))
    .await;
    assert_eq!((outcome?, took, scope.deadline()), (None, ms(100), Some(begun + ms(100))));
    Ok(())
}

/// The time goes on while nobody waits.
async fn c07_a_checkpoint_sees_a_deadline_that_has_passed() -> Result<()> {
    let by_hand = VirtualClock::new();
    let time: Arc<dyn Clock> = Arc::new(by_hand.clone());
    let entered = clock::enter(&time);
    let scope = CancelScope::new().with_deadline(clock::now() + ms(5000));
    drop(entered);
    let work = scope.run(async {
        checkpoint().await?;
        by_hand.advance(ms(10_000));
        checkpoint().await
    });
    assert_eq!(by_hand.hosted(work).await?, None);
    Ok(())
}

async fn c07_the_effective_deadline_is_the_soonest_up_to_a_shield() -> Result<()> {
    let begun = clock::now();
    let left = move || current_effective_deadline().map(|at| at - begun);
    assert_eq!(left(), None);
    let (outer, inner) = (CancelScope::new().with_timeout(ms(5000)), CancelScope::new().with_timeout(ms(10_000)));
    let outcome = outer.run(inner.run(async {
        assert_eq!(left(), Some(ms(5000)));
        inner.set_deadline(Some(begun + ms(3000)));
        assert_eq!(left(), Some(ms(3000)));
        inner.set_deadline(Some(begun + ms(10_000)));
        assert_eq!(shield(ms(10), async { Ok(left()) }).await?, None);
        outer.cancel("now");
        assert_eq!(left(), Some(ms(0)));
        checkpoint().await
    }));
    assert_eq!(outcome.await?, None);
    assert_eq!(left(), None);
    Ok(())
}

async fn c07_the_unwinding_comes_on_top() -> Result<()> {
    let work = async {
        let told = sleep(ms(1000)).await;
        shield(ms(1000), sleep(ms(30))).await?;
        told
    };
    let (outcome, took) = timed(fail_after(ms(50), work)).await;
    assert!(outcome.unwrap_err().is_timeout());
    assert_eq!(took, ms(80));
    Ok(())
}

async fn c07_sleepers_wake_in_the_order_of_their_times() -> Result<()> {
    let log = Log::default();
    let (outcome, took) = timed(nursery(async |n| {
        for hours in [3, 1, 2] {
            let log = log.clone();
            n.spawn(async move {
                sleep(ms(hours * 3_600_000)).await?;
                log.add(hours.to_string());
                Ok(())
            })?;
        }
        Ok(())
    }))
    .await;
    outcome?;
    assert_eq!((log.take().concat().as_str(), took), ("123", ms(3 * 3_600_000)));
    Ok(())
}

async fn the_time_stands_while_anybody_has_something_to_do() -> Result<()> {
    let begun = clock::now();
    nursery(async |n| {
        n.spawn(sleep(ms(10)))?;
        for _ in 0..100 {
            checkpoint().await?;
            assert_eq!(clock::now(), begun);
        }
        wait_all_blocked().await?;
        assert_eq!(clock::now(), begun);
        Ok(())
    })
    .await?;
    assert_eq!(clock::now(), begun + ms(10));
    Ok(())
}

async fn all_are_blocked_when_nobody_has_anything_to_do() -> Result<()> {
    let log = Log::default();
    let wait = async || wait_all_blocked().await.map(|()| log.add("quiet"));
    nursery(async |n| {
        n.spawn(async {
            for _ in 0..20 {
                checkpoint().await?;
            }
            log.add("busy no more");
            sleep(ms(10)).await?;
            log.add("late");
            Ok(())
        })?;
        n.spawn(wait())?;
        n.spawn(wait())?;
        Ok(())
    })
    .await?;
    assert_eq!(log.take(), ["busy no more", "quiet", "quiet", "late"]);
    let scope = CancelScope::new();
    scope.cancel("test");
    assert_eq!(scope.run(wait()).await?, None);
    Ok(())
}

async fn the_time_is_that_of_whoever_polls() -> Result<()> {
    let before = Instant::now();
    cancellable(async {}).await?;
    assert!(clock::now() >= before && clock::now() <= Instant::now());
    let day = ms(86_400_000);
    let (outcome, took) = VirtualClock::new().hosted(timed(sleep(day))).await;
    outcome?;
    assert!(took == day && Instant::now() < before + day);
    Ok(())
}
