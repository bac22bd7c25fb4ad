//! L16, L17, L20: how a cancel reaches the foreign side, and what it makes of it.

use futures_util::future::{join_all, select_all};
use pleach::dialog::Escalated;
use pleach::error::Reason;
use pleach_bridge::spawn;
use tokio::task::JoinSet;

use super::place::prelude::*;

/// A grace that is given to nobody in a test that ends.
const ENDLESS: Duration = FOR_EVER;
const SHORT: Duration = Duration::from_millis(50);

pub(crate) fn laws() -> Vec<Law> {
    laws![
        l16_who_waits_for_us_is_told,
        l16_who_was_just_woken_is_told,
        l16_who_waits_for_us_no_more_is_dropped_at_once,
        l16_nothing_is_started_after_the_cancel,
        l16_it_is_one_request,
        l16_a_body_that_returns_after_the_cancel,
        l16_an_escalation_after_a_finish,
        l16_an_escalation_survives_the_cancel,
        l16_an_escalation_beside_the_body_error,
        l16_no_escalation_of_who_obeys,
        l17_the_foreign_side_is_told_why,
        l17_a_finish_is_no_error_to_who_sends,
    ]
}

/// With tokio's own sockets and task sets in the foreign task.
pub(crate) fn laws_of_tokio() -> Vec<Law> {
    tokio_laws![
        l16_who_waits_for_us_in_another_task_is_told,
        l16_a_request_to_a_black_hole,
        l20_what_the_task_waits_for_ends_too
    ]
}

/// Opens a link whose body fails when the foreign task is up, and wants nothing but that in its result, at once.
async fn failed_body<P: Place>(far: impl AsyncFnOnce(Numbers) -> Result<()> + Send + 'static) -> Result<()> {
    let far = async move |end| far(end).await;
    let body = async |near: Near<u32, u32, ()>, ()| -> Result<()> {
        let _near = near;
        Err(BodyError)?
    };
    let error = harness::soon(link(P::on()?).grace(ENDLESS).capacity(1).open(far, body)).await.unwrap_err();
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");
    Ok(())
}

async fn cleans_up(told: Result<()>, clean: &Flag) -> Result<()> {
    nap(Duration::from_millis(1)).await;
    clean.set();
    told
}

pub(crate) async fn l16_who_waits_for_us_is_told<P: Place>() -> Result<()> {
    let clean: [Flag; 3] = Default::default();
    let [receives, sends, listens] = clean.clone();
    failed_body::<P>(async move |mut far| {
        far.started(()).await?;
        cleans_up(far.recv().await.map(drop), &receives).await
    })
    .await?;
    failed_body::<P>(async move |mut far| {
        far.started(()).await?;
        let mut told = Ok(());
        while told.is_ok() {
            told = far.send(1).await.map_err(Error::from);
        }
        cleans_up(told, &sends).await
    })
    .await?;
    failed_body::<P>(async move |mut far| {
        far.started(()).await?;
        far.cancelled().await;
        cleans_up(Ok(()), &listens).await
    })
    .await?;
    assert!(clean.iter().all(Flag::is_set), "somebody who waited for us was dropped");
    Ok(())
}

/// The linked task has turns all the time, also before the one in which its end waits: that is told all the same.
pub(crate) async fn l16_who_waits_for_us_in_another_task_is_told<P: Place>() -> Result<()> {
    let (clean, waits) = (Flag::default(), Flag::default());
    let (cleaned, is_waiting) = (clean.clone(), waits.clone());
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        let other = tokio::spawn(async move {
            let told = {
                let mut receiving = std::pin::pin!(far.recv());
                assert!(poll_once(&mut receiving).await.is_none());
                is_waiting.set();
                receiving.await
            };
            nap(A_WHILE).await;
            cleaned.set();
            told.map(drop)
        });
        let busy = async {
            loop {
                yield_now().await;
            }
        };
        or(async { other.await? }, busy).await
    };
    let opened = open_link(P::on()?, far, async |_near: Near<u32, u32, ()>, ()| -> Result<()> {
        waits.wait().await;
        Err(BodyError)?
    });
    let error = opened.await.unwrap_err();
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");
    assert!(clean.is_set(), "it waited for us, and was dropped");
    Ok(())
}

/// What it waits for has come, but it has had no turn since: it is still one who listens.
pub(crate) async fn l16_who_was_just_woken_is_told<P: Place>() -> Result<()> {
    let (clean, waits) = (Flag::default(), Flag::default());
    let (cleaned, is_waiting) = (clean.clone(), waits.clone());
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        {
            let mut receiving = std::pin::pin!(far.recv());
            assert!(poll_once(&mut receiving).await.is_none(), "nobody has sent anything");
            is_waiting.set();
            let _ = receiving.await;
        }
        while far.recv().await.is_ok_and(|value| value.is_some()) {}
        cleans_up(Ok(()), &cleaned).await
    };
    let opened = open_link(P::on()?, far, async |mut near, ()| -> Result<()> {
        waits.wait().await;
        near.send(1).await?;
        Err(BodyError)?
    });
    let error = opened.await.unwrap_err();
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");
    assert!(clean.is_set(), "it was dropped in a wait of ours");
    Ok(())
}

/// Waits for a value when `waits` is set, and then cleans up.
async fn is_told_of_a_cancel(mut far: Numbers, waits: Flag, clean: Flag) -> Result<()> {
    far.started(()).await?;
    let told = {
        let mut receiving = std::pin::pin!(far.recv());
        assert!(poll_once(&mut receiving).await.is_none());
        waits.set();
        receiving.await
    };
    turn().await;
    assert!(told.is_err_and(|told| told.is_cancelled()), "it was told of a finish");
    clean.set();
    Ok(())
}

/// It waits for us when the cancel comes, so it is told of that, and has time to clean up, whatever the body makes of it.
pub(crate) async fn l16_a_body_that_returns_after_the_cancel<P: Place>() -> Result<()> {
    foreign(P::on()?, async move |on: P::Loop| {
        for _ in 0..100 {
            let (scope, waits, clean) = (CancelScope::new(), Flag::default(), Flag::default());
            let (is_waiting, is_clean) = (waits.clone(), clean.clone());
            let within = scope.clone();
            let far = move |far| is_told_of_a_cancel(far, is_waiting, is_clean);
            let opened = open_link(on.clone(), far, async move |_near: Near<u32, u32, ()>, ()| {
                waits.wait().await;
                within.cancel("enough");
                Ok("a value")
            });
            assert_eq!(harness::soon(scope.run(opened)).await?, Some("a value"));
            assert!(clean.is_set(), "it waited for us, and was dropped");
        }
        Ok(())
    })
    .await
}

pub(crate) async fn l16_who_waits_for_us_no_more_is_dropped_at_once<P: Place>() -> Result<()> {
    let gone: [Gone; 2] = Default::default();
    let [received, listened] = gone.each_ref().map(Gone::guard);
    failed_body::<P>(async move |mut far| {
        let _guard = received;
        assert!(poll_once(far.recv()).await.is_none(), "nobody has sent anything");
        far.started(()).await?;
        nap(FOR_EVER).await;
        Ok(())
    })
    .await?;
    failed_body::<P>(async move |mut far| {
        let _guard = listened;
        assert!(poll_once(far.cancelled()).await.is_none(), "nobody has cancelled");
        far.started(()).await?;
        nap(FOR_EVER).await;
        Ok(())
    })
    .await?;
    assert!(gone.iter().all(Gone::get));
    Ok(())
}

pub(crate) async fn l16_nothing_is_started_after_the_cancel<P: Place>() -> Result<()> {
    let scope = CancelScope::new();
    let within = scope.clone();
    let done = scope.run(foreign(P::on()?, async move |on: P::Loop| {
        let on = Open::new(on);
        within.cancel("before anything is asked for");
        assert!(run(on.clone(), async || Ok(())).await.is_err_and(|error| error.is_cancelled()));
        let far = async |mut far: Numbers| far.started(()).await;
        let opened = open_link(on.clone(), far, async |_near, ()| Ok(())).await;
        assert!(!on.has_started_anything(), "it was started after the cancel");
        opened
    }));
    assert_eq!(done.await?, None);
    Ok(())
}

pub(crate) async fn l16_it_is_one_request<P: Place>() -> Result<()> {
    let (scope, inner) = (CancelScope::new(), CancelScope::new());
    let marks = Arc::new(Mutex::new(Vec::new()));
    let seen = marks.clone();
    let far = async move |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        loop {
            let told = far.recv().await.unwrap_err();
            seen.lock().unwrap().push(told.mark().cloned());
            if seen.lock().unwrap().len() == 3 {
                return Err(told);
            }
        }
    };
    let opened = open_link(P::on()?, far, async |mut near, ()| {
        inner.cancel("the inner one");
        scope.cancel("and the outer one");
        near.recv().await
    });
    scope.run(async { inner.run(opened).await }).await?;
    let marks = marks.lock().unwrap();
    assert!(marks[0].is_some() && marks.iter().all(|mark| mark == &marks[0]), "{marks:?}");
    Ok(())
}

fn is_escalation(error: &Error, function: &str) -> bool {
    error.downcast_ref::<Escalated>().is_some_and(|escalated| {
        names_a_task(&escalated.who) && escalated.who.contains(function) && escalated.after >= SHORT
    })
}

pub(crate) async fn l16_an_escalation_after_a_finish<P: Place>() -> Result<()> {
    let (heard_nothing, swallowed) = (Gone::default(), Gone::default());
    let guard = heard_nothing.guard();
    let deaf = link(P::on()?).grace(SHORT).open(|far| deaf(far, guard), async |_near, ()| Ok("done")).await;
    assert!(heard_nothing.get());
    let guard = swallowed.guard();
    let stubborn = link(P::on()?).grace(SHORT).open(|far| stubborn(far, guard), async |_near, ()| Ok("done")).await;
    assert!(swallowed.get());
    for escalated in [deaf, stubborn] {
        let error = escalated.unwrap_err();
        assert!(is_escalation(&error, "l16_an_escalation_after_a_finish"), "{error:?}");
    }
    Ok(())
}

pub(crate) async fn l16_an_escalation_survives_the_cancel<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let scope = CancelScope::new();
    let opened = link(P::on()?).grace(SHORT).open(|far| stubborn(far, guard), cancels(&scope));
    let error = scope.run(opened).await.unwrap_err();
    assert!(gone.get());
    assert!(is_escalation(&error, "l16_an_escalation_survives_the_cancel"), "{error:?}");
    Ok(())
}

pub(crate) async fn l16_an_escalation_beside_the_body_error<P: Place>() -> Result<()> {
    let guard = Gone::default().guard();
    let body = async |_near, ()| -> Result<()> { Err(BodyError)? };
    let opened = link(P::on()?).grace(SHORT).open(|far| stubborn(far, guard), body);
    let error = opened.await.unwrap_err();
    let [own, escalated] = error.failures() else { panic!("two failures were expected: {error:?}") };
    assert!(own.downcast_ref::<BodyError>().is_some(), "{own:?}");
    assert!(is_escalation(escalated, "l16_an_escalation_beside_the_body_error"), "{escalated:?}");
    Ok(())
}

pub(crate) async fn l16_no_escalation_of_who_obeys<P: Place>() -> Result<()> {
    // It does not return at the end of the stream, only when it is told.
    let gone = Gone::default();
    let guard = gone.guard();
    let opened = link(P::on()?).grace(SHORT).open(|far| listens(far, guard), async |_near, ()| Ok("done"));
    assert_eq!(opened.await?, "done");
    assert!(gone.get());
    Ok(())
}

/// A peer that takes connections and never says anything.
pub(crate) async fn l16_a_request_to_a_black_hole<P: Place>() -> Result<()> {
    let hole = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = hole.local_addr()?;
    let (gone, asked) = (Gone::default(), Flag::default());
    let (guard, has_asked) = (gone.guard(), asked.clone());
    let request = async move || {
        let _guard = guard;
        let stream = tokio::net::TcpStream::connect(address).await?;
        has_asked.set();
        stream.readable().await?;
        Ok(())
    };
    let scope = CancelScope::new();
    let done = scope.run(async {
        let cancels = async {
            asked.wait().await;
            scope.cancel("no answer");
            std::future::pending().await
        };
        or(run(P::on()?, request), cancels).await
    });
    assert_eq!(harness::soon(done).await?, None);
    assert!(gone.get());
    Ok(())
}

/// Opens a link to a task that keeps what its `recv` says at the end.
async fn end_as_seen<P: Place, T>(body: impl AsyncFnOnce() -> Result<T> + Send) -> (Result<T>, Result<Option<u32>>) {
    let seen = Arc::new(Mutex::new(None));
    let kept = seen.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        *kept.lock().unwrap() = Some(far.recv().await);
        Ok(())
    };
    let opened = async { open_link(P::on()?, far, async |_near, ()| body().await).await };
    let result = opened.await;
    let seen = seen.lock().unwrap().take().expect("it has ended");
    (result, seen)
}

fn reason(seen: &Result<Option<u32>>) -> Option<Reason> {
    let error = seen.as_ref().err()?;
    assert!(error.is_cancelled(), "{error:?}");
    error.mark().map(|mark| mark.reason.clone())
}

pub(crate) async fn l17_the_foreign_side_is_told_why<P: Place>() -> Result<()> {
    let (finished, seen) = end_as_seen::<P, _>(async || Ok(())).await;
    finished?;
    assert!(matches!(seen, Ok(None)), "a finish is no error: {seen:?}");

    let (failed, seen) = end_as_seen::<P, _>(async || -> Result<()> { Err(BodyError)? }).await;
    let failure = failed.unwrap_err().id();
    let what = BodyError.to_string();
    assert_eq!(reason(&seen), Some(Reason::SiblingFailed { failure, what }));

    let kept = Mutex::new(None);
    let scope = CancelScope::new();
    let within = scope.clone();
    let moved = scope.run(async {
        let body = async move || {
            within.cancel("enough");
            sleep(FOR_EVER).await
        };
        let (cancelled, seen) = end_as_seen::<P, _>(body).await;
        *kept.lock().unwrap() = Some(seen);
        cancelled
    });
    assert_eq!(moved.await?, None);
    let why = kept.lock().unwrap().as_ref().and_then(reason);
    assert!(why.is_some_and(|why| !matches!(why, Reason::SiblingFailed { .. })), "nothing has failed");
    Ok(())
}

/// It never receives, so its sends must tell it.
pub(crate) async fn l17_a_finish_is_no_error_to_who_sends<P: Place>() -> Result<()> {
    let ticks = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        loop {
            nap(Duration::from_millis(1)).await;
            far.send(1).await?;
        }
    };
    let opened = link(P::on()?)
        .grace(ENDLESS)
        .open(ticks, async |mut near: Near<u32, u32, ()>, ()| Ok((near.recv().await?, near.recv().await?)));
    let since = Instant::now();
    assert_eq!(harness::soon(opened).await?, (Some(1), Some(1)));
    // And one that waits for room then.
    let pours = async |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        loop {
            far.send(1).await?;
        }
    };
    let body = async |mut near: Near<u32, u32, ()>, ()| {
        let first = near.recv().await?;
        sleep(A_WHILE).await?;
        Ok(first)
    };
    let opened = link(P::on()?).grace(ENDLESS).capacity(1).open(pours, body);
    assert_eq!(harness::soon(opened).await?, Some(1));
    // The body's value is the result also where that bound has cancelled the link.
    assert!(since.elapsed() < harness::SOON, "they were not told of the finish");
    Ok(())
}

async fn never(guard: Guard) -> Result<()> {
    let _guard = guard;
    std::future::pending().await
}

pub(crate) async fn l20_what_the_task_waits_for_ends_too<P: Place>() -> Result<()> {
    let gone: [Gone; 7] = Default::default();
    let [a, b, c, d, e, f, g] = gone.each_ref().map(Gone::guard);
    failed_body::<P>(async move |mut far| {
        far.started(()).await?;
        join_all([never(a), never(b)]).await.into_iter().collect()
    })
    .await?;
    failed_body::<P>(async move |mut far| {
        far.started(()).await?;
        select_all([Box::pin(never(c)), Box::pin(never(d))]).await.0
    })
    .await?;
    failed_body::<P>(async move |mut far| {
        let mut set = JoinSet::new();
        set.spawn(never(e));
        set.spawn(never(f));
        far.started(()).await?;
        while set.join_next().await.is_some() {}
        Ok(())
    })
    .await?;
    failed_body::<P>(async move |mut far| {
        let child = spawn(never(g))?;
        far.started(()).await?;
        child.await;
        Ok(())
    })
    .await?;
    all_gone(&gone).await
}
