//! L19, L29: a foreign task that blocks the thread of its actor is named, with where it is, while it does.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use libtest_mimic::Failed;
use pleach::actor::{ActorDied, ActorNursery};
use pleach_bridge::Tokio;

use super::place::prelude::*;

/// Where whoever reads the reports waits for those that block.
const READER: &str = "PLEACH_TEST_READER";
/// Far longer than a report takes.
const FOR_EVER_HERE: Duration = Duration::from_secs(60);

/// Does not give way, in a function that can be recognised, before its report was read; where nobody reads, for a moment.
#[inline(never)]
fn takes_its_time() {
    let Some(reader) = std::env::var_os(READER) else { return std::thread::sleep(Duration::from_millis(1)) };
    let mut reader = UnixStream::connect(reader).expect("somebody reads the reports");
    reader.set_read_timeout(Some(FOR_EVER_HERE)).expect("it is no zero");
    // To be asked where it is interrupts it, and then it waits on.
    let _ = reader.read_to_end(&mut Vec::new());
}

/// Does not give way at all.
#[inline(never)]
fn takes_all_time() {
    // Nobody sends: it waits as somebody does who waits for a lock.
    let (_sender, receiver) = mpsc::channel::<()>();
    let _ = receiver.recv_timeout(FOR_EVER_HERE);
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

/// Blocks it for ever.
#[pleach::endpoint]
async fn blocks_for_good() -> Result<()> {
    let far = async move |mut far: Numbers| -> Result<()> {
        far.started(()).await?;
        takes_all_time();
        Ok(())
    };
    open_link(Tokio::here()?, far, async |near, ()| near.finish().await).await
}

/// Blocks it in a task of tokio that nobody has linked.
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
        let actor = builder.expose(blocks_for_good).end_when_blocked(Duration::from_millis(1500)).start().await?;
        body(n, actor).await
    }))
    .await
}

/// It is ended by the ladder, and its death says why.
pub(crate) async fn l19_a_task_that_blocks_ends_its_actor() -> Result<()> {
    let failed = in_an_infected_actor(async |_, actor| {
        let ended = actor.run(blocks_for_good, ()).await.unwrap_err();
        assert!(ended.is_died() && ended.to_string().contains("blocks_for_good"), "{ended:?}");
        Ok(())
    });
    let error = failed.await.unwrap_err();
    let died = error.downcast_ref::<ActorDied>().unwrap_or_else(|| panic!("{error:?}"));
    let blocked = died.blocked.as_ref().unwrap_or_else(|| panic!("{error:?}"));
    assert!(blocked.task.as_ref().is_some_and(|task| task.contains("blocks_for_good")), "{blocked}");
    assert!(blocked.time >= Duration::from_secs(1), "{blocked}");
    assert!(blocked.stack.iter().any(|line| line.contains("takes_all_time")), "{blocked}");
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

/// The reports of a program, each as soon as it is there.
fn reports(stderr: impl Read) -> impl Iterator<Item = String> {
    // A report ends where the next event begins; the last thing that is said in it is where the thread was.
    let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
    std::iter::from_fn(move || {
        let first = lines.by_ref().find(|line| line.contains("is blocked for"))?;
        let rest = lines.by_ref().take_while(|line| !line.contains("takes_its_time"));
        Some(rest.fold(first, |report, line| report + "\n" + &line))
    })
}

/// A program, and the socket at which it waits: neither outlives its test.
struct Started(Child, PathBuf);

impl Drop for Started {
    fn drop(&mut self) {
        // Where it has ended already, these have nothing to do.
        let _ = (self.0.kill(), self.0.wait(), std::fs::remove_file(&self.1));
    }
}

/// Both of them are reported, by whoever can, while they block.
pub(crate) fn l29_what_blocks_is_reported(who: &str) -> Result<(), Failed> {
    let place = std::env::temp_dir().join(format!("pleach-{}-{}", std::process::id(), harness::unique("reader")));
    let readers = UnixListener::bind(&place)?;
    let mut program = Command::new(std::env::current_exe()?);
    program.args(["--exact", &format!("{who}::blocks_for_a_while")]).env(READER, &place);
    let mut program = Started(program.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?, place);
    let mut reports = reports(program.0.stderr.take().expect("it is piped"));
    for task in ["the linked task `links::watchdog::blocks_for_a_while", "no linked task"] {
        let blocked = readers.accept()?;
        // The one before may have been reported again, as it had blocked for twice as long.
        let is_reported = reports.any(|report| report.contains(task));
        if !is_reported {
            return Err(format!("nobody has said {task:?} and where it is").into());
        }
        drop(blocked);
    }
    let ended = program.0.wait()?;
    if ended.success() { Ok(()) } else { Err(ended.to_string().into()) }
}
