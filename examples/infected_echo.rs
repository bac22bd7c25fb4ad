//! A stream of values from the root, through an infected actor, into a tokio task of it and back, one in flight.
//!
//! `cargo run --release --example infected_echo -- --rounds 100000 --payload 8 --codec msgpack --verbose`

use std::time::Instant;

use pleach::Waiting;
use pleach::codec::Codec;
use pleach::prelude::*;
use pleach_bridge::{Tokio, open_link};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Payload {
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

/// Plain tokio code: it knows of no tree.
async fn tokio_echo(mut far: Far<u32, Payload, Payload>) -> Result<()> {
    let _ = tokio::runtime::Handle::current(); // panics anywhere but inside tokio
    far.started(std::process::id()).await?;
    while let Some(payload) = far.recv().await? {
        tokio::task::yield_now().await;
        far.send(payload).await?;
    }
    Ok(())
}

/// The actor's own side: what the root sends goes to the tokio task, and its answer back.
#[pleach::endpoint]
async fn echo_server(mut far: Far<u32, Payload, Payload>) -> Result<()> {
    open_link(Tokio::here()?, tokio_echo, async |mut near, pid| {
        far.started(pid).await?;
        while let Some(payload) = far.recv().await? {
            near.send(payload).await?;
            far.send(near.recv().await?.ok_or(Ended)?).await?;
        }
        Ok(())
    })
    .await
}

#[pleach::main]
async fn main() -> Result<()> {
    let options = Options::parse()?;
    actor_nursery(async |n| {
        let builder = n.actor("infected").host(Tokio::current_thread()).expose(echo_server);
        let server = builder.codecs([options.codec]).waiting(options.waiting).start().await?;
        let rate = server.open_context(echo_server, (), async |near, pid| echo(near, pid, &options).await).await?;
        println!("mean round trip rate (Hz): {rate:.0}");
        server.cancel_actor().await
    })
    .await
}

async fn echo(mut near: Near<Payload, Payload, ()>, pid: u32, options: &Options) -> Result<f64> {
    if options.verbose {
        println!("root is process {}, the tokio task runs in process {pid}", std::process::id());
    }
    let mut expected: Vec<u8> = (0..options.payload).map(|n| n as u8).collect();
    let start = Instant::now();
    for round in 0..options.rounds {
        if let Some(first) = expected.first_mut() {
            *first = round as u8;
        }
        near.send(Payload { bytes: expected.clone() }).await?;
        let echoed = near.recv().await?.ok_or(Ended)?;
        assert!(echoed.bytes == expected, "round {round} came back changed");
    }
    let rate = f64::from(options.rounds) / start.elapsed().as_secs_f64();
    near.finish().await?;
    Ok(rate)
}

struct Options {
    rounds: u32,
    payload: usize,
    codec: Codec,
    waiting: Waiting,
    verbose: bool,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options =
            Self { rounds: 100_000, payload: 8, codec: Codec::MsgPack, waiting: Waiting::default(), verbose: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| Usage(format!("{word} needs a value")));
            match word.as_str() {
                "--rounds" => options.rounds = value()?.parse()?,
                "--payload" => options.payload = value()?.parse()?,
                "--codec" => {
                    let name = value()?;
                    options.codec =
                        Codec::from_name(&name).ok_or_else(|| Usage(format!("no codec is called {name}")))?;
                }
                "--waiting" => {
                    options.waiting = match value()?.as_str() {
                        "latency" => Waiting::Latency,
                        "balanced" => Waiting::Balanced,
                        "idle" => Waiting::Idle,
                        other => Err(Usage(format!("there is no waiting called {other}")))?,
                    }
                }
                "--verbose" => options.verbose = true,
                _ => Err(Usage(format!("unknown option {word}")))?,
            }
        }
        Ok(options)
    }
}

#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}; usage: infected_echo [--rounds N] [--payload BYTES] [--codec json|msgpack] \
             [--waiting latency|balanced|idle] [--verbose]",
            self.0
        )
    }
}

impl std::error::Error for Usage {}
