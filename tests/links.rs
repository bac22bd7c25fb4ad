//! Links: a task of an infected actor and a tokio task, by the laws L. Every law is an endpoint that runs inside an
//! infected actor of a tree of its own, and says by its result whether it holds.

mod harness;

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_lite::future::{block_on, or, poll_once};
use harness::{actors, plain};
use libtest_mimic::{Failed, Trial};
use pleach::actor::CallFn;
use pleach::dialog::{NeverStarted, StartTimeout, TrySendError};
use pleach::error::FailureId;
use pleach::prelude::*;
use pleach::task::oneshot;
use pleach_bridge::{NotInfected, Tokio, link, open_link};
use thiserror::Error;
use tokio::task::yield_now;

/// Longer than any test may take.
const FOR_EVER: Duration = Duration::from_secs(3600);
/// How long a task that ends in its own time takes to end.
const A_WHILE: Duration = Duration::from_millis(20);

/// The far end of a link that starts with nothing and carries numbers.
type Numbers = Far<(), u32, u32>;

#[derive(Debug, Error, PartialEq, Eq)]
#[error("boom number {0}")]
struct Boom(u32);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("the body has had enough")]
struct BodyError;

/// Whether a task is gone: everything it owned has been dropped.
#[derive(Clone, Default)]
struct Gone(Arc<AtomicBool>);

struct Guard(Gone);

impl Gone {
    fn guard(&self) -> Guard {
        Guard(self.clone())
    }

    fn get(&self) -> bool {
        self.0.load(SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.store(true, SeqCst);
    }
}

/// A flag that one side sets and the other waits for.
#[derive(Clone, Default)]
struct Flag(Arc<AtomicBool>);

impl Flag {
    fn set(&self) {
        self.0.store(true, SeqCst);
    }

    async fn wait(&self) {
        while !self.0.load(SeqCst) {
            yield_now().await;
        }
    }
}

/// Takes the cancel signal, and some time to clean up.
async fn listens(mut far: Numbers, guard: Guard) -> Result<()> {
    far.started(()).await?;
    far.cancelled().await;
    tokio::time::sleep(A_WHILE).await;
    drop(guard);
    Ok(())
}

/// Hears nothing.
async fn deaf(mut far: Numbers, guard: Guard) -> Result<()> {
    far.started(()).await?;
    tokio::time::sleep(FOR_EVER).await;
    drop(guard);
    Ok(())
}

/// Swallows every error and goes on.
async fn stubborn(mut far: Numbers, guard: Guard) -> Result<()> {
    far.started(()).await?;
    loop {
        let _ = far.recv().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        let _keep = &guard;
    }
}

// ---- L1: the foreign task has ended when the link completes

#[pleach::endpoint]
async fn l01_normal_exit() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        while far.recv().await?.is_some() {}
        tokio::time::sleep(A_WHILE).await;
        drop(guard);
        Ok(())
    };
    let value = open_link(Tokio::here()?, far, async |mut near, ()| {
        near.send(1).await?;
        Ok("done")
    })
    .await?;
    assert!(gone.get(), "the link completed before its task");
    assert_eq!(value, "done");
    Ok(())
}

#[pleach::endpoint]
async fn l01_body_error() -> Result<()> {
    let (listener, sleeper) = (Gone::default(), Gone::default());
    let guard = listener.guard();
    let error = open_link(
        Tokio::here()?,
        |far| listens(far, guard),
        async |_near, ()| -> Result<()> {
            yield_now().await; // it reaches its wait for the signal
            Err(BodyError)?
        },
    )
    .await
    .unwrap_err();
    assert!(listener.get(), "the link completed before its task had cleaned up");
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");

    let guard = sleeper.guard();
    let since = Instant::now();
    let error = open_link(Tokio::here()?, |far| deaf(far, guard), async |_near, ()| -> Result<()> { Err(BodyError)? })
        .await
        .unwrap_err();
    assert!(since.elapsed() < Duration::from_secs(2), "who cannot hear is not given the grace: {:?}", since.elapsed());
    assert!(sleeper.get(), "the link completed before its task was dropped");
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");
    Ok(())
}

#[pleach::endpoint]
async fn l01_foreign_error() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |mut far: Numbers| -> Result<()> {
        let _guard = guard;
        far.started(()).await?;
        yield_now().await;
        Err(Boom(1))?
    };
    let error = open_link(Tokio::here()?, far, async |_near, ()| sleep(FOR_EVER).await).await.unwrap_err();
    assert!(gone.get());
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom(1)), "{error:?}");
    Ok(())
}

#[pleach::endpoint]
async fn l01_foreign_panic() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |mut far: Numbers| -> Result<()> {
        let _guard = guard;
        far.started(()).await?;
        yield_now().await;
        std::panic::panic_any("the tokio task slipped");
    };
    let error = open_link(Tokio::here()?, far, async |mut near, ()| near.recv().await).await.unwrap_err();
    assert!(gone.get());
    assert!(error.is_panic() && error.to_string().contains("the tokio task slipped"), "{error:?}");
    Ok(())
}

#[pleach::endpoint]
async fn l01_body_panic() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let ended = CancelScope::new().run(open_link(
        Tokio::here()?,
        |far| deaf(far, guard),
        async |_near, ()| -> Result<()> { std::panic::panic_any("the body slipped") },
    ));
    let error = ended.await.unwrap_err();
    assert!(gone.get(), "the scope completed before the task was dropped");
    assert!(error.is_panic() && error.to_string().contains("the body slipped"), "{error:?}");
    Ok(())
}

async fn cancelled_from_beside(far: impl AsyncFnOnce(Numbers) -> Result<()> + Send + 'static) -> Result<()> {
    let scope = CancelScope::new();
    let (up, mut is_up) = oneshot::channel();
    let on = Tokio::here()?;
    let inner = scope.clone();
    let far = async move |end| far(end).await;
    nursery(async move |n| {
        n.spawn(async move {
            is_up.recv().await?;
            scope.cancel("enough");
            Ok(())
        })?;
        let done = inner
            .run(open_link(on, far, async |mut near, ()| {
                let _ = up.send(());
                near.recv().await
            }))
            .await?;
        assert!(done.is_none(), "a cancelled link has no value");
        Ok(())
    })
    .await
}

#[pleach::endpoint]
async fn l01_cancel() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    cancelled_from_beside(async |far| listens(far, guard).await).await?;
    assert!(gone.get(), "the link completed before its task had cleaned up");
    let gone = Gone::default();
    let guard = gone.guard();
    cancelled_from_beside(async |far| deaf(far, guard).await).await?;
    assert!(gone.get(), "the link completed before its task was dropped");
    Ok(())
}

#[pleach::endpoint]
async fn l01_timeout() -> Result<()> {
    let (listener, sleeper) = (Gone::default(), Gone::default());
    let guard = listener.guard();
    let slow = open_link(Tokio::here()?, |far| listens(far, guard), async |mut near, ()| near.recv().await);
    assert_eq!(move_on_after(A_WHILE, slow).await?, None);
    assert!(listener.get(), "the link completed before its task had cleaned up");
    let guard = sleeper.guard();
    let slow = open_link(Tokio::here()?, |far| deaf(far, guard), async |mut near, ()| near.recv().await);
    assert_eq!(move_on_after(A_WHILE, slow).await?, None);
    assert!(sleeper.get(), "the link completed before its task was dropped");
    Ok(())
}

#[pleach::endpoint]
async fn l01_a_task_that_swallows_everything() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let since = Instant::now();
    let opened = link(Tokio::here()?)
        .grace(Duration::from_millis(50))
        .open(|far| stubborn(far, guard), async |_near, ()| -> Result<()> { Err(BodyError)? });
    let error = opened.await.unwrap_err();
    assert!(gone.get(), "the link completed before its task was dropped");
    assert!(error.downcast_ref::<BodyError>().is_some(), "{error:?}");
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

#[pleach::endpoint]
async fn l01_dropped() -> Result<()> {
    let (gone, turns) = (Gone::default(), Arc::new(AtomicUsize::new(0)));
    let (guard, counter) = (gone.guard(), turns.clone());
    let on = Tokio::here()?;
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
    assert_eq!(turns.load(SeqCst), at_drop, "the task ran on after the drop of its link");
    Ok(())
}

/// Told, and not impressed: only the abort ends it.
#[pleach::endpoint]
async fn l01_dropped_beside_a_task_that_swallows_everything() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let on = Tokio::here()?;
    CancelScope::new()
        .run(async {
            let opened = open_link(on, |far| stubborn(far, guard), async |mut near, ()| near.recv().await);
            assert!(tokio::time::timeout(A_WHILE, opened).await.is_err(), "nothing ends that link");
            Ok(())
        })
        .await?;
    assert!(gone.get(), "the scope completed before the task of a dropped link was dropped");
    Ok(())
}

#[pleach::endpoint]
async fn l01_dropped_before_its_task_ran() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let on = Tokio::here()?;
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

#[pleach::endpoint]
async fn l01_dropped_by_a_tokio_timeout() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let on = Tokio::here()?;
    CancelScope::new()
        .run(async {
            let opened = open_link(on, |far| listens(far, guard), async |mut near, ()| near.recv().await);
            assert!(tokio::time::timeout(A_WHILE, opened).await.is_err(), "nothing ends that link");
            Ok(())
        })
        .await?;
    assert!(gone.get(), "the scope completed before the task of a dropped link was dropped");
    Ok(())
}

// ---- L6 to L9: the start

#[pleach::endpoint]
async fn l06_started_exactly_once() -> Result<()> {
    let bodies = AtomicUsize::new(0);
    let far = async |mut far: Far<u32, (), u32>| {
        let early = far.send(0).await.unwrap_err();
        far.started(7).await?;
        let second = far.started(8).await.unwrap_err();
        far.send(1).await?;
        Ok((early.is_misuse(), second.is_misuse()))
    };
    let told = open_link(Tokio::here()?, far, async |mut near, first| {
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

#[pleach::endpoint]
async fn l07_failure_before_started() -> Result<()> {
    let far = async |_far: Numbers| -> Result<()> {
        yield_now().await;
        Err(Boom(7))?
    };
    let error = open_link(Tokio::here()?, far, async |_near, ()| -> Result<()> { panic!("it never started") })
        .await
        .unwrap_err();
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom(7)), "{error:?}");
    assert!(error.to_string().ends_with("boom number 7"), "{error}");
    let far = async |_far: Numbers| -> Result<()> { std::panic::panic_any("slipped at once") };
    let error = open_link(Tokio::here()?, far, async |_near, ()| Ok(())).await.unwrap_err();
    assert!(error.is_panic() && error.to_string().ends_with("slipped at once"), "{error:?}");
    Ok(())
}

#[pleach::endpoint]
async fn l08_return_before_started() -> Result<()> {
    let far = async |_far: Numbers| Ok(3);
    let error = open_link(Tokio::here()?, far, async |_near, ()| Ok(())).await.unwrap_err();
    assert!(error.downcast_ref::<NeverStarted>().is_some(), "{error:?}");
    assert!(error.to_string().contains("tokio task"), "it does not say who: {error}");
    Ok(())
}

#[pleach::endpoint]
async fn l09_start_deadline() -> Result<()> {
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |far: Numbers| {
        let _owned = (far, guard);
        tokio::time::sleep(FOR_EVER).await;
        Ok(())
    };
    let opened = link(Tokio::here()?).start_deadline(A_WHILE).open(far, async |_near, ()| Ok(()));
    let error = opened.await.unwrap_err();
    assert!(gone.get(), "the link completed before its task was dropped");
    assert!(error.downcast_ref::<StartTimeout>().is_some(), "{error:?}");
    assert!(error.is_timeout(), "{:?}", error.kind());
    Ok(())
}

// ---- L10, L11: errors

async fn fails_with_ten(mut far: Numbers) -> Result<()> {
    far.started(()).await?;
    yield_now().await;
    Err(Boom(10))?
}

#[pleach::endpoint]
async fn a_failing_link() -> Result<()> {
    let error = open_link(Tokio::here()?, fails_with_ten, async |mut near, ()| near.recv().await).await.unwrap_err();
    assert_eq!(error.downcast_ref::<Boom>(), Some(&Boom(10)), "{error:?}");
    assert!(error.type_name().ends_with("Boom"), "{}", error.type_name());
    let id: FailureId = error.id();
    Err(error.context(format!("{id:?}")))
}

async fn l10_one_failure_in_the_same_out() -> Result<()> {
    actor_nursery(async |n| {
        let actor = n.actor("infected").host(Tokio::current_thread()).expose(a_failing_link).start().await?;
        let error = actor.run(a_failing_link, ()).await.unwrap_err();
        let remote = error.remote().expect("it comes from another actor");
        assert!(remote.type_name.ends_with("links::Boom"), "{}", remote.type_name);
        assert!(remote.message.ends_with("boom number 10"), "{}", remote.message);
        assert!(remote.message.contains(&format!("{:?}", remote.id)), "it got another identity: {}", remote.message);
        assert_eq!(remote.actor, "root/infected");
        assert!(remote.location.as_ref().is_some_and(|at| at.contains("links.rs")), "{:?}", remote.location);
        actor.cancel_actor().await
    })
    .await
}

/// Runs a link whose body fails with [`BodyError`], however its foreign task ends.
async fn body_error_beside(
    case: &str,
    far: impl AsyncFnOnce(Numbers) -> Result<()> + Send + 'static,
    body: impl AsyncFnOnce(Near<u32, u32, ()>) + Send,
) -> Result<()> {
    let far = async move |end| far(end).await;
    let opened = link(Tokio::here()?).grace(Duration::from_millis(50)).open(far, async |near, ()| -> Result<()> {
        body(near).await;
        Err(BodyError)?
    });
    let error = opened.await.unwrap_err();
    let kept = error.failures().iter().any(|failure| failure.downcast_ref::<BodyError>().is_some());
    assert!(kept, "beside a task that {case} the body's error was lost: {error:?}");
    Ok(())
}

#[pleach::endpoint]
async fn l11_the_body_error_is_kept() -> Result<()> {
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
    body_error_beside("listens", async |far| listens(far, listening).await, at_once).await?;
    body_error_beside("is deaf", async |far| deaf(far, sleeping).await, at_once).await?;
    body_error_beside("swallows everything", async |far| stubborn(far, swallowing).await, at_once).await?;
    body_error_beside("obeys", obeys, at_once).await?;
    body_error_beside("returns", returns, at_once).await?;
    body_error_beside("returned", returns, swallow).await?;
    body_error_beside("fails", fails, at_once).await?;
    body_error_beside("failed", fails, swallow).await?;
    body_error_beside("panics", panics, at_once).await?;
    body_error_beside("panicked", panics, swallow).await?;
    body_error_beside("fails when told", fails_when_told, at_once).await?;
    body_error_beside("panics when told", panics_when_told, at_once).await
}

// ---- L23, L24, L26: the flow

#[pleach::endpoint]
async fn l23_sending_waits_when_full() -> Result<()> {
    let read = Flag::default();
    let may = read.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        may.wait().await;
        let mut values = Vec::new();
        while let Some(value) = far.recv().await? {
            values.push(value);
        }
        Ok(values)
    };
    let values = link(Tokio::here()?)
        .capacity(1)
        .open(far, async |mut near, ()| {
            near.send(1).await?;
            assert!(poll_once(near.send(2)).await.is_none(), "a second value was accepted by a link for one");
            read.set();
            near.send(3).await?;
            near.finish().await
        })
        .await?;
    assert_eq!(values, [1, 3], "a send that was dropped while it waited sends nothing");
    Ok(())
}

#[pleach::endpoint]
async fn l23_the_foreign_task_waits_when_full() -> Result<()> {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        for n in 0..100 {
            far.send(n).await?;
            counter.fetch_add(1, SeqCst);
        }
        Ok(())
    };
    link(Tokio::here()?)
        .capacity(1)
        .open(far, async |mut near, ()| {
            for received in 0..100 {
                for _ in 0..20 {
                    yield_now().await; // every chance to send too much
                }
                let accepted = sent.load(SeqCst);
                assert!(accepted <= received + 1, "{accepted} accepted, {received} received, room for one");
                near.recv().await?.ok_or(Ended)?;
            }
            near.finish().await
        })
        .await
}

/// What nobody reads does not keep its sender waiting when the opener only wants the result.
#[pleach::endpoint]
async fn l23_a_finish_makes_room() -> Result<()> {
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        for n in 0..100 {
            far.send(n).await?;
        }
        Ok("all sent")
    };
    let opened = link(Tokio::here()?).capacity(1).open(far, async |near, ()| near.finish().await);
    assert_eq!(fail_after(Duration::from_secs(5), opened).await?, "all sent");
    Ok(())
}

/// A place is a place, also if the reader takes only one value and then waits for something else.
#[pleach::endpoint]
async fn l23_one_free_place_is_enough() -> Result<()> {
    let (sent, done) = (Flag::default(), Flag::default());
    let (all, may_end) = (sent.clone(), done.clone());
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        for n in 0..5 {
            far.send(n).await?;
        }
        all.set();
        may_end.wait().await;
        Ok(())
    };
    link(Tokio::here()?)
        .capacity(4)
        .open(far, async |mut near, ()| {
            assert_eq!(near.recv().await?, Some(0));
            let waited = fail_after(Duration::from_secs(5), async {
                sent.wait().await;
                Ok(())
            });
            waited.await?;
            done.set();
            Ok(())
        })
        .await
}

#[pleach::endpoint]
async fn l23_try_send_gives_the_value_back() -> Result<()> {
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        far.try_send(1).map_err(Error::from)?;
        assert!(matches!(far.try_send(2), Err(TrySendError::Full(2))), "capacity is one");
        while far.recv().await?.is_some() {}
        Ok(())
    };
    let body = async |mut near: Near<u32, u32, ()>, ()| {
        assert_eq!(near.recv().await?, Some(1));
        near.try_send(3).map_err(Error::from)?;
        assert!(matches!(near.try_send(4), Err(TrySendError::Full(4))), "nobody has read the first");
        near.stop();
        assert!(matches!(near.try_send(5), Err(TrySendError::Refused(5, error)) if error.is_misuse()));
        near.finish().await
    };
    link(Tokio::here()?).capacity(1).open(far, body).await
}

#[pleach::endpoint]
async fn l24_after_a_failure_the_rest_can_be_drained() -> Result<()> {
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        for n in 0..3 {
            far.send(n).await?;
        }
        Err::<(), _>(Boom(3).into())
    };
    let drained = Mutex::new(Vec::new());
    let failed = open_link(Tokio::here()?, far, async |mut near, ()| {
        // Told of the failure here, wherever it is parked; cleaning up, it reads what had come before.
        let told = sleep(FOR_EVER).await;
        shield(harness::SOON, async {
            loop {
                match near.recv().await {
                    Ok(Some(n)) => drained.lock().unwrap().push(n),
                    end => return end.map(drop),
                }
            }
        })
        .await
        .expect_err("after the rest comes the failure, and not the end of the stream");
        told
    })
    .await
    .unwrap_err();
    assert_eq!(*drained.lock().unwrap(), [0, 1, 2]);
    assert!(failed.downcast_ref::<Boom>() == Some(&Boom(3)), "{failed:?}");
    Ok(())
}

#[pleach::endpoint]
async fn l24_order() -> Result<()> {
    let far = async |mut far: Numbers| {
        far.started(()).await?;
        while let Some(n) = far.recv().await? {
            if n % 17 == 0 {
                yield_now().await;
            }
            far.send(n).await?;
        }
        Ok(())
    };
    link(Tokio::here()?)
        .capacity(7)
        .open(far, async |mut near, ()| {
            for batch in 0..200 {
                for n in 0..7 {
                    near.send(7 * batch + n).await?;
                }
                for n in 0..7 {
                    assert_eq!(near.recv().await?, Some(7 * batch + n));
                }
            }
            near.finish().await
        })
        .await
}

#[pleach::endpoint]
async fn l24_what_was_accepted_is_readable() -> Result<()> {
    // The foreign task has returned and is gone before the first value is read.
    let gone = Gone::default();
    let guard = gone.guard();
    let far = async move |mut far: Numbers| {
        let _guard = guard;
        far.started(()).await?;
        for n in 0..5 {
            far.send(n).await?;
        }
        Ok("sent")
    };
    let result = open_link(Tokio::here()?, far, async |mut near, ()| {
        while !gone.get() {
            yield_now().await;
        }
        yield_now().await;
        for n in 0..5 {
            assert_eq!(near.recv().await?, Some(n));
        }
        assert_eq!(near.recv().await?, None);
        assert_eq!(near.recv().await?, None, "the end stays the end");
        near.finish().await
    })
    .await?;
    assert_eq!(result, "sent");

    // The opener has stopped before the first value is read.
    let stopped = Flag::default();
    let is_stopped = stopped.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        is_stopped.wait().await;
        let mut values = Vec::new();
        while let Some(value) = far.recv().await? {
            values.push(value);
        }
        Ok(values)
    };
    let values = open_link(Tokio::here()?, far, async |mut near, ()| {
        for n in 0..5 {
            near.send(n).await?;
        }
        near.stop();
        stopped.set();
        near.finish().await
    })
    .await?;
    assert_eq!(values, [0, 1, 2, 3, 4]);
    Ok(())
}

#[pleach::endpoint]
async fn l26_a_dropped_receive_takes_nothing() -> Result<()> {
    let sent = Flag::default();
    let is_sent = sent.clone();
    let far = async move |mut far: Numbers| {
        far.started(()).await?;
        assert_eq!(far.recv().await?, Some(0));
        far.send(1).await?;
        is_sent.set();
        // Dropped by tokio's own timeout while it waits.
        assert!(tokio::time::timeout(Duration::from_millis(5), far.recv()).await.is_err());
        far.send(2).await?;
        assert_eq!(far.recv().await?, Some(3));
        Ok(())
    };
    open_link(Tokio::here()?, far, async |mut near, ()| {
        {
            let mut waiting = std::pin::pin!(near.recv());
            assert!(poll_once(&mut waiting).await.is_none());
        }
        near.send(0).await?;
        assert!(poll_once(near.recv()).await.is_none());
        sent.wait().await; // it was woken for the value, and is not there any more
        assert_eq!(near.recv().await?, Some(1));
        assert_eq!(near.recv().await?, Some(2));
        near.send(3).await?;
        near.finish().await
    })
    .await
}

// ---- L30, L36

fn is_not_infected(error: &Error) -> bool {
    error.downcast_ref::<NotInfected>().is_some() && error.to_string().contains(".host(Tokio::current_thread())")
}

#[pleach::endpoint]
async fn asks_for_tokio() -> Result<bool> {
    Ok(Tokio::here().is_err_and(|error| is_not_infected(&error)))
}

/// A handle that is carried to a thread that tokio does not run on is refused there.
#[pleach::endpoint]
async fn l30_a_carried_handle() -> Result<()> {
    let here = Tokio::here()?;
    let thread = std::thread::spawn(move || {
        let far = async |mut far: Numbers| far.started(()).await;
        block_on(open_link(here, far, async |_near, ()| Ok(()))).is_err_and(|error| is_not_infected(&error))
    });
    assert!(thread.join().expect("it does not panic"), "a link was opened on a thread without tokio");
    Ok(())
}

async fn l30_outside_an_infected_actor() -> Result<()> {
    assert!(asks_for_tokio().await?, "the root runs on smol");
    actor_nursery(async |n| {
        let actor = n.actor("plain").expose(asks_for_tokio).start().await?;
        assert!(actor.run(asks_for_tokio, ()).await?, "this actor runs on smol");
        actor.cancel_actor().await
    })
    .await
}

fn l30_outside_everything() -> Result<(), Failed> {
    let error = Tokio::here().expect_err("no actor here");
    if is_not_infected(&error) { Ok(()) } else { Err(format!("it does not name the remedy: {error:?}").into()) }
}

fn l36_a_clean_run_is_silent() -> Result<(), Failed> {
    let echo = Command::new(harness::example("infected_echo")?).args(["--rounds", "200"]).output()?;
    if !echo.status.success() || !echo.stderr.is_empty() {
        return Err(format!("{}: {}", echo.status, String::from_utf8_lossy(&echo.stderr)).into());
    }
    Ok(())
}

// ---- running them

/// Runs a law inside an infected actor.
async fn in_guest<F: CallFn<(), Output = ()> + Copy + Sync>(law: F) -> Result<()> {
    actor_nursery(async |n| {
        let actor = n.actor("infected").host(Tokio::current_thread()).expose(law).start().await?;
        actor.run(law, ()).await?;
        actor.cancel_actor().await
    })
    .await
}

macro_rules! in_guest {
    ($($law:ident),* $(,)?) => {
        vec![$(actors(concat!("guest::", stringify!($law)), || in_guest($law))),*]
    };
}

fn main() {
    let mut laws: Vec<Trial> = in_guest![
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
        l01_dropped_by_a_tokio_timeout,
        l06_started_exactly_once,
        l07_failure_before_started,
        l08_return_before_started,
        l09_start_deadline,
        l11_the_body_error_is_kept,
        l23_sending_waits_when_full,
        l23_the_foreign_task_waits_when_full,
        l23_one_free_place_is_enough,
        l23_try_send_gives_the_value_back,
        l24_after_a_failure_the_rest_can_be_drained,
        l23_a_finish_makes_room,
        l24_order,
        l24_what_was_accepted_is_readable,
        l26_a_dropped_receive_takes_nothing,
        l30_a_carried_handle,
    ];
    laws.push(actors("guest::l10_one_failure_in_the_same_out", l10_one_failure_in_the_same_out));
    laws.push(actors("guest::l30_outside_an_infected_actor", l30_outside_an_infected_actor));
    laws.push(plain("guest::l30_outside_everything", l30_outside_everything));
    laws.push(plain("guest::l36_a_clean_run_is_silent", l36_a_clean_run_is_silent));
    harness::main(laws);
}
