//! L19, L29: a foreign task that blocks the thread of its actor is named, with where it is, while it does.

use std::process::Command;
use std::sync::mpsc;

use libtest_mimic::Failed;
use pleach::actor::{ActorDied, ActorNursery};
use pleach_bridge::Tokio;

use super::place::prelude::*;

/// Well over the second after which a thread counts as blocked, and the second in which an idle one is not looked at.
const BLOCKS: Duration = Duration::from_secs(4);

/// Never gives way for some time, in a function that can be recognised.
#[inline(never)]
fn takes_its_time() {
    // Nobody sends: it waits as somebody does who waits for a lock.
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(BLOCKS);
}

/// Blocks the thread of its actor once, then gives way.
#[pleach::endpoint]
async fn blocks_for_a_while() -> Result<()> {
    let far = async move |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        takes_its_time();
        Ok(())
    };
    open_link(Tokio::here()?, far, async |near, ()| near.finish().await).await
}

/// The same in a task of tokio that nobody has linked.
#[pleach::endpoint]
async fn blocks_behind_our_back() -> Result<()> {
    run(Tokio::here()?, async || {
        let other = tokio::spawn(async { takes_its_time() });
        Ok(other.await?)
    })
    .await
}

async fn in_an_infected_actor<T>(body: impl AsyncFnOnce(ActorNursery, Portal) -> Result<T>) -> Result<T> {
    harness::eventually(actor_nursery(async |n| {
        let builder = n.actor("infected").host(Tokio::current_thread()).grace(Duration::from_millis(200));
        let builder = builder.expose(blocks_for_a_while).expose(blocks_behind_our_back);
        let actor = builder.end_when_blocked(Duration::from_millis(1500)).start().await?;
        body(n, actor).await
    }))
    .await
}

/// It is ended by the ladder, and its death says why.
pub(crate) async fn l19_a_task_that_blocks_ends_its_actor() -> Result<()> {
    let failed = in_an_infected_actor(async |_, actor| {
        let ended = actor.run(blocks_for_a_while, ()).await.unwrap_err();
        assert!(ended.is_died() && ended.to_string().contains("blocks_for_a_while"), "{ended:?}");
        Ok(())
    });
    let error = failed.await.unwrap_err();
    let died = error.downcast_ref::<ActorDied>().unwrap_or_else(|| panic!("{error:?}"));
    let blocked = died.blocked.as_ref().unwrap_or_else(|| panic!("{error:?}"));
    assert!(blocked.task.as_ref().is_some_and(|task| task.contains("blocks_for_a_while")), "{blocked}");
    assert!(blocked.time >= Duration::from_secs(1), "{blocked}");
    assert!(blocked.stack.iter().any(|line| line.contains("takes_its_time")), "{blocked}");
    Ok(())
}

/// One whose thread turns again lives on, and was only reported.
async fn a_task_that_blocks_for_a_while() -> Result<()> {
    harness::eventually(actor_nursery(async |n| {
        let builder = n.actor("infected").host(Tokio::current_thread()).expose(blocks_for_a_while);
        let actor = builder.expose(blocks_behind_our_back).start().await?;
        actor.run(blocks_for_a_while, ()).await?;
        actor.run(blocks_behind_our_back, ()).await?;
        actor.cancel_actor().await
    }))
    .await
}

/// What it writes is looked at by the next one.
pub(crate) async fn guest_blocks_for_a_while() -> Result<()> {
    a_task_that_blocks_for_a_while().await
}

/// What the root writes whose thread is blocked.
pub(crate) fn root_blocks_for_a_while() -> Result<(), Failed> {
    let ended = pleach::actor::run(Tokio::current_thread(), || async {
        blocks_for_a_while().await?;
        blocks_behind_our_back().await
    });
    ended.map_err(|error| format!("{error:?}").into())
}

/// Both of them are reported, by whoever can.
pub(crate) fn l29_what_blocks_is_reported(who: &str) -> Result<(), Failed> {
    let test = format!("{who}::blocks_for_a_while");
    let ended = Command::new(std::env::current_exe()?).args(["--exact", &test]).output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    let reports: Vec<&str> = said.split("WARN").filter(|report| report.contains("is blocked for")).collect();
    for task in ["the linked task `links::watchdog::blocks_for_a_while", "no linked task"] {
        if !reports.iter().any(|report| report.contains(task) && report.contains("takes_its_time")) {
            return Err(format!("nobody says {task:?} and where it is: {said}").into());
        }
    }
    if ended.status.success() { Ok(()) } else { Err(format!("{}: {said}", ended.status).into()) }
}
