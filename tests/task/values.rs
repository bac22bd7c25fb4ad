//! An operation has happened, or it has had no effect (law C2).

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;

use futures_lite::future::{or, poll_once};
use futures_util::future::join;
use pleach::Result;
use pleach::task::channel::{self, TrySendError};
use pleach::task::sync::{Mutex, Semaphore};
use pleach::task::{CancelScope, cancellable, checkpoint, nursery, oneshot};

use crate::kit::{Log, scenarios, settle};

scenarios! {
    Virtual:
    c02_a_cancelled_receive_leaves_what_is_there,
    c02_a_cancelled_or_dropped_receive_takes_nothing,
    c02_a_cancelled_send_gives_its_value_back,
    c02_a_dropped_send_has_delivered_or_drops,
    c02_a_reserved_place_cannot_be_lost,
    c02_nothing_is_lost_or_doubled_by_cancels_at_any_moment,
    c02_a_cancelled_acquire_takes_nothing_and_passes_its_wake_on,
    c02_a_cancelled_lock_leaves_the_value,
    c02_what_has_happened_wins_over_the_cancel,
    c02_a_cancelled_oneshot_leaves_the_value,
}

async fn c02_a_cancelled_receive_leaves_what_is_there() -> Result<()> {
    let (sender, mut receiver) = channel::bounded(1);
    sender.send(7).await?;
    let scope = CancelScope::new();
    scope.cancel("test");
    assert_eq!(scope.run(receiver.recv()).await?, None);
    assert_eq!(receiver.try_recv(), Some(7));
    Ok(())
}

async fn c02_a_cancelled_or_dropped_receive_takes_nothing() -> Result<()> {
    let (sender, mut receiver) = channel::bounded(1);
    let scope = CancelScope::new();
    let waits = scope.run(receiver.recv());
    let cancels = async {
        settle().await?;
        scope.cancel("test");
        sender.send(1).await?; // it would be for who was cancelled
        Result::<()>::Ok(())
    };
    let (told, sent) = join(waits, cancels).await;
    assert_eq!(told?, None);
    sent?;
    assert_eq!(receiver.try_recv(), Some(1));
    let (sender, mut receiver) = channel::bounded(1);
    {
        let mut aside = pin!(receiver.recv());
        assert!(poll_once(aside.as_mut()).await.is_none());
        sender.send(2).await?;
    }
    assert_eq!(receiver.try_recv(), Some(2));
    Ok(())
}

async fn c02_a_cancelled_send_gives_its_value_back() -> Result<()> {
    let (sender, mut receiver) = channel::bounded(1);
    sender.send("first").await?;
    let scope = CancelScope::new();
    let sends = scope.run(async {
        let refused = sender.send("second").await.unwrap_err();
        assert!(refused.is_cancelled());
        Ok(refused.into_value())
    });
    let cancels = async {
        settle().await.expect("nobody cancels this one");
        scope.cancel("test");
    };
    let (back, ()) = join(sends, cancels).await;
    assert_eq!(back?, Some("second"));
    assert_eq!((receiver.try_recv(), receiver.try_recv()), (Some("first"), None));
    Ok(())
}

async fn c02_a_dropped_send_has_delivered_or_drops() -> Result<()> {
    let log = Log::default();
    let (sender, mut receiver) = channel::bounded(1);
    sender.send(log.at_drop("first")).await?;
    {
        let mut second = pin!(sender.send(log.at_drop("second")));
        assert!(poll_once(second.as_mut()).await.is_none(), "it is full");
    }
    assert_eq!(log.take(), ["second"], "it was not delivered, and is dropped");
    drop(receiver.try_recv());
    {
        let mut third = pin!(sender.send(log.at_drop("third")));
        assert!(poll_once(third.as_mut()).await.is_some());
    }
    assert_eq!(log.take(), ["first"], "the third is in the channel");
    drop(receiver);
    assert_eq!(log.take(), ["third"]);
    Ok(())
}

async fn c02_a_reserved_place_cannot_be_lost() -> Result<()> {
    let (sender, mut receiver) = channel::bounded(1);
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        let place = sender.reserve().await?;
        assert!(matches!(sender.try_send(1), Err(TrySendError::Full(1))));
        scope.cancel("test");
        assert!(checkpoint().await.is_err());
        place.send(2)?;
        Ok("sent")
    });
    assert_eq!(outcome.await?, Some("sent"));
    assert_eq!(receiver.try_recv(), Some(2));
    drop(sender.reserve().await?); // given back
    sender.send(3).await?;
    Ok(())
}

/// Runs `work` again and again until it has come to its end, cancelled a little later each time.
async fn again_and_again<Fut: Future<Output = Result<()>>>(mut work: impl FnMut() -> Fut) -> Result<()> {
    for round in 1_usize.. {
        let scope = CancelScope::new();
        let cancels = async {
            for _ in 0..round % 7 {
                checkpoint().await?;
            }
            scope.cancel("again");
            pending().await
        };
        if scope.run(or(work(), cancels)).await?.is_some() {
            return Ok(());
        }
    }
    Ok(())
}

/// A sender and a receiver that are cancelled again and again, each at another await.
async fn c02_nothing_is_lost_or_doubled_by_cancels_at_any_moment() -> Result<()> {
    const COUNT: usize = 300;
    let (sender, receiver) = channel::bounded(2);
    let (next, ends, taken) = (&AtomicUsize::new(0), &Mutex::new((Some(sender), receiver)), &Log::default());
    let sends = again_and_again(async || {
        let sender = ends.try_lock().expect("nobody keeps it").0.clone().expect("it is not closed");
        while next.load(Ordering::SeqCst) < COUNT {
            if let Err(refused) = sender.send(next.load(Ordering::SeqCst)).await {
                assert!(refused.is_cancelled());
                return Err(refused.into());
            }
            next.fetch_add(1, Ordering::SeqCst);
            checkpoint().await?;
        }
        ends.try_lock().expect("nobody keeps it").0 = None;
        Ok(())
    });
    let takes = again_and_again(async || {
        let mut receiver = ends.try_lock().expect("nobody keeps it").1.clone();
        while let Some(number) = receiver.recv().await? {
            taken.add(number.to_string());
            checkpoint().await?;
        }
        Ok(())
    });
    let (sent, received) = join(sends, takes).await;
    sent?;
    received?;
    assert_eq!(taken.take(), (0..COUNT).map(|number| number.to_string()).collect::<Vec<_>>());
    Ok(())
}

async fn c02_a_cancelled_acquire_takes_nothing_and_passes_its_wake_on() -> Result<()> {
    let (permits, scope) = (Semaphore::new(1), CancelScope::new());
    nursery(async |n| {
        let held = permits.acquire().await?;
        let first = n.spawn(scope.run(async { permits.acquire().await.map(drop) }))?;
        let second = n.spawn(async { permits.acquire().await.map(drop) })?;
        settle().await?;
        drop(held); // wakes the first, which is cancelled before it runs
        scope.cancel("too late");
        assert_eq!(first.join().await?, None);
        second.join().await
    })
    .await?;
    assert_eq!(permits.available(), 1);
    Ok(())
}

async fn c02_a_cancelled_lock_leaves_the_value() -> Result<()> {
    let (lock, scope) = (Mutex::new(1), CancelScope::new());
    let outcome = scope.run(async {
        let mut value = lock.lock().await?;
        *value = 2;
        scope.cancel("test");
        checkpoint().await
    });
    assert_eq!(outcome.await?, None);
    assert_eq!(*lock.try_lock().expect("nobody has it"), 2);
    Ok(())
}

async fn c02_what_has_happened_wins_over_the_cancel() -> Result<()> {
    let (scope, ready) = (CancelScope::new(), AtomicBool::new(false));
    let outcome = scope.run(async {
        let foreign = poll_fn(|_| if ready.load(Ordering::SeqCst) { Poll::Ready(7) } else { Poll::Pending });
        let happens = async {
            settle().await.expect("nobody has cancelled it yet");
            ready.store(true, Ordering::SeqCst);
            scope.cancel("at the same moment");
        };
        let (value, ()) = join(cancellable(foreign), happens).await;
        let log = Log::default();
        assert!(cancellable(async { log.add("started") }).await.is_err());
        assert!(log.take().is_empty(), "not started any more");
        value
    });
    assert_eq!(outcome.await?, Some(7));
    Ok(())
}

async fn c02_a_cancelled_oneshot_leaves_the_value() -> Result<()> {
    let (sender, mut receiver) = oneshot::channel();
    assert!(sender.send(7).is_ok());
    let scope = CancelScope::new();
    scope.cancel("test");
    assert_eq!(scope.run(receiver.recv()).await?, None);
    assert_eq!(receiver.recv().await?, Some(7));
    Ok(())
}
