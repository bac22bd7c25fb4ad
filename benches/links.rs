//! 1,000 links of one actor, open at once: what each takes of memory, and how long it takes to open and to end them, beside
//! the same made by hand of tokio's tasks and channels.
//!
//! **Depth** is how many nurseries each link is opened in: at depth 1 it is a child of the one nursery of all, at depth 5
//! there are four more around it, its own. By hand it is a task for each level, which waits for the next one.
//!
//! **Guest** means that both sides are on the tokio that hosts the actor, **thread** that the far side is on a tokio of its own
//! thread. `PIN=same|split|none cargo bench --bench links` places the threads as in the other benches, `SAMPLES=n` is how
//! often. Each sample is a process of its own, so that none finds the memory that another has given back. Run as a test, it
//! opens a few and makes no claim.

#[allow(dead_code, reason = "each bench uses its part")]
mod gauge;
mod place;
#[allow(dead_code, reason = "each bench uses its part")]
#[path = "floor/threads.rs"]
mod threads;

use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender, bounded};
use gauge::{Effort, print_conditions};
use place::{Pin as Placed, place_child, place_root};
use pleach::host::Smol;
use pleach::prelude::*;
use pleach::task::cancellable;
use pleach_bridge::{ForeignLoop, Tokio, foreign, link};
use tokio::runtime::Builder;
use tokio::sync::{Notify, mpsc};

const LINKS: usize = 1000;
/// Values that a direction holds.
const CAPACITY: usize = 64;
/// By which a process knows that it is to take one sample.
const ONE: &str = "--one";

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What one sample has found.
#[derive(Clone, Copy, Debug)]
struct Sample {
    bytes: usize,
    opened: Duration,
    ended: Duration,
}

/// How those who are open say so, and are told to end.
#[derive(Clone)]
struct Gate {
    up: Sender<()>,
    is_up: Receiver<()>,
    end: Arc<Notify>,
}

impl Gate {
    fn new() -> Self {
        let (up, is_up) = bounded(LINKS);
        Self { up, is_up, end: Arc::default() }
    }

    /// Waits for the end, from now on.
    fn open(self) -> impl Future<Output = ()> {
        let mut ends = Box::pin(self.end.notified_owned());
        ends.as_mut().enable();
        self.up.try_send(()).expect("there is room for all");
        ends
    }

    async fn all_are_up(&self, count: usize) {
        for _ in 0..count {
            self.is_up.recv().await.expect("all will come up");
        }
    }
}

/// Memory of this process that is in use.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

// ---- links

async fn link_far(mut far: Far<(), u64, u64>) -> Result<()> {
    far.started(()).await?;
    while far.recv().await?.is_some() {}
    Ok(())
}

/// Opens one link and keeps it open, inside as many nurseries.
fn one_link<L>(on: L, gate: Gate, nurseries: usize) -> Work<Result<()>>
where
    L: ForeignLoop + Clone + Send + Sync + 'static,
{
    if nurseries > 0 {
        return Box::pin(nursery(async move |_| one_link(on, gate, nurseries - 1).await));
    }
    let opened = link(on).capacity(CAPACITY).open(link_far, async move |near, ()| {
        let _near: Near<u64, u64, ()> = near;
        cancellable(gate.open()).await
    });
    Box::pin(opened)
}

async fn links<L>(on: L, depth: usize, count: usize) -> Result<Sample>
where
    L: ForeignLoop + Clone + Send + Sync + 'static,
{
    // What is made once is not counted.
    round(on.clone(), depth, 1).await?;
    round(on, depth, count).await
}

async fn round<L>(on: L, depth: usize, count: usize) -> Result<Sample>
where
    L: ForeignLoop + Clone + Send + Sync + 'static,
{
    let (gate, before, since) = (Gate::new(), resident(), Instant::now());
    let (opened, bytes, ends) = nursery(async |n| {
        for _ in 0..count {
            n.spawn(one_link(on.clone(), gate.clone(), depth - 1))?;
        }
        cancellable(gate.all_are_up(count)).await?;
        let opened = since.elapsed();
        let bytes = resident().saturating_sub(before);
        let ends = Instant::now();
        gate.end.notify_waiters();
        Ok((opened, bytes, ends))
    })
    .await?;
    Ok(Sample { bytes, opened, ended: ends.elapsed() })
}

// ---- by hand

/// The far side: says that it is up, and takes what comes until there is no more.
async fn bare_far(mut from_near: mpsc::Receiver<u64>, to_near: mpsc::Sender<u64>) {
    if to_near.send(0).await.is_ok() {
        while from_near.recv().await.is_some() {}
    }
}

/// One pair of tasks that is kept open, inside as many more tasks.
fn one_pair(far_on: tokio::runtime::Handle, gate: Gate, tasks: usize) -> Work<()> {
    if tasks > 0 {
        return Box::pin(async move {
            tokio::spawn(one_pair(far_on, gate, tasks - 1)).await.expect("it does not panic");
        });
    }
    Box::pin(async move {
        let ((to_far, from_near), (to_near, mut from_far)) = (mpsc::channel(CAPACITY), mpsc::channel(CAPACITY));
        let far = far_on.spawn(bare_far(from_near, to_near));
        from_far.recv().await.expect("it comes up");
        gate.open().await;
        drop(to_far);
        far.await.expect("it does not panic");
    })
}

async fn pairs(far_on: tokio::runtime::Handle, depth: usize, count: usize) -> Sample {
    let mut sample = None;
    for count in [1, count] {
        let (gate, before, since) = (Gate::new(), resident(), Instant::now());
        let all: Vec<_> = (0..count).map(|_| tokio::spawn(one_pair(far_on.clone(), gate.clone(), depth - 1))).collect();
        gate.all_are_up(count).await;
        let (opened, bytes, ends) = (since.elapsed(), resident().saturating_sub(before), Instant::now());
        gate.end.notify_waiters();
        for each in all {
            each.await.expect("it does not panic");
        }
        sample = Some(Sample { bytes, opened, ended: ends.elapsed() });
    }
    sample.expect("there were two rounds")
}

// ---- samples

/// Runs in a process of its own: where, by hand or not, how deep, how many.
fn take(place: &str, what: &str, depth: usize, count: usize) -> Result<Sample> {
    match (place, what) {
        ("guest", "link") => {
            root(Tokio::current_thread(), move || async move { links(Tokio::here()?, depth, count).await })
        }
        ("thread", "link") => root(Smol::one_thread(), move || {
            foreign(Tokio::thread(), async move |on| {
                let placed = async || {
                    place_child();
                    Ok(())
                };
                on.run(placed).await?;
                links(on, depth, count).await
            })
        }),
        (place, _) => {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let other = (place == "thread").then(threads::Runtime::start);
            let far_on = other.as_ref().map_or(runtime.handle(), threads::Runtime::handle).clone();
            Ok(runtime.block_on(async { tokio::spawn(pairs(far_on, depth, count)).await.expect("no panic") }))
        }
    }
}

fn root<Fut>(host: impl pleach::host::Host + 'static, tree: impl FnOnce() -> Fut + Send + 'static) -> Result<Sample>
where
    Fut: Future<Output = Result<Sample>> + Send + 'static,
{
    let (sample, taken) = bounded(1);
    pleach::actor::run(host, move || async move {
        let _ = sample.try_send(tree().await?);
        Ok(())
    })?;
    Ok(taken.try_recv().expect("it has ended well"))
}

/// Has a process take a sample.
fn ask(place: &str, what: &str, depth: usize, count: usize) -> Result<Sample> {
    let (depth, count) = (depth.to_string(), count.to_string());
    let output = Command::new(std::env::current_exe()?).args([ONE, place, what, &depth, &count]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [bytes, opened, ended] = numbers[..] else {
        panic!("{place} {what}: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    let bytes = usize::try_from(bytes).expect("it was one");
    Ok(Sample { bytes, opened: Duration::from_nanos(opened), ended: Duration::from_nanos(ended) })
}

fn median<T: Ord + Copy>(samples: &[Sample], of: impl Fn(&Sample) -> T) -> T {
    let mut all: Vec<T> = samples.iter().map(of).collect();
    all.sort();
    all[all.len() / 2]
}

/// One row: what one of `count` takes.
fn row(place: &str, what: &str, depth: usize, count: usize, samples: &[Sample]) {
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    let bytes = median(samples, |sample| sample.bytes) / count;
    let (opened, ended) = (median(samples, |sample| sample.opened), median(samples, |sample| sample.ended));
    let name = if what == "link" { "links" } else { "tokio::spawn, 2 mpsc" };
    println!("  {place:<7} {depth:>5}  {name:<21} {bytes:>7} B {:>9.2} us {:>9.2} us", each(opened), each(ended));
}

fn main() -> Result<()> {
    pleach::actor::enter(|| {});
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [one, place, what, depth, count] = &arguments[..]
        && one == ONE
    {
        let numbers = (depth.parse().expect("a number"), count.parse().expect("a number"));
        let Sample { bytes, opened, ended } = take(place, what, numbers.0, numbers.1)?;
        println!("{bytes} {} {}", opened.as_nanos(), ended.as_nanos());
        return Ok(());
    }
    if arguments.iter().any(|argument| argument == "--list") {
        return Ok(());
    }
    let (pin, effort) = (Placed::from_env(), Effort::from_env());
    place_root(pin);
    print_conditions(pin, effort);
    let count = if effort.samples > 1 { LINKS } else { 10 };
    println!("{count} open at once, each:");
    println!("  place   depth  {:<21} {:>9} {:>12} {:>12}", "", "memory", "to open", "to end");
    for place in ["guest", "thread"] {
        for depth in [1, 5] {
            let mut samples = [Vec::new(), Vec::new()];
            for _ in 0..effort.samples {
                for (samples, what) in samples.iter_mut().zip(["floor", "link"]) {
                    samples.push(ask(place, what, depth, count)?);
                }
            }
            row(place, "floor", depth, count, &samples[0]);
            row(place, "link", depth, count, &samples[1]);
        }
    }
    Ok(())
}
