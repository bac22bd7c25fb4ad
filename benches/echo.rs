//! Round trips and one-way streams between two processes, beside the floor: the same work by hand.
//!
//! `PIN=same|split|none cargo bench --bench echo` puts both processes on one CPU, on two, or wherever the scheduler
//! likes (the default). All figures are measured in turns in one run, so that they share what else the machine does.
//! `SAMPLES=n` and `MILLIS=n` change how often and how long. Run as a test, it makes one tiny round and no claim.

mod floor;
mod gauge;
mod place;

use floor::Floor;
use gauge::{Effort, Figure, print_conditions};
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
    print_conditions(pin, effort);
    println!("payload {BYTES} bytes, msgpack");
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
