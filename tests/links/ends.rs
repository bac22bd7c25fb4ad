//! L18, L19: foreign tasks that are ended by others, and those that will not end.

use std::sync::mpsc;

use pleach::dialog::{Escalated, Stuck};
use pleach_bridge::{ForeignCancelled, ForeignLoop, Tokio};

use super::place::prelude::*;

const SHORT: Duration = Duration::from_millis(50);

pub(crate) fn laws() -> Vec<Law> {
    laws![
        l18_cancelled_by_another_while_the_body_receives,
        l18_cancelled_by_another_while_the_body_sleeps,
        l18_cancelled_by_another_while_the_body_finishes,
        l18_cancelled_by_another_before_it_started,
        l18_a_call_cancelled_by_another,
        l19_a_task_that_swallows_every_error,
    ]
}

// ---- L18: cancelled by a third party

/// Opens a link, has somebody else cancel its task, and goes on with `body`.
async fn cancelled_by_another<P: Place>(
    body: impl AsyncFnOnce(Near<u32, u32, ()>) -> Result<()> + Send + 'static,
) -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let opened = foreign(P::on()?, async move |on: P::Loop| {
        let on = Open::new(on);
        let others = on.clone();
        let link = open_link(
            on,
            |far| listens(far, guard),
            async move |near, ()| {
                others.abort_all();
                body(near).await
            },
        );
        link.await
    });
    let error = harness::soon(opened).await.unwrap_err();
    assert!(gone.get());
    assert_is_foreign_cancel(&error, "cancelled_by_another");
    Ok(())
}

fn assert_is_foreign_cancel(error: &Error, function: &str) {
    let cancelled = error.downcast_ref::<ForeignCancelled>().unwrap_or_else(|| panic!("{error:?}"));
    assert!(names_a_task(&cancelled.task) && cancelled.task.contains(function), "{cancelled}");
    assert!(!error.is_cancelled(), "no scope of ours was cancelled");
}

pub(crate) async fn l18_cancelled_by_another_while_the_body_receives<P: Place>() -> Result<()> {
    cancelled_by_another::<P>(async |mut near| near.recv().await.map(drop)).await
}

pub(crate) async fn l18_cancelled_by_another_while_the_body_sleeps<P: Place>() -> Result<()> {
    cancelled_by_another::<P>(async |_near| sleep(FOR_EVER).await).await
}

pub(crate) async fn l18_cancelled_by_another_while_the_body_finishes<P: Place>() -> Result<()> {
    cancelled_by_another::<P>(async |near| near.finish().await).await
}

/// Has everything that is started on `on` cancelled, again and again.
async fn abort_for_ever<L: ForeignLoop>(on: Open<L>) -> Result<()> {
    loop {
        sleep(Duration::from_millis(1)).await?;
        on.abort_all();
    }
}

pub(crate) async fn l18_cancelled_by_another_before_it_started<P: Place>() -> Result<()> {
    let opened = foreign(P::on()?, async move |on: P::Loop| {
        let on = Open::new(on);
        let far = async |_far: Numbers| std::future::pending::<Result<()>>().await;
        or(open_link(on.clone(), far, async |_near, ()| Ok(())), abort_for_ever(on)).await
    });
    let error = harness::soon(opened).await.unwrap_err();
    assert_is_foreign_cancel(&error, "l18_cancelled_by_another_before_it_started");
    Ok(())
}

pub(crate) async fn l18_a_call_cancelled_by_another<P: Place>() -> Result<()> {
    let called = foreign(P::on()?, async move |on: P::Loop| {
        let on = Open::new(on);
        let work = async || std::future::pending::<Result<()>>().await;
        or(run(on.clone(), work), abort_for_ever(on)).await
    });
    let error = harness::soon(called).await.unwrap_err();
    assert_is_foreign_cancel(&error, "l18_a_call_cancelled_by_another");
    Ok(())
}

// ---- L19: those that will not end

pub(crate) async fn l19_a_task_that_swallows_every_error<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let scope = CancelScope::new();
    let opened = link(P::on()?).grace(SHORT).open(|far| stubborn(far, guard), cancels(&scope));
    let ended = harness::soon(scope.run(opened)).await;
    assert!(gone.get(), "the link completed before its task was dropped");
    let error = ended.unwrap_err();
    assert!(error.downcast_ref::<Escalated>().is_some(), "{error:?}");
    Ok(())
}

/// Only the thread is stuck, and the tree is told which task it is.
pub(crate) async fn l19_a_task_that_never_awaits_is_named() -> Result<()> {
    let (release, held) = mpsc::channel::<()>();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        let _ = held.recv();
        Ok(())
    };
    let opened = link(Tokio::thread().deadline(SHORT))
        .grace(SHORT)
        .open(far, async |_near, ()| -> Result<()> { Err(BodyError)? });
    let error = harness::eventually(opened).await.unwrap_err();
    drop(release);
    let stuck: Vec<String> = error
        .failures()
        .iter()
        .filter(|leaf| leaf.downcast_ref::<Stuck>().is_some())
        .map(ToString::to_string)
        .collect();
    assert!(error.failures().iter().any(|leaf| leaf.downcast_ref::<BodyError>().is_some()), "{error:?}");
    assert!(stuck.iter().any(|text| text.contains("l19_a_task_that_never_awaits_is_named")), "{error:?}");
    Ok(())
}

/// Blocks the thread of its actor, once there is a file.
#[pleach::endpoint]
async fn never_awaits(up: String) -> Result<()> {
    let far = async move |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        std::fs::write(up, "")?;
        loop {
            std::thread::park();
        }
    };
    open_link(Tokio::here()?, far, async |near, ()| near.finish().await).await
}

/// Nothing in its process can end it: the ladder of the actor's parent does.
pub(crate) async fn l19_a_task_that_never_awaits_ends_its_actor() -> Result<()> {
    let up = std::env::temp_dir().join(harness::unique("never-awaits"));
    let ended = actor_nursery(async |n| {
        let described = n.actor("infected").host(Tokio::current_thread()).grace(SHORT);
        let actor = described.expose(never_awaits).start().await?;
        let cancels = async {
            while !up.exists() {
                sleep(Duration::from_millis(1)).await?;
            }
            n.cancel_actors("it is stuck");
            std::future::pending().await
        };
        let error = or(actor.run(never_awaits, (up.to_string_lossy().into_owned(),)), cancels).await.unwrap_err();
        assert!(error.is_died(), "{error:?}");
        Ok(())
    });
    let ended = harness::eventually(ended).await;
    std::fs::remove_file(&up)?;
    ended // its process is reaped
}
