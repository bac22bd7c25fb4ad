//! Children that say when they have started (trio's `start`).

use std::future::pending;

use futures_lite::future::or;

use super::{Failed, Log, is_cancel_of, ms, never, settle, virtually};
use crate::error::{Closed, Misuse};
use crate::task::{CancelScope, NeverStarted, TaskStatus, clock, nursery, oneshot, sleep};
use crate::{Error, Result};

#[test]
fn the_value_comes_when_it_has_started_and_the_nursery_waits_for_the_rest() {
    virtually(nursery(async |n| {
        let begun = clock::now();
        let child = async |status: TaskStatus<u32>| {
            sleep(ms(10)).await?;
            status.started(7);
            sleep(ms(10)).await?;
            Ok("ended")
        };
        let (value, child) = n.start(child).await?;
        assert_eq!((value, clock::now() - begun), (7, ms(10)));
        assert_eq!(child.join().await?, "ended");
        assert_eq!(clock::now() - begun, ms(20));
        Ok(())
    }))
    .unwrap();
}

/// Who handles it has a nursery that nothing has happened to.
#[test]
fn c09_a_failure_before_the_start_is_the_starters_alone() {
    let outcome = virtually(nursery(async |n| {
        let refuses = async |_: TaskStatus<()>| {
            sleep(ms(1)).await?;
            Err::<(), Error>(Failed("it does not start").into())
        };
        let error = n.start(refuses).await.unwrap_err();
        assert_eq!(error.downcast_ref::<Failed>(), Some(&Failed("it does not start")));
        n.spawn(sleep(ms(1)))?.join().await
    }));
    outcome.unwrap();
}

#[test]
fn c09_a_failure_after_the_start_is_the_nurserys() {
    let outcome = virtually(nursery(async |n| {
        let fails = async |status: TaskStatus<()>| {
            status.started(());
            Err::<(), Error>(Failed("later").into())
        };
        n.start(fails).await?;
        never().await
    }));
    assert_eq!(outcome.unwrap_err().downcast_ref::<Failed>(), Some(&Failed("later")));
}

#[test]
fn a_child_that_returns_before_it_has_started_is_an_error() {
    let outcome = virtually(nursery(async |n| n.start(async |_: TaskStatus<()>| Ok(())).await.map(drop)));
    assert!(outcome.unwrap_err().downcast_ref::<NeverStarted>().is_some());
}

#[test]
fn a_child_that_drops_its_status_is_still_waited_for() {
    let outcome = virtually(nursery(async |n| {
        let drops = async |status: TaskStatus<()>| {
            drop(status);
            sleep(ms(10)).await
        };
        n.start(drops).await.map(drop)
    }));
    assert!(outcome.unwrap_err().downcast_ref::<NeverStarted>().is_some());
}

#[test]
fn c04_a_cancelled_starter_ends_the_child_first() {
    let (log, scope) = (Log::default(), CancelScope::new());
    virtually(nursery(async |n| {
        let child = async |_: TaskStatus<()>| {
            let _gone = log.at_drop("the child is gone");
            let cancel = never().await;
            sleep(ms(0)).await.unwrap_err();
            cancel
        };
        let started = scope.run(async {
            let started = n.start(child).await;
            log.add("the starter knows");
            assert!(is_cancel_of(&started, &scope));
            started.map(drop)
        });
        let cancels = async {
            settle().await?;
            scope.cancel("not needed any more");
            pending().await
        };
        assert_eq!(or(started, cancels).await?, None);
        Ok(())
    }))
    .unwrap();
    assert_eq!(log.take(), ["the child is gone", "the starter knows"]);
}

#[test]
fn r7_a_start_that_is_dropped_cancels_the_child() {
    let log = Log::default();
    virtually(nursery(async |n| {
        let child = async |_: TaskStatus<()>| {
            let _gone = log.at_drop("gone");
            never().await
        };
        or(async { n.start(child).await.map(drop) }, settle()).await?;
        Ok(())
    }))
    .unwrap();
    assert_eq!(log.take(), ["gone"]);
}

/// It has started, so it is no business of the starter's any more.
#[test]
fn a_child_that_has_started_survives_its_starter() {
    let scope = CancelScope::new();
    let (go, mut gone_on) = oneshot::channel();
    let value = virtually(nursery(async |n| {
        let child = async |status: TaskStatus<()>| {
            status.started(());
            Ok(gone_on.recv().await?.unwrap())
        };
        let child = scope.run(async { n.start(child).await.map(|(_, child)| child) }).await?.unwrap();
        scope.cancel("over");
        go.send(42).unwrap();
        child.join().await
    }));
    assert_eq!(value.unwrap(), 42);
}

#[test]
fn c10_a_start_in_a_cancelled_nursery_starts_nothing() {
    let outcome = virtually(nursery(async |n| {
        n.cancel();
        let error = n.start(async |_: TaskStatus<()>| unreachable_child().await).await.unwrap_err();
        assert!(error.is_cancelled());
        Ok(())
    }));
    outcome.unwrap();
}

async fn unreachable_child() -> Result<()> {
    Err(Misuse::new("it was started").into())
}

#[test]
fn c10_a_start_in_a_nursery_that_has_ended_is_closed() {
    let error = virtually(async {
        let n = nursery(async |n| Ok(n)).await?;
        n.start(async |status: TaskStatus<()>| {
            status.started(());
            Ok(())
        })
        .await
        .map(drop)
    });
    assert!(error.unwrap_err().downcast_ref::<Closed>().is_some());
}

/// The starter is not inside the nursery, so the cancel of that is none of its own.
#[test]
fn c05_a_nursery_that_is_cancelled_before_the_start_is_closed_to_those_outside() {
    let outcome = virtually(nursery(async |outer| {
        let (give, mut given) = oneshot::channel();
        outer.spawn(async move {
            nursery(async move |inner| {
                let _ = give.send(inner.clone());
                settle().await?;
                inner.cancel();
                Ok(())
            })
            .await
        })?;
        let inner = given.recv().await?.unwrap();
        let error = inner.start(async |_: TaskStatus<()>| never().await).await.unwrap_err();
        assert!(error.downcast_ref::<Closed>().is_some(), "{error:?}");
        Ok(())
    }));
    outcome.unwrap();
}

#[test]
fn a_function_with_a_status_can_be_called_directly() {
    let serve = async |status: TaskStatus<u16>| {
        status.started(80);
        Result::<&str>::Ok("served")
    };
    assert_eq!(virtually(serve(TaskStatus::ignored())).unwrap(), "served");
}
