//! Watches: the latest value, and nothing but that (C2, C13).

use std::pin::pin;
use std::task::{Context, Wake, Waker};

use futures_lite::StreamExt;
use futures_lite::future::poll_once;

use super::*;
use crate::error::Closed;
use crate::task::watch::{Receiver, channel};
use crate::task::{nursery, sleep};

/// What `receiver` has not seen now.
async fn news<T: Copy>(receiver: &mut Receiver<T>) -> Option<T> {
    poll_once(receiver.changed()).await.map(|changed| *changed.unwrap().expect("there is a sender"))
}

#[test]
fn a_receiver_sees_the_latest_value_once() {
    let (sender, mut receiver) = channel(0);
    let mut other = receiver.clone();
    virtually(async {
        assert_eq!(news(&mut receiver).await, None, "what was there at its birth is not new");
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        assert_eq!((*receiver.get(), *sender.get()), (2, 2));
        assert_eq!(news(&mut receiver).await, Some(2), "to look is not to see");
        assert_eq!(news(&mut receiver).await, None);
        assert_eq!(news(&mut receiver.clone()).await, None, "a clone has seen the same");
        assert_eq!(news(&mut sender.subscribe()).await, None);
        assert_eq!(news(&mut other).await, Some(2));
    });
}

#[test]
fn the_last_value_comes_before_the_end() {
    let (sender, mut receiver) = channel("first");
    let second = sender.clone();
    virtually(nursery(async |n| {
        let mut waiting = receiver.clone();
        let told = n.spawn(async move { Ok((waiting.changed().await?, waiting.changed().await?)) })?;
        settle().await?;
        drop(sender);
        settle().await?;
        assert!(!receiver.is_closed());
        second.send("last")?;
        drop(second);
        assert!(receiver.is_closed());
        let (last, end) = told.join().await?;
        assert_eq!((last.as_deref(), end), (Some(&"last"), None));
        assert_eq!(receiver.changed().await?.as_deref(), Some(&"last"));
        assert_eq!(receiver.changed().await?, None);
        assert_eq!(*receiver.get(), "last");
        Ok(())
    }))
    .unwrap();
}

/// The end alone wakes as well.
#[test]
fn a_receiver_that_waits_hears_of_the_end() {
    let (sender, mut receiver) = channel(0);
    virtually(nursery(async |n| {
        let told = n.spawn(async move { receiver.changed().await })?;
        settle().await?;
        drop(sender);
        assert_eq!(told.join().await?, None);
        Ok(())
    }))
    .unwrap();
}

#[test]
fn c02_a_cancelled_or_dropped_wait_has_seen_nothing() {
    let (sender, mut receiver) = channel(0);
    let scope = CancelScope::new();
    let outcome = virtually(scope.run(async {
        assert!(poll_once(receiver.changed()).await.is_none());
        sender.send(1)?;
        scope.cancel("test");
        let told = receiver.changed().await;
        assert!(is_cancel_of(&told, &scope));
        let told = receiver.wait_for(|_| true).await;
        assert!(is_cancel_of(&told, &scope));
        told
    }));
    assert_eq!(outcome.unwrap(), None);
    virtually(async {
        assert!(poll_once(receiver.wait_for(|number| *number == 7)).await.is_none());
        assert_eq!(news(&mut receiver).await, Some(1));
    });
}

#[test]
fn wait_for_asks_about_what_is_there_and_about_what_comes() {
    let (sender, mut receiver) = channel(10);
    virtually(nursery(async |n| {
        let mut asked = Vec::new();
        n.spawn(async move {
            for number in [3, 20, 4, 30] {
                sleep(ms(1)).await?;
                sender.send(number)?;
            }
            Ok(())
        })?;
        assert_eq!(receiver.wait_for(|number| *number == 10).await?.as_deref(), Some(&10));
        let found = receiver.wait_for(|number| {
            asked.push(*number);
            number % 10 == 0 && *number > 10
        });
        assert_eq!(found.await?.as_deref(), Some(&20));
        assert_eq!(asked, [10, 3, 20]);
        assert_eq!(receiver.changed().await?.as_deref(), Some(&4), "the one that was found is seen");
        assert_eq!(receiver.wait_for(|number| *number == 50).await?, None);
        Ok(())
    }))
    .unwrap();
}

#[test]
fn a_send_fails_without_receivers_and_a_change_does_not() {
    let (sender, receiver) = channel(1);
    drop(receiver);
    assert!(sender.is_closed());
    let refused = sender.send(2).unwrap_err();
    assert_eq!((refused.is_cancelled(), refused.into_value()), (false, 2));
    let error: crate::Error = sender.send(2).unwrap_err().into();
    assert_eq!(error.downcast_ref(), Some(&Closed));
    assert_eq!(*sender.get(), 1);
    sender.modify(|number| *number += 2);
    let mut receiver = sender.subscribe();
    assert_eq!(*receiver.get(), 3);
    sender.send(4).unwrap();
    assert_eq!(virtually(news(&mut receiver)), Some(4));
}

#[test]
fn the_sender_hears_when_nobody_is_left() {
    let (sender, receiver) = channel(0);
    let other = receiver.clone();
    virtually(nursery(async |n| {
        let closed = n.spawn(async move {
            assert!(poll_once(sender.closed()).await.is_none());
            sender.closed().await?;
            sender.closed().await
        })?;
        settle().await?;
        drop(receiver);
        sleep(ms(1)).await?;
        let mut waiting = pin!(closed.join());
        assert!(poll_once(&mut waiting).await.is_none());
        drop(other);
        waiting.await
    }))
    .unwrap();
}

#[test]
fn a_change_leaves_snapshots_as_they_are() {
    let (sender, receiver) = channel(vec![1]);
    let before = receiver.get();
    sender.modify(|list| list.push(2));
    assert_eq!((&*before, &*receiver.get()), (&vec![1], &vec![1, 2]));
}

/// Another sender comes in between: what it has left is changed.
#[test]
fn a_change_that_comes_too_late_is_made_again() {
    let (sender, receiver) = channel(1);
    let mut first = true;
    sender.modify(|number| {
        if std::mem::take(&mut first) {
            drop(receiver.clone()); // a receiver is no sender: nothing has changed by it
            sender.send(10).unwrap();
        }
        *number += 1;
    });
    assert_eq!(*receiver.get(), 11);
}

#[test]
fn changes_of_several_threads_are_all_made() {
    let (sender, mut receiver) = channel(0);
    let threads: Vec<_> = std::iter::repeat_n(sender, 4)
        .map(|sender| std::thread::spawn(move || (0..2000).for_each(|_| sender.modify(|number| *number += 1))))
        .collect();
    let last = really(nursery(async |_| {
        let mut last = 0;
        while let Some(number) = receiver.changed().await? {
            assert!(*number > last, "{number} after {last}");
            last = *number;
        }
        Ok(last)
    }));
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(last.unwrap(), 8000);
}

#[test]
fn c13_whoever_is_woken_and_does_not_come_is_in_nobodys_way() {
    let (sender, receiver) = channel(0);
    virtually(nursery(async |n| {
        let (mut second, mut third, mut first) = (receiver.clone(), receiver.clone(), receiver);
        let mut dropped = Box::pin(first.changed());
        assert!(poll_once(&mut dropped).await.is_none());
        let mut aside = Box::pin(second.changed());
        assert!(poll_once(&mut aside).await.is_none());
        let told = n.spawn(async move { third.changed().await })?;
        settle().await?;
        sender.send(1)?;
        drop(dropped);
        assert_eq!(told.join().await?.as_deref(), Some(&1));
        assert_eq!(aside.await?.as_deref(), Some(&1));
        Ok(())
    }))
    .unwrap();
}

#[test]
fn a_stream_begins_with_the_value_that_is_there() {
    let (sender, receiver) = channel(1);
    let seen = virtually(nursery(async |n| {
        n.spawn(async move {
            for number in [2, 3] {
                sleep(ms(1)).await?;
                sender.send(number)?;
            }
            Ok(())
        })?;
        receiver.into_stream().map(|value| value.map(|value| *value)).try_collect::<_, _, Vec<_>>().await
    }));
    assert_eq!(seen.unwrap(), [1, 2, 3]);
}

#[test]
fn c01_a_stream_says_that_it_is_cancelled() {
    let scope = CancelScope::new();
    let (sender, receiver) = channel(1);
    let outcome = virtually(scope.run(async {
        let mut values = receiver.into_stream();
        assert_eq!(values.try_next().await?.as_deref(), Some(&1));
        sender.send(2)?;
        scope.cancel("test");
        for _ in 0..3 {
            assert!(is_cancel_of(&values.next().await.unwrap(), &scope));
        }
        values.try_next().await
    }));
    assert_eq!(outcome.unwrap(), None);
}

/// A value whose copy and drop use the channel that it is in, as a waker does.
struct Nosy(Receiver<Option<Self>>);

impl Clone for Nosy {
    fn clone(&self) -> Self {
        assert!(!self.0.is_closed());
        Self(self.0.clone())
    }
}

impl Drop for Nosy {
    fn drop(&mut self) {
        self.0.is_closed();
    }
}

impl Wake for Nosy {
    fn wake(self: Arc<Self>) {
        self.0.is_closed();
    }
}

#[test]
fn no_lock_is_held_while_something_of_the_users_runs() {
    on_a_thread(|| {
        let (sender, mut receiver) = channel(None);
        // The channel has the last one, each time.
        let wait = |receiver: &mut Receiver<_>| {
            let waker = Waker::from(Arc::new(Nosy(receiver.clone())));
            pin!(receiver.changed()).poll(&mut Context::from_waker(&waker)).is_pending()
        };
        assert!(wait(&mut receiver));
        sender.send(Some(Nosy(sender.subscribe()))).unwrap();
        assert!(!wait(&mut receiver) && wait(&mut receiver));
        sender.modify(|value| assert!(value.is_some()));
        assert!(!wait(&mut receiver) && wait(&mut receiver) && wait(&mut receiver));
        sender.send(None).unwrap();
        assert!(!wait(&mut receiver) && wait(&mut receiver));
        drop((receiver, sender));
    });
}
