//! L13, L17: why the other side is gone can be asked; but an error has causes of its own, and never the signal that ended
//! the other side, or itself.

use pleach::dialog::SideGone;

use super::place::prelude::*;

pub(crate) fn laws() -> Vec<Law> {
    laws![
        l17_either_side_can_ask_how_the_other_left,
        l13_what_the_task_makes_of_its_signal_is_no_cause,
        l13_what_the_body_makes_of_its_signal_is_no_cause,
        l13_what_the_body_makes_of_its_signal_in_a_shield_is_no_cause,
        l13_l11_what_is_made_of_another_links_signal_is_a_failure_of_its_own,
        l13_a_failure_that_is_handed_back_is_told_once,
        l13_both_fail_and_neither_is_the_others_cause,
    ]
}

/// Somebody puts what he got into a failure of his own.
#[derive(Debug, thiserror::Error)]
#[error("it went wrong")]
struct Wrapped(#[source] Box<dyn std::error::Error + Send + Sync>);

fn wrapped(error: Error) -> Error {
    Wrapped(error.into_boxed()).into()
}

/// These failures, in this order, and none of them with a cause.
fn assert_alone(error: &Error, expected: &[&str]) {
    let failures = error.failures();
    let said: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), expected.len(), "{error:?}");
    // Before what it says it names the task.
    assert!(said.iter().zip(expected).all(|(said, expected)| said.ends_with(expected)), "{error:?}");
    for failure in failures {
        assert_eq!(causes(failure), [""; 0], "{error:?}");
    }
}

pub(crate) async fn l13_what_the_task_makes_of_its_signal_is_no_cause<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        far.recv().await.map(drop).map_err(wrapped)
    };
    let error = open_link(P::on()?, far, async |_near, ()| -> Result<()> { Err(BodyError)? }).await.unwrap_err();
    assert_alone(&error, &["the body has had enough"]);
    Ok(())
}

pub(crate) async fn l13_what_the_body_makes_of_its_signal_is_no_cause<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        Err(Boom(13))?
    };
    let body = async |mut near: Near<u32, u32, ()>, ()| near.recv().await.map(drop).map_err(wrapped);
    let error = open_link(P::on()?, far, body).await.unwrap_err();
    assert_alone(&error, &["boom number 13"]);
    Ok(())
}

/// No cancel gets there: it is told that the task has failed, as it may be where it is quicker than the cancel.
pub(crate) async fn l13_what_the_body_makes_of_its_signal_in_a_shield_is_no_cause<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        Err(Boom(13))?
    };
    let body = async |mut near: Near<u32, u32, ()>, ()| {
        let received = shield(harness::SOON, async { near.recv().await });
        received.await.map(drop).map_err(wrapped)
    };
    let error = open_link(P::on()?, far, body).await.unwrap_err();
    assert_alone(&error, &["boom number 13"]);
    Ok(())
}

/// The inner link has its own failure, and the outer one's is not for it to tell.
pub(crate) async fn l13_l11_what_is_made_of_another_links_signal_is_a_failure_of_its_own<P: Place>() -> Result<()> {
    let outer_far = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        Err(Boom(13))?
    };
    let inner_far = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        far.recv().await?;
        Err(Boom(14))?
    };
    let inner = async |mut near: Near<u32, u32, ()>, outer: &mut Near<u32, u32, ()>| {
        shield(harness::SOON, async {
            let told = outer.recv().await.map(drop).map_err(wrapped);
            near.send(1).await?;
            while near.gone().is_none() {
                yield_now().await;
            }
            told
        })
        .await
    };
    let error = open_link(P::on()?, outer_far, async |mut outer: Near<u32, u32, ()>, ()| {
        let opened =
            shield(harness::SOON, open_link(P::on()?, inner_far, async |near, ()| inner(near, &mut outer).await));
        let error = opened.await.unwrap_err();
        assert_eq!(error.failures().len(), 2, "{error:?}");
        Err::<(), _>(error)
    })
    .await
    .unwrap_err();
    assert_alone(&error, &["boom number 13", "boom number 14"]);
    Ok(())
}

/// The task reads why it is cancelled, and fails with that.
pub(crate) async fn l13_a_failure_that_is_handed_back_is_told_once<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        let told = far.recv().await.map(drop);
        assert!(far.gone().is_some(), "the body has failed");
        told
    };
    let error = open_link(P::on()?, far, async |_near, ()| -> Result<()> { Err(BodyError)? }).await.unwrap_err();
    assert_alone(&error, &["the body has had enough"]);
    Ok(())
}

pub(crate) async fn l13_both_fail_and_neither_is_the_others_cause<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        far.cancelled().await;
        Err(Boom(13))?
    };
    let error = open_link(P::on()?, far, async |_near, ()| -> Result<()> { Err(BodyError)? }).await.unwrap_err();
    assert_alone(&error, &["the body has had enough", "boom number 13"]);
    Ok(())
}

/// What the task finds when its opener is gone.
async fn opener_gone<P: Place>(body: impl AsyncFnOnce() -> Result<()> + Send) -> (Result<()>, Option<SideGone>) {
    let seen = Arc::new(Mutex::new(None));
    let kept = seen.clone();
    let far = async move |mut far: Numbers| {
        assert_eq!(far.gone(), None, "it is there");
        far.started(()).await?;
        let _ = far.recv().await;
        *kept.lock().unwrap() = far.gone();
        Ok(())
    };
    let opened = async { open_link(P::on()?, far, async |_near, ()| body().await).await };
    let ended = opened.await;
    let seen = seen.lock().unwrap().take();
    (ended, seen)
}

/// What the body finds when its task is gone.
async fn task_gone<P: Place>(end: impl FnOnce() -> Result<()> + Send + 'static) -> (Result<()>, Option<SideGone>) {
    let seen = Mutex::new(None);
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        far.send(1).await?;
        end()
    };
    let opened = async {
        open_link(P::on()?, far, async |mut near: Near<u32, u32, ()>, ()| {
            let waits = async {
                near.recv().await?;
                near.recv().await
            };
            let end = waits.await;
            *seen.lock().unwrap() = near.gone();
            end.map(drop)
        })
        .await
    };
    let ended = opened.await;
    let seen = seen.lock().unwrap().take();
    (ended, seen)
}

pub(crate) async fn l17_either_side_can_ask_how_the_other_left<P: Place>() -> Result<()> {
    let failed = |error: &Error, what: &str| SideGone::Failed { failure: error.id(), what: what.to_owned() };

    let (ended, gone) = opener_gone::<P>(async || Ok(())).await;
    assert_eq!((ended?, gone), ((), Some(SideGone::Finished)));
    let (ended, gone) = opener_gone::<P>(async || Err(BodyError.into())).await;
    assert_eq!(gone, Some(failed(&ended.unwrap_err(), "the body has had enough")));
    let scope = CancelScope::new();
    let told = Mutex::new(None);
    let ended = scope.run(async {
        let (ended, gone) = opener_gone::<P>(async || {
            scope.cancel("enough");
            sleep(FOR_EVER).await
        })
        .await;
        *told.lock().unwrap() = gone;
        ended
    });
    assert_eq!(ended.await?, None);
    let told = told.lock().unwrap().take();
    assert!(matches!(told, Some(SideGone::Cancelled(_))), "{told:?}");

    let (ended, gone) = task_gone::<P>(|| Ok(())).await;
    assert_eq!((ended?, gone), ((), Some(SideGone::Finished)));
    let (ended, gone) = task_gone::<P>(|| Err(Boom(17).into())).await;
    let error = ended.unwrap_err();
    assert!(
        matches!(&gone, Some(SideGone::Failed { failure, what }) if *failure == error.id() && what.ends_with("boom number 17")),
        "{gone:?}"
    );
    Ok(())
}
