//! What a nursery does besides ending: children in turns, names, scopes inside each other.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::block_on;
use futures_util::future::join;
use pleach::error::{Closed, Reason};
use pleach::task::{CancelScope, Nursery, checkpoint, clock, nursery, shield, sleep};
use pleach::{Error, Result};

use crate::kit::{Failed, Log, Tree, is_cancel_of, ms, never, scenarios, settle, timed};

scenarios! {
    Virtual:
    a_tree_gives_the_value_of_its_root,
    a_tree_inside_a_task_is_part_of_it,
    children_take_turns,
    the_first_failure_cancels_the_rest_also_the_body,
    a_failure_wakes_a_body_that_waits_for_something_foreign,
    a_nursery_is_open_as_long_as_a_child_is_there,
    a_child_that_does_not_wait_meets_no_cancel,
    a_name_is_in_front_of_the_failure,
    a_scope_runs_once,
    a_scope_says_what_has_become_of_it,
    scopes_inside_each_other_two_hundred_deep,
}

async fn a_tree_gives_the_value_of_its_root() -> Result<()> {
    assert_eq!(nursery(async |_| Ok(8)).await?, 8);
    assert_eq!(nursery(async |_| checkpoint().await.map(|()| 9)).await?, 9);
    let failed: Result<()> = nursery(async |_| Err(Failed("17").into())).await;
    assert_eq!(failed.unwrap_err().downcast_ref(), Some(&Failed("17")));
    Ok(())
}

/// Whoever blocks in a task has blocked his tree, and is cancelled with it nevertheless.
async fn a_tree_inside_a_task_is_part_of_it() -> Result<()> {
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        scope.cancel("test");
        let told = block_on(nursery(async |n| n.spawn(async { Ok(1) })?.join().await));
        assert!(is_cancel_of(&told, &scope));
        let inside = block_on(shield(ms(100), nursery(async |n| n.spawn(async { Ok(2) })?.join().await)));
        assert_eq!(inside?, 2);
        checkpoint().await
    });
    assert_eq!(outcome.await?, None);
    Ok(())
}

async fn children_take_turns() -> Result<()> {
    let log = Log::default();
    nursery(async |n| {
        for name in ["a", "b", "c"] {
            let log = log.clone();
            n.spawn(async move {
                for turn in 0..3 {
                    log.add(format!("{turn}{name}"));
                    checkpoint().await?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })
    .await?;
    let order = log.take();
    assert!(order.is_sorted_by_key(|entry| entry[..1].to_owned()), "a turn each: {order:?}");
    Ok(())
}

async fn the_first_failure_cancels_the_rest_also_the_body() -> Result<()> {
    let log = Log::default();
    let told = |result: Result<()>, who: &str| {
        let reason = result.as_ref().unwrap_err().mark().expect("it is a cancel").reason.clone();
        assert!(matches!(reason, Reason::SiblingFailed { .. }), "{reason}");
        log.add(who);
        result
    };
    let outcome = nursery(async |n| {
        for _ in 0..3 {
            n.spawn(async { told(sleep(ms(60_000)).await, "child") })?;
        }
        n.spawn(async {
            sleep(ms(5)).await?;
            Err::<(), Error>(Failed("first").into())
        })?;
        told(never().await, "body")
    });
    assert_eq!(outcome.await.unwrap_err().downcast_ref(), Some(&Failed("first")));
    assert_eq!(log.sorted(), ["body", "child", "child", "child"]);
    Ok(())
}

async fn a_failure_wakes_a_body_that_waits_for_something_foreign() -> Result<()> {
    let outcome = nursery(async |n| {
        n.spawn(async {
            settle().await?;
            Err::<(), Error>(Failed("the child").into())
        })?;
        std::future::pending::<Result<()>>().await
    });
    let (outcome, took) = timed(outcome).await;
    assert_eq!((outcome.unwrap_err().downcast_ref(), took), (Some(&Failed("the child")), ms(0)));
    Ok(())
}

async fn a_nursery_is_open_as_long_as_a_child_is_there() -> Result<()> {
    let count = AtomicUsize::new(0);
    fn grow<'env>(n: Nursery<'env>, left: usize, count: &'env AtomicUsize) -> Result<()> {
        count.fetch_add(1, Ordering::SeqCst);
        let inner = n.clone();
        if left > 0 { n.spawn(async move { grow(inner, left - 1, count) }).map(drop) } else { Ok(()) }
    }
    let kept = nursery(async |n| grow(n.clone(), 20, &count).map(|()| n)).await?;
    assert_eq!(count.load(Ordering::SeqCst), 21);
    assert_eq!(kept.spawn(async { Ok(()) }).unwrap_err().downcast_ref(), Some(&Closed));
    Ok(())
}

async fn a_child_that_does_not_wait_meets_no_cancel() -> Result<()> {
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        let done = nursery(async |n| {
            n.spawn(async { Ok(()) })?;
            Ok("done")
        });
        let (done, ()) = join(done, async { scope.cancel("too late for it") }).await;
        done
    });
    assert_eq!(outcome.await?, Some("done"));
    let scope = CancelScope::new();
    let empty = scope.run(async {
        scope.cancel("test");
        nursery(async |_| Ok("nobody has waited")).await
    });
    assert_eq!(empty.await?, Some("nobody has waited"));
    assert!(scope.cancel_called() && !scope.cancelled_caught());
    Ok(())
}

async fn a_name_is_in_front_of_the_failure() -> Result<()> {
    let failure = nursery(async |n| {
        n.named("parser").spawn(async { Err::<(), Error>(Failed("no number").into()) })?;
        assert_eq!(n.snapshot().map(|scope| scope.not_started), Some(1));
        never().await
    });
    assert_eq!(Result::<()>::unwrap_err(failure.await).to_string(), "task `parser`: no number");
    Ok(())
}

async fn a_scope_runs_once() -> Result<()> {
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        assert!(scope.run(async { Ok(()) }).await.unwrap_err().is_misuse(), "it is running");
        Ok("once")
    });
    assert_eq!(outcome.await?, Some("once"));
    let again: Result<Option<()>> = scope.run(async { panic!("it was run again") }).await;
    assert!(again.unwrap_err().is_misuse());
    Ok(())
}

async fn a_scope_says_what_has_become_of_it() -> Result<()> {
    let scope = CancelScope::new().with_timeout(ms(50));
    let said = || (scope.deadline().map(|at| at - clock::now()), scope.is_cancelled(), scope.cancelled_caught());
    assert_eq!(said(), (None, false, false), "it has not begun");
    let outcome = scope.run(async {
        checkpoint().await?;
        assert_eq!(said(), (Some(ms(50)), false, false));
        let told = never().await;
        assert_eq!(said(), (Some(ms(0)), true, false));
        told
    });
    assert_eq!(outcome.await?, None);
    assert_eq!(said(), (Some(ms(0)), true, true));
    assert!(format!("{scope:?}").contains("cancelled: true"), "{scope:?}");
    Ok(())
}

async fn scopes_inside_each_other_two_hundred_deep() -> Result<()> {
    let scope = CancelScope::new();
    let outermost = scope.clone();
    let told = Log::default();
    let log = told.clone();
    let mut tree: Tree = Box::pin(async move {
        outermost.cancel("from the innermost");
        let told = never().await;
        log.add(if is_cancel_of(&told, &outermost) { "that of the outermost" } else { "another" });
        told
    });
    for _ in 0..100 {
        tree = Box::pin(async move { nursery(async |_| CancelScope::new().run(tree).await.map(drop)).await });
    }
    assert_eq!(scope.run(tree).await?, None);
    assert_eq!(told.take(), ["that of the outermost"]);
    Ok(())
}
