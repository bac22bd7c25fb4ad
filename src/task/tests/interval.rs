//! Intervals, on virtual time (C1, C2).

use std::time::Instant;

use futures_lite::StreamExt;
use futures_lite::future::poll_once;

use super::*;
use crate::task::{Interval, MissedTicks, clock, interval, sleep};

/// Takes a tick: when it was due and when it came, in milliseconds since `start`.
async fn tick(interval: &mut Interval, start: Instant) -> (u128, u128) {
    let due = interval.tick().await.unwrap();
    ((due - start).as_millis(), (clock::now() - start).as_millis())
}

#[test]
fn the_first_tick_comes_at_once_and_the_rest_in_time() {
    virtually(async {
        let mut interval = interval(ms(10));
        sleep(ms(7)).await.unwrap(); // it counts from its first tick
        let start = clock::now();
        for number in 0..5 {
            assert_eq!(tick(&mut interval, start).await, (number * 10, number * 10));
        }
        sleep(ms(4)).await.unwrap();
        assert_eq!(tick(&mut interval, start).await, (50, 50), "work between ticks does not shift them");
    });
}

#[test]
fn missed_ticks_are_made_up_for_or_shifted_or_left_out() {
    let cases = [
        (MissedTicks::Burst, [(0, 0), (10, 35), (20, 35), (30, 35), (40, 40)]),
        (MissedTicks::Delay, [(0, 0), (10, 35), (45, 45), (55, 55), (65, 65)]),
        (MissedTicks::Skip, [(0, 0), (10, 35), (40, 40), (50, 50), (60, 60)]),
    ];
    for (missed, expected) in cases {
        virtually(async {
            let mut interval = interval(ms(10)).with_missed(missed);
            let start = clock::now();
            let mut ticks = vec![tick(&mut interval, start).await];
            sleep(ms(35)).await.unwrap();
            for _ in 0..4 {
                ticks.push(tick(&mut interval, start).await);
            }
            assert_eq!(ticks, expected, "{missed:?}");
        });
    }
}

#[test]
fn a_tick_that_is_taken_exactly_when_the_next_is_due_skips_none() {
    virtually(async {
        let mut interval = interval(ms(10)).with_missed(MissedTicks::Skip);
        let start = clock::now();
        tick(&mut interval, start).await;
        sleep(ms(10)).await.unwrap();
        assert_eq!(tick(&mut interval, start).await, (10, 10));
        sleep(ms(20)).await.unwrap();
        assert_eq!(tick(&mut interval, start).await, (20, 30));
        assert_eq!(tick(&mut interval, start).await, (40, 40));
    });
}

#[test]
fn c02_a_cancelled_or_dropped_tick_is_not_taken() {
    virtually(async {
        let mut interval = interval(ms(10));
        let start = clock::now();
        assert_eq!(tick(&mut interval, start).await, (0, 0));
        assert!(poll_once(interval.tick()).await.is_none());
        sleep(ms(10)).await.unwrap();
        let scope = CancelScope::new();
        let outcome = scope.run(async {
            scope.cancel("test");
            let told = interval.tick().await;
            assert!(is_cancel_of(&told, &scope));
            told
        });
        assert_eq!(outcome.await.unwrap(), None);
        assert_eq!(tick(&mut interval, start).await, (10, 10));
    });
}

#[test]
#[should_panic(expected = "use a period above zero")]
fn a_period_of_zero_is_refused() {
    interval(Duration::ZERO);
}

#[test]
fn a_period_beyond_all_time_is_one_tick() {
    for missed in [MissedTicks::Burst, MissedTicks::Delay, MissedTicks::Skip] {
        virtually(async {
            let mut interval = interval(Duration::MAX).with_missed(missed);
            interval.tick().await.unwrap();
            assert!(poll_once(interval.tick()).await.is_none());
        });
    }
}

#[test]
fn c01_a_stream_of_ticks_goes_on_until_it_is_cancelled() {
    let scope = CancelScope::new().with_timeout(ms(25));
    let mut count = 0;
    let outcome = virtually(scope.run(async {
        let mut ticks = interval(ms(10)).into_stream();
        while ticks.try_next().await?.is_some() {
            count += 1;
        }
        Ok(())
    }));
    assert_eq!((outcome.unwrap(), count), (None, 3));
}

#[test]
fn a_burst_leaves_others_their_turns() {
    let log = Log::default();
    virtually(crate::task::nursery(async |n| {
        let mut interval = interval(ms(1));
        interval.tick().await?;
        sleep(ms(1000)).await?;
        let busy = log.clone();
        n.spawn(async move {
            for _ in 0..1000 {
                interval.tick().await?;
            }
            busy.add("the burst is over");
            Ok(())
        })?;
        n.spawn(async {
            checkpoint().await?;
            log.add("another had a turn");
            Ok(())
        })?;
        Ok(())
    }))
    .unwrap();
    assert_eq!(log.take(), ["another had a turn", "the burst is over"]);
}
