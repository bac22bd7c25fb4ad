//! Children that say when they have started.

use futures_lite::future::or;
use pleach::error::Closed;
use pleach::task::{
    CancelScope, NeverStarted, Nursery, TaskStatus, cancellable, checkpoint, clock, move_on_after, nursery, oneshot,
    shield, sleep,
};
use pleach::{Error, Result};

use crate::kit::{Failed, Log, is_cancel_of, ms, never, scenarios, settle, timed};

scenarios! {
    Virtual:
    a_start_gives_the_value_and_the_nursery_waits_for_the_rest,
    a_start_fails_with_what_its_child_fails_with,
    a_start_is_over_when_its_child_is,
    a_start_that_is_cancelled_ends_its_child_first,
    a_start_by_who_is_cancelled_already_is_cancelled,
    a_start_that_has_happened_is_no_business_of_the_starters,
    a_start_keeps_its_nursery_open,
    a_start_that_is_late_for_its_nursery_is_closed,
    a_function_with_a_status_can_be_called_directly,
}

async fn a_start_gives_the_value_and_the_nursery_waits_for_the_rest() -> Result<()> {
    let begun = clock::now();
    nursery(async |n| {
        let serves = async |status: TaskStatus<u32>| {
            sleep(ms(10)).await?;
            status.started(7);
            sleep(ms(20)).await?;
            Ok("ended")
        };
        let (value, child) = n.start(serves).await?;
        assert_eq!((value, clock::now() - begun), (7, ms(10)));
        n.spawn(async { child.join().await.map(|word| assert_eq!(word, "ended")) })?;
        Ok(())
    })
    .await?;
    assert_eq!(clock::now() - begun, ms(30));
    Ok(())
}

async fn a_start_fails_with_what_its_child_fails_with() -> Result<()> {
    let value = nursery(async |n| {
        let refuses = async |_: TaskStatus<()>| {
            sleep(ms(1)).await?;
            Err::<(), Error>(Failed("it does not start").into())
        };
        let refused = n.start(refuses).await.map(drop).unwrap_err();
        assert_eq!(refused.downcast_ref(), Some(&Failed("it does not start")), "bare, and nobody else's");
        n.spawn(async { Ok("goes on") })?.join().await
    });
    assert_eq!(value.await?, "goes on");
    let later = nursery(async |n| {
        let fails = async |status: TaskStatus<()>| {
            status.started(());
            Err::<(), Error>(Failed("later").into())
        };
        n.start(fails).await?;
        never().await
    });
    assert_eq!(later.await.unwrap_err().downcast_ref(), Some(&Failed("later")), "that of the nursery");
    Ok(())
}

async fn a_start_is_over_when_its_child_is() -> Result<()> {
    let outcome = nursery(async |n| n.start(async |_: TaskStatus<()>| Ok(())).await.map(drop));
    assert_eq!(outcome.await.unwrap_err().downcast_ref(), Some(&NeverStarted));
    let drops = async |status: TaskStatus<()>| {
        drop(status);
        sleep(ms(10)).await
    };
    let (outcome, took) = timed(nursery(async |n| n.start(drops).await.map(drop))).await;
    assert_eq!((outcome.unwrap_err().downcast_ref(), took), (Some(&NeverStarted), ms(10)));
    Ok(())
}

async fn a_start_that_is_cancelled_ends_its_child_first() -> Result<()> {
    let (log, scope) = (Log::default(), CancelScope::new());
    nursery(async |n| {
        let child = async |_: TaskStatus<()>| {
            let _gone = log.at_drop("the child is gone");
            let told = never().await;
            shield(ms(100), sleep(ms(5))).await?;
            told
        };
        let starts = scope.run(async {
            let started = n.start(child).await;
            log.add("the starter knows");
            assert!(is_cancel_of(&started, &scope));
            started.map(drop)
        });
        let cancels = async {
            settle().await?;
            scope.cancel("not needed any more");
            cancellable(std::future::pending()).await
        };
        assert_eq!(or(starts, cancels).await?, None);
        Ok(())
    })
    .await?;
    assert_eq!(log.take(), ["the child is gone", "the starter knows"]);
    Ok(())
}

/// Its child begins, and meets the cancel at its first await, whatever it says before that.
async fn a_start_by_who_is_cancelled_already_is_cancelled() -> Result<()> {
    let (log, scope) = (Log::default(), CancelScope::new());
    scope.cancel("early");
    nursery(async |n| {
        let child = async |status: TaskStatus<()>| {
            status.started(());
            let told = checkpoint().await;
            log.add(if told.is_err() { "told" } else { "goes on" });
            told
        };
        let outcome = scope.run(async {
            let started = n.start(child).await;
            assert!(is_cancel_of(&started, &scope));
            started.map(drop)
        });
        assert_eq!(outcome.await?, None);
        n.spawn(async { Ok(()) })?.join().await // the nursery is not
    })
    .await?;
    assert_eq!(log.take(), ["told"]);
    Ok(())
}

async fn a_start_that_has_happened_is_no_business_of_the_starters() -> Result<()> {
    let (go, mut gone_on) = oneshot::channel();
    let value = nursery(async |n| {
        let child = async |status: TaskStatus<()>| {
            status.started(());
            gone_on.recv().await
        };
        let scope = CancelScope::new();
        let started = scope.run(async { n.start(child).await.map(|(_, child)| child) }).await?;
        scope.cancel("over");
        assert!(go.send(42).is_ok());
        started.expect("it was not cancelled").join().await
    });
    assert_eq!(value.await?, Some(42));
    Ok(())
}

async fn a_start_keeps_its_nursery_open() -> Result<()> {
    let serves = async |status: TaskStatus<()>| {
        sleep(ms(2)).await?;
        status.started(());
        sleep(ms(3)).await
    };
    let begun = clock::now();
    nursery(async |outer| {
        nursery(async |inner: Nursery<'static>| {
            let first = inner.clone();
            outer.spawn(async move { first.start(serves).await.map(drop) })?;
            sleep(ms(1)).await?;
            outer.spawn(async move { inner.start(serves).await.map(drop) })?;
            checkpoint().await
        })
        .await?;
        assert_eq!(clock::now() - begun, ms(6));
        Ok(())
    })
    .await
}

/// The starter is not inside the nursery, so the cancel of that is none of its own.
async fn a_start_that_is_late_for_its_nursery_is_closed() -> Result<()> {
    nursery(async |outer| {
        let (give, mut given) = oneshot::channel();
        outer.spawn(move_on_after(
            ms(1000),
            nursery(async move |inner: Nursery<'static>| {
                assert!(give.send(inner.clone()).is_ok());
                settle().await?;
                inner.cancel();
                settle().await
            }),
        ))?;
        let inner = given.recv().await?.expect("it was sent");
        let refused = inner.start(async |_: TaskStatus<()>| never().await).await.map(drop).unwrap_err();
        assert!(refused.downcast_ref::<Closed>().is_some(), "{refused:?}");
        Ok(())
    })
    .await
}

async fn a_function_with_a_status_can_be_called_directly() -> Result<()> {
    let serves = async |status: TaskStatus<u16>| {
        status.started(80);
        checkpoint().await.map(|()| "served")
    };
    assert_eq!(serves(TaskStatus::ignored()).await?, "served");
    Ok(())
}
