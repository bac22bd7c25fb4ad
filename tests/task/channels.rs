//! Channels: order, bounds, ends.

use std::panic::catch_unwind;

use futures_util::StreamExt;
use pleach::error::Closed;
use pleach::task::channel::{self, ClosedBecause, TrySendError};
use pleach::task::{CancelScope, checkpoint, move_on_after, nursery, shield, sleep};
use pleach::{Error, Result};

use crate::kit::{Log, ms, never, scenarios, settle};

scenarios! {
    Virtual:
    a_channel_gives_what_was_put_in_and_then_its_end,
    a_receive_that_runs_out_of_time_leaves_the_channel_as_it_was,
    values_of_many_senders_all_arrive,
    values_go_to_many_receivers_once_each,
    a_close_wakes_who_waits_on_either_side,
    a_channel_lives_as_long_as_one_end_of_each_kind,
    an_end_that_is_dropped_leaves_the_others_alone,
    a_channel_says_how_much_is_in_it,
    a_channel_holds_something,
    a_value_is_for_who_comes_first,
    a_receiver_is_a_stream_that_ends_with_its_cancel,
    cleanup_may_finish_a_dialog_in_a_shield,
}

async fn a_channel_gives_what_was_put_in_and_then_its_end() -> Result<()> {
    let (sender, mut receiver) = channel::bounded(2);
    sender.try_send(1).expect("there is room");
    sender.send(2).await?;
    assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
    assert_eq!((receiver.recv().await?, receiver.try_recv(), receiver.try_recv()), (Some(1), Some(2), None));
    sender.send(4).await?;
    sender.close();
    let late = sender.send(5).await.unwrap_err();
    assert!(!late.is_cancelled());
    assert_eq!(late.into_value(), 5);
    assert_eq!(sender.try_send(6), Err(TrySendError::Closed(6)));
    assert_eq!((receiver.recv().await?, receiver.recv().await?, receiver.recv().await?), (Some(4), None, None));
    Ok(())
}

async fn a_receive_that_runs_out_of_time_leaves_the_channel_as_it_was() -> Result<()> {
    let (sender, mut receiver) = channel::bounded(1);
    assert_eq!(move_on_after(ms(10_000), receiver.recv()).await?, None);
    sender.send("there is room").await?;
    assert_eq!(receiver.recv().await?, Some("there is room"));
    Ok(())
}

async fn values_of_many_senders_all_arrive() -> Result<()> {
    let mut all = nursery(async |n| {
        let (sender, receiver) = channel::bounded(1);
        for number in 0..10 {
            let sender = sender.clone();
            n.spawn(async move {
                for value in 3 * number..3 * (number + 1) {
                    sender.send(value).await?;
                }
                Ok(())
            })?;
        }
        drop(sender);
        let all: Vec<Result<i32>> = receiver.into_stream().collect().await;
        all.into_iter().collect::<Result<Vec<i32>>>()
    })
    .await?;
    all.sort_unstable();
    assert_eq!(all, (0..30).collect::<Vec<_>>());
    Ok(())
}

async fn values_go_to_many_receivers_once_each() -> Result<()> {
    let log = Log::default();
    nursery(async |n| {
        let (sender, receiver) = channel::bounded(1);
        for who in 0..5 {
            let (mut receiver, log) = (receiver.clone(), log.clone());
            n.spawn(async move {
                while let Some(number) = receiver.recv().await? {
                    log.add(format!("{number}{who}"));
                    checkpoint().await?;
                }
                Ok(())
            })?;
        }
        settle().await?;
        for number in 0..10 {
            sender.send(number).await?;
        }
        Ok(())
    })
    .await?;
    let all = log.sorted();
    let mut takers: Vec<_> = all.iter().map(|entry| &entry[1..]).collect();
    takers.sort_unstable();
    takers.dedup();
    assert_eq!(all.iter().map(|entry| &entry[..1]).collect::<String>(), "0123456789");
    assert_eq!(takers.len(), 5, "each has had one: {all:?}");
    Ok(())
}

async fn a_close_wakes_who_waits_on_either_side() -> Result<()> {
    let (full, receiver) = channel::bounded(1);
    let (_sender, empty) = channel::bounded::<u32>(1);
    full.send(1).await?;
    let failure = nursery(async |n| {
        let sends = n.spawn(async {
            let refused: Error = full.send(2).await.unwrap_err().into();
            assert!(refused.downcast_ref::<Closed>().is_some(), "{refused:?}");
            Ok(())
        })?;
        let mut waits = empty.clone();
        n.spawn(async move { waits.recv().await })?;
        settle().await?;
        receiver.close();
        sends.join().await?;
        empty.close_because("the disk is full");
        never().await
    });
    let failure: Error = Result::<()>::unwrap_err(failure.await);
    let why = ClosedBecause { reason: "the disk is full".into() };
    assert_eq!(failure.downcast_ref(), Some(&why), "that of whoever has received");
    Ok(())
}

async fn a_channel_lives_as_long_as_one_end_of_each_kind() -> Result<()> {
    let (sender, receiver) = channel::bounded(10);
    let (second, third) = (receiver.clone(), receiver.clone());
    drop(receiver);
    sender.send(1).await?;
    drop(second);
    sender.send(2).await?;
    drop(third);
    assert_eq!(sender.try_send(3), Err(TrySendError::Closed(3)));
    let (sender, mut receiver) = channel::bounded(10);
    let other = sender.clone();
    drop(sender);
    other.send(1).await?;
    drop(other);
    assert_eq!((receiver.recv().await?, receiver.recv().await?), (Some(1), None));
    Ok(())
}

async fn an_end_that_is_dropped_leaves_the_others_alone() -> Result<()> {
    let (sender, mut receiver) = channel::bounded(1);
    let scope = CancelScope::new();
    sender.send("first").await?;
    nursery(async |n| {
        let (mine, other) = (sender.clone(), sender);
        n.spawn(scope.run(async move { Ok(mine.send("nope").await?) }))?;
        n.spawn(async move { Ok(other.send("second").await?) })?;
        settle().await?;
        scope.cancel("it is not needed");
        assert_eq!(receiver.recv().await?, Some("first"));
        assert_eq!((receiver.recv().await?, receiver.recv().await?), (Some("second"), None));
        Ok(())
    })
    .await
}

async fn a_channel_says_how_much_is_in_it() -> Result<()> {
    let (sender, mut receiver) = channel::bounded(2);
    assert_eq!((sender.capacity(), receiver.len(), receiver.is_empty(), receiver.is_closed()), (2, 0, true, false));
    sender.send(1).await?;
    assert_eq!((receiver.len(), receiver.is_empty()), (1, false));
    let place = sender.reserve().await?;
    assert_eq!(receiver.len(), 1, "a place that is reserved is no value");
    assert!(sender.try_reserve().is_err());
    place.send(2)?;
    drop(sender);
    assert_eq!((receiver.len(), receiver.is_closed()), (2, true));
    assert_eq!((receiver.recv().await?, receiver.recv().await?, receiver.recv().await?), (Some(1), Some(2), None));
    Ok(())
}

async fn a_channel_holds_something() -> Result<()> {
    assert!(catch_unwind(|| channel::bounded::<u32>(0)).is_err());
    let (sender, mut receiver) = channel::bounded(1);
    nursery(async |n| {
        n.spawn(async move {
            sender.send(1).await?; // nobody has to come for it
            sender.send(2).await?;
            Ok(())
        })?;
        settle().await?;
        assert_eq!(receiver.recv().await?, Some(1));
        assert_eq!(receiver.recv().await?, Some(2));
        Ok(())
    })
    .await
}

/// Whoever waits does not own what comes: it is woken for it, and takes it if nobody was faster.
async fn a_value_is_for_who_comes_first() -> Result<()> {
    let (sender, receiver) = channel::bounded(1);
    nursery(async |n| {
        let (mut waits, mut fast) = (receiver.clone(), receiver);
        let waiting = n.spawn(async move { waits.recv().await })?;
        settle().await?;
        sender.send(1).await?;
        assert_eq!(fast.try_recv(), Some(1));
        settle().await?;
        sender.send(2).await?;
        assert_eq!(waiting.join().await?, Some(2));
        Ok(())
    })
    .await
}

async fn a_receiver_is_a_stream_that_ends_with_its_cancel() -> Result<()> {
    let (sender, receiver) = channel::bounded(2);
    sender.send(1).await?;
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        let mut stream = receiver.into_stream();
        assert_eq!(stream.next().await.expect("a value is there")?, 1);
        scope.cancel("test");
        let told = stream.next().await.expect("the cancel is an item");
        assert!(told.is_err() && stream.next().await.is_none());
        told
    });
    assert_eq!(outcome.await?, None);
    Ok(())
}

async fn cleanup_may_finish_a_dialog_in_a_shield() -> Result<()> {
    let ((ask, mut asked), (answer, mut answers)) = (channel::bounded(1), channel::bounded(1));
    let (scope, log) = (CancelScope::new(), Log::default());
    nursery(async |n| {
        n.spawn(async move {
            while let Some(number) = asked.recv().await? {
                sleep(ms(5)).await?;
                answer.send(2 * number).await?;
            }
            Ok(())
        })?;
        let client = scope.run(async {
            let told = never().await;
            shield(ms(100), async {
                ask.send(21).await?;
                log.add(format!("{:?}", answers.recv().await?));
                Ok(())
            })
            .await?;
            drop(ask);
            told
        });
        let client = n.spawn(client)?;
        settle().await?;
        scope.cancel("test");
        assert_eq!(client.join().await?, None::<()>);
        Ok(())
    })
    .await?;
    assert_eq!(log.take(), ["Some(42)"]);
    Ok(())
}
