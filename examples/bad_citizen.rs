//! Legacy code that behaves as badly as code can, in a scope that it does not outlive.
//!
//! It detaches tasks, one of which swallows every error and goes on, blocks a thread, starts processes and does not wait
//! for them, and holds a guard that spawns one more task when it is dropped. Its scope ends all the same, says what it
//! has found, and nothing of it is alive.
//!
//! `cargo run --example bad_citizen`; with `--for-ever` the thread never stops blocking. Then only the end of a process
//! helps, so the code runs in an actor that fails with what it leaks.

use std::path::Path;
use std::time::{Duration, Instant};

use pleach::prelude::*;
use pleach_bridge::{Leaked, OnLeak, Thread, Tokio, run, stragglers};
use tokio::process::Command;

/// How long the thread blocks when it does not do so for ever: not longer than the scope waits for threads.
const A_WHILE: Duration = Duration::from_millis(300);
const FOR_EVER: Duration = Duration::from_secs(3600);

/// What somebody wrote years ago: plain tokio code that knows of no scope.
mod legacy {
    use super::{Command, Duration};

    /// Asks for something, gets bored, and leaves all of this behind.
    pub(crate) async fn fetch(blocks: Duration) -> std::io::Result<u32> {
        let _reports_to_nobody = ReportWhenDropped;
        tokio::spawn(retries_for_ever());
        tokio::spawn(async {
            tokio::spawn(retries_for_ever());
            std::future::pending::<()>().await;
        });
        tokio::task::spawn_blocking(move || std::thread::sleep(blocks));
        let _forgotten = Command::new("sleep").arg("3600").spawn()?;
        let mut helper = Command::new("sleep").arg("3600").kill_on_drop(true).spawn()?;
        helper.wait().await?;
        Ok(7)
    }

    /// Swallows every error and goes on.
    async fn retries_for_ever() {
        loop {
            let _ = tokio::net::TcpStream::connect("127.0.0.1:1").await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    struct ReportWhenDropped;

    impl Drop for ReportWhenDropped {
        fn drop(&mut self) {
            tokio::spawn(retries_for_ever());
        }
    }
}

/// Gives it a fifth of a second.
async fn fetch(on: Thread, blocks: Duration) -> Result<Option<u32>> {
    move_on_after(Duration::from_millis(200), run(on, move || async move { Ok(legacy::fetch(blocks).await?) })).await
}

/// The same in an actor, whose process is brought down by what cannot be ended otherwise.
#[pleach::endpoint]
async fn fetch_for_ever() -> Result<Option<u32>> {
    fetch(Tokio::thread().on_leak(OnLeak::EndActor), FOR_EVER).await
}

#[pleach::main]
async fn main() -> Result<()> {
    if std::env::args().any(|word| word == "--for-ever") {
        return in_an_actor().await;
    }
    let since = Instant::now();
    let error = fetch(Tokio::thread(), A_WHILE).await.expect_err("it leaks");
    println!("The scope has ended after {:?}: {error}\n", since.elapsed());
    let leaked: &Leaked = error.downcast_ref().expect("the scope says what it has found");
    let alive = leaked.processes.iter().filter(|process| Path::new(&format!("/proc/{}", process.pid)).exists()).count();
    println!("processes of it that are alive: {alive}");
    println!("threads of it that are alive: {} of {:?}", threads(&leaked.scope), leaked.scope);
    println!("children of this process: {}", children(std::process::id()));
    println!("stragglers: {}", stragglers());
    Ok(())
}

async fn in_an_actor() -> Result<()> {
    let (mut pid, since) = (0, Instant::now());
    let nursery = actor_nursery(async |n| {
        let actor = n.actor("bad").expose(fetch_for_ever).start().await?;
        pid = actor.pid();
        actor.run(fetch_for_ever, ()).await
    });
    let error = nursery.await.expect_err("the actor goes down with it");
    println!("The actor has ended after {:?}: {error}\n", since.elapsed());
    println!("its process is alive: {}", Path::new(&format!("/proc/{pid}")).exists());
    println!("children of this process: {}", children(std::process::id()));
    Ok(())
}

/// How many threads of this process have that name.
fn threads(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("a Linux with /proc");
    let names = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|comm| comm.trim_end() == name).count()
}

/// How many children a process has, also those that nobody has reaped.
fn children(pid: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a Linux with /proc");
    let lists = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.map(|list| list.split_whitespace().count()).sum()
}
