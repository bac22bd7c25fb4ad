//! Links, foreign scopes and calls into them, beside the floor: the same tasks on the same hosts, joined by hand.
//!
//! `PIN=same|split|none cargo bench --bench bridge` puts the threads on one CPU, on two, or wherever the scheduler likes
//! (the default). All figures of a group are measured in turns in one run, so that they share what else the machine
//! does; each is compared with the fastest floor of its group. `SAMPLES=n` and `MILLIS=n` change how often and how long,
//! `ONLY=text` the groups. Run as a test, it makes one tiny round and no claim.

#[path = "floor/channels.rs"]
mod channels;
mod gauge;
mod place;
#[path = "floor/threads.rs"]
mod threads;

use std::time::{Duration, Instant};

use channels::{Channel, Kanal, Own, TokioMpsc, Wait, ends};
use gauge::{Effort, Figure, print_conditions};
use place::{Pin, place_child, place_root};
use pleach::host::Smol;
use pleach::prelude::*;
use pleach_bridge::{Foreign, ForeignLoop, Tokio, foreign, link};

/// Values that a direction holds.
const CAPACITY: usize = 64;
/// Round trips between two looks at the clock.
const TRIPS: u64 = 64;
/// Values of a one-way stream between two looks at the clock.
const STREAM: u64 = 4096;
/// Links that are open and idle.
const IDLE: usize = 100;

/// A row that floors and links are measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    RoundTrips,
    OneWay,
}

async fn link_echo(mut far: Far<(), u64, u64>) -> Result<()> {
    far.started(()).await?;
    while let Some(value) = far.recv().await? {
        far.send(value).await?;
    }
    Ok(())
}

async fn link_sink(mut far: Far<(), u64, u64>) -> Result<()> {
    far.started(()).await?;
    let mut taken = 0;
    while far.recv().await?.is_some() {
        taken += 1;
        if taken == STREAM {
            far.send(taken).await?;
            taken = 0;
        }
    }
    Ok(())
}

/// What a link does per second.
async fn measure_link(on: impl ForeignLoop, row: Row, effort: Effort) -> Result<f64> {
    let link = link(on).capacity(CAPACITY);
    match row {
        Row::RoundTrips => link.open(link_echo, async |near, ()| link_trips(near, effort).await).await,
        Row::OneWay => link.open(link_sink, async |near, ()| link_stream(near, effort).await).await,
    }
}

async fn link_trips(mut near: Near<u64, u64, ()>, effort: Effort) -> Result<f64> {
    let mut meter = effort.meter();
    while meter.goes_on() {
        for value in 0..TRIPS {
            near.send(value).await?;
            assert_eq!(near.recv().await?, Some(value));
        }
        meter.count(TRIPS);
    }
    Ok(meter.rate())
}

async fn link_stream(mut near: Near<u64, u64, ()>, effort: Effort) -> Result<f64> {
    let mut meter = effort.meter();
    while meter.goes_on() {
        for value in 0..STREAM {
            near.send(value).await?;
        }
        assert_eq!(near.recv().await?, Some(STREAM));
        meter.count(STREAM);
    }
    Ok(meter.rate())
}

/// Where the far side of a floor is started.
trait Start {
    fn start<F: Future<Output = ()> + Send + 'static>(&self, far: F);
}

/// On the loop of this thread.
struct Beside;

impl Start for Beside {
    fn start<F: Future<Output = ()> + Send + 'static>(&self, far: F) {
        tokio::task::spawn_local(far);
    }
}

impl Start for tokio::runtime::Handle {
    fn start<F: Future<Output = ()> + Send + 'static>(&self, far: F) {
        self.spawn(far);
    }
}

/// What bare channels do per second.
async fn measure_floor<C: Channel>(on: &impl Start, wait: Wait, row: Row, effort: Effort) -> f64 {
    let (mut near, far) = ends::<C>(CAPACITY, wait);
    match row {
        Row::RoundTrips => on.start(far.echo()),
        Row::OneWay => on.start(far.sink(STREAM)),
    }
    let mut meter = effort.meter();
    while meter.goes_on() {
        match row {
            Row::RoundTrips => {
                for value in 0..TRIPS {
                    near.round_trip(value).await;
                }
                meter.count(TRIPS);
            }
            Row::OneWay => {
                near.stream(STREAM).await;
                meter.count(STREAM);
            }
        }
    }
    meter.rate()
}

/// The floors of a row, and a place for the link behind them.
fn figures() -> Vec<Figure> {
    [Kanal::NAME, TokioMpsc::NAME, Own::NAME, "link"].map(Figure::new).into()
}

async fn floors(on: &impl Start, wait: Wait, row: Row, effort: Effort, figures: &mut [Figure]) {
    figures[0].rates.push(measure_floor::<Kanal>(on, wait, row, effort).await);
    figures[1].rates.push(measure_floor::<TokioMpsc>(on, wait, row, effort).await);
    figures[2].rates.push(measure_floor::<Own>(on, wait, row, effort).await);
}

async fn one_thread(row: Row, effort: Effort) -> Result<Vec<Figure>> {
    let mut figures = figures();
    for _ in 0..effort.samples {
        floors(&Beside, Wait::Woken, row, effort, &mut figures).await;
        figures[3].rates.push(measure_link(Tokio::here()?, row, effort).await?);
    }
    Ok(figures)
}

/// Puts the thread of a foreign scope where it is to run.
async fn place_thread(on: Foreign) -> Result<()> {
    on.run(async move || {
        place_child();
        Ok(())
    })
    .await
}

async fn two_threads(on: Foreign, row: Row, pin: Pin, effort: Effort) -> Result<Vec<Figure>> {
    let floor = threads::Runtime::start();
    let wait = if pin == Pin::Same { Wait::Yields } else { Wait::Spins };
    place_thread(on.clone()).await?;
    let mut figures = figures();
    for _ in 0..effort.samples {
        floors(floor.handle(), wait, row, effort, &mut figures).await;
        figures[3].rates.push(measure_link(on.clone(), row, effort).await?);
    }
    Ok(figures)
}

/// A call into an open scope, beside a spawn on a runtime like it.
async fn calls(on: Foreign, effort: Effort) -> Result<Vec<Figure>> {
    let floor = threads::Runtime::start();
    place_thread(on.clone()).await?;
    let mut figures: Vec<_> = ["spawn and await its handle", "run in an open scope"].map(Figure::new).into();
    for _ in 0..effort.samples {
        let mut meter = effort.meter();
        while meter.goes_on() {
            for value in 0..TRIPS {
                assert_eq!(floor.handle().spawn(async move { value }).await.ok(), Some(value));
            }
            meter.count(TRIPS);
        }
        figures[0].rates.push(meter.rate());
        let mut meter = effort.meter();
        while meter.goes_on() {
            for value in 0..TRIPS {
                assert_eq!(on.run(async move || Ok(value)).await?, value);
            }
            meter.count(TRIPS);
        }
        figures[1].rates.push(meter.rate());
    }
    Ok(figures)
}

/// A scope that is opened for one call, beside a runtime on a thread, a task, its shutdown and a join by hand.
async fn scopes(effort: Effort) -> Result<Vec<Figure>> {
    let mut figures: Vec<_> = ["thread, runtime, task, join", "foreign scope with a call"].map(Figure::new).into();
    for _ in 0..effort.samples {
        let mut meter = effort.meter();
        while meter.goes_on() {
            threads::once(async {});
            meter.count(1);
        }
        figures[0].rates.push(meter.rate());
        let mut meter = effort.meter();
        while meter.goes_on() {
            foreign(Tokio::thread(), place_thread).await?;
            meter.count(1);
        }
        figures[1].rates.push(meter.rate());
    }
    Ok(figures)
}

/// CPU time per time of links that are open and have nothing to do.
async fn idle_links(on: Foreign, span: Duration) -> Result<f64> {
    place_thread(on.clone()).await?;
    nursery(async |n| {
        for _ in 0..IDLE {
            let link = link(on.clone()).capacity(CAPACITY);
            n.spawn(link.open(link_echo, async |near, ()| used_once(near).await))?;
        }
        // Whatever they do after their start, they have done.
        sleep(span / 4).await?;
        let (cpu, since) = (threads::cpu_time(), Instant::now());
        sleep(span).await?;
        let used = threads::cpu_time() - cpu;
        n.cancel();
        Ok(used.as_secs_f64() / since.elapsed().as_secs_f64())
    })
    .await
}

/// A link that was busy, and waits for ever.
async fn used_once(mut near: Near<u64, u64, ()>) -> Result<()> {
    for value in 0..TRIPS {
        near.send(value).await?;
        assert_eq!(near.recv().await?, Some(value));
    }
    near.recv().await.map(drop)
}

fn print(title: &str, figures: &[Figure]) {
    let (link, floors) = figures.split_last().expect("a group has a figure");
    let best = floors.iter().max_by(|a, b| a.median().total_cmp(&b.median())).expect("a group has a floor");
    println!("{title} (the floor is {})", best.name);
    for figure in floors.iter().chain([link]) {
        figure.print(best);
    }
}

async fn beside_each_other(effort: Effort) -> Result<()> {
    for (title, row) in [("one thread: round trips", Row::RoundTrips), ("one thread: one way", Row::OneWay)] {
        if wanted(title) {
            print(title, &one_thread(row, effort).await?);
        }
    }
    Ok(())
}

async fn across(pin: Pin, effort: Effort) -> Result<()> {
    for (title, row) in [("two threads: round trips", Row::RoundTrips), ("two threads: one way", Row::OneWay)] {
        if wanted(title) {
            print(title, &foreign(Tokio::thread(), move |on| two_threads(on, row, pin, effort)).await?);
        }
    }
    if wanted("two threads: calls") {
        print("two threads: calls", &foreign(Tokio::thread(), move |on| calls(on, effort)).await?);
    }
    if wanted("scopes") {
        print("scopes opened and closed", &scopes(effort).await?);
    }
    if wanted("idle") {
        let load = foreign(Tokio::thread(), move |on| idle_links(on, effort.span * 10)).await?;
        println!("{IDLE} idle links: {:.3} ms of CPU per second", load * 1e3);
    }
    Ok(())
}

fn wanted(title: &str) -> bool {
    std::env::var("ONLY").map_or(true, |only| title.contains(&only))
}

fn main() -> Result<()> {
    pleach::actor::enter(|| {});
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(());
    }
    let (pin, effort) = (Pin::from_env(), Effort::from_env());
    place_root(pin);
    print_conditions(pin, effort);
    pleach::actor::run(Tokio::current_thread(), move || beside_each_other(effort))?;
    pleach::actor::run(Smol::one_thread(), move || across(pin, effort))
}
