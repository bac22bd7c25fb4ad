//! A tree of eight processes on three levels that works until it is killed: streams tick, one actor computes, one is
//! infected and echoes through a tokio task. Kill any of them, and see what is left.
//!
//! ```text
//! root ─┬─ feeds ─┬─ quotes     a stream of ticks          cargo run --release --example kill_root -- --verbose
//!       │         └─ trades     another                    kill -9 PID
//!       ├─ work ──┬─ sums       computes
//!       │         └─ ticks      a third stream
//!       └─ infected             echoes through tokio
//! ```
//!
//! It prints `root PID`, then `PATH PID` for each actor that is up. With `--busy` the computing actor never gives way, so
//! that it cannot be asked to end. `--spawn N` only measures: it starts and cancels N actors, one after the other.

use std::time::{Duration, Instant};

use pleach::prelude::*;
use pleach::task::channel;
use pleach_bridge::{Tokio, open_link};
use serde::{Deserialize, Serialize};

/// How long an actor may take to end when it is asked.
const GRACE: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Work {
    Tick,
    Compute,
    /// Computes, and never gives way to anything.
    Spin,
}

/// A stream of numbers, and some work for each.
#[pleach::endpoint]
async fn leaf(mut far: Far<(), (), u64>, work: Work) -> Result<()> {
    far.started(()).await?;
    let mut number = 0;
    loop {
        if work == Work::Tick {
            sleep(Duration::from_millis(10)).await?;
            number += 1;
        } else {
            number = std::hint::black_box(0..1_000_000).sum();
        }
        if work != Work::Spin {
            far.send(number).await?;
        }
    }
}

/// Starts actors below its own, tells who they are, and hands their numbers on.
#[pleach::endpoint]
async fn branch(mut far: Far<Vec<(String, u32)>, (), u64>, leaves: Vec<(String, Work)>) -> Result<()> {
    let (sender, mut numbers) = channel::bounded(8);
    actor_nursery(async |n| {
        nursery(async |tasks| {
            let mut actors = Vec::new();
            for (name, work) in leaves {
                let actor = n.actor(name).grace(GRACE).expose(leaf).start().await?;
                actors.push(who(&actor));
                let sender = sender.clone();
                tasks.spawn(async move {
                    let read = async |mut near: Near<(), u64, ()>, ()| {
                        while let Some(number) = near.recv().await? {
                            sender.send(number).await?;
                        }
                        Ok(())
                    };
                    actor.open_context(leaf, (work,), read).await
                })?;
            }
            far.started(actors).await?;
            while let Some(number) = numbers.recv().await? {
                far.send(number).await?;
            }
            Ok(())
        })
        .await
    })
    .await
}

/// Plain tokio code.
async fn tokio_echo(mut far: Far<(), u64, u64>) -> Result<()> {
    far.started(()).await?;
    while let Some(n) = far.recv().await? {
        tokio::time::sleep(Duration::from_millis(5)).await;
        far.send(n).await?;
    }
    Ok(())
}

/// A stream of numbers that come back from a tokio task.
#[pleach::endpoint]
async fn echoes(mut far: Far<(), (), u64>) -> Result<()> {
    far.started(()).await?;
    open_link(Tokio::here()?, tokio_echo, async |mut near, ()| {
        for n in 0.. {
            near.send(n).await?;
            far.send(near.recv().await?.ok_or(Ended)?).await?;
        }
        Ok(())
    })
    .await
}

fn who(actor: &Portal) -> (String, u32) {
    (actor.path().to_owned(), actor.pid())
}

fn print(actors: &[(String, u32)]) {
    for (path, pid) in actors {
        println!("{path} {pid}");
    }
}

#[pleach::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [option, count] = &words[..]
        && option == "--spawn"
    {
        return spawn(count.parse()?).await;
    }
    let [verbose, busy] = ["--verbose", "--busy"].map(|option| words.iter().any(|word| word == option));
    println!("root {}", std::process::id());
    let leaves = |names: [(&str, Work); 2]| names.map(|(name, work)| (name.to_owned(), work)).to_vec();
    let feeds = leaves([("quotes", Work::Tick), ("trades", Work::Tick)]);
    let work = leaves([("sums", if busy { Work::Spin } else { Work::Compute }), ("ticks", Work::Tick)]);
    actor_nursery(async |n| {
        nursery(async |tasks| {
            for (name, below) in [("feeds", feeds), ("work", work)] {
                let actor = n.actor(name).grace(2 * GRACE).expose(branch).start().await?;
                print(&[who(&actor)]);
                tasks.spawn(async move {
                    let watch = async |near, below: Vec<_>| {
                        print(&below);
                        watch(name, near, verbose).await
                    };
                    actor.open_context(branch, (below,), watch).await
                })?;
            }
            let infected = n.actor("infected").host(Tokio::current_thread()).expose(echoes).start().await?;
            print(&[who(&infected)]);
            infected.open_context(echoes, (), async |near, ()| watch("echoes", near, verbose).await).await
        })
        .await
    })
    .await
}

/// Reads a stream for ever, and now and then says how far it is.
async fn watch(name: &str, mut near: Near<(), u64, ()>, verbose: bool) -> Result<()> {
    while let Some(number) = near.recv().await? {
        if verbose && number % 100 == 0 {
            println!("# {name}: {number}");
        }
    }
    Ok(())
}

/// Starts and cancels actors one after the other, and prints how long the median one took to be ready.
async fn spawn(count: usize) -> Result<()> {
    let mut times = Vec::with_capacity(count);
    for n in 0..count {
        let since = Instant::now();
        let actor = actor_nursery(async |nursery| {
            let actor = nursery.actor(format!("n{n}")).start().await?;
            times.push(since.elapsed());
            actor.cancel_actor().await
        });
        actor.await?;
    }
    times.sort();
    if let Some(median) = times.get(times.len() / 2) {
        println!("median time from spawn to ready (us): {}", median.as_micros());
    }
    Ok(())
}
