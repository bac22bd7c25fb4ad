//! What looking for an answer before sleeping brings, and what it costs others.
//!
//! * `cargo bench --bench waiting -- sibling`: round trips with an infected actor on a second CPU, while a process
//!   computes on the root's CPU, and the part of that CPU which the process gets, for each policy in turns.
//! * `... -- idle`: the CPU time of a root and 50 actors which nobody talks to, over 10 s.
//! * `... -- timers`: how late timers of 1 ms are in the root and in tokio, while both exchange messages flat out.
//!
//! Without an argument it does all. Run as a test, it makes one tiny round and no claim.

mod place;

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use place::{Pin, place_elsewhere, place_root};
use pleach::Waiting;
use pleach::host::Smol;
use pleach::prelude::*;
use pleach_bridge::{Tokio, open_link};

/// The argument by which a process knows that it only computes.
const BURN: &str = "--burn";
/// Actors of the idle tree.
const ACTORS: usize = 50;
/// What the timers are set to.
const TICK: Duration = Duration::from_millis(1);

/// How long and how often.
#[derive(Clone, Copy, Debug)]
struct Effort {
    samples: usize,
    echo: Duration,
    idle: Duration,
    actors: usize,
}

impl Effort {
    fn from_args() -> Self {
        if std::env::args().any(|argument| argument == "--bench") {
            return Self {
                samples: 5,
                echo: Duration::from_millis(500),
                idle: Duration::from_secs(10),
                actors: ACTORS,
            };
        }
        Self { samples: 1, echo: Duration::from_millis(5), idle: Duration::from_millis(5), actors: 2 }
    }
}

async fn tokio_echo(mut far: Far<(), u64, u64>) -> Result<()> {
    far.started(()).await?;
    while let Some(number) = far.recv().await? {
        tokio::task::yield_now().await;
        far.send(number).await?;
    }
    Ok(())
}

#[pleach::endpoint]
async fn echo(mut far: Far<(), u64, u64>) -> Result<()> {
    open_link(Tokio::here()?, tokio_echo, async |mut near, ()| {
        far.started(()).await?;
        while let Some(number) = far.recv().await? {
            near.send(number).await?;
            far.send(near.recv().await?.ok_or(Ended)?).await?;
        }
        Ok(())
    })
    .await
}

/// How late tokio's timers are, in microseconds.
#[pleach::endpoint]
async fn tokio_ticks(ticks: u32) -> Result<Vec<u64>> {
    pleach_bridge::run(Tokio::here()?, move || async move {
        let mut late = Vec::new();
        for _ in 0..ticks {
            let start = Instant::now();
            tokio::time::sleep(TICK).await;
            late.push(lateness(start));
        }
        Ok(late)
    })
    .await
}

async fn ticks(ticks: u32) -> Result<Vec<u64>> {
    let mut late = Vec::new();
    for _ in 0..ticks {
        let start = Instant::now();
        sleep(TICK).await?;
        late.push(lateness(start));
    }
    Ok(late)
}

fn lateness(start: Instant) -> u64 {
    start.elapsed().saturating_sub(TICK).as_micros() as u64
}

#[pleach::endpoint]
async fn process_id() -> Result<u32> {
    Ok(std::process::id())
}

/// Round trips per second.
async fn round_trips(portal: &Portal, span: Duration) -> Result<f64> {
    portal
        .open_context(echo, (), async |mut near, ()| {
            let (start, mut done) = (Instant::now(), 0_u64);
            while start.elapsed() < span {
                for _ in 0..64 {
                    near.send(done).await?;
                    near.recv().await?.ok_or(Ended)?;
                    done += 1;
                }
            }
            Ok(done as f64 / start.elapsed().as_secs_f64())
        })
        .await
}

/// Computes as long as the parent lives.
fn burn() -> ! {
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        (0..1_000_000).for_each(|_| std::hint::spin_loop());
    }
    std::process::exit(0)
}

/// A process that computes, on the CPU of its parent.
struct Burn(Child);

impl Burn {
    fn start() -> Result<Self> {
        Ok(Self(Command::new("/proc/self/exe").arg(BURN).spawn()?))
    }
}

impl Drop for Burn {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The CPU time of all threads of a process.
fn cpu_time(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// The actors that differ only in how they wait.
async fn policies(n: &pleach::actor::ActorNursery) -> Result<Vec<(Waiting, Portal)>> {
    let mut actors = Vec::new();
    for waiting in [Waiting::Idle, Waiting::Balanced, Waiting::Latency] {
        let builder = n.actor(format!("{waiting:?}")).host(Tokio::current_thread()).waiting(waiting);
        actors.push((waiting, builder.expose(echo).expose(tokio_ticks).start().await?));
    }
    Ok(actors)
}

async fn sibling(effort: Effort) -> Result<()> {
    let burn = Burn::start()?;
    actor_nursery(async |n| {
        let actors = policies(&n).await?;
        let mut samples = vec![Vec::new(); actors.len()];
        for _ in 0..effort.samples {
            for ((_, portal), samples) in actors.iter().zip(&mut samples) {
                let (start, before) = (Instant::now(), cpu_time(burn.0.id())?);
                let rate = round_trips(portal, effort.echo).await?;
                let used = cpu_time(burn.0.id())?.saturating_sub(before);
                samples.push((rate, 100.0 * used.as_secs_f64() / start.elapsed().as_secs_f64()));
            }
        }
        for ((waiting, _), samples) in actors.iter().zip(samples) {
            let (rates, shares) = samples.into_iter().unzip();
            println!("sibling, {waiting:<9?} {:>8.0} Hz, the sibling gets {:>3.0} %", median(rates), median(shares));
        }
        n.cancel_actors("measured");
        Ok(())
    })
    .await
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

async fn idle(effort: Effort) -> Result<()> {
    actor_nursery(async |n| {
        let mut pids = vec![std::process::id()];
        for number in 0..effort.actors {
            let actor = n.actor(format!("idle-{number}")).expose(process_id).start().await?;
            pids.push(actor.run(process_id, ()).await?);
        }
        let used = || pids.iter().map(|pid| cpu_time(*pid)).sum::<Result<Duration>>();
        // What their start still does has nothing to do with waiting.
        sleep(effort.idle / 10).await?;
        let (start, before) = (Instant::now(), used()?);
        sleep(effort.idle).await?;
        let (used, wall) = (used()?.saturating_sub(before), start.elapsed());
        let part = 100.0 * used.as_secs_f64() / wall.as_secs_f64();
        println!("idle: {used:?} of CPU time in {wall:.1?} for {} actors: {part:.4} % of a CPU", effort.actors);
        n.cancel_actors("measured");
        Ok(())
    })
    .await
}

async fn timers(effort: Effort) -> Result<()> {
    actor_nursery(async |n| {
        let count = (effort.echo.as_millis() as u32 / 2).max(1);
        for (waiting, portal) in policies(&n).await? {
            let (mut rate, mut ours, mut theirs) = (0.0, Vec::new(), Vec::new());
            nursery(async |tasks| {
                tasks.spawn(async {
                    rate = round_trips(&portal, effort.echo * 2).await?;
                    Ok(())
                })?;
                tasks.spawn(async {
                    theirs = portal.run(tokio_ticks, (count,)).await?;
                    Ok(())
                })?;
                tasks.spawn(async {
                    ours = ticks(count).await?;
                    Ok(())
                })?;
                Ok(())
            })
            .await?;
            println!("timers, {waiting:<9?} at {rate:.0} Hz, late: root {}; tokio {}", spread(ours), spread(theirs));
        }
        n.cancel_actors("measured");
        Ok(())
    })
    .await
}

fn spread(mut late: Vec<u64>) -> String {
    late.sort_unstable();
    let at = |percent| late[late.len() * percent / 101];
    format!("median {} us, p99 {} us, worst {} us", at(50), at(99), at(100))
}

fn main() -> Result<()> {
    pleach::actor::enter(place_elsewhere);
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == BURN) {
        burn();
    }
    let several = std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1);
    if arguments.iter().any(|argument| argument == "--list") || !several {
        return Ok(());
    }
    let chosen: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).cloned().collect();
    let wanted = move |name: &str| chosen.is_empty() || chosen.iter().any(|argument| argument == name);
    place_root(Pin::Split);
    let effort = Effort::from_args();
    pleach::actor::run(Smol::one_thread(), move || async move {
        if wanted("sibling") {
            sibling(effort).await?;
        }
        if wanted("idle") {
            idle(effort).await?;
        }
        if wanted("timers") {
            timers(effort).await?;
        }
        Ok(())
    })
}
