//! Channels: bounded, in order, and nothing lost (L23, L24, L26, C2, C13).

use std::collections::BTreeSet;

use super::*;
use crate::Error;
use crate::error::Closed;
use crate::task::channel::{ClosedBecause, SendError, TrySendError, bounded};
use crate::task::{clock, nursery, oneshot, sleep};
use futures_lite::future::poll_once;
use futures_util::SinkExt;

#[test]
fn l23_bounded_and_waits_when_full() {
    let (sender, mut receiver) = bounded(2);
    virtually(async {
        sender.send(1).await.unwrap();
        sender.send(2).await.unwrap();
        assert_eq!(sender.try_send(3), Err(TrySendError::Full(3)));
        assert!(poll_once(sender.send(3)).await.is_none());
        assert_eq!(receiver.try_recv(), Some(1));
        sender.try_send(4).unwrap();
        receiver.close();
        assert_eq!(sender.try_send(5), Err(TrySendError::Closed(5)));
        assert_eq!(sender.send(6).await.unwrap_err().into_value(), 6);
        assert_eq!(receiver.recv().await.unwrap(), Some(2));
        assert_eq!(receiver.recv().await.unwrap(), Some(4));
        assert_eq!(receiver.recv().await.unwrap(), None);
    });
}

#[test]
fn l24_order_is_kept_and_what_was_accepted_is_read_before_the_end() {
    for capacity in [1, 2, 7, 64] {
        let got = virtually(nursery(async |n| {
            let (sender, mut receiver) = bounded(capacity);
            n.spawn(async move {
                for number in 0..500 {
                    sender.send(number).await?;
                }
                Ok(())
            })?;
            let mut got = Vec::new();
            while let Some(number) = receiver.recv().await? {
                got.push(number);
            }
            Ok(got)
        }));
        assert_eq!(got.unwrap(), (0..500).collect::<Vec<_>>(), "capacity {capacity}");
    }
}

#[test]
fn l26_a_cancelled_send_gives_its_value_back() {
    let scope = CancelScope::new();
    let (sender, mut receiver) = bounded(1);
    sender.try_send(1).unwrap();
    let outcome = virtually(scope.run(async {
        let (back, ()) = futures_util::future::join(sender.send(2), async {
            settle().await.unwrap();
            scope.cancel("test");
        })
        .await;
        let back = back.unwrap_err();
        assert!(back.is_cancelled());
        assert_eq!(back.into_value(), 2);
        sender.send(3).await?;
        Ok(())
    }));
    assert_eq!(outcome.unwrap(), None, "by `?` it is the cancel of the scope");
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Some(1), None));
}

#[test]
fn l26_a_dropped_send_delivers_or_drops() {
    let log = Log::default();
    let (sender, mut receiver) = bounded(1);
    virtually(async {
        assert!(poll_once(sender.send(log.at_drop("first"))).await.is_some());
        assert!(poll_once(sender.send(log.at_drop("second"))).await.is_none());
        assert_eq!(log.take(), ["second"]);
        drop(receiver.recv().await.unwrap());
        assert_eq!(log.take(), ["first"]);
        sender.send(log.at_drop("third")).await.unwrap();
    });
    drop(receiver);
    assert_eq!(log.take(), ["third"]);
}

#[test]
fn l26_a_dropped_receive_takes_nothing() {
    let (sender, mut receiver) = bounded(1);
    virtually(async {
        assert!(poll_once(receiver.recv()).await.is_none());
        let mut waiting = Box::pin(receiver.recv());
        assert!(poll_once(&mut waiting).await.is_none());
        sender.send(1).await.unwrap(); // wakes the one that waits
        drop(waiting);
        assert_eq!(receiver.recv().await.unwrap(), Some(1));
    });
}

#[test]
fn many_waiting_senders_lose_nothing() {
    for capacity in [1, 2, 5] {
        let got = virtually(nursery(async |n| {
            let (sender, mut receiver) = bounded(capacity);
            for part in 0..10 {
                let sender = sender.clone();
                n.spawn(async move {
                    for number in 0..20 {
                        sender.send(part * 100 + number).await?;
                    }
                    Ok(())
                })?;
            }
            drop(sender);
            let mut got: Vec<i32> = Vec::new();
            while let Some(number) = receiver.recv().await? {
                if got.len().is_multiple_of(7) {
                    sleep(ms(1)).await?;
                }
                got.push(number);
            }
            Ok(got)
        }))
        .unwrap();
        for part in 0..10 {
            let of_part: Vec<_> = got.iter().filter(|number| **number / 100 == part).copied().collect();
            assert_eq!(of_part, (0..20).map(|number| part * 100 + number).collect::<Vec<_>>());
        }
    }
}

#[test]
fn c13_a_sender_that_was_woken_and_dropped_wakes_the_next() {
    let (sender, mut receiver) = bounded(1);
    virtually(nursery(async |n| {
        sender.send(0).await?;
        let mut first = Box::pin(sender.send(1));
        assert!(poll_once(&mut first).await.is_none());
        let second = sender.clone();
        n.spawn(async move { Ok(second.send(2).await?) })?;
        settle().await?;
        assert_eq!(receiver.recv().await?, Some(0)); // wakes the first, which is then dropped
        drop(first);
        assert_eq!(receiver.recv().await?, Some(2));
        Ok(())
    }))
    .unwrap();
}

#[test]
fn c13_a_sender_that_was_woken_and_is_not_polled_is_passed() {
    let (sender, mut receiver) = bounded(1);
    virtually(nursery(async |n| {
        sender.send(0).await?;
        let mut aside = Box::pin(sender.send(1));
        assert!(poll_once(&mut aside).await.is_none());
        let second = sender.clone();
        n.spawn(async move { Ok(second.send(2).await?) })?;
        settle().await?;
        assert_eq!(receiver.recv().await?, Some(0));
        assert_eq!(receiver.recv().await?, Some(2));
        aside.await?;
        assert_eq!(receiver.recv().await?, Some(1));
        Ok(())
    }))
    .unwrap();
}

/// A cancel at each possible moment: every value is received, or given back, once.
#[test]
fn c02_nothing_is_lost_or_doubled_by_a_cancel() {
    for moment in 0..60 {
        let scope = CancelScope::new();
        let kept = Log::default();
        let (sender, mut receiver) = bounded(3);
        virtually(async {
            let sending = scope.run(nursery(async |n| {
                for part in 0..4 {
                    let (sender, kept) = (sender.clone(), kept.clone());
                    n.spawn(async move {
                        for number in 0..5 {
                            if let Err(back) = sender.send(part * 10 + number).await {
                                kept.add(back.into_value().to_string());
                            }
                        }
                        Ok(())
                    })?;
                }
                Ok(())
            }));
            let receiving = async {
                for turn in 0..200 {
                    if turn == moment {
                        scope.cancel("now");
                    }
                    if let Some(number) = receiver.try_recv() {
                        kept.add(number.to_string());
                    }
                    checkpoint().await.unwrap();
                }
            };
            let (outcome, ()) = futures_util::future::join(sending, receiving).await;
            outcome.unwrap();
        });
        let seen = kept.take();
        assert_eq!(seen.len(), 20, "at {moment}: {seen:?}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 20);
    }
}

#[test]
fn works_between_threads_and_outside_every_strand() {
    let (sender, mut receiver) = bounded(2);
    let thread = std::thread::spawn(move || {
        futures_lite::future::block_on(async {
            for number in 0..2000 {
                sender.send(number).await.unwrap();
            }
        });
    });
    let sum = really(nursery(async |_| {
        let mut sum = 0;
        while let Some(number) = receiver.recv().await? {
            sum += number;
        }
        Ok(sum)
    }));
    thread.join().unwrap();
    assert_eq!(sum.unwrap(), 1_999_000);
}

#[test]
fn a_send_error_becomes_an_error_for_every_value() {
    fn refused<T>(value: T) -> Result<()> {
        Err(SendError::closed(value))?;
        Ok(())
    }
    let local = std::rc::Rc::new(1);
    let error: Error = refused(&local).unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Closed));
}

#[test]
fn a_oneshot_gives_its_value_or_says_that_none_will_come() {
    virtually(nursery(async |n| {
        let (sender, mut receiver) = oneshot::channel();
        n.spawn(async move {
            sleep(ms(3)).await?;
            Ok(sender.send(7)?)
        })?;
        assert_eq!(receiver.recv().await?, Some(7));
        let (sender, mut receiver) = oneshot::channel::<u32>();
        n.spawn(async move {
            settle().await?;
            drop(sender);
            Ok(())
        })?;
        assert_eq!(receiver.recv().await?, None);
        let (sender, receiver) = oneshot::channel();
        drop(receiver);
        assert_eq!(sender.send(8).unwrap_err().into_value(), 8);
        Ok(())
    }))
    .unwrap();
}

#[test]
fn a_cancelled_oneshot_receive_leaves_the_value() {
    let scope = CancelScope::new();
    scope.cancel("test");
    let (sender, mut receiver) = oneshot::channel();
    sender.send(7).unwrap();
    let before = clock::now();
    assert_eq!(virtually(scope.run(async { receiver.recv().await })).unwrap(), None);
    assert_eq!(receiver.try_recv(), Some(7));
    assert!(clock::now() >= before);
}

#[test]
fn each_value_goes_to_one_of_many_receivers() {
    let taken = virtually(nursery(async |n| {
        let (sender, receiver) = bounded(3);
        let takers = (0..4)
            .map(|_| {
                let mut receiver = receiver.clone();
                n.spawn(async move {
                    let mut taken = Vec::new();
                    while let Some(number) = receiver.recv().await? {
                        taken.push(number);
                        settle().await?;
                    }
                    Ok(taken)
                })
            })
            .collect::<Result<Vec<_>>>()?;
        drop(receiver);
        for number in 0..100 {
            sender.send(number).await?;
        }
        drop(sender);
        let mut taken = Vec::new();
        for taker in takers {
            let part = taker.join().await?;
            assert!(part.is_sorted() && !part.is_empty(), "each in order, and nobody starves");
            taken.extend(part);
        }
        taken.sort_unstable();
        Ok(taken)
    }));
    assert_eq!(taken.unwrap(), (0..100).collect::<Vec<_>>());
}

#[test]
fn c13_a_receive_that_was_woken_and_is_dropped_wakes_the_next() {
    let (sender, mut first) = bounded(1);
    let mut second = first.clone();
    virtually(nursery(async |n| {
        {
            let mut dropped = first.recv();
            assert!(poll_once(&mut dropped).await.is_none());
            let other = n.spawn(async move { second.recv().await })?;
            settle().await?;
            sender.try_send(7).unwrap(); // wakes the first
            drop(dropped);
            assert_eq!(other.join().await?, Some(7));
        }
        Ok(())
    }))
    .unwrap();
}

#[test]
fn a_reserved_place_is_nobody_elses() {
    let (sender, mut receiver) = bounded(1);
    virtually(async {
        let place = sender.reserve().await.unwrap();
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        assert!(poll_once(sender.reserve()).await.is_none());
        place.send(2).unwrap();
        assert_eq!(receiver.recv().await.unwrap(), Some(2));
        drop(sender.try_reserve().unwrap());
        sender.try_send(3).unwrap();
    });
}

#[test]
fn c02_a_place_that_is_given_back_wakes_who_waits_for_room() {
    let (sender, mut receiver) = bounded(1);
    virtually(nursery(async |n| {
        let place = sender.reserve().await?;
        let waits = n.spawn(async { Ok(sender.send(1).await?) })?;
        settle().await?;
        drop(place);
        waits.join().await?;
        assert_eq!(receiver.try_recv(), Some(1));
        let place = sender.reserve().await?;
        receiver.close();
        assert_eq!(place.send(2).unwrap_err().into_value(), 2);
        Ok(())
    }))
    .unwrap();
}

#[test]
fn the_reason_of_a_close_is_told_to_both_sides_and_values_come_first() {
    let (sender, mut receiver) = bounded(2);
    virtually(async {
        sender.try_send(1).unwrap();
        sender.clone().close_because("the source is empty");
        receiver.close_because("too late to be the first");
        let refused: Error = sender.send(2).await.unwrap_err().into();
        assert_eq!(refused.to_string(), "closed: the source is empty");
        assert_eq!(receiver.recv().await.unwrap(), Some(1));
        let ended = receiver.recv().await.unwrap_err();
        assert_eq!(&*ended.downcast_ref::<ClosedBecause>().unwrap().reason, "the source is empty");
    });
}

#[test]
fn the_ends_are_a_stream_and_a_sink() {
    let (sender, receiver) = bounded(2);
    let sums = virtually(nursery(async |n| {
        let mut sink = sender.into_sink();
        n.spawn(async move {
            for number in 0..10 {
                sink.send(number).await?;
            }
            sink.close().await
        })?;
        let mut stream = receiver.into_stream();
        let mut sum = 0;
        while let Some(number) = futures_lite::StreamExt::next(&mut stream).await {
            sum += number?;
        }
        Ok(sum)
    }));
    assert_eq!(sums.unwrap(), 45);
}

/// A place that a sink has reserved and not used is free again.
#[test]
fn c02_a_sink_that_is_dropped_gives_its_place_back() {
    let (sender, _receiver) = bounded(1);
    virtually(async {
        let mut sink = sender.clone().into_sink();
        std::future::poll_fn(|cx| sink.poll_ready_unpin(cx)).await.unwrap();
        assert_eq!(sender.try_send(1), Err(TrySendError::Full(1)));
        drop(sink);
        sender.try_send(1).unwrap();
    });
}

#[test]
fn c01_a_stream_says_of_a_cancel_once_and_ends() {
    let (_sender, receiver) = bounded::<u32>(1);
    let scope = CancelScope::new();
    virtually(scope.run(async {
        scope.cancel("stop");
        let mut stream = receiver.into_stream();
        let said = futures_lite::StreamExt::next(&mut stream).await.unwrap();
        assert!(is_cancel_of(&said, &scope));
        assert!(futures_lite::StreamExt::next(&mut stream).await.is_none());
        Ok(())
    }))
    .unwrap();
}
