//! L3: what a linked task spawns through its link belongs to the link.

use pleach_bridge::{NotLinked, Spawned, spawn};

use super::place::prelude::*;

pub(crate) fn laws() -> Vec<Law> {
    laws![
        l03_spawned_tasks_end_with_a_failed_link,
        l03_spawned_tasks_end_with_a_cancelled_link,
        l03_spawned_tasks_end_with_a_dropped_link,
        l03_the_link_waits_for_what_was_spawned,
        l03_what_was_spawned_gives_its_value,
        l03_one_failure_ends_all_of_the_link,
        l03_a_panic_is_a_failure,
        l03_a_cancel_ends_what_the_far_function_left,
        l03_run_owns_what_it_spawns,
    ]
}

pub(crate) fn laws_of_tokio() -> Vec<Law> {
    tokio_laws![l30_spawning_outside_of_a_link]
}

/// A child with a grandchild, neither of which ends by itself.
fn spawn_two(child: Guard, grandchild: Guard) -> Result<Spawned<()>> {
    spawn(async move {
        let _child = child;
        spawn(async move {
            let _grandchild = grandchild;
            nap(FOR_EVER).await;
            Ok(())
        })?;
        nap(FOR_EVER).await;
        Ok(())
    })
}

/// Says when both of them run, and waits in one of our operations.
async fn parent(mut far: Numbers, [own, child, grandchild]: [Guard; 3]) -> Result<()> {
    let _own = own;
    spawn_two(child, grandchild)?;
    yield_now().await;
    far.started(()).await?;
    while far.recv().await?.is_some() {}
    Ok(())
}

fn family() -> ([Gone; 3], [Guard; 3]) {
    let gone: [Gone; 3] = Default::default();
    let guards = gone.each_ref().map(Gone::guard);
    (gone, guards)
}

fn assert_gone(gone: &[Gone]) {
    assert!(gone.iter().all(Gone::get), "left: {:?}", gone.iter().map(Gone::get).collect::<Vec<_>>());
}

pub(crate) async fn l03_spawned_tasks_end_with_a_failed_link<P: Place>() -> Result<()> {
    let (gone, guards) = family();
    let opened = open_link(P::on()?, |far| parent(far, guards), async |_near, ()| -> Result<()> { Err(BodyError)? });
    let error = opened.await.unwrap_err();
    assert_gone(&gone);
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");
    Ok(())
}

pub(crate) async fn l03_spawned_tasks_end_with_a_cancelled_link<P: Place>() -> Result<()> {
    let (gone, guards) = family();
    let scope = CancelScope::new();
    let opened = open_link(P::on()?, |far| parent(far, guards), cancels(&scope));
    assert_eq!(scope.run(opened).await?, None);
    assert_gone(&gone);
    Ok(())
}

pub(crate) async fn l03_spawned_tasks_end_with_a_dropped_link<P: Place>() -> Result<()> {
    let (gone, guards) = family();
    let on = P::on()?;
    CancelScope::new()
        .run(async {
            let (up, mut is_up) = oneshot::channel();
            let body = async |mut near: Near<u32, u32, ()>, ()| {
                let _ = up.send(());
                near.recv().await.map(drop)
            };
            or(open_link(on, |far| parent(far, guards), body), async { is_up.recv().await.map(|_| ()) }).await
        })
        .await?;
    assert_gone(&gone);
    Ok(())
}

pub(crate) async fn l03_the_link_waits_for_what_was_spawned<P: Place>() -> Result<()> {
    let done = Flag::default();
    let is_done = done.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        spawn(async move {
            nap(A_WHILE).await;
            is_done.set();
            Ok(())
        })?;
        Ok("returned at once")
    };
    assert_eq!(open_link(P::on()?, far, async |near, ()| near.finish().await).await?, "returned at once");
    assert!(done.is_set(), "the link completed before what its task had spawned");
    Ok(())
}

pub(crate) async fn l03_what_was_spawned_gives_its_value<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        let late = spawn(async {
            nap(A_WHILE).await;
            Ok(40)
        })?;
        let early = spawn(async { Ok(2) })?;
        Ok(late.await + early.await)
    };
    assert_eq!(open_link(P::on()?, far, async |near, ()| near.finish().await).await?, 42);
    Ok(())
}

/// Of the spawned, of the far function and of the body, whatever they wait for.
pub(crate) async fn l03_one_failure_ends_all_of_the_link<P: Place>() -> Result<()> {
    let (gone, guards) = family();
    let far = async move |far: Numbers| {
        spawn(async {
            nap(A_WHILE).await;
            Err::<(), _>(Boom(3).into())
        })?;
        parent(far, guards).await
    };
    let error = open_link(P::on()?, far, async |_near, ()| sleep(FOR_EVER).await).await.unwrap_err();
    assert_gone(&gone);
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom(3)), "{error:?}");
    Ok(())
}

pub(crate) async fn l03_a_panic_is_a_failure<P: Place>() -> Result<()> {
    let (gone, guards) = family();
    let far = async move |far: Numbers| {
        spawn::<(), _>(async { std::panic::panic_any("the child slipped") })?;
        parent(far, guards).await
    };
    let error = open_link(P::on()?, far, async |mut near, ()| near.recv().await).await.unwrap_err();
    assert_gone(&gone);
    assert!(error.is_panic() && error.to_string().contains("the child slipped"), "{error:?}");
    Ok(())
}

/// The far function has returned, before it was told or because of it, so there is nobody left to tell.
pub(crate) async fn l03_a_cancel_ends_what_the_far_function_left<P: Place>() -> Result<()> {
    for waits_to_be_told in [false, true] {
        let (gone, [own, child, grandchild]) = family();
        let far = async move |mut far: Numbers| {
            let _own = own;
            spawn_two(child, grandchild)?;
            far.started(()).await?;
            if waits_to_be_told {
                far.cancelled().await;
            }
            Ok(())
        };
        let opened = link(P::on()?).grace(FOR_EVER).open(far, async |_near, ()| -> Result<()> { Err(BodyError)? });
        let error = harness::soon(opened).await.unwrap_err();
        assert_gone(&gone);
        assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");
    }
    Ok(())
}

pub(crate) async fn l03_run_owns_what_it_spawns<P: Place>() -> Result<()> {
    let (gone, [own, child, grandchild]) = family();
    let work = async move || {
        let _own = own;
        spawn_two(child, grandchild)?;
        nap(FOR_EVER).await;
        Ok(())
    };
    assert_eq!(move_on_after(A_WHILE, run(P::on()?, work)).await?, None);
    assert_gone(&gone);
    Ok(())
}

fn is_refused(spawned: Result<Spawned<()>>) -> bool {
    let error = spawned.expect_err("there is no link here");
    error.downcast_ref::<NotLinked>().is_some() && error.to_string().contains("pleach_bridge::spawn")
}

pub(crate) async fn l30_spawning_outside_of_a_link<P: Place>() -> Result<()> {
    assert!(is_refused(spawn(async { Ok(()) })), "this is a task of the tree");
    let work = async || {
        let behind = tokio::spawn(async { is_refused(spawn(async { Ok(()) })) });
        assert!(behind.await?, "what tokio spawns belongs to no link");
        spawn(async { Ok(()) }).map(drop)
    };
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        work().await
    };
    let body = async |near: Near<u32, u32, ()>, ()| {
        assert!(is_refused(spawn(async { Ok(()) })), "so is the body of a link");
        near.finish().await
    };
    open_link(P::on()?, far, body).await
}
