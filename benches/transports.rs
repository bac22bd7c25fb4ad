//! What each transport carries with each codec: values of 64 KiB one way, and round trips of small ones, between two actors.
//!
//! `PIN=same|split|none cargo bench --bench transports` puts both processes on one CPU, on two, or wherever the scheduler likes (the
//! default). `SAMPLES=n` and `MILLIS=n` change how often and how long, `ONLY=uds` or `ONLY="uds, msgpack, large"` what. All are
//! measured in turns. Run as a test, it makes one tiny round and no claim.

mod gauge;
mod place;

use std::sync::Arc;

use gauge::{Effort, Figure, print_conditions};
use place::{Pin, place_child, place_root};
use pleach::codec::Codec;
use pleach::host::Smol;
use pleach::prelude::*;
use pleach::transport::Tcp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;

const LARGE: usize = 64 * 1024;
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
                let wanted = ["large", "small"].map(|size| format!("{row}, {size}")).map(|size| size.contains(&only));
                if wanted != [false; 2] {
                    let worker =
                        n.actor(row.clone()).carrier(carrier).codecs([codec]).expose(sink).expose(echo).start().await?;
                    rows.push((worker, wanted, Figure::new(&row), Figure::new(row)));
                }
            }
        }
        for _ in 0..effort.samples {
            for (worker, wanted, bytes, trips) in &mut rows {
                if wanted[0] {
                    bytes.rates.push(large(worker, effort).await?);
                }
                if wanted[1] {
                    trips.rates.push(small(worker, effort).await?);
                }
            }
        }
        rows.iter().for_each(|(_, wanted, bytes, trips)| print(*wanted, bytes, trips));
        n.cancel_actors("done");
        Ok(())
    })
    .await
}

fn print([large, small]: [bool; 2], bytes: &Figure, trips: &Figure) {
    let mut line = format!("{:>24}:", bytes.name);
    if large {
        line += &format!(" {:>8.0} MB/s in values of 64 KiB", bytes.median() / 1e6);
    }
    if small {
        line += &format!(", {:>7.1} us per small round trip", 1e6 / trips.median());
    }
    println!("{line}");
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
