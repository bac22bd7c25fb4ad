//! L21: whoever is cancelled may still end his conversation in good order.

use super::place::prelude::*;

pub(crate) fn laws() -> Vec<Law> {
    laws![l21_a_shielded_cleanup_converses, l21_a_cleanup_beside_a_failure, l21_a_cleanup_ends_with_its_bound]
}

/// Answers, and says at last how often.
async fn answers(mut far: Numbers) -> Result<u32> {
    far.started(()).await?;
    let mut answered = 0;
    while let Some(number) = far.recv().await? {
        answered += 1;
        far.send(2 * number).await?;
    }
    Ok(answered)
}

/// Sends, receives and asks for the result, all of it after the cancel.
pub(crate) async fn l21_a_shielded_cleanup_converses<P: Place>() -> Result<()> {
    let said = Mutex::new(None);
    let scope = CancelScope::new();
    let opened = open_link(P::on()?, answers, async |mut near: Near<u32, u32, u32>, ()| {
        near.send(1).await?;
        assert_eq!(near.recv().await?, Some(2));
        scope.cancel("enough");
        let cancelled = near.recv().await.unwrap_err();
        let goodbye = async {
            near.send(21).await?;
            assert_eq!(near.recv().await?, Some(42));
            near.finish().await
        };
        *said.lock().unwrap() = Some(shield(harness::SOON, goodbye).await?);
        Err::<(), _>(cancelled)
    });
    assert_eq!(scope.run(opened).await?, None);
    assert_eq!(*said.lock().unwrap(), Some(2), "the task was cancelled before the body had done with it");
    Ok(())
}

/// A sibling fails while the body is elsewhere.
pub(crate) async fn l21_a_cleanup_beside_a_failure<P: Place>() -> Result<()> {
    let said = Mutex::new(None);
    let failed = nursery(async |n| {
        let opened = open_link(P::on()?, answers, async |mut near: Near<u32, u32, u32>, ()| {
            n.spawn(async { Err::<(), Error>(BodyError.into()) })?;
            let cancelled = sleep(FOR_EVER).await;
            let goodbye = async {
                near.send(21).await?;
                near.recv().await
            };
            *said.lock().unwrap() = shield(harness::SOON, goodbye).await?;
            cancelled
        });
        opened.await
    });
    let error = failed.await.unwrap_err();
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");
    assert_eq!(*said.lock().unwrap(), Some(42));
    Ok(())
}

/// Nobody answers: the shield ends, and the task with the link.
pub(crate) async fn l21_a_cleanup_ends_with_its_bound<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let scope = CancelScope::new();
    let opened = open_link(
        P::on()?,
        |far| deaf(far, guard),
        async |mut near: Near<u32, u32, ()>, ()| {
            scope.cancel("enough");
            shield(A_WHILE, near.recv()).await
        },
    );
    assert_eq!(harness::soon(scope.run(opened)).await?, None);
    assert!(gone.get());
    Ok(())
}
