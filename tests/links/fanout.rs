//! L25: what one foreign task sends goes to many, of whom the slow ones lag alone.

use pleach::task::broadcast::{self, Delivery, Receiver};

use super::place::prelude::*;

pub(crate) fn laws() -> Vec<Law> {
    laws![
        l25_a_slow_subscriber_lags_alone,
        l25_the_end_of_the_source_wakes_all,
        l25_the_failure_of_the_source_wakes_all,
        row17_a_reader_fails_beside_a_fan_out,
    ]
}

/// Counts to `last`.
async fn counts(mut far: Far<(), (), u32>, last: u32) -> Result<()> {
    far.started(()).await?;
    for number in 1..=last {
        far.send(number).await?;
    }
    Ok(())
}

/// What a subscriber has got, and how much it was told that it has lost.
#[derive(Debug, Default, PartialEq, Eq)]
struct Got {
    values: u64,
    lost: u64,
}

/// Reads to the end of the channel.
async fn reads(mut from: Receiver<u32>) -> Result<Got> {
    let mut got = Got::default();
    while let Some(delivery) = from.recv().await? {
        match delivery {
            Delivery::Value(_) => got.values += 1,
            Delivery::Lagged(lost) => got.lost += lost,
        }
    }
    Ok(got)
}

pub(crate) async fn l25_a_slow_subscriber_lags_alone<P: Place>() -> Result<()> {
    let (fast, slow) = nursery(async |n| {
        let (all, fast) = broadcast::channel(64);
        let slow = all.subscribe();
        let fast = n.spawn(reads(fast))?;
        open_link(
            P::on()?,
            |far| counts(far, 1000),
            async |mut near: Near<(), u32, ()>, ()| {
                while let Some(number) = near.recv().await? {
                    all.send(number)?;
                    if number % 50 == 0 {
                        // It has a turn; the other one has not begun to read.
                        yield_now().await;
                    }
                }
                Ok(())
            },
        )
        .await?;
        drop(all);
        Ok((fast.join().await?, reads(slow).await?))
    })
    .await?;
    assert_eq!(fast, Got { values: 1000, lost: 0 });
    assert_eq!(slow, Got { values: 64, lost: 936 });
    Ok(())
}

/// Opens a link that counts to three and then ends so, with two subscribers.
async fn two_subscribers<P: Place>(
    end: impl FnOnce() -> Result<()> + Send + 'static,
) -> (Result<()>, [Option<Got>; 2]) {
    let kept: [Mutex<Option<Got>>; 2] = Default::default();
    let [first, second] = &kept;
    let far = async move |far: Far<(), (), u32>| {
        counts(far, 3).await?;
        end()
    };
    let ended = nursery(async |n| {
        let (all, one) = broadcast::channel(8);
        let other = all.subscribe();
        for (from, kept) in [(one, first), (other, second)] {
            n.spawn(async move {
                let got = reads(from).await?;
                *kept.lock().unwrap() = Some(got);
                Ok(())
            })?;
        }
        open_link(P::on()?, far, async |mut near: Near<(), u32, ()>, ()| {
            // The channel ends with the body, whatever that ends with.
            let all = all;
            while let Some(number) = near.recv().await? {
                all.send(number)?;
            }
            Ok(())
        })
        .await
    });
    let ended = ended.await;
    (ended, kept.map(|got| got.into_inner().unwrap()))
}

pub(crate) async fn l25_the_end_of_the_source_wakes_all<P: Place>() -> Result<()> {
    let (ended, got) = harness::soon(async { Ok(two_subscribers::<P>(|| Ok(())).await) }).await?;
    assert_eq!((ended?, got), ((), [(); 2].map(|()| Some(Got { values: 3, lost: 0 }))));
    Ok(())
}

/// They end with the nursery, which has the failure.
pub(crate) async fn l25_the_failure_of_the_source_wakes_all<P: Place>() -> Result<()> {
    let failing = two_subscribers::<P>(|| Err(Boom(25).into()));
    let (ended, _) = harness::soon(async { Ok(failing.await) }).await?;
    let error = ended.unwrap_err();
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom(25)), "{error:?}");
    assert_eq!(error.failures().len(), 1, "{error:?}");
    Ok(())
}

/// The failure comes out as it is, and the foreign task is stopped.
pub(crate) async fn row17_a_reader_fails_beside_a_fan_out<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |mut far: Far<(), (), u32>| {
        let _guard = guard;
        far.started(()).await?;
        loop {
            far.send(1).await?;
            nap(Duration::from_millis(1)).await;
        }
    };
    let failed = nursery(async |n| {
        let (all, one) = broadcast::channel(8);
        let mut other = all.subscribe();
        n.spawn(reads(one))?;
        n.spawn(async move {
            other.recv().await?;
            Err::<(), Error>(BodyError.into())
        })?;
        open_link(P::on()?, far, async |mut near: Near<(), u32, ()>, ()| {
            while let Some(number) = near.recv().await? {
                all.send(number)?;
            }
            Ok(())
        })
        .await
    });
    let error = harness::soon(failed).await.unwrap_err();
    assert_eq!(error.downcast_ref::<BodyError>(), Some(&BodyError), "{error:?}");
    assert_eq!(error.failures().len(), 1, "{error:?}");
    assert!(gone.get());
    Ok(())
}
