//! What each transport carries with each codec: values of 64 KiB one way, round trips of small ones, and such round trips beside a stream
//! of values of 16 MiB, between two actors.
//!
//! `PIN=same|split|none cargo bench --bench transports` puts both processes on one CPU, on two, or wherever the scheduler likes (the
//! default). `SAMPLES=n` and `MILLIS=n` change how often and how long, `ONLY=uds` or `ONLY="uds, msgpack, large"` (`small`, `beside`) what. All are
//! measured in turns. Run as a test, it makes one tiny round and no claim.

mod gauge;
mod place;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use gauge::{Effort, Figure, print_conditions};
use place::{Pin, place_child, place_root};
use pleach::codec::Codec;
use pleach::host::Smol;
use pleach::prelude::*;
use pleach::transport::Tcp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;

const LARGE: usize = 64 * 1024;
/// Values beside which small ones go.
const HUGE: usize = 16 << 20;
/// Large values of a stream between two looks at the clock.
const STREAM: u64 = 256;
/// Round trips between two looks at the clock.
const BATCH: u64 = 64;

/// Bytes that are sent again and again without being copied for that.
#[derive(Clone)]
struct Bytes(Arc<ByteBuf>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        ByteBuf::deserialize(deserializer).map(|bytes| Self(Arc::new(bytes)))
    }
}

#[pleach::endpoint]
async fn sink(mut far: Far<(), Bytes, ()>) -> Result<u64> {
    far.started(()).await?;
    let mut taken = 0;
    while let Some(bytes) = far.recv().await? {
        taken += bytes.0.len() as u64;
    }
    Ok(taken)
}

#[pleach::endpoint]
async fn echo(mut far: Far<(), u64, u64>) -> Result<()> {
    far.started(()).await?;
    while let Some(n) = far.recv().await? {
        far.send(n).await?;
    }
    Ok(())
}

/// Bytes per second.
async fn large(worker: &Portal, effort: Effort) -> Result<f64> {
    let mut meter = effort.meter();
    let sent = Bytes(Arc::new(ByteBuf::from(vec![7; LARGE])));
    while meter.goes_on() {
        let body = async |mut near: Near<Bytes, (), u64>, ()| {
            for _ in 0..STREAM {
                near.send(sent.clone()).await?;
            }
            near.finish().await
        };
        assert_eq!(worker.open_context(sink, (), body).await?, STREAM * LARGE as u64);
        meter.count(STREAM * LARGE as u64);
    }
    Ok(meter.rate())
}

async fn small(worker: &Portal, effort: Effort) -> Result<f64> {
    let body = async |mut near: Near<u64, u64, ()>, ()| {
        let mut meter = effort.meter();
        while meter.goes_on() {
            for n in 0..BATCH {
                near.send(n).await?;
                assert_eq!(near.recv().await?, Some(n));
            }
            meter.count(BATCH);
        }
        Ok(meter.rate())
    };
    worker.open_context(echo, (), body).await
}

/// How long each round trip takes in us, while values of 16 MiB go the same way.
async fn beside(worker: &Portal, effort: Effort, took: &mut Vec<f64>) -> Result<()> {
    let over = AtomicBool::new(false);
    let sent = Bytes(Arc::new(ByteBuf::from(vec![7; HUGE])));
    let huge = async {
        let mut meter = effort.meter();
        let body = async |mut near: Near<Bytes, (), u64>, ()| {
            while meter.goes_on() {
                near.send(sent.clone()).await?;
                meter.count(1);
            }
            near.finish().await
        };
        let ended = worker.open_context(sink, (), body).await;
        over.store(true, Ordering::Relaxed);
        ended.map(drop)
    };
    let trips = worker.open_context(echo, (), async |mut near: Near<u64, u64, ()>, ()| {
        while !over.load(Ordering::Relaxed) {
            let start = Instant::now();
            near.send(1).await?;
            near.recv().await?;
            took.push(start.elapsed().as_secs_f64() * 1e6);
        }
        near.finish().await
    });
    futures_lite::future::try_zip(huge, trips).await.map(drop)
}

/// That value of sorted ones below which there is this part of them.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

struct Row {
    worker: Portal,
    bytes: Figure,
    trips: Figure,
    /// In us.
    beside: Vec<f64>,
}

impl Row {
    /// What is measured of it: `large`, `small`, `beside`, those whose name has `ONLY` in it.
    fn wants(&self, what: &str, only: &str) -> bool {
        format!("{}, {what}", self.bytes.name).contains(only)
    }

    async fn sample(&mut self, effort: Effort, only: &str) -> Result<()> {
        if self.wants("large", only) {
            self.bytes.rates.push(large(&self.worker, effort).await?);
        }
        if self.wants("small", only) {
            self.trips.rates.push(small(&self.worker, effort).await?);
        }
        if self.wants("beside", only) {
            beside(&self.worker, effort, &mut self.beside).await?;
        }
        Ok(())
    }

    fn print(&mut self, only: &str) {
        let mut figures = Vec::new();
        if self.wants("large", only) {
            figures.push(format!("{:>8.0} MB/s in values of 64 KiB", self.bytes.median() / 1e6));
        }
        if self.wants("small", only) {
            figures.push(format!("{:>7.1} us per small round trip", 1e6 / self.trips.median()));
        }
        if self.wants("beside", only) {
            self.beside.sort_by(f64::total_cmp);
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| quantile(&self.beside, share));
            figures.push(format!(
                "beside values of 16 MiB {p50:>7.0} us at p50, {p99:>7.0} us at p99, {max:>7.0} us at most"
            ));
        }
        println!("{:>24}: {}", self.bytes.name, figures.join(", "));
    }
}

async fn measure(effort: Effort) -> Result<()> {
    let tcp = Carrier::Tcp(Tcp::insecure_for_measurement());
    let carriers =
        [("mem", Carrier::Mem), ("inherited", Carrier::Inherited), ("uds", Carrier::Uds), ("tcp loopback", tcp)];
    let only = std::env::var("ONLY").unwrap_or_default();
    actor_nursery(async |n| {
        let mut rows = Vec::new();
        for (name, carrier) in carriers {
            for codec in [Codec::MsgPack, Codec::Json] {
                let row = format!("{name}, {}", codec.name());
                if !["large", "small", "beside"].iter().any(|what| format!("{row}, {what}").contains(&only)) {
                    continue;
                }
                let worker = n.actor(row.clone()).carrier(carrier).codecs([codec]).max_message(2 * HUGE);
                let worker = worker.expose(sink).expose(echo).start().await?;
                rows.push(Row { worker, bytes: Figure::new(&row), trips: Figure::new(row), beside: Vec::new() });
            }
        }
        for _ in 0..effort.samples {
            for row in &mut rows {
                row.sample(effort, &only).await?;
            }
        }
        rows.iter_mut().for_each(|row| row.print(&only));
        n.cancel_actors("done");
        Ok(())
    })
    .await
}

fn main() -> Result<()> {
    pleach::actor::enter(place_child);
    if std::env::args().any(|argument| argument == "--list") {
        return Ok(());
    }
    let (pin, effort) = (Pin::from_env(), Effort::from_env());
    place_root(pin);
    print_conditions(pin, effort);
    pleach::actor::run(Smol::one_thread(), move || measure(effort))
}
