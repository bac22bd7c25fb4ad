//! Small messages beside large ones, between two processes (law T6).

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::eventually;
use pleach::actor::ActorNursery;
use pleach::prelude::*;
use pleach::transport::Tcp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::ByteBuf;

pleach::test_entry!();

const LARGE: usize = 16 << 20;
/// How many of them are sent.
const MESSAGES: u32 = 8;
/// A round trip waits for what goes before it: a write of 256 KiB, and what the socket holds. So there are about eighteen beside
/// each message. If a message left in one piece there would be one.
const TRIPS: usize = 8;
/// What half of them must stay below; what holds up the others is in tests/aside.rs, without a clock.
const LAW: Duration = Duration::from_millis(5);
/// How often that is tried.
const TRIES: usize = 6;

/// 16 MiB, which are not copied for every message.
#[derive(Clone)]
struct Large(Arc<ByteBuf>);

impl Large {
    fn new() -> Self {
        Self(Arc::new(ByteBuf::from(vec![7; LARGE])))
    }
}

impl Serialize for Large {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Large {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        ByteBuf::deserialize(deserializer).map(|bytes| Self(Arc::new(bytes)))
    }
}

#[pleach::endpoint]
async fn takes(mut far: Far<(), Large, ()>) -> Result<u32> {
    far.started(()).await?;
    let mut taken = 0;
    while let Some(large) = far.recv().await? {
        assert_eq!(large.0.len(), LARGE);
        taken += 1;
    }
    Ok(taken)
}

#[pleach::endpoint]
async fn gives(mut far: Far<(), (), Large>) -> Result<()> {
    far.started(()).await?;
    let large = Large::new();
    for _ in 0..MESSAGES {
        far.send(large.clone()).await?;
    }
    Ok(())
}

#[pleach::endpoint]
async fn makes() -> Result<Large> {
    Ok(Large::new())
}

#[pleach::endpoint]
async fn echo(mut far: Far<(), u32, u32>) -> Result<()> {
    far.started(()).await?;
    while let Some(n) = far.recv().await? {
        far.send(n).await?;
    }
    Ok(())
}

/// Large messages to the actor.
async fn there(worker: &Portal) -> Result<()> {
    let large = Large::new();
    let body = async |mut near: Near<Large, (), u32>, ()| {
        for _ in 0..MESSAGES {
            near.send(large.clone()).await?;
        }
        near.finish().await
    };
    assert_eq!(worker.open_context(takes, (), body).await?, MESSAGES);
    Ok(())
}

/// Large messages from it.
async fn back(worker: &Portal) -> Result<()> {
    let body = async |mut near: Near<(), Large, ()>, ()| {
        let mut got = 0;
        while let Some(large) = near.recv().await? {
            assert_eq!(large.0.len(), LARGE);
            got += 1;
        }
        assert_eq!(got, MESSAGES);
        near.finish().await
    };
    worker.open_context(gives, (), body).await
}

/// Results that are large.
async fn results(worker: &Portal) -> Result<()> {
    for _ in 0..MESSAGES {
        assert_eq!(worker.run(makes, ()).await?.0.len(), LARGE);
    }
    Ok(())
}

/// How long each round trip takes, until `over` is set.
async fn trips(worker: &Portal, over: &AtomicBool) -> Result<Vec<Duration>> {
    let body = async |mut near: Near<u32, u32, ()>, ()| {
        let mut took = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let start = Instant::now();
            let n = took.len() as u32;
            near.send(n).await?;
            assert_eq!(near.recv().await?, Some(n));
            took.push(start.elapsed());
        }
        near.finish().await?;
        Ok(took)
    };
    worker.open_context(echo, (), body).await
}

/// Round trips as long as `large` goes on.
async fn beside(worker: &Portal, large: impl Future<Output = Result<()>> + Send) -> Result<Vec<Duration>> {
    let over = AtomicBool::new(false);
    nursery(async |n| {
        let trips = n.spawn(trips(worker, &over))?;
        large.await?;
        over.store(true, Ordering::Relaxed);
        trips.join().await
    })
    .await
}

/// Both directions at one actor, and results: `least` round trips beside each message. How long half of them took at most.
async fn take_turns(carrier: Carrier, least: usize) -> Result<[Duration; 3]> {
    let talk = actor_nursery(async move |n: ActorNursery| {
        let worker = n.actor("worker").carrier(carrier).max_message(LARGE + 1024);
        let worker = worker.expose(takes).expose(gives).expose(makes).expose(echo).start().await?;
        let took = [
            beside(&worker, there(&worker)).await?,
            beside(&worker, back(&worker)).await?,
            beside(&worker, results(&worker)).await?,
        ];
        worker.cancel_actor().await?;
        Ok(took)
    });
    Ok(eventually(talk).await?.map(|mut took| {
        took.sort_unstable();
        let trips = took.len();
        assert!(trips >= least * MESSAGES as usize, "{trips} round trips beside {MESSAGES} messages over {carrier:?}");
        took[trips / 2]
    }))
}

/// How many there are depends on bytes and on no clock; how long they take, on what else this machine has to do. So one try of several is
/// enough for that. Without turns it would be the time of a message, 17 ms and more.
async fn take_turns_in_time(carrier: Carrier) -> Result<()> {
    let mut tries = Vec::new();
    for _ in 0..TRIES {
        let took = take_turns(carrier, TRIPS).await?;
        if took.iter().all(|took| *took < LAW) {
            return Ok(());
        }
        tries.push(took);
    }
    panic!("half of the round trips took up to {tries:?} over {carrier:?}")
}

#[pleach::test]
async fn t06_round_trips_go_on_beside_large_messages_over_inherited_sockets() -> Result<()> {
    take_turns_in_time(Carrier::Inherited).await
}

#[pleach::test]
async fn t06_round_trips_go_on_beside_large_messages_over_uds() -> Result<()> {
    take_turns_in_time(Carrier::Uds).await
}

/// Its sockets hold megabytes, which go before whatever comes later.
#[pleach::test]
async fn t06_round_trips_go_on_beside_large_messages_over_tcp() -> Result<()> {
    take_turns(Carrier::Tcp(Tcp::insecure_for_measurement()), 2).await.map(drop)
}
