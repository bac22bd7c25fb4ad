//! L1 to L3: no foreign task outlives its link.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::place::prelude::*;

pub(crate) fn laws() -> Vec<Law> {
    laws![
        l01_normal_exit,
        l01_body_error,
        l01_foreign_error,
        l01_foreign_panic,
        l01_body_panic,
        l01_cancel,
        l01_timeout,
        l01_a_task_that_swallows_everything,
        l01_dropped,
        l01_dropped_beside_a_task_that_swallows_everything,
        l01_dropped_before_its_task_ran,
        l01_dropped_while_its_task_listens,
        l02_run_dropped_at_every_await,
        l02_run_cancelled_at_every_await,
        l02_foreign_dropped_at_every_await,
        l02_foreign_cancelled_at_every_await
    ]
}

pub(crate) async fn l01_normal_exit<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        while far.recv().await?.is_some() {}
        nap(A_WHILE).await;
        drop(guard);
        Ok(())
    };
    let value = open_link(P::on()?, far, async |mut near, ()| {
        near.send(1).await?;
        Ok("done")
    })
    .await?;
    assert!(gone.get(), "the link completed before its task");
    assert_eq!(value, "done");
    Ok(())
}

pub(crate) async fn l01_body_error<P: Place>() -> Result<()> {
    let (listener, sleeper) = (Gone::default(), Gone::default());
    let guard = listener.guard();
    let error = open_link(P::on()?, |far| listens(far, guard), async |_near, ()| -> Result<()> { Err(BodyError)? })
        .await
        .unwrap_err();
    assert!(listener.get(), "the link completed before its task had cleaned up");
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");

    let guard = sleeper.guard();
    let since = Instant::now();
    let error = open_link(P::on()?, |far| deaf(far, guard), async |_near, ()| -> Result<()> { Err(BodyError)? })
        .await
        .unwrap_err();
    assert!(since.elapsed() < Duration::from_secs(2), "who cannot hear is not given the grace: {:?}", since.elapsed());
    assert!(sleeper.get(), "the link completed before its task was dropped");
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");
    Ok(())
}

pub(crate) async fn l01_foreign_error<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |mut far: Numbers| -> Result<()> {
        let _guard = guard;
        far.started(()).await?;
        yield_now().await;
        Err(Boom(1))?
    };
    let error = open_link(P::on()?, far, async |_near, ()| sleep(FOR_EVER).await).await.unwrap_err();
    assert!(gone.get());
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom(1)), "{error:?}");
    Ok(())
}

pub(crate) async fn l01_foreign_panic<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |mut far: Numbers| -> Result<()> {
        let _guard = guard;
        far.started(()).await?;
        yield_now().await;
        std::panic::panic_any("the tokio task slipped");
    };
    let error = open_link(P::on()?, far, async |mut near, ()| near.recv().await).await.unwrap_err();
    assert!(gone.get());
    assert!(error.is_panic() && error.to_string().contains("the tokio task slipped"), "{error:?}");
    Ok(())
}

pub(crate) async fn l01_body_panic<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let ended = CancelScope::new().run(open_link(
        P::on()?,
        |far| deaf(far, guard),
        async |_near, ()| -> Result<()> { std::panic::panic_any("the body slipped") },
    ));
    let error = ended.await.unwrap_err();
    assert!(gone.get(), "the scope completed before the task was dropped");
    assert!(error.is_panic() && error.to_string().contains("the body slipped"), "{error:?}");
    Ok(())
}

/// The link is cancelled when its task is up, and has not completed before that is gone.
async fn cancelled_from_beside<P: Place>(
    gone: &Gone,
    far: impl AsyncFnOnce(Numbers) -> Result<()> + Send + 'static,
) -> Result<()> {
    let scope = CancelScope::new();
    let (up, mut is_up) = oneshot::channel();
    let on = P::on()?;
    let inner = scope.clone();
    let far = async move |end| far(end).await;
    nursery(async move |n| {
        n.spawn(async move {
            is_up.recv().await?;
            scope.cancel("enough");
            Ok(())
        })?;
        let opened = open_link(on, far, async |mut near, ()| {
            let _ = up.send(());
            near.recv().await
        });
        let done = inner.run(not_before(gone, opened)).await?;
        assert!(done.is_none(), "a cancelled link has no value");
        Ok(())
    })
    .await
}

pub(crate) async fn l01_cancel<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    cancelled_from_beside::<P>(&gone, async |far| listens(far, guard).await).await?;
    let gone = Gone::default();
    let guard = gone.guard();
    cancelled_from_beside::<P>(&gone, async |far| deaf(far, guard).await).await
}

pub(crate) async fn l01_timeout<P: Place>() -> Result<()> {
    let (listener, sleeper) = (Gone::default(), Gone::default());
    let guard = listener.guard();
    let slow = open_link(P::on()?, |far| listens(far, guard), async |mut near, ()| near.recv().await);
    assert_eq!(move_on_after(A_WHILE, not_before(&listener, slow)).await?, None);
    let guard = sleeper.guard();
    let slow = open_link(P::on()?, |far| deaf(far, guard), async |mut near, ()| near.recv().await);
    assert_eq!(move_on_after(A_WHILE, not_before(&sleeper, slow)).await?, None);
    Ok(())
}

pub(crate) async fn l01_a_task_that_swallows_everything<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let since = Instant::now();
    let opened = link(P::on()?)
        .grace(Duration::from_millis(50))
        .open(|far| stubborn(far, guard), async |_near, ()| -> Result<()> { Err(BodyError)? });
    let error = opened.await.unwrap_err();
    assert!(gone.get(), "the link completed before its task was dropped");
    assert!(error.failures()[0].downcast_ref::<BodyError>().is_some(), "{error:?}");
    assert!(since.elapsed() < Duration::from_secs(10), "it took {:?}", since.elapsed());
    Ok(())
}

/// Counts its turns, so that one after it was aborted would be seen.
async fn busy(mut far: Numbers, turns: Arc<AtomicUsize>, guard: Guard) -> Result<()> {
    far.started(()).await?;
    loop {
        turns.fetch_add(1, SeqCst);
        yield_now().await;
        let _keep = &guard;
    }
}

pub(crate) async fn l01_dropped<P: Place>() -> Result<()> {
    let (gone, turns) = (Gone::default(), Arc::new(AtomicUsize::new(0)));
    let (guard, counter) = (gone.guard(), turns.clone());
    let on = P::on()?;
    let at_drop = CancelScope::new()
        .run(async {
            let (up, mut is_up) = oneshot::channel();
            let opened = open_link(
                on,
                |far| busy(far, counter, guard),
                async |mut near, ()| {
                    let _ = up.send(());
                    near.recv().await.map(|_| ())
                },
            );
            or(opened, async { is_up.recv().await.map(|_| ()) }).await?;
            Ok(turns.load(SeqCst)) // both futures were dropped with the statement above
        })
        .await?
        .expect("nobody cancels this scope");
    assert!(gone.get(), "the scope completed before the task of a dropped link was dropped");
    // On another thread it may have been in the middle of a turn.
    assert!(turns.load(SeqCst) <= at_drop + 1, "the task ran on after the drop of its link");
    Ok(())
}

/// Whether the future had to be dropped.
async fn dropped_after_a_while<T>(future: impl Future<Output = Result<T>>) -> Result<bool> {
    or(async { future.await.map(|_| false) }, async { sleep(A_WHILE).await.map(|()| true) }).await
}

/// Told, and not impressed: only the abort ends it.
pub(crate) async fn l01_dropped_beside_a_task_that_swallows_everything<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let on = P::on()?;
    CancelScope::new()
        .run(async {
            let opened = open_link(on, |far| stubborn(far, guard), async |mut near, ()| near.recv().await);
            assert!(dropped_after_a_while(opened).await?, "nothing ends that link");
            Ok(())
        })
        .await?;
    assert!(gone.get(), "the scope completed before the task of a dropped link was dropped");
    Ok(())
}

pub(crate) async fn l01_dropped_before_its_task_ran<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let on = P::on()?;
    CancelScope::new()
        .run(async {
            let opened = open_link(on, |far| listens(far, guard), async |mut near, ()| near.recv().await);
            assert!(poll_once(opened).await.is_none(), "tokio has not had a turn yet");
            Ok(())
        })
        .await?;
    assert!(gone.get(), "the scope completed before the task of a dropped link was dropped");
    Ok(())
}

pub(crate) async fn l01_dropped_while_its_task_listens<P: Place>() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let on = P::on()?;
    CancelScope::new()
        .run(async {
            let opened = open_link(on, |far| listens(far, guard), async |mut near, ()| near.recv().await);
            assert!(dropped_after_a_while(opened).await?, "nothing ends that link");
            Ok(())
        })
        .await?;
    assert!(gone.get(), "the scope completed before the task of a dropped link was dropped");
    Ok(())
}

// ---- L2: the same for `run` and `foreign`, ended at every await point

/// What is done to a future when it has been polled so often: nothing else ends it before.
#[derive(Clone, Copy)]
enum Cut {
    Drop,
    Cancel,
}

/// Runs `future` in a scope and cuts it after `polls` polls; whether it ended before that.
async fn cut<T>(polls: usize, how: Cut, future: impl Future<Output = Result<T>>) -> Result<bool> {
    let scope = CancelScope::new();
    let within = scope.clone();
    let ended = scope.run(async move {
        let mut future = pin!(future);
        let mut polled = 0;
        poll_fn(move |cx| {
            if polled == polls {
                match how {
                    Cut::Drop => return Poll::Ready(Ok(false)),
                    Cut::Cancel => within.cancel("cut"),
                }
            }
            polled += 1;
            let done = future.as_mut().poll(cx).map_ok(|_| true);
            if done.is_pending() && polled == polls {
                cx.waker().wake_by_ref();
            }
            done
        })
        .await
    });
    Ok(ended.await?.unwrap_or(false))
}

/// Cuts the future that `make` makes of a guard after 0, 1, 2.. polls, until it is quicker than the cut.
async fn cut_everywhere<T, Fut>(how: Cut, make: impl Fn(Guard) -> Result<Fut>) -> Result<()>
where
    Fut: Future<Output = Result<T>>,
{
    for polls in 0..1000 {
        let gone = Gone::default();
        let ended = cut(polls, how, not_before(&gone, make(gone.guard())?)).await?;
        assert!(gone.get(), "cut after {polls} polls, the foreign task has outlived its scope");
        if ended {
            assert!(polls > 1, "there was no await to cut it at");
            return Ok(());
        }
    }
    panic!("it never ends by itself");
}

async fn works(guard: Guard) -> Result<u32> {
    for _ in 0..3 {
        turn().await;
    }
    nap(Duration::from_millis(1)).await;
    drop(guard);
    Ok(7)
}

fn one_run<P: Place>(guard: Guard) -> Result<impl Future<Output = Result<u32>>> {
    Ok(run(P::on()?, move || works(guard)))
}

/// A call, then a link, in one scope.
fn one_scope<P: Place>(guard: Guard) -> Result<impl Future<Output = Result<u32>>> {
    let on = P::on()?;
    Ok(foreign(on, async move |on: P::Loop| {
        let call_is_gone = Gone::default();
        let inner = call_is_gone.guard();
        let sum = run(on.clone(), move || works(inner)).await?;
        assert!(call_is_gone.get(), "the call completed before its task");
        let far = async move |mut far: Numbers| {
            let _guard = guard;
            far.started(()).await?;
            Ok(far.send(sum).await?)
        };
        open_link(on, far, async |mut near, ()| Ok(near.recv().await?.ok_or(Ended)?)).await
    }))
}

pub(crate) async fn l02_run_dropped_at_every_await<P: Place>() -> Result<()> {
    cut_everywhere(Cut::Drop, one_run::<P>).await
}

pub(crate) async fn l02_run_cancelled_at_every_await<P: Place>() -> Result<()> {
    cut_everywhere(Cut::Cancel, one_run::<P>).await
}

pub(crate) async fn l02_foreign_dropped_at_every_await<P: Place>() -> Result<()> {
    cut_everywhere(Cut::Drop, one_scope::<P>).await
}

pub(crate) async fn l02_foreign_cancelled_at_every_await<P: Place>() -> Result<()> {
    cut_everywhere(Cut::Cancel, one_scope::<P>).await
}
