//! The situations of that table which a link within one process is in, besides the exits and cancels of `rows`: also those
//! that the original gets right.

use pleach::dialog::SideGone;
use pleach_bridge::spawn;

use super::place::prelude::*;

pub(crate) fn laws() -> Vec<Law> {
    laws![
        row01_the_task_fails_while_the_body_receives,
        row02_the_task_fails_while_the_body_is_elsewhere,
        row03_the_body_fails,
        row05_the_task_returns_while_the_body_receives,
        row06_the_task_returns_while_the_body_is_elsewhere,
        row20_a_task_that_spawns_and_does_not_join,
    ]
}

/// A task that has started, and fails when it is told to.
async fn fails(mut far: Numbers, when: Flag) -> Result<()> {
    far.started(()).await?;
    when.wait().await;
    Err(Boom(1))?
}

/// It is the failure of the task, and there is nothing below or beside it.
fn is_the_failure_alone(error: &Error) {
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom(1)), "{error:?}");
    assert_eq!(error.failures().len(), 1, "{error:?}");
    assert_eq!(causes(error), [""; 0], "{error:?}");
}

/// There: the error has itself as its cause.
pub(crate) async fn row01_the_task_fails_while_the_body_receives<P: Place>() -> Result<()> {
    let told = Flag::default();
    let when = told.clone();
    let opened = open_link(
        P::on()?,
        |far| fails(far, when),
        async |mut near: Near<u32, u32, ()>, ()| {
            or(near.recv(), async {
                told.set();
                std::future::pending().await
            })
            .await
        },
    );
    is_the_failure_alone(&opened.await.unwrap_err());
    Ok(())
}

pub(crate) async fn row02_the_task_fails_while_the_body_is_elsewhere<P: Place>() -> Result<()> {
    let told = Flag::default();
    let when = told.clone();
    let opened = open_link(
        P::on()?,
        |far| fails(far, when),
        async |_near, ()| {
            told.set();
            sleep(FOR_EVER).await
        },
    );
    is_the_failure_alone(&opened.await.unwrap_err());
    Ok(())
}

/// The task is told why, and the signal it got is no part of what comes out.
pub(crate) async fn row03_the_body_fails<P: Place>() -> Result<()> {
    let why = Arc::new(Mutex::new(None));
    let seen = why.clone();
    let far = async move |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        let refused = far.recv().await.unwrap_err();
        *seen.lock().unwrap() = far.gone();
        Err(refused)
    };
    let error = open_link(P::on()?, far, async |_near, ()| -> Result<()> { Err(BodyError)? }).await.unwrap_err();
    assert_eq!(error.downcast_ref::<BodyError>(), Some(&BodyError), "{error:?}");
    assert_eq!((error.failures().len(), causes(&error).len()), (1, 0), "{error:?}");
    let why = why.lock().unwrap().take();
    assert_eq!(why, Some(SideGone::Failed { failure: error.id(), what: BodyError.to_string() }));
    Ok(())
}

pub(crate) async fn row05_the_task_returns_while_the_body_receives<P: Place>() -> Result<()> {
    let told = Flag::default();
    let returns = told.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        returns.wait().await;
        Ok("it was enough")
    };
    let said = open_link(P::on()?, far, async |mut near, ()| {
        let received = or(near.recv(), async {
            told.set();
            std::future::pending().await
        });
        assert_eq!(received.await?, None, "the end of the channel, and no failure");
        near.finish().await
    });
    assert_eq!(said.await?, "it was enough");
    Ok(())
}

pub(crate) async fn row06_the_task_returns_while_the_body_is_elsewhere<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |mut far: Numbers| {
        let _guard = guard;
        far.started(()).await?;
        for number in [1, 2, 3] {
            far.send(number).await?;
        }
        Ok(())
    };
    let received = open_link(P::on()?, far, async |mut near, ()| {
        while !gone.get() {
            sleep(Duration::from_millis(1)).await?;
        }
        let mut received = Vec::new();
        while let Some(number) = near.recv().await? {
            received.push(number);
        }
        assert!(matches!(near.gone(), Some(SideGone::Finished)), "{:?}", near.gone());
        Ok(received)
    });
    assert_eq!(received.await?, [1, 2, 3]);
    Ok(())
}

/// There: nobody knows of such tasks.
pub(crate) async fn row20_a_task_that_spawns_and_does_not_join<P: Place>() -> Result<()> {
    let gone: [Gone; 3] = Default::default();
    let [child, grandchild, detached] = gone.each_ref().map(Gone::guard);
    let far = async move |mut far: Numbers| {
        drop(spawn(async move {
            drop(spawn(listens_no_more(grandchild))?);
            listens_no_more(child).await
        })?);
        drop(spawn(listens_no_more(detached))?);
        far.started(()).await
    };
    let opened = link(P::on()?).grace(A_WHILE).open(far, async |near, ()| near.finish().await);
    harness::soon(move_on_after(A_WHILE, opened)).await?;
    assert!(gone.iter().all(Gone::get), "left: {:?}", gone.each_ref().map(Gone::get));
    Ok(())
}

async fn listens_no_more(guard: Guard) -> Result<()> {
    let _guard = guard;
    nap(FOR_EVER).await;
    Ok(())
}
