//! What a nursery does besides ending: children in turns, names, starts.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_lite::future::{block_on, or};
use futures_util::future::join;
use pleach::error::{Closed, Reason};
use pleach::task::{
    CancelScope, NeverStarted, Nursery, TaskStatus, cancellable, checkpoint, clock, move_on_after, nursery, oneshot,
    shield, sleep,
};
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
