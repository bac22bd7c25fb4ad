//! Broadcasts: every value for everybody, and lag for the slow alone (L25, C2, C13).

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::StreamExt;
use futures_lite::future::poll_once;

use super::*;
use crate::task::broadcast::Delivery::{Lagged, Value};
use crate::task::broadcast::{Receiver, channel};
use crate::task::nursery;

/// Everything that `receiver` can have now.
fn drain<T: Clone>(receiver: &mut Receiver<T>) -> Vec<crate::task::broadcast::Delivery<T>> {
    std::iter::from_fn(|| receiver.try_recv()).collect()
}

#[test]
fn every_receiver_gets_every_value_in_order() {
    let (sender, first) = channel(16);
    let received = virtually(nursery(async |n| {
        let others: Vec<_> = (0..10).map(|_| sender.subscribe()).collect();
        let mut children = Vec::new();
        for mut receiver in others.into_iter().chain([first]) {
            children.push(n.spawn(async move {
                let mut got = Vec::new();
                while let Some(delivery) = receiver.recv().await? {
                    got.push(delivery);
                }
                Ok(got)
            })?);
        }
        n.spawn(async move {
            for number in 0..1000 {
                assert_eq!(sender.send(number)?, 11);
                checkpoint().await?;
            }
            Ok(())
        })?;
        let mut received = Vec::new();
        for child in children {
            received.push(child.join().await?);
        }
        Ok(received)
    }));
    let all: Vec<_> = (0..1000).map(Value).collect();
    assert_eq!(received.unwrap(), vec![all; 11]);
}

#[test]
fn l25_a_slow_receiver_lags_alone_and_is_told_how_many_it_lost() {
    let (sender, mut slow) = channel(3);
    let mut fast = sender.subscribe();
    for number in 0..5 {
        sender.send(number).unwrap();
        assert_eq!((fast.len(), fast.try_recv()), (1, Some(Value(number))));
    }
    assert_eq!(slow.len(), 3, "what is lost does not count");
    assert_eq!(slow.try_recv(), Some(Lagged(2)));
    assert_eq!(slow.try_recv(), Some(Value(2)));
    sender.send(5).unwrap();
    sender.send(6).unwrap();
    assert_eq!(drain(&mut slow), [Lagged(1), Value(4), Value(5), Value(6)]);
    assert_eq!(drain(&mut fast), [Value(5), Value(6)]);
    assert!(slow.is_empty() && fast.is_empty());
}

#[test]
fn l25_closing_wakes_all_and_what_is_in_the_ring_can_be_read() {
    for explicitly in [true, false] {
        let (sender, mut slow) = channel(2);
        let received = virtually(nursery(async |n| {
            let waiting = [sender.subscribe(), sender.subscribe()].map(|mut receiver| {
                n.spawn(async move {
                    assert_eq!(receiver.recv().await?, Some(Value(1)));
                    receiver.recv().await
                })
            });
            let other = sender.clone();
            sender.send(1)?;
            settle().await?;
            drop(sender);
            if explicitly {
                other.close();
                assert!(other.is_closed() && slow.is_closed());
                assert_eq!(other.send(2).unwrap_err().into_value(), 2);
                assert_eq!(other.subscribe().recv().await?, None);
            } else {
                assert!(!slow.is_closed(), "there is another sender");
                drop(other);
            }
            for child in waiting {
                assert_eq!(child?.join().await?, None);
            }
            Ok((slow.recv().await?, slow.recv().await?))
        }));
        assert_eq!(received.unwrap(), (Some(Value(1)), None));
    }
}

#[test]
fn a_subscriber_gets_what_is_sent_from_then_on() {
    let (sender, first) = channel(4);
    sender.send(1).unwrap();
    let mut late = sender.subscribe();
    sender.send(2).unwrap();
    assert_eq!(drain(&mut late), [Value(2)]);
    drop((first, late));
    assert_eq!(sender.send(3).unwrap(), 0, "nobody is there, which is no failure");
    assert_eq!(drain(&mut sender.subscribe()), []);
}

#[test]
fn c02_a_cancelled_or_dropped_receive_takes_nothing() {
    let (sender, mut receiver) = channel(4);
    let scope = CancelScope::new();
    let outcome = virtually(scope.run(async {
        assert!(poll_once(receiver.recv()).await.is_none());
        sender.send(1)?;
        scope.cancel("test");
        let told = receiver.recv().await;
        assert!(is_cancel_of(&told, &scope));
        told
    }));
    assert_eq!(outcome.unwrap(), None);
    assert_eq!(drain(&mut receiver), [Value(1)]);
}

/// A cancel at each possible moment: each receiver has each value once, in its task or afterwards.
#[test]
fn c02_nothing_is_lost_or_doubled_by_a_cancel() {
    for moment in 0..40 {
        let (sender, receiver) = channel(64);
        let scope = CancelScope::new();
        let mut receivers = [receiver, sender.subscribe(), sender.subscribe()];
        let got = Log::default();
        virtually(async {
            let borrowed = receivers.iter_mut().enumerate();
            let receiving = scope.run(nursery(async |n| {
                for (who, receiver) in borrowed {
                    let got = &got;
                    n.spawn(async move {
                        while let Some(delivery) = receiver.recv().await? {
                            got.add(format!("{who}: {delivery:?}"));
                        }
                        Ok(())
                    })?;
                }
                Ok(())
            }));
            let sending = async {
                for turn in 0..30 {
                    if turn == moment {
                        scope.cancel("now");
                    }
                    assert_eq!(sender.send(turn).unwrap(), 3);
                    futures_lite::future::yield_now().await;
                }
                drop(sender);
            };
            futures_util::future::join(receiving, sending).await.0.unwrap();
        });
        let seen = got.take();
        for (who, receiver) in receivers.iter_mut().enumerate() {
            let mine = seen.iter().filter_map(|line| line.strip_prefix(&format!("{who}: "))).map(str::to_owned);
            let rest = drain(receiver);
            let all: Vec<_> = mine.chain(rest.iter().map(|delivery| format!("{delivery:?}"))).collect();
            assert_eq!(all, (0..30).map(|turn| format!("{:?}", Value(turn))).collect::<Vec<_>>(), "at {moment}");
        }
    }
}

#[test]
fn c13_whoever_is_woken_and_does_not_come_is_in_nobodys_way() {
    let (sender, mut first) = channel(2);
    let (mut second, mut third) = (sender.subscribe(), sender.subscribe());
    virtually(nursery(async |n| {
        let mut dropped = Box::pin(first.recv());
        assert!(poll_once(&mut dropped).await.is_none());
        let mut aside = Box::pin(second.recv());
        assert!(poll_once(&mut aside).await.is_none());
        let told = n.spawn(async move { third.recv().await })?;
        settle().await?;
        sender.send(1)?;
        drop(dropped);
        assert_eq!(told.join().await?, Some(Value(1)));
        assert_eq!(aside.await?, Some(Value(1)));
        Ok(())
    }))
    .unwrap();
    assert_eq!(drain(&mut first), [Value(1)]);
}

/// Counts copies, and says when it is dropped.
struct Counted {
    copies: Arc<AtomicUsize>,
    alive: Arc<()>,
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.copies.fetch_add(1, Ordering::SeqCst);
        Self { copies: self.copies.clone(), alive: self.alive.clone() }
    }
}

#[test]
fn a_value_is_gone_when_all_have_had_it_and_the_last_one_takes_it() {
    let (copies, alive) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
    let (sender, mut first) = channel(8);
    let mut second = sender.subscribe();
    let send = || sender.send(Counted { copies: copies.clone(), alive: alive.clone() }).unwrap();
    assert_eq!(send(), 2);
    drop(first.try_recv());
    assert_eq!((copies.load(Ordering::SeqCst), Arc::strong_count(&alive)), (1, 2));
    drop(second.try_recv());
    assert_eq!((copies.load(Ordering::SeqCst), Arc::strong_count(&alive)), (1, 1));
    // What only the second has not had is dropped with that; what the first has not had stays.
    assert_eq!((send(), send()), (2, 2));
    drop(first.try_recv());
    assert_eq!(Arc::strong_count(&alive), 3);
    drop(second);
    assert_eq!(Arc::strong_count(&alive), 2);
    assert_eq!(drain(&mut first).len(), 1);
    assert_eq!(Arc::strong_count(&alive), 1);
    assert_eq!(send(), 1);
    drop(first);
    assert_eq!(Arc::strong_count(&alive), 1);
}

/// The counts of who has not had a value follow all that receivers do: against a model without a ring.
#[test]
fn any_order_of_sends_receives_and_drops() {
    for seed in 0..300_u64 {
        let mut random = seed * 2 + 1;
        let mut next = move |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        let capacity = 1 + next(4);
        let (sender, receiver) = channel(capacity as usize);
        let mut sent = 0_u64;
        // Each receiver with the number of the value that comes next for it.
        let mut receivers = vec![(receiver, 0)];
        for _ in 0..100 {
            let chosen = next(receivers.len().max(1) as u64) as usize;
            match next(8) {
                0..=2 => {
                    let count = sender.send(sent).unwrap();
                    assert_eq!(count, receivers.len());
                    sent += 1;
                }
                3 if receivers.len() < 5 => receivers.push((sender.subscribe(), sent)),
                4 if !receivers.is_empty() => drop(receivers.swap_remove(chosen)),
                _ if !receivers.is_empty() => {
                    let (receiver, at) = &mut receivers[chosen];
                    let oldest = sent.saturating_sub(capacity);
                    let expected = if *at < oldest {
                        let lost = oldest - std::mem::replace(at, oldest);
                        Some(Lagged(lost))
                    } else if *at < sent {
                        *at += 1;
                        Some(Value(*at - 1))
                    } else {
                        None
                    };
                    assert_eq!(receiver.try_recv(), expected, "seed {seed}");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_stream_gives_what_recv_gives() {
    let (sender, receiver) = channel(2);
    (0..4).for_each(|number| drop(sender.send(number)));
    drop(sender);
    let got: Result<Vec<_>> = virtually(receiver.into_stream().try_collect());
    assert_eq!(got.unwrap(), [Lagged(2), Value(2), Value(3)]);
}

#[test]
#[should_panic(expected = "use 1 or more")]
fn a_ring_of_nothing_is_refused() {
    channel::<()>(0);
}

/// A value whose copy and drop use the channel that it is in.
struct Nosy(crate::task::broadcast::Sender<Self>);

impl Clone for Nosy {
    fn clone(&self) -> Self {
        self.0.is_closed();
        Self(self.0.clone())
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.0.is_closed();
    }
}

#[test]
fn no_lock_is_held_while_something_of_the_users_runs() {
    on_a_thread(|| {
        let (sender, mut first) = channel(1);
        let second = sender.subscribe();
        let send = || sender.send(Nosy(sender.clone())).map_err(drop);
        assert_eq!(send(), Ok(2));
        drop(first.try_recv());
        assert_eq!(send(), Ok(2)); // the first value makes room
        drop(second);
        drop(first);
        assert_eq!(send(), Ok(0));
        sender.close();
        assert_eq!(send(), Err(()));
    });
}

#[test]
fn works_between_threads() {
    let (sender, first) = channel(1 << 14);
    let receivers = vec![first, sender.subscribe(), sender.subscribe()];
    let threads: Vec<_> = receivers
        .into_iter()
        .map(|mut receiver| {
            std::thread::spawn(move || {
                really(async {
                    let mut sum = 0;
                    while let Some(Value(number)) = receiver.recv().await.unwrap() {
                        sum += number;
                    }
                    sum
                })
            })
        })
        .collect();
    (0..10_000).for_each(|number| drop(sender.send(number)));
    drop(sender);
    let sums: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(sums, [49_995_000; 3]);
}
