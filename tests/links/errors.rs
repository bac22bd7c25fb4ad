//! L10 to L15: what becomes of failures.

use pleach::dialog::TrySendError;
use pleach::error::FailureId;
use pleach_bridge::{ForeignCancelled, Tokio};

use super::place::prelude::*;

pub(crate) fn laws() -> Vec<Law> {
    laws![
        l11_the_body_error_is_kept,
        l12_the_first_failure_is_the_first_of_the_group,
        l12_a_failure_that_was_told_of_comes_second,
        l14_a_failure_after_the_cancel_is_kept,
        l14_a_failure_of_a_dropped_link_is_kept,
        l14_a_panic_of_a_destructor_is_kept,
        l15_a_strange_cancel_is_a_failure,
    ]
}

/// What tokio says of its own tasks.
pub(crate) fn laws_of_tokio() -> Vec<Law> {
    tokio_laws![
        l15_a_cancel_of_the_loop_is_translated,
        l15_a_panic_of_the_loop_is_translated,
        l15_an_obeyed_cancel_is_no_failure
    ]
}

async fn fails_with_ten(mut far: Numbers) -> Result<()> {
    far.started(()).await?;
    yield_now().await;
    Err(Boom(10))?
}

#[pleach::endpoint]
async fn a_failing_link(guest: bool) -> Result<()> {
    let body = async |mut near: Near<u32, u32, ()>, ()| near.recv().await;
    let opened = match guest {
        true => open_link(Tokio::here()?, fails_with_ten, body).await,
        false => open_link(Tokio::thread(), fails_with_ten, body).await,
    };
    let error = opened.unwrap_err();
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom(10)), "{error:?}");
    assert!(error.type_name().ends_with("Boom"), "{}", error.type_name());
    let id: FailureId = error.id();
    Err(error.context(format!("{id:?}")))
}

pub(crate) async fn l10_one_failure_in_the_same_out(guest: bool) -> Result<()> {
    actor_nursery(async |n| {
        let mut described = n.actor("linking").expose(a_failing_link);
        if guest {
            described = described.host(Tokio::current_thread());
        }
        let actor = described.start().await?;
        let error = actor.run(a_failing_link, (guest,)).await.unwrap_err();
        let remote = error.remote().expect("it comes from another actor");
        assert!(remote.type_name.ends_with("tools::Boom"), "{}", remote.type_name);
        assert!(remote.message.ends_with("boom number 10"), "{}", remote.message);
        assert!(remote.message.contains(&format!("{:?}", remote.id)), "it got another identity: {}", remote.message);
        assert_eq!(remote.actor, "root/linking");
        assert!(remote.location.as_ref().is_some_and(|at| at.contains("links/errors.rs")), "{:?}", remote.location);
        actor.cancel_actor().await
    })
    .await
}

/// Runs a link whose body fails with [`BodyError`], however its foreign task ends.
async fn body_error_beside<P: Place>(
    case: &str,
    far: impl AsyncFnOnce(Numbers) -> Result<()> + Send + 'static,
    body: impl AsyncFnOnce(Near<u32, u32, ()>) + Send,
) -> Result<()> {
    let far = async move |end| far(end).await;
    let opened = link(P::on()?).grace(Duration::from_millis(50)).open(far, async |near, ()| -> Result<()> {
        body(near).await;
        Err(BodyError)?
    });
    let error = opened.await.unwrap_err();
    let kept = error.failures().iter().any(|failure| failure.downcast_ref::<BodyError>().is_some());
    assert!(kept, "beside a task that {case} the body's error was lost: {error:?}");
    Ok(())
}

pub(crate) async fn l11_the_body_error_is_kept<P: Place>() -> Result<()> {
    let guard = || Gone::default().guard();
    let at_once = async |_near| {};
    // Waits for the end of the foreign task; whatever that says, the body has its own opinion.
    let swallow = async |mut near: Near<u32, u32, ()>| while near.recv().await.is_ok_and(|value| value.is_some()) {};
    let returns = async |mut far: Numbers| far.started(()).await;
    let fails = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        Err(Boom(1))?
    };
    let panics = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        std::panic::panic_any("at once")
    };
    let fails_when_told = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        far.cancelled().await;
        Err(Boom(2))?
    };
    let panics_when_told = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        far.cancelled().await;
        std::panic::panic_any("when told")
    };
    let obeys = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        far.recv().await.map(|_| ())
    };
    let (listening, sleeping, swallowing) = (guard(), guard(), guard());
    body_error_beside::<P>("listens", async |far| listens(far, listening).await, at_once).await?;
    body_error_beside::<P>("is deaf", async |far| deaf(far, sleeping).await, at_once).await?;
    body_error_beside::<P>("swallows everything", async |far| stubborn(far, swallowing).await, at_once).await?;
    body_error_beside::<P>("obeys", obeys, at_once).await?;
    body_error_beside::<P>("returns", returns, at_once).await?;
    body_error_beside::<P>("returned", returns, swallow).await?;
    body_error_beside::<P>("fails", fails, at_once).await?;
    body_error_beside::<P>("failed", fails, swallow).await?;
    body_error_beside::<P>("panics", panics, at_once).await?;
    body_error_beside::<P>("panicked", panics, swallow).await?;
    body_error_beside::<P>("fails when told", fails_when_told, at_once).await?;
    body_error_beside::<P>("panics when told", panics_when_told, at_once).await
}

/// What a group is made of, in its order.
fn leaves(error: &Error) -> Vec<String> {
    error.failures().iter().map(|leaf| leaf.type_name().rsplit("::").next().unwrap_or_default().to_owned()).collect()
}

pub(crate) async fn l12_the_first_failure_is_the_first_of_the_group<P: Place>() -> Result<()> {
    for _ in 0..20 {
        let far = async |mut far: Numbers| -> Result<()> {
            far.started(()).await?;
            Err(Boom(12))?
        };
        let error = open_link(P::on()?, far, async |mut near, ()| -> Result<()> {
            // No wait of ours, so that it is not told of the failure and has an opinion of its own.
            while !matches!(near.try_send(0), Err(TrySendError::Refused(..))) {
                yield_now().await;
            }
            Err(BodyError)?
        })
        .await
        .unwrap_err();
        assert_eq!(leaves(&error), ["Boom", "BodyError"], "{error:?}");
    }
    Ok(())
}

pub(crate) async fn l12_a_failure_that_was_told_of_comes_second<P: Place>() -> Result<()> {
    for _ in 0..20 {
        let far = async |mut far: Numbers| -> Result<()> {
            far.started(()).await?;
            far.cancelled().await;
            Err(Boom(12))?
        };
        let opened = open_link(P::on()?, far, async |_near, ()| -> Result<()> { Err(BodyError)? });
        let error = opened.await.unwrap_err();
        assert_eq!(leaves(&error), ["BodyError", "Boom"], "{error:?}");
    }
    Ok(())
}

async fn fails_when_told(mut far: Numbers) -> Result<()> {
    far.started(()).await?;
    far.cancelled().await;
    Err(Boom(14))?
}

/// The scope absorbs its cancel, and not what came of it.
pub(crate) async fn l14_a_failure_after_the_cancel_is_kept<P: Place>() -> Result<()> {
    let scope = CancelScope::new();
    let opened = open_link(P::on()?, fails_when_told, cancels(&scope));
    let error = scope.run(opened).await.unwrap_err();
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom(14)), "{error:?}");
    Ok(())
}

/// Panics when it is dropped.
struct Slippery;

impl Drop for Slippery {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::panic::panic_any("a destructor slipped");
        }
    }
}

async fn slips_when_dropped(mut far: Numbers) -> Result<()> {
    let _slippery = Slippery;
    far.started(()).await?;
    nap(FOR_EVER).await;
    Ok(())
}

fn is_slip(error: &Error) -> bool {
    error.is_panic() && error.to_string().contains("a destructor slipped")
}

pub(crate) async fn l14_a_panic_of_a_destructor_is_kept<P: Place>() -> Result<()> {
    let opened = open_link(P::on()?, slips_when_dropped, async |_near, ()| -> Result<()> { Err(BodyError)? });
    let error = opened.await.unwrap_err();
    assert_eq!(leaves(&error)[0], "BodyError", "{error:?}");
    assert!(is_slip(&error.failures()[1]), "{error:?}");
    Ok(())
}

pub(crate) async fn l14_a_failure_of_a_dropped_link_is_kept<P: Place>() -> Result<()> {
    let on = P::on()?;
    let ended = CancelScope::new().run(async {
        let (up, mut is_up) = oneshot::channel();
        let body = async |mut near: Near<u32, u32, ()>, ()| {
            let _ = up.send(());
            near.recv().await.map(drop)
        };
        or(open_link(on, slips_when_dropped, body), async { is_up.recv().await.map(|_| ()) }).await
    });
    let error = ended.await.unwrap_err();
    // To say where it panicked can take its thread so long on a busy machine that it is said to be late as well.
    assert!(error.failures().iter().any(is_slip), "{error:?}");
    Ok(())
}

pub(crate) async fn l15_a_cancel_of_the_loop_is_translated<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        let other = tokio::spawn(nap(FOR_EVER));
        other.abort();
        Ok(other.await?)
    };
    let error = open_link(P::on()?, far, async |_near, ()| sleep(FOR_EVER).await).await.unwrap_err();
    assert!(error.downcast_ref::<ForeignCancelled>().is_some(), "{error:?}");
    assert!(!error.is_cancelled() && error.mark().is_none(), "no scope of ours was cancelled: {error:?}");
    let work = async || {
        let other = tokio::spawn(nap(FOR_EVER));
        other.abort();
        Ok(other.await?)
    };
    let error = run(P::on()?, work).await.unwrap_err();
    assert!(error.downcast_ref::<ForeignCancelled>().is_some(), "{error:?}");
    Ok(())
}

pub(crate) async fn l15_a_panic_of_the_loop_is_translated<P: Place>() -> Result<()> {
    let work = async || {
        let other = tokio::spawn(async { std::panic::panic_any("another task slipped") });
        other.await?;
        Ok(())
    };
    let error = run(P::on()?, work).await.unwrap_err();
    assert!(error.is_panic() && error.to_string().contains("another task slipped"), "{error:?}");
    Ok(())
}

/// It ends what it has when it is told, and says so in tokio's words.
pub(crate) async fn l15_an_obeyed_cancel_is_no_failure<P: Place>() -> Result<()> {
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        let other = tokio::spawn(nap(FOR_EVER));
        far.cancelled().await;
        other.abort();
        Ok(other.await?)
    };
    let scope = CancelScope::new();
    assert_eq!(scope.run(open_link(P::on()?, far, cancels(&scope))).await?, None);
    Ok(())
}

/// A `Cancelled` of ours, but of a scope that has nothing to do with this link.
pub(crate) async fn l15_a_strange_cancel_is_a_failure<P: Place>() -> Result<()> {
    let scope = CancelScope::new();
    let (strange, mut is_there) = oneshot::channel();
    scope
        .run(async {
            scope.cancel("for another test");
            let _ = strange.send(sleep(FOR_EVER).await.unwrap_err());
            Ok(())
        })
        .await?;
    let strange = is_there.recv().await?.ok_or(Ended)?;
    let far = async move |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        Err(strange)
    };
    let opened = open_link(P::on()?, far, async |mut near, ()| near.recv().await);
    let error = opened.await.unwrap_err();
    assert!(!error.is_cancelled(), "{error:?}");
    Ok(())
}
