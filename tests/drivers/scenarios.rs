//! What tasks do with each other, small enough to be ended at every point.

use std::future::pending;
use std::time::Duration;

use futures_lite::future::{or, yield_now, zip};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pleach::Result;
use pleach::task::sync::{Event, Mutex, Semaphore};
use pleach::task::{
    CancelScope, TaskStatus, cancellable, channel, checkpoint, defer, entrust, fail_after, local_nursery,
    move_on_after, nursery, oneshot, shield, sleep,
};
use pleach::testing::Trial;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// A tree of three levels, with values that climb it.
pub(crate) async fn nested_nurseries(trial: Trial) -> Result<u32> {
    nursery(async |outer| {
        let mut sums = Vec::new();
        for branch in 0..3 {
            let (probe, trial) = (trial.probe("a branch"), trial.clone());
            sums.push(outer.spawn(nursery(async move |inner| {
                let _probe = probe;
                let mut sum = 0;
                for leaf in 0..3 {
                    let probe = trial.probe("a leaf");
                    let child = inner.spawn(async move {
                        let _probe = probe;
                        sleep(ms(leaf)).await?;
                        Ok(branch * 10 + leaf as u32)
                    })?;
                    sum += child.join().await?;
                }
                Ok(sum)
            }))?);
        }
        let mut sum = 0;
        for branch in sums {
            sum += branch.join().await?;
        }
        Ok(sum)
    })
    .await
}

/// One fails while others wait, for something of the runtime and for something foreign.
pub(crate) async fn a_child_fails(trial: Trial) -> Result<()> {
    nursery(async |n| {
        for _ in 0..2 {
            let probe = trial.probe("a waiting child");
            n.spawn(async move {
                let _probe = probe;
                sleep(ms(1000)).await
            })?;
            let probe = trial.probe("a foreign child");
            n.spawn(async move {
                let _probe = probe;
                pending::<Result<()>>().await
            })?;
        }
        let trial = trial.clone();
        n.spawn(async move {
            sleep(ms(5)).await?;
            checkpoint().await?;
            Err::<(), _>(trial.failure("the child fails"))
        })?;
        cancellable(pending()).await
    })
    .await
}

/// Both in the same tick.
pub(crate) async fn two_children_fail(trial: Trial) -> Result<()> {
    nursery(async |n| {
        for text in ["the one", "the other"] {
            let trial = trial.clone();
            n.spawn(async move {
                checkpoint().await?;
                yield_now().await;
                Err::<(), _>(trial.failure(text))
            })?;
        }
        checkpoint().await
    })
    .await
}

pub(crate) async fn a_full_channel(trial: Trial) -> Result<u32> {
    nursery(async |n| {
        let (sender, mut receiver) = channel::bounded(1);
        for _ in 0..2 {
            let (sender, probe) = (sender.clone(), trial.probe("a sender"));
            n.spawn(async move {
                let _probe = probe;
                for number in 0..5 {
                    sender.send(number).await?;
                }
                Ok(())
            })?;
        }
        drop(sender);
        let mut sum = 0;
        while let Some(number) = receiver.recv().await? {
            checkpoint().await?;
            sum += number;
        }
        Ok(sum)
    })
    .await
}

pub(crate) async fn places_in_a_channel(trial: Trial) -> Result<usize> {
    nursery(async |n| {
        let (sender, mut receiver) = channel::bounded(2);
        for _ in 0..3 {
            let (sender, trial) = (sender.clone(), trial.clone());
            n.spawn(async move {
                for _ in 0..2 {
                    let place = sender.reserve().await?;
                    sleep(ms(1)).await?;
                    place.send(trial.probe("a value"))?;
                }
                drop(sender.reserve().await?);
                Ok(())
            })?;
        }
        drop(sender);
        let mut taken = 0;
        while let Some(value) = receiver.recv().await? {
            drop(value);
            taken += 1;
        }
        Ok(taken)
    })
    .await
}

pub(crate) async fn many_receivers(trial: Trial) -> Result<usize> {
    nursery(async |n| {
        let (sender, receiver) = channel::bounded(2);
        let mut takers = Vec::new();
        for _ in 0..3 {
            let mut receiver = receiver.clone();
            takers.push(n.spawn(async move {
                let mut taken = 0;
                while let Some(value) = receiver.recv().await? {
                    drop(value);
                    checkpoint().await?;
                    taken += 1;
                }
                Ok(taken)
            })?);
        }
        drop(receiver);
        for _ in 0..7 {
            sender.send(trial.probe("a value")).await?;
        }
        drop(sender);
        let mut taken = 0;
        for taker in takers {
            taken += taker.join().await?;
        }
        Ok(taken)
    })
    .await
}

pub(crate) async fn shields(trial: Trial) -> Result<()> {
    nursery(async |n| {
        let probe = trial.probe("a shielded child");
        n.spawn(async {
            shield(ms(50), async {
                sleep(ms(10)).await?;
                nursery(async |n| n.spawn(sleep(ms(10))).map(drop)).await
            })
            .await?;
            drop(probe);
            checkpoint().await
        })?;
        let probe = trial.probe("longer than its shield");
        n.spawn(async {
            let _probe = probe;
            shield(ms(20), sleep(ms(100))).await
        })?;
        sleep(ms(5)).await
    })
    .await
}

pub(crate) async fn finalizers(trial: Trial) -> Result<()> {
    nursery(async |n| {
        for _ in 0..2 {
            let trial = trial.clone();
            n.spawn(async move {
                let (first, second) = (trial.probe("cleanup"), trial.probe("more cleanup"));
                defer(async move {
                    let _ = sleep(ms(5)).await;
                    drop(first);
                })?;
                defer(async move {
                    let _ = checkpoint().await;
                    drop(second);
                })?;
                sleep(ms(10)).await
            })?;
        }
        Ok(())
    })
    .await
}

pub(crate) async fn deadlines(trial: Trial) -> Result<()> {
    let probe = trial.probe("in time");
    let done = fail_after(
        ms(100),
        nursery(async |n| {
            n.spawn(async {
                let late = move_on_after(ms(5), move_on_after(ms(50), sleep(ms(20)))).await?;
                assert!(late.is_none(), "the outer one is the shorter one");
                Ok(())
            })?;
            let soon = move_on_after(ms(20), sleep(ms(5))).await?;
            assert!(soon.is_some(), "it was in time");
            let scope = CancelScope::new().with_timeout(ms(10));
            scope.run(cancellable(pending::<()>())).await?;
            Ok(())
        }),
    );
    done.await?;
    drop(probe);
    Ok(())
}

pub(crate) async fn permits_and_locks(trial: Trial) -> Result<u32> {
    let (permits, lock, all) = (Semaphore::new(2), Mutex::new(0), Event::new());
    nursery(async |n| {
        for number in 0..4 {
            let (permits, lock, all) = (&permits, &lock, &all);
            let probe = trial.probe("who has a permit");
            n.spawn(async move {
                let _permit = permits.acquire().await?;
                let mut sum = lock.lock().await?;
                checkpoint().await?;
                *sum += number;
                if *sum == 6 {
                    all.set();
                }
                drop((sum, probe));
                Ok(())
            })?;
        }
        all.wait().await?;
        drop(permits.acquire_many(2).await?);
        Ok(*lock.lock().await?)
    })
    .await
}

pub(crate) async fn starts(trial: Trial) -> Result<u32> {
    let inner = trial.clone();
    let serve = async move |status: TaskStatus<u32>| {
        let _probe = inner.probe("what is started");
        sleep(ms(5)).await?;
        status.started(7);
        sleep(ms(1000)).await
    };
    let refuses = async |_: TaskStatus<u32>| {
        sleep(ms(2)).await?;
        Err::<(), _>(pleach::Error::msg("it does not start"))
    };
    nursery(async |n| {
        let failed = n.start(refuses).await.map(|_| ());
        if let Err(error) = failed
            && error.is_cancelled()
        {
            return Err(error);
        }
        let (value, _) = n.start(serve).await?;
        n.cancel();
        Ok(value)
    })
    .await
}

/// What cannot end in its drop is waited for by the scope around.
pub(crate) async fn handed_over_in_a_drop(trial: Trial) -> Result<()> {
    struct Connection(Option<pleach::testing::Probe>);
    impl Drop for Connection {
        fn drop(&mut self) {
            let probe = self.0.take();
            // Outside every task there is nobody to hand it to, and it is gone at once.
            let _ = entrust(async move {
                let _ = sleep(ms(5)).await;
                drop(probe);
            });
        }
    }
    nursery(async |n| {
        let connection = Connection(Some(trial.probe("a connection")));
        n.spawn(async {
            let _connection = connection;
            sleep(ms(10)).await
        })?;
        let second = Connection(Some(trial.probe("a second connection")));
        or(
            async {
                let _second = second;
                cancellable(pending()).await
            },
            sleep(ms(3)),
        )
        .await
    })
    .await
}

/// Branches of a `select` are dropped half way, with what they wait for.
pub(crate) async fn a_select(trial: Trial) -> Result<u32> {
    nursery(async |n| {
        let (sender, mut receiver) = channel::bounded(1);
        n.spawn(async move {
            for number in 0..6 {
                sleep(ms(3)).await?;
                sender.send(number).await?;
            }
            Ok(())
        })?;
        let mut sum = 0;
        loop {
            let _probe = trial.probe("a round");
            let timeout = async {
                sleep(ms(2)).await?;
                Ok(Some(0))
            };
            match or(receiver.recv(), timeout).await? {
                Some(number) => sum += number,
                None => return Ok(sum),
            }
        }
    })
    .await
}

/// Behind the wakers of a combinator, which a cancel has to find one by one.
pub(crate) async fn many_awaits_at_once(trial: Trial) -> Result<u64> {
    let mut sum = 0;
    let (sender, mut receiver) = oneshot::channel();
    let _probe = trial.probe("the whole");
    let waits: FuturesUnordered<_> = (0..10_u64)
        .map(|number| {
            let probe = trial.probe("one of many");
            async move {
                sleep(ms(number)).await?;
                drop(probe);
                Result::<u64>::Ok(number)
            }
        })
        .collect();
    let all = async {
        let mut waits = waits;
        while let Some(number) = waits.next().await {
            sum += number?;
        }
        let _ = sender.send(());
        Ok(())
    };
    let (all, told): (Result<()>, Result<_>) = zip(all, receiver.recv()).await;
    all?;
    told?;
    Ok(sum)
}

pub(crate) async fn local_children(trial: Trial) -> Result<u32> {
    let sum = std::rc::Rc::new(std::cell::Cell::new(0));
    local_nursery(async |n| {
        for number in 0..3 {
            let (sum, probe) = (sum.clone(), trial.probe("a local child"));
            n.spawn(async move {
                let _probe = probe;
                sleep(ms(number.into())).await?;
                sum.set(sum.get() + number);
                Ok(())
            })?;
        }
        Ok(())
    })
    .await?;
    Ok(sum.get())
}

/// A loop that does not want to hear of its cancel ends with the grace.
pub(crate) async fn what_swallows_cancels(trial: Trial) -> Result<()> {
    nursery(async |n| {
        let probe = trial.probe("a deaf loop");
        n.spawn(async move {
            let _probe = probe;
            for _ in 0..3 {
                let _ = sleep(ms(5)).await;
            }
            Ok(())
        })?;
        sleep(ms(8)).await
    })
    .await
}
