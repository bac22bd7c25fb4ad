//! L5 to L9: the start of a link, and its end by the foreign side.

use pleach::dialog::{FarReturned, NeverStarted, StartTimeout};

use super::place::prelude::*;

pub(crate) fn laws() -> Vec<Law> {
    laws![
        l06_started_exactly_once,
        l07_failure_before_started,
        l08_return_before_started,
        l09_start_deadline,
        l05_a_foreign_failure_wakes_the_body,
        l05_a_foreign_success_is_seen_at_the_next_use
    ]
}

pub(crate) async fn l06_started_exactly_once<P: Place>() -> Result<()> {
    let bodies = AtomicUsize::new(0);
    let far = async |mut far: Far<u32, (), u32>| {
        let early = Error::from(far.send(0).await.unwrap_err());
        far.started(7).await?;
        let second = far.started(8).await.unwrap_err();
        far.send(1).await?;
        Ok((early.is_misuse(), second.is_misuse()))
    };
    let told = open_link(P::on()?, far, async |mut near, first| {
        bodies.fetch_add(1, SeqCst);
        assert_eq!(first, 7);
        assert_eq!(near.recv().await?, Some(1), "what was refused was not sent");
        assert_eq!(near.recv().await?, None);
        near.finish().await
    })
    .await?;
    assert_eq!(told, (true, true), "`send` before `started`, and a second `started`, are their caller's mistakes");
    assert_eq!(bodies.load(SeqCst), 1);
    Ok(())
}

pub(crate) async fn l07_failure_before_started<P: Place>() -> Result<()> {
    let far = async |_far: Numbers| -> Result<()> {
        yield_now().await;
        Err(Boom(7))?
    };
    let error =
        open_link(P::on()?, far, async |_near, ()| -> Result<()> { panic!("it never started") }).await.unwrap_err();
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom(7)), "{error:?}");
    assert!(error.to_string().ends_with("boom number 7"), "{error}");
    let far = async |_far: Numbers| -> Result<()> { std::panic::panic_any("slipped at once") };
    let error = open_link(P::on()?, far, async |_near, ()| Ok(())).await.unwrap_err();
    assert!(error.is_panic() && error.to_string().ends_with("slipped at once"), "{error:?}");
    Ok(())
}

pub(crate) async fn l08_return_before_started<P: Place>() -> Result<()> {
    let far = async |_far: Numbers| Ok(3);
    let error = open_link(P::on()?, far, async |_near, ()| Ok(())).await.unwrap_err();
    assert!(error.downcast_ref::<NeverStarted>().is_some(), "{error:?}");
    assert!(names_a_task(&error.to_string()), "it does not say who: {error}");
    Ok(())
}

pub(crate) async fn l09_start_deadline<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |far: Numbers| {
        let _owned = (far, guard);
        nap(FOR_EVER).await;
        Ok(())
    };
    let opened = link(P::on()?).start_deadline(A_WHILE).open(far, async |_near, ()| Ok(()));
    let error = harness::soon(opened).await.unwrap_err();
    assert!(gone.get(), "the link completed before its task was dropped");
    assert!(error.downcast_ref::<StartTimeout>().is_some(), "{error:?}");
    assert!(error.is_timeout(), "{:?}", error.kind());
    Ok(())
}

pub(crate) async fn l05_a_foreign_failure_wakes_the_body<P: Place>() -> Result<()> {
    let fails = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        nap(A_WHILE).await;
        Err(Boom(5))?
    };
    let in_our_wait = open_link(P::on()?, fails, async |_near, ()| sleep(FOR_EVER).await);
    let in_a_foreign_one = open_link(P::on()?, fails, async |_near, ()| std::future::pending::<Result<()>>().await);
    let since = Instant::now();
    let failed = [harness::soon(in_our_wait).await, harness::soon(in_a_foreign_one).await];
    assert!(since.elapsed() < harness::SOON, "they were only ended by the bound of this test");
    for failed in failed {
        let error = failed.unwrap_err();
        assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom(5)), "{error:?}");
    }
    Ok(())
}

pub(crate) async fn l05_a_foreign_success_is_seen_at_the_next_use<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |mut far: Numbers| {
        let _guard = guard;
        far.started(()).await?;
        far.send(1).await?;
        Ok("done")
    };
    let result = open_link(P::on()?, far, async |mut near, ()| {
        while !gone.get() {
            yield_now().await;
        }
        sleep(A_WHILE).await?; // nobody cancels it
        assert_eq!(near.recv().await?, Some(1));
        assert_eq!(near.recv().await?, None);
        let refused = Error::from(near.send(2).await.unwrap_err());
        assert!(refused.downcast_ref::<FarReturned>().is_some(), "{refused:?}");
        near.finish().await
    });
    assert_eq!(result.await?, "done");
    Ok(())
}
