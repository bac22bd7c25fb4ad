//! L22: foreign code that has a task of the tree as a future, and converses with one.

use pleach::dialog::NeverStarted;
use pleach::task::cancellable;
use pleach_bridge::TreeHandle;

use super::place::prelude::*;

pub(crate) fn laws() -> Vec<Law> {
    laws![
        l22_a_value_comes_back,
        l22_a_cancel_ends_the_task_before_the_future_resolves,
        l22_a_future_that_is_dropped_cancels_its_task,
        l22_a_failure_is_of_who_has_the_future,
        l22_a_failure_that_nobody_has_is_the_nurserys,
        l22_a_nursery_that_is_cancelled_ends_it,
        l22_a_dialog_the_other_way_round,
        l22_a_far_task_of_the_tree_is_told_of_its_cancel,
        l22_a_far_task_of_the_tree_is_cancelled_wherever_it_waits,
        l22_a_far_task_of_the_tree_fails,
    ]
}

/// Runs foreign code that has a handle of a nursery around it.
async fn with_tree<P: Place, Fut, T>(work: impl FnOnce(TreeHandle) -> Fut + Send + 'static) -> Result<T>
where
    Fut: Future<Output = Result<T>> + 'static,
    T: Send + 'static,
{
    nursery(async |n| {
        let tree = TreeHandle::new(&n);
        run(P::on()?, move || work(tree)).await
    })
    .await
}

/// A task of the tree that takes some time to clean up.
async fn cleans_up(guard: Guard, up: Flag) -> Result<u32> {
    up.set();
    let cancel = cancellable(std::future::pending::<u32>()).await;
    shield(harness::SOON, sleep(A_WHILE)).await?;
    drop(guard);
    cancel
}

pub(crate) async fn l22_a_value_comes_back<P: Place>() -> Result<()> {
    let value = with_tree::<P, _, _>(async |tree| {
        let held = tree.spawn(async {
            sleep(Duration::from_millis(1)).await?;
            Ok(7)
        })?;
        turn().await;
        held.await
    });
    assert_eq!(value.await?, 7);
    Ok(())
}

pub(crate) async fn l22_a_cancel_ends_the_task_before_the_future_resolves<P: Place>() -> Result<()> {
    let (gone, up) = (Gone::default(), Flag::default());
    let (guard, seen) = (gone.guard(), gone.clone());
    let ended = with_tree::<P, _, _>(async move |tree| {
        let held = tree.spawn(cleans_up(guard, up.clone()))?;
        up.wait().await;
        let ended = held.cancel().await?;
        assert!(seen.get(), "the future resolved before the task had ended");
        Ok(ended)
    });
    assert_eq!(ended.await?, None);
    Ok(())
}

pub(crate) async fn l22_a_future_that_is_dropped_cancels_its_task<P: Place>() -> Result<()> {
    let (gone, up) = (Gone::default(), Flag::default());
    let guard = gone.guard();
    with_tree::<P, _, _>(async move |tree| {
        let held = tree.spawn(cleans_up(guard, up.clone()))?;
        up.wait().await;
        assert!(times_out(Duration::from_millis(1), held).await, "the loop's own timeout drops it");
        Ok(())
    })
    .await?;
    assert!(gone.get(), "its nursery waits for it");
    Ok(())
}

pub(crate) async fn l22_a_failure_is_of_who_has_the_future<P: Place>() -> Result<()> {
    let handled = with_tree::<P, _, _>(async |tree| {
        let held = tree.spawn(async { Err::<(), _>(Boom(22).into()) })?;
        Ok(held.await.unwrap_err().downcast_ref::<Boom>() == Some(&Boom(22)))
    });
    assert!(handled.await?, "the nursery has not failed, and the failure is what it was");
    Ok(())
}

pub(crate) async fn l22_a_failure_that_nobody_has_is_the_nurserys<P: Place>() -> Result<()> {
    let up = Flag::default();
    let outcome = with_tree::<P, _, _>(async move |tree| {
        let told = up.clone();
        let held = tree.spawn(async move {
            told.set();
            let _ = cancellable(std::future::pending::<()>()).await;
            Err::<(), _>(Boom(23).into())
        })?;
        up.wait().await;
        drop(held);
        Ok(())
    });
    assert_eq!(outcome.await.unwrap_err().downcast_ref::<Boom>(), Some(&Boom(23)));
    Ok(())
}

pub(crate) async fn l22_a_nursery_that_is_cancelled_ends_it<P: Place>() -> Result<()> {
    let (gone, up) = (Gone::default(), Flag::default());
    let guard = gone.guard();
    let cancelled = nursery(async |n| {
        let (tree, stop) = (TreeHandle::new(&n), n.clone());
        run(P::on()?, async move || {
            let held = tree.spawn(cleans_up(guard, up.clone()))?;
            up.wait().await;
            stop.cancel();
            Ok(held.await.unwrap_err().is_cancelled() && tree.spawn(async { Ok(()) }).unwrap_err().is_cancelled())
        })
        .await
    });
    assert!(cancelled.await?);
    assert!(gone.get());
    Ok(())
}

pub(crate) async fn l22_a_dialog_the_other_way_round<P: Place>() -> Result<()> {
    async fn sums(mut far: Far<&'static str, u32, u32>) -> Result<u32> {
        far.started("here is the tree").await?;
        let mut sum = 0;
        while let Some(value) = far.recv().await? {
            sleep(Duration::from_millis(1)).await?;
            sum += value;
            far.send(sum).await?;
        }
        Ok(sum)
    }
    let sum = with_tree::<P, _, _>(async |tree| {
        tree.open(sums, async |mut near, first| {
            assert_eq!(first, "here is the tree");
            for value in 1..=4 {
                near.send(value).await?;
                assert_eq!(near.recv().await?, Some(value * (value + 1) / 2));
            }
            near.finish().await
        })
        .await
    });
    assert_eq!(sum.await?, 10);
    Ok(())
}

pub(crate) async fn l22_a_far_task_of_the_tree_is_told_of_its_cancel<P: Place>() -> Result<()> {
    let (gone, told) = (Gone::default(), Flag::default());
    let (guard, is_told) = (gone.guard(), told.clone());
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        let cancel = far.recv().await.unwrap_err();
        assert!(cancel.is_cancelled(), "{cancel}");
        is_told.set();
        shield(harness::SOON, sleep(A_WHILE)).await?;
        drop(guard);
        Err::<(), _>(cancel)
    };
    let error = with_tree::<P, _, _>(async move |tree| {
        tree.open(far, async |_near, ()| -> Result<()> { Err(BodyError)? }).await
    });
    let error = error.await.unwrap_err();
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");
    assert!(told.is_set() && gone.get(), "it was told, and had its time");
    Ok(())
}

/// It does not wait at its end, where the link alone would tell it.
pub(crate) async fn l22_a_far_task_of_the_tree_is_cancelled_wherever_it_waits<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |mut far: Numbers| {
        let _guard = guard;
        far.started(()).await?;
        sleep(FOR_EVER).await
    };
    let error = with_tree::<P, _, _>(async move |tree| {
        let opened = tree.open(far, async |_near, ()| -> Result<()> { Err(BodyError)? });
        not_before(&gone, opened).await
    });
    let error = error.await.unwrap_err();
    assert!(error.downcast_ref::<BodyError>().is_some(), "nothing else is to be said: {error:?}");
    Ok(())
}

pub(crate) async fn l22_a_far_task_of_the_tree_fails<P: Place>() -> Result<()> {
    let up = Flag::default();
    let is_up = up.clone();
    let fails = async move |mut far: Numbers| {
        far.started(()).await?;
        is_up.wait().await;
        Err::<(), _>(Boom(24).into())
    };
    let body = async move |_near, ()| {
        let mut forever = std::pin::pin!(sleep(FOR_EVER));
        assert!(poll_once(&mut forever).await.is_none(), "it waits");
        up.set();
        forever.await
    };
    let failed = with_tree::<P, _, _>(async move |tree| tree.open(fails, body).await);
    assert_eq!(failed.await.unwrap_err().downcast_ref::<Boom>(), Some(&Boom(24)));
    let returns = async |_far: Numbers| Ok(());
    let failed = with_tree::<P, _, _>(async move |tree| tree.open(returns, async |_near, ()| Ok(())).await);
    assert!(failed.await.unwrap_err().downcast_ref::<NeverStarted>().is_some());
    Ok(())
}
