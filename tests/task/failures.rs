//! What a tree tells of its failures and panics (laws C9 and C14).

use std::future::pending;
use std::panic::panic_any;

use futures_lite::future::{poll_once, yield_now};
use pleach::error::Panicked;
use pleach::task::{CancelScope, ChildFailed, checkpoint, defer, nursery, shield, sleep};
use pleach::{Error, Result};

use crate::kit::{AtDrop, Failed, Log, ms, never, scenarios, settle};

scenarios! {
    Virtual:
    c09_every_failure_is_told_and_late_ones_come_last,
    c09_two_that_fail_in_one_turn_are_both_original,
    c09_body_and_child_that_both_fail_are_both_told,
    c09_failures_of_nurseries_inside_each_other_are_told_once,
    c09_who_joins_a_failed_child_tells_of_the_same_failure,
    c09_a_failure_of_the_cleanup_comes_after_that_of_the_body,
    c09_a_lone_failure_comes_out_bare,
    c09_a_group_is_the_cause_of_nothing,
    c14_a_panic_is_a_failure_with_payload_and_place,
    c14_a_panic_of_the_body_cancels_the_children,
    c14_a_panic_in_a_drop_is_a_failure_too,
    c14_a_panic_in_the_cleanup_is_told_beside_the_failure,
}

/// The failures of a tree, each with whether it came after a cancel.
fn told<T: std::fmt::Debug>(outcome: Result<T>) -> Vec<(String, bool)> {
    let failure = outcome.unwrap_err();
    failure.failures().iter().map(|leaf| (leaf.to_string(), leaf.is_after_cancel())).collect()
}

fn leaves(all: &[(&str, bool)]) -> Vec<(String, bool)> {
    all.iter().map(|(text, late)| ((*text).to_owned(), *late)).collect()
}

async fn c09_every_failure_is_told_and_late_ones_come_last() -> Result<()> {
    let outcome = nursery(async |n| {
        for name in ["late", "later"] {
            n.spawn(async move {
                assert!(never().await.is_err());
                Err::<(), Error>(Failed(name).into())
            })?;
        }
        settle().await?;
        n.spawn(async { Err::<(), Error>(Failed("the cause").into()) })?;
        never().await
    });
    assert_eq!(told::<()>(outcome.await), leaves(&[("the cause", false), ("late", true), ("later", true)]));
    Ok(())
}

async fn c09_two_that_fail_in_one_turn_are_both_original() -> Result<()> {
    let outcome = nursery(async |n| {
        for name in ["one", "two"] {
            n.spawn(async move {
                yield_now().await; // not an await that could be told
                Err::<(), Error>(Failed(name).into())
            })?;
        }
        never().await
    });
    assert_eq!(told::<()>(outcome.await), leaves(&[("one", false), ("two", false)]));
    Ok(())
}

async fn c09_body_and_child_that_both_fail_are_both_told() -> Result<()> {
    let outcome = nursery(async |n| {
        n.spawn(async {
            yield_now().await;
            Err::<(), Error>(Failed("the child").into())
        })?;
        yield_now().await;
        Err::<(), Error>(Failed("the body").into())
    });
    let mut all = told(outcome.await);
    all.sort_unstable();
    assert_eq!(all, leaves(&[("the body", false), ("the child", false)]));
    Ok(())
}

async fn c09_failures_of_nurseries_inside_each_other_are_told_once() -> Result<()> {
    let outcome = nursery(async |n| {
        let child = n.spawn(nursery(async |n| {
            for name in ["one", "two"] {
                n.spawn(async move {
                    yield_now().await;
                    Err::<(), Error>(Failed(name).into())
                })?;
            }
            never().await
        }))?;
        child.join().await
    });
    assert_eq!(told::<()>(outcome.await), leaves(&[("one", false), ("two", false)]));
    Ok(())
}

async fn c09_who_joins_a_failed_child_tells_of_the_same_failure() -> Result<()> {
    let outcome = nursery(async |n| {
        let child = n.spawn(async { Err::<(), Error>(Failed("once").into()) })?;
        // Shielded, so that it hears of the child and not of the cancel.
        let told = shield(ms(1000), child.join()).await.unwrap_err();
        assert!(told.downcast_ref::<ChildFailed>().is_some(), "{told:?}");
        Err::<(), _>(told)
    });
    let failure = outcome.await.unwrap_err();
    assert_eq!((failure.failures().len(), failure.downcast_ref()), (1, Some(&Failed("once"))));
    Ok(())
}

async fn c09_a_failure_of_the_cleanup_comes_after_that_of_the_body() -> Result<()> {
    let outcome = nursery(async |n| {
        n.spawn(async {
            assert!(never().await.is_err());
            shield(ms(1000), async {
                sleep(ms(10)).await?;
                Err::<(), Error>(Failed("the cleanup").into())
            })
            .await
        })?;
        settle().await?;
        Err::<(), Error>(Failed("the body").into())
    });
    assert_eq!(told(outcome.await), leaves(&[("the body", false), ("the cleanup", true)]));
    Ok(())
}

async fn c09_a_lone_failure_comes_out_bare() -> Result<()> {
    let outcome = nursery(async |n| {
        n.spawn(never())?;
        n.spawn(nursery(async |n| {
            n.spawn(never())?;
            settle().await?;
            Err::<(), Error>(Failed("alone").into())
        }))?;
        never().await
    });
    let failure: Error = Result::<()>::unwrap_err(outcome.await);
    assert_eq!(failure.downcast_ref(), Some(&Failed("alone")));
    assert!(failure.location().file().ends_with("failures.rs"), "where it was born: {}", failure.location());
    Ok(())
}

/// Neither of what is in it, nor of a failure that came after it.
async fn c09_a_group_is_the_cause_of_nothing() -> Result<()> {
    let outcome = nursery(async |n| {
        n.spawn(async {
            yield_now().await;
            Err::<(), Error>(Failed("the child").into())
        })?;
        yield_now().await;
        Err::<(), Error>(Failed("the body").into())
    });
    let failure = outcome.await.unwrap_err();
    assert_eq!(failure.failures().len(), 2);
    assert!(failure.source().is_none() && failure.failures().iter().all(|leaf| leaf.source().is_none()));
    Ok(())
}

async fn c14_a_panic_is_a_failure_with_payload_and_place() -> Result<()> {
    let outcome = nursery(async |n| {
        n.spawn(async {
            if checkpoint().await.is_ok() {
                panic_any(17_u32);
            }
            Ok(())
        })?;
        never().await
    });
    let failure: Error = Result::<()>::unwrap_err(outcome.await);
    assert!(failure.is_panic());
    let panicked = failure.downcast_ref::<Panicked>().expect("it is one");
    assert_eq!(panicked.take_payload().and_then(|payload| payload.downcast_ref::<u32>().copied()), Some(17));
    let place = panicked.backtrace().expect("the runtime has seen it");
    assert!(place.contains("task/failures.rs"), "{place}");
    Ok(())
}

async fn c14_a_panic_of_the_body_cancels_the_children() -> Result<()> {
    let log = Log::default();
    let outcome = nursery(async |n| {
        let gone = log.at_drop("child dropped");
        n.spawn(async {
            let _gone = gone;
            never().await
        })?;
        settle().await?;
        if log.take().is_empty() {
            panic!("on {}", "purpose");
        }
        Ok(())
    });
    assert_eq!(outcome.await.unwrap_err().downcast_ref::<Panicked>().map(Panicked::message), Some("on purpose"));
    assert_eq!(log.take(), ["child dropped"]);
    Ok(())
}

async fn c14_a_panic_in_a_drop_is_a_failure_too() -> Result<()> {
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        let _bad = AtDrop::new(|| panic!("in a drop"));
        scope.cancel("test");
        pending::<Result<()>>().await
    });
    assert_eq!(outcome.await.unwrap_err().downcast_ref::<Panicked>().map(Panicked::message), Some("in a drop"));
    // Also when the strand is dropped from outside: the strand around tells of it.
    let outcome = CancelScope::new().run(async {
        let mut inner = Box::pin(nursery(async |_| {
            let _bad = AtDrop::new(|| panic!("in an outside drop"));
            never().await
        }));
        assert!(poll_once(&mut inner).await.is_none());
        drop(inner);
        Ok(())
    });
    let failure = outcome.await.unwrap_err();
    assert_eq!(failure.downcast_ref::<Panicked>().map(Panicked::message), Some("in an outside drop"));
    Ok(())
}

async fn c14_a_panic_in_the_cleanup_is_told_beside_the_failure() -> Result<()> {
    let log = Log::default();
    let outcome = nursery(async |n| {
        let log = log.clone();
        n.spawn(async move {
            defer(async move { log.add("the other finalizer") })?;
            defer(async { panic!("in a finalizer") })?;
            checkpoint().await?;
            Err::<(), Error>(Failed("the body").into())
        })?;
        Ok(())
    });
    let all = told(outcome.await);
    assert_eq!(all.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>()[0], "the body");
    assert!(all.len() == 2 && all[1].0.contains("in a finalizer"), "{all:?}");
    assert_eq!(log.take(), ["the other finalizer"]);
    Ok(())
}
