//! The situations that an infected mode gets wrong most easily, each by the row of the table they were collected in: exits
//! and cancels, from both sides.

use pleach::dialog::{Escalated, TrySendError};
use pleach_bridge::{ForeignCancelled, spawn};
use tokio::task::JoinSet;

use super::place::prelude::*;

const SHORT: Duration = Duration::from_millis(50);

pub(crate) fn laws() -> Vec<Law> {
    laws![
        row04_both_raise_independently,
        row07_a_normal_exit_beside_a_task_that_waits_for_something_else,
        row08_a_body_error_beside_a_task_that_waits_for_something_else,
        row09_a_cancelled_scope_tells_the_task_of_a_cancel,
        row10_a_cancelled_call_leaves_nothing_running,
        row13_a_task_that_swallows_the_signal,
    ]
}

/// Those with tasks that tokio itself has spawned.
pub(crate) fn laws_of_tokio() -> Vec<Law> {
    tokio_laws![
        row11_a_task_that_awaits_another_task,
        row12_a_task_inside_a_gather_or_a_task_group,
        row14_a_task_that_is_cancelled_on_its_own_side
    ]
}

/// There: the group of both was only ever seen by the loop's handler of last resort.
pub(crate) async fn row04_both_raise_independently<P: Place>() -> Result<()> {
    let far = async move |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        Err(Boom(4))?
    };
    let error = open_link(P::on()?, far, async |mut near, ()| -> Result<()> {
        // It is not told of the other failure, and knows of it all the same.
        while near.try_send(0).err().is_none_or(|refused| matches!(refused, TrySendError::Full(_))) {
            yield_now().await;
        }
        Err(BodyError)?
    })
    .await
    .unwrap_err();
    let [foreign, own] = error.failures() else { panic!("two failures were expected: {error:?}") };
    assert_eq!(foreign.downcast_ref::<Boom>(), Some(&Boom(4)), "{error:?}");
    assert!(own.downcast_ref::<BodyError>().is_some(), "{error:?}");
    Ok(())
}

/// There: the signal that ends the task comes out of the scope as an error. Here it is an error only that it had to be ended.
pub(crate) async fn row07_a_normal_exit_beside_a_task_that_waits_for_something_else<P: Place>() -> Result<()> {
    let in_time = async |mut far: Numbers| {
        far.started(()).await?;
        nap(A_WHILE).await;
        Ok(())
    };
    assert_eq!(open_link(P::on()?, in_time, async |_near, ()| Ok(7)).await?, 7);
    let gone = Gone::default();
    let guard = gone.guard();
    let error = link(P::on()?).grace(SHORT).open(|far| deaf(far, guard), async |_near, ()| Ok(7)).await.unwrap_err();
    assert!(gone.get());
    assert!(error.downcast_ref::<Escalated>().is_some(), "{error:?}");
    Ok(())
}

/// There: an error of the machinery replaces the user's.
pub(crate) async fn row08_a_body_error_beside_a_task_that_waits_for_something_else<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let opened = open_link(P::on()?, |far| deaf(far, guard), async |_near, ()| -> Result<()> { Err(BodyError)? });
    let error = opened.await.unwrap_err();
    assert!(gone.get());
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");
    Ok(())
}

/// There: the task is told of a normal exit.
pub(crate) async fn row09_a_cancelled_scope_tells_the_task_of_a_cancel<P: Place>() -> Result<()> {
    let told = Flag::default();
    let was_told = told.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        let end = far.recv().await;
        if end.as_ref().is_err_and(Error::is_cancelled) {
            was_told.set();
        }
        end.map(drop)
    };
    let scope = CancelScope::new();
    let opened = open_link(P::on()?, far, cancels(&scope));
    assert_eq!(scope.run(opened).await?, None, "the scope absorbs its cancel");
    assert!(told.is_set());
    Ok(())
}

/// There: the task runs on until its loop shuts down.
pub(crate) async fn row10_a_cancelled_call_leaves_nothing_running<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let work = async move || {
        let _guard = guard;
        nap(FOR_EVER).await;
        Ok(())
    };
    assert_eq!(move_on_after(A_WHILE, not_before(&gone, run(P::on()?, work))).await?, None);
    Ok(())
}

async fn never(guard: Guard) -> Result<()> {
    let _guard = guard;
    nap(FOR_EVER).await;
    Ok(())
}

async fn awaits_another(mut far: Numbers, [own, other]: [Guard; 2]) -> Result<()> {
    let _own = own;
    let other = spawn(never(other))?;
    far.started(()).await?;
    other.await;
    Ok(())
}

/// There: the signal cannot be delivered, and both tasks stay alive.
pub(crate) async fn row11_a_task_that_awaits_another_task<P: Place>() -> Result<()> {
    let gone: [Gone; 2] = Default::default();
    let guards = gone.each_ref().map(Gone::guard);
    let exited = link(P::on()?).grace(SHORT).open(|far| awaits_another(far, guards), async |_near, ()| Ok(()));
    let error = exited.await.unwrap_err();
    assert!(error.downcast_ref::<Escalated>().is_some(), "nothing else is to be said: {error:?}");
    assert!(gone.iter().all(Gone::get), "after a normal exit");

    let gone: [Gone; 2] = Default::default();
    let guards = gone.each_ref().map(Gone::guard);
    let scope = CancelScope::new();
    let opened = open_link(P::on()?, |far| awaits_another(far, guards), cancels(&scope));
    assert_eq!(scope.run(opened).await?, None);
    assert!(gone.iter().all(Gone::get), "after a cancel");
    Ok(())
}

/// There: the outer task ends, and its children stay alive.
pub(crate) async fn row12_a_task_inside_a_gather_or_a_task_group<P: Place>() -> Result<()> {
    let gone: [Gone; 4] = Default::default();
    let [a, b, c, d] = gone.each_ref().map(Gone::guard);
    let gathers = async move |mut far: Numbers| {
        far.started(()).await?;
        futures_util::future::try_join(never(a), never(b)).await.map(drop)
    };
    let scope = CancelScope::new();
    let opened = open_link(P::on()?, gathers, cancels(&scope));
    assert_eq!(scope.run(opened).await?, None);
    let groups = async move |mut far: Numbers| {
        let mut group = JoinSet::new();
        group.spawn(never(c));
        group.spawn(never(d));
        far.started(()).await?;
        while group.join_next().await.is_some() {}
        Ok(())
    };
    let scope = CancelScope::new();
    let opened = open_link(P::on()?, groups, cancels(&scope));
    assert_eq!(scope.run(opened).await?, None);
    all_gone(&gone).await
}

/// There: a normal exit waits for ever, and after a cancel the task lives on.
pub(crate) async fn row13_a_task_that_swallows_the_signal<P: Place>() -> Result<()> {
    let (exited, cancelled) = (Gone::default(), Gone::default());
    let guard = exited.guard();
    let opened = link(P::on()?).grace(SHORT).open(|far| stubborn(far, guard), async |_near, ()| Ok(()));
    let after_exit = harness::soon(opened).await.unwrap_err();
    assert!(exited.get());
    let guard = cancelled.guard();
    let scope = CancelScope::new();
    let opened = link(P::on()?).grace(SHORT).open(|far| stubborn(far, guard), cancels(&scope));
    let after_cancel = harness::soon(scope.run(opened)).await.unwrap_err();
    assert!(cancelled.get());
    for error in [after_exit, after_cancel] {
        assert!(error.downcast_ref::<Escalated>().is_some(), "{error:?}");
    }
    Ok(())
}

/// There: a raw cancel of the loop comes out where the body does something else.
pub(crate) async fn row14_a_task_that_is_cancelled_on_its_own_side<P: Place>() -> Result<()> {
    let cancels_itself = async || {
        let own = tokio::spawn(std::future::pending::<()>());
        own.abort();
        Ok(own.await?)
    };
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        cancels_itself().await
    };
    let by_call = run(P::on()?, cancels_itself).await.unwrap_err();
    let by_link = open_link(P::on()?, far, async |_near, ()| sleep(FOR_EVER).await).await.unwrap_err();
    for error in [by_call, by_link] {
        assert!(error.downcast_ref::<ForeignCancelled>().is_some(), "{error:?}");
    }
    Ok(())
}
