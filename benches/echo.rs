//! Round trips and one-way streams between two processes, beside the floor: the same work by hand.
//!
//! `PIN=same|split|none cargo bench --bench echo` puts both processes on one CPU, on two, or wherever the scheduler
//! likes (the default). All figures are measured in turns in one run, so that they share what else the machine does.
//! `SAMPLES=n` and `MILLIS=n` change how often and how long. Run as a test, it makes one tiny round and no claim.

mod floor;
mod place;

use std::time::{Duration, Instant};

use floor::Floor;
use place::{Pin, place_child, place_root};
use pleach::host::Smol;
use pleach::prelude::*;
use pleach_bridge::{Tokio, open_link};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Payload {
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

/// What is sent; as much as the example sends.
const BYTES: usize = 8;
/// Round trips between two looks at the clock.
const BATCH: u64 = 64;
/// Values of a one-way stream between two looks at the clock.
const STREAM: u64 = 4096;

/// Sends back what comes, on the actor's own side.
#[pleach::endpoint]
async fn plain_echo(mut far: Far<(), Payload, Payload>) -> Result<()> {
    far.started(()).await?;
    while let Some(payload) = far.recv().await? {
        far.send(payload).await?;
    }
    Ok(())
}

/// Takes what comes, and says how much that was.
#[pleach::endpoint]
async fn sink(mut far: Far<(), Payload, ()>) -> Result<u64> {
    far.started(()).await?;
    let mut taken = 0;
    while far.recv().await?.is_some() {
        taken += 1;
    }
    Ok(taken)
}

/// Plain tokio code.
async fn tokio_echo(mut far: Far<(), Payload, Payload>) -> Result<()> {
    far.started(()).await?;
    while let Some(payload) = far.recv().await? {
        tokio::task::yield_now().await;
        far.send(payload).await?;
    }
    Ok(())
}

/// The arrangement of the example `infected_echo`.
#[pleach::endpoint]
async fn infected_echo(mut far: Far<(), Payload, Payload>) -> Result<()> {
    open_link(Tokio::here()?, tokio_echo, async |mut near, ()| {
        far.started(()).await?;
        while let Some(payload) = far.recv().await? {
            near.send(payload).await?;
            far.send(near.recv().await?.ok_or(Ended)?).await?;
        }
        Ok(())
    })
    .await
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
struct Effort {
    samples: usize,
    span: Duration,
}

impl Effort {
    fn from_env() -> Self {
        // As `cargo bench` calls it; `cargo test` says nothing, or `--test`.
        if !std::env::args().any(|argument| argument == "--bench") {
            return Self { samples: 1, span: Duration::ZERO };
        }
        let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse().ok());
        let millis = number("MILLIS").unwrap_or(150);
        Self { samples: number("SAMPLES").unwrap_or(7) as usize, span: Duration::from_millis(millis) }
    }

    fn meter(self) -> Meter {
        Meter { span: self.span, start: Instant::now(), batches: 0, done: 0 }
    }
}

/// Counts what is done in batches; the first one is to get warm.
struct Meter {
    span: Duration,
    start: Instant,
    batches: u64,
    done: u64,
}

impl Meter {
    /// Whether another batch is wanted.
    fn goes_on(&self) -> bool {
        self.batches < 2 || self.start.elapsed() < self.span
    }

    fn count(&mut self, size: u64) {
        self.batches += 1;
        if self.batches == 1 {
            self.start = Instant::now();
        } else {
            self.done += size;
        }
    }

    /// Values per second.
    fn rate(&self) -> f64 {
        self.done as f64 / self.start.elapsed().as_secs_f64()
    }
}

/// The samples of one figure.
struct Figure {
    name: &'static str,
    rates: Vec<f64>,
}

impl Figure {
    fn new(name: &'static str) -> Self {
        Self { name, rates: Vec::new() }
    }

    fn median(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    }

    /// One line; `floor` is what it is compared with.
    fn print(&self, floor: &Self) {
        let (low, high) = self.rates.iter().fold((f64::MAX, 0.0_f64), |(low, high), &r| (low.min(r), high.max(r)));
        let (median, ratio) = (self.median(), self.median() / floor.median());
        println!("{:<32} {median:>12.0} Hz  {ratio:>5.2} of the floor  ({low:.0} to {high:.0})", self.name);
    }
}

async fn echo(portal: &Portal, infected: bool, effort: Effort) -> Result<f64> {
    if infected {
        portal.open_context(infected_echo, (), async |near, ()| round_trips(near, effort).await).await
    } else {
        portal.open_context(plain_echo, (), async |near, ()| round_trips(near, effort).await).await
    }
}

async fn round_trips(mut near: Near<Payload, Payload, ()>, effort: Effort) -> Result<f64> {
    let sent = payload();
    let mut meter = effort.meter();
    while meter.goes_on() {
        for _ in 0..BATCH {
            near.send(sent.clone()).await?;
            assert_eq!(near.recv().await?.ok_or(Ended)?, sent);
        }
        meter.count(BATCH);
    }
    Ok(meter.rate())
}

/// One dialog per batch, so that the last value has been taken when its time is.
async fn one_way(portal: &Portal, effort: Effort) -> Result<f64> {
    let mut meter = effort.meter();
    while meter.goes_on() {
        let taken = portal.open_context(sink, (), async |near, ()| stream(near).await).await?;
        assert_eq!(taken, STREAM);
        meter.count(STREAM);
    }
    Ok(meter.rate())
}

async fn stream(mut near: Near<Payload, (), u64>) -> Result<u64> {
    let sent = payload();
    for _ in 0..STREAM {
        near.send(sent.clone()).await?;
    }
    near.finish().await
}

fn payload() -> Payload {
    Payload { bytes: (0..BYTES).map(|n| n as u8).collect() }
}

fn floor_echo(floor: &mut Floor, effort: Effort) -> Result<f64> {
    let sent = payload();
    let mut meter = effort.meter();
    while meter.goes_on() {
        for _ in 0..BATCH {
            assert_eq!(floor.echo(&sent)?, sent);
        }
        meter.count(BATCH);
    }
    Ok(meter.rate())
}

fn floor_one_way(floor: &mut Floor, effort: Effort) -> Result<f64> {
    let sent = payload();
    let mut meter = effort.meter();
    while meter.goes_on() {
        floor.one_way(&sent, STREAM)?;
        meter.count(STREAM);
    }
    Ok(meter.rate())
}

async fn measure(mut floor: Floor, effort: Effort) -> Result<Vec<Figure>> {
    actor_nursery(async |n| {
        let plain = n.actor("plain").expose(plain_echo).expose(sink).start().await?;
        let infected = n.actor("infected").host(Tokio::current_thread()).expose(infected_echo).start().await?;
        let names = ["floor: echo", "context echo", "infected echo", "floor: one way", "one way in a context"];
        let mut figures: Vec<_> = names.into_iter().map(Figure::new).collect();
        for _ in 0..effort.samples {
            figures[0].rates.push(floor_echo(&mut floor, effort)?);
            figures[1].rates.push(echo(&plain, false, effort).await?);
            figures[2].rates.push(echo(&infected, true, effort).await?);
            figures[3].rates.push(floor_one_way(&mut floor, effort)?);
            figures[4].rates.push(one_way(&plain, effort).await?);
        }
        n.cancel_actors("measured");
        Ok(figures)
    })
    .await
}

fn print(figures: &[Figure], pin: Pin, effort: Effort) {
    let profile = if cfg!(debug_assertions) { "with debug assertions: the figures mean nothing" } else { "optimised" };
    let binary = std::env::current_exe().map_or_else(|_| "unknown".into(), |exe| exe.display().to_string());
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    println!("binary {binary}, {profile}");
    println!("PIN {pin:?}, the root may use {cpus} of the CPUs, payload {BYTES} bytes, msgpack, {effort:?}, medians");
    for (figure, floor) in figures.iter().zip([0, 0, 0, 3, 3]) {
        figure.print(&figures[floor]);
    }
}

fn main() -> Result<()> {
    pleach::actor::enter(place_child);
    floor::enter(place_child);
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(());
    }
    let (pin, effort) = (Pin::from_env(), Effort::from_env());
    place_root(pin);
    let floor = Floor::start()?;
    let figures = pleach::actor::run(Smol::one_thread(), move || measure(floor, effort))?;
    print(&figures, pin, effort);
    Ok(())
}
