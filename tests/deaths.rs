//! Actors that die: what their dialogs and their nursery say, and that nothing is left (laws D12, P1, P3).

mod harness;

use std::sync::Mutex;

use harness::processes::{Watched, assert_gone, kill, stop, terminate};
use harness::{By, SOON, Way, actors, all_ways, soon, unique};
use pleach::actor::{ActorDied, ActorNursery};
use pleach::error::{Kind, Reason};
use pleach::prelude::*;
use pleach::task::oneshot;

#[pleach::endpoint]
async fn parks() -> Result<()> {
    std::future::pending().await
}

/// Says it is there, then neither reads nor sends.
#[pleach::endpoint]
async fn listens(mut far: Far<(), u64, u64>) -> Result<()> {
    far.started(()).await?;
    std::future::pending().await
}

#[pleach::endpoint]
async fn floods(mut far: Far<(), u64, String>) -> Result<()> {
    far.started(()).await?;
    loop {
        far.send("x".repeat(64 << 10)).await?;
    }
}

#[pleach::endpoint]
async fn ends(how: String) -> Result<()> {
    match how.as_str() {
        "exit" => std::process::exit(7),
        "abort" => std::process::abort(),
        _ => kill(std::process::id()),
    }
    std::future::pending().await
}

/// Starts an actor below this one, says its process number, and lives on.
#[pleach::endpoint]
async fn raises(mut far: Far<u32, (), ()>, name: String) -> Result<()> {
    actor_nursery(async move |n: ActorNursery| {
        let below = n.actor(name).expose(parks).start().await?;
        far.started(below.pid()).await?;
        below.run(parks, ()).await
    })
    .await
}

/// Keeps dialogs open: two calls, a context that waits for values, one that is full on its way here and one on its way
/// there. Then `end`s the actor, and gives what each of the five ended with.
async fn with_open_dialogs<Fut>(worker: &Portal, end: impl FnOnce() -> Fut) -> Vec<Error>
where
    Fut: Future<Output = Result<()>>,
{
    let errors = Mutex::new(Vec::new());
    let note = |ended: Result<()>| {
        errors.lock().unwrap().push(ended.expect_err("its actor is gone"));
        Ok(())
    };
    let (note, (full, mut is_full)) = (&note, pleach::task::channel::bounded(3));
    let full = &full;
    let opened = nursery(async |n| {
        for _ in 0..2 {
            n.spawn(async { note(worker.run(parks, ()).await) })?;
        }
        n.spawn(async {
            let waits = worker.open_context(listens, (), async |mut near, ()| {
                full.send(()).await?;
                near.recv().await.map(drop)
            });
            note(waits.await)
        })?;
        n.spawn(async {
            let ignores = worker.open_context(floods, (), async |_near, ()| {
                full.send(()).await?;
                sleep(SOON * 100).await
            });
            note(ignores.await)
        })?;
        n.spawn(async {
            let insists = worker.open_context(listens, (), async |mut near, ()| {
                full.send(()).await?;
                loop {
                    near.send(u64::MAX).await?;
                }
            });
            note(insists.await)
        })?;
        for _ in 0..3 {
            is_full.recv().await?;
        }
        end().await
    })
    .await;
    drop(opened);
    errors.into_inner().unwrap()
}

/// The actor `worker` of a nursery, with its dialogs open, dies; gives the failures of the dialogs and of the nursery.
async fn dies<Fut>(end: impl FnOnce(Portal) -> Fut) -> (Vec<Error>, Error, Portal)
where
    Fut: Future<Output = Result<()>>,
{
    let seen = Mutex::new(None);
    let ended = soon(actor_nursery(async |n: ActorNursery| {
        let actor = n.actor(unique("dies")).expose(parks).expose(listens).expose(floods).expose(ends).expose(raises);
        let worker = actor.start().await?;
        let errors = with_open_dialogs(&worker, || end(worker.clone())).await;
        *seen.lock().unwrap() = Some((errors, worker));
        Ok(())
    }));
    let error = ended.await.expect_err("an actor has died");
    let (errors, worker) = seen.into_inner().unwrap().expect("the body has ended");
    (errors, error, worker)
}

fn assert_one_death(errors: &[Error], failure: &Error, worker: &Portal, how: &str) {
    assert_eq!(errors.len(), 5, "{errors:?}");
    for error in errors {
        assert_eq!((error.kind(), error.id()), (Kind::Died, failure.id()), "{error:?} beside {failure:?}");
        let text = error.to_string();
        assert!(text.contains(how) && text.contains(worker.path()), "{text}");
    }
}

async fn d12_p03_a_killed_actor_fails_every_dialog_and_its_nursery_as_one() -> Result<()> {
    let (errors, failure, worker) = dies(async |worker: Portal| {
        kill(worker.pid());
        sleep(SOON * 100).await
    })
    .await;
    assert_one_death(&errors, &failure, &worker, "SIGKILL (9)");
    let died = failure.downcast_ref::<ActorDied>().expect("not a group: one failure");
    assert_eq!((died.actor.as_str(), died.pid), (worker.path(), worker.pid()));
    assert_eq!((died.signal, died.status), (Some(9), None));
    let names = |name: &str| died.dialogs.iter().filter(|dialog| dialog.ends_with(name)).count();
    assert_eq!((names("::parks"), names("::listens"), names("::floods")), (2, 2, 1), "{died:?}");
    let text = failure.to_string();
    let pid = format!("pid {}", worker.pid());
    let parts = [worker.path(), &pid, "SIGKILL (9)", "open dialogs:", "deaths::parks"];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    assert_gone(&[worker.pid()], worker.path());
    Ok(())
}

/// Its socket still holds what it has not read: the system resets the connection instead of ending it, and that may be
/// seen before the death is.
async fn d12_an_actor_that_dies_with_bytes_unread_fails_every_dialog_as_one() -> Result<()> {
    for _ in 0..5 {
        let seen = Mutex::new(Vec::new());
        let ended = soon(actor_nursery(async |n: ActorNursery| {
            let worker = n.actor(unique("unread")).expose(parks).start().await?;
            stop(worker.pid());
            let kills = async {
                // A few turns for the driver, which writes the call.
                for _ in 0..10 {
                    futures_lite::future::yield_now().await;
                }
                kill(worker.pid());
            };
            let (ended, ()) = futures_lite::future::zip(worker.run(parks, ()), kills).await;
            seen.lock().unwrap().extend(ended.err());
            Ok(())
        }));
        let failure = ended.await.unwrap_err();
        assert!(failure.downcast_ref::<ActorDied>().is_some(), "{failure:?}");
        let dialog = seen.into_inner().unwrap().pop().expect("its actor is gone");
        assert_eq!((dialog.kind(), dialog.id()), (Kind::Died, failure.id()), "{dialog:?} beside {failure:?}");
    }
    Ok(())
}

async fn d12_an_actor_that_ends_itself_fails_every_dialog_as_one() -> Result<()> {
    for (how, signal, status, text) in [
        ("exit", None, Some(7), "exited with status 7"),
        ("abort", Some(6), None, "SIGABRT (6)"),
        ("kill", Some(9), None, "SIGKILL (9)"),
    ] {
        let (errors, failure, worker) = dies(async |worker: Portal| worker.run(ends, (how.to_owned(),)).await).await;
        assert_one_death(&errors, &failure, &worker, text);
        let died = failure.downcast_ref::<ActorDied>().expect("not a group: one failure");
        assert_eq!((died.signal, died.status), (signal, status));
    }
    Ok(())
}

/// The one way in which an actor over memory is lost; the same over sockets.
async fn d12_an_actor_that_is_cancelled_ends_every_dialog_as_cancelled(way: Way) -> Result<()> {
    soon(actor_nursery(async move |n: ActorNursery| {
        let actor = n.actor(unique("cancelled")).by(way).expose(parks).expose(listens).expose(floods);
        let worker = actor.start().await?;
        let errors = with_open_dialogs(&worker, || worker.cancel_actor()).await;
        assert_eq!(errors.len(), 5, "{errors:?}");
        for error in &errors {
            assert_eq!(error.remote().map(|remote| remote.actor.as_str()), Some(worker.path()), "{error:?}");
            let reason = error.mark().map(|mark| mark.reason.clone());
            let asked = Reason::Explicit { by: "root".to_owned(), message: "cancel_actor".to_owned() };
            assert_eq!((error.kind(), reason), (Kind::Cancelled, Some(asked)), "{error:?}");
        }
        assert!(worker.run(parks, ()).await.is_err(), "nobody answers any more");
        Ok(())
    }))
    .await
}

/// The cancel overtakes the call, which is then never taken in.
async fn d12_a_call_that_an_ending_actor_never_took_in_is_cancelled(way: Way) -> Result<()> {
    soon(actor_nursery(async move |n: ActorNursery| {
        let worker = n.actor(unique("untaken")).by(way).expose(parks).start().await?;
        let (call, ended) = futures_lite::future::zip(worker.run(parks, ()), worker.cancel_actor()).await;
        let error = call.unwrap_err();
        assert!(error.is_cancelled(), "{error:?}");
        assert_eq!(error.remote().map(|remote| remote.actor.as_str()), Some(worker.path()), "{error:?}");
        ended
    }))
    .await
}

async fn p01_no_child_and_no_zombie_is_left(way: Way) -> Result<()> {
    let (name, pids) = (unique("p01"), Mutex::new(Vec::new()));
    let ended = soon(actor_nursery(async |n: ActorNursery| {
        for number in 0..4 {
            let actor = n.actor(format!("{name}-{number}")).by(way).expose(parks).expose(raises);
            let worker = actor.start().await?;
            pids.lock().unwrap().push(worker.pid());
            if number == 0 {
                worker.cancel_actor().await?;
            }
        }
        n.cancel_actors("enough");
        Ok(())
    }));
    ended.await?;
    assert_gone(&pids.into_inner().unwrap(), &name);
    Ok(())
}

async fn p01_a_body_that_fails_leaves_no_child(way: Way) -> Result<()> {
    let (name, pids) = (unique("p01"), Mutex::new(Vec::new()));
    let ended = soon(actor_nursery(async |n: ActorNursery| {
        let worker = n.actor(&name).by(way).expose(raises).start().await?;
        let below = unique("below");
        worker
            .open_context(raises, (below,), async |_near, pid: u32| {
                pids.lock().unwrap().extend([worker.pid(), pid]);
                Err::<(), Error>(Ended.into())
            })
            .await
    }));
    let error = ended.await.unwrap_err();
    assert!(error.downcast_ref::<Ended>().is_some(), "{error:?}");
    assert_gone(&pids.into_inner().unwrap(), &name);
    Ok(())
}

async fn p03_the_subtree_of_a_killed_actor_is_gone() -> Result<()> {
    let below = Mutex::new(None);
    let ended = soon(actor_nursery(async |n: ActorNursery| {
        let worker = n.actor(unique("p03")).expose(raises).start().await?;
        worker
            .open_context(raises, ("below".to_owned(),), async |mut near, pid: u32| {
                *below.lock().unwrap() = Some(Watched::new(pid));
                kill(worker.pid());
                near.recv().await.map(drop)
            })
            .await
    }));
    let error = ended.await.unwrap_err();
    assert!(error.is_died() && error.to_string().contains("open dialogs: deaths::raises"), "{error:?}");
    let below = below.into_inner().unwrap().expect("it was started");
    assert!(below.ends_within(SOON), "the actor below the killed one lives on");
    Ok(())
}

async fn one_death_cancels_the_others_and_is_the_one_error() -> Result<()> {
    let (name, pids) = (unique("three"), Mutex::new(Vec::new()));
    let ended = soon(actor_nursery(async |n: ActorNursery| {
        for number in 0..3 {
            let worker = n.actor(format!("{name}-{number}")).expose(parks).start().await?;
            pids.lock().unwrap().push(worker.pid());
        }
        kill(pids.lock().unwrap()[1]);
        Ok(())
    }));
    let error = ended.await.unwrap_err();
    let died = error.downcast_ref::<ActorDied>().expect("one error, of the one that was killed");
    assert!(died.actor.ends_with("-1"), "{died:?}");
    assert_gone(&pids.into_inner().unwrap(), &name);
    Ok(())
}

async fn c12_a_dropped_nursery_leaves_nothing(way: Way) -> Result<()> {
    let (name, pids) = (unique("c12"), Mutex::new(Vec::new()));
    let around = CancelScope::new().run(async {
        let (up, mut started) = oneshot::channel();
        let dropped = actor_nursery(async |n: ActorNursery| {
            for number in 0..2 {
                let worker = n.actor(format!("{name}-{number}")).by(way).expose(parks).start().await?;
                pids.lock().unwrap().push(worker.pid());
            }
            let _ = up.send(());
            std::future::pending::<Result<()>>().await
        });
        futures_lite::future::or(dropped, async { started.recv().await.map(drop) }).await
    });
    assert_eq!(soon(around).await?, Some(()));
    assert_gone(&pids.into_inner().unwrap(), &name);
    Ok(())
}

/// Dropped while an actor is being born: there is no portal yet, and no process is left either.
async fn c12_a_nursery_dropped_during_a_start_leaves_nothing() -> Result<()> {
    let name = unique("c12");
    for polls in 0..20 {
        let around = CancelScope::new().run(async {
            let started = actor_nursery(async |n: ActorNursery| n.actor(&name).start().await.map(drop));
            let mut started = std::pin::pin!(started);
            for _ in 0..polls {
                assert!(futures_lite::future::poll_once(&mut started).await.is_none(), "an actor without an end");
                futures_lite::future::yield_now().await;
            }
            Ok(())
        });
        soon(around).await?;
        assert_eq!(harness::processes::actors(&name), [0; 0]);
    }
    Ok(())
}

/// Nothing of the caller is cancelled by it, so it must not look like a cancel.
async fn a_call_to_an_actor_that_was_cancelled_is_a_misuse(way: Way) -> Result<()> {
    soon(actor_nursery(async |n: ActorNursery| {
        let name = unique("over");
        let actor = n.actor(&name).by(way).expose(parks).start().await?;
        actor.cancel_actor().await?;
        let error = actor.run(parks, ()).await.unwrap_err();
        assert!(error.is_misuse() && !error.is_cancelled(), "{error:?}");
        let text = error.to_string();
        let parts = ["deaths::parks", &format!("root/{name}"), "after that actor had been cancelled", "cancel_actor"];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        Ok(())
    }))
    .await
}

/// Its parent would else only hear that it exited.
async fn p03_an_actor_that_is_sent_sigterm_says_so() -> Result<()> {
    let error = soon(actor_nursery(async |n: ActorNursery| {
        let actor = n.actor(unique("termed")).expose(parks).start().await?;
        terminate(actor.pid());
        sleep(2 * SOON).await
    }))
    .await
    .unwrap_err();
    assert!(error.is_died(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("root/termed") && text.contains("signal 15 from outside"), "{text}");
    Ok(())
}

fn main() {
    let mut tests = vec![];
    macro_rules! tests {
        ($($test:ident),* $(,)?) => { $(tests.extend(all_ways(stringify!($test), $test));)* };
    }
    macro_rules! inherited {
        ($($test:ident),* $(,)?) => { $(tests.push(actors(concat!("inherited::", stringify!($test)), $test));)* };
    }
    tests! {
        d12_an_actor_that_is_cancelled_ends_every_dialog_as_cancelled,
        d12_a_call_that_an_ending_actor_never_took_in_is_cancelled,
        p01_no_child_and_no_zombie_is_left,
        p01_a_body_that_fails_leaves_no_child,
        c12_a_dropped_nursery_leaves_nothing,
        a_call_to_an_actor_that_was_cancelled_is_a_misuse,
    }
    inherited! {
        d12_p03_a_killed_actor_fails_every_dialog_and_its_nursery_as_one,
        d12_an_actor_that_dies_with_bytes_unread_fails_every_dialog_as_one,
        d12_an_actor_that_ends_itself_fails_every_dialog_as_one,
        p03_an_actor_that_is_sent_sigterm_says_so,
        p03_the_subtree_of_a_killed_actor_is_gone,
        one_death_cancels_the_others_and_is_the_one_error,
        c12_a_nursery_dropped_during_a_start_leaves_nothing,
    }
    harness::main(tests);
}
