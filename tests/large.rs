//! Small messages beside large ones, between two processes (law T6), and what becomes of a large one that is left alone.

mod harness;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use futures_lite::future::{or, yield_now, zip};
use harness::eventually;
use pleach::Error;
use pleach::actor::ActorNursery;
use pleach::error::Panicked;
use pleach::prelude::*;
use pleach::task::CancelScope;
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
/// What nine of ten must stay below.
const LAW: Duration = Duration::from_millis(5);
/// How often that is tried.
const TRIES: usize = 6;

/// 16 MiB, which are not copied for every message.
#[derive(Clone)]
struct Large {
    bytes: Arc<ByteBuf>,
    /// Encoded only once this is open.
    gate: Option<Arc<Gate>>,
    /// And then only in part.
    panics: bool,
}

impl Large {
    fn new() -> Self {
        Self { bytes: Arc::new(ByteBuf::from(vec![7; LARGE])), gate: None, panics: false }
    }

    fn behind(gate: &Arc<Gate>) -> Self {
        Self { gate: Some(gate.clone()), ..Self::new() }
    }
}

impl Serialize for Large {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if self.gate.as_ref().is_some_and(|gate| gate.pass()) && self.panics {
            panic!("no more bytes");
        }
        self.bytes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Large {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        ByteBuf::deserialize(deserializer).map(|bytes| Self { bytes: Arc::new(bytes), gate: None, panics: false })
    }
}

#[pleach::endpoint]
async fn takes(mut far: Far<(), Large, ()>) -> Result<u32> {
    far.started(()).await?;
    let mut taken = 0;
    while let Some(large) = far.recv().await? {
        assert_eq!(large.bytes.len(), LARGE);
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
            assert_eq!(large.bytes.len(), LARGE);
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
        assert_eq!(worker.run(makes, ()).await?.bytes.len(), LARGE);
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

/// Both directions at one actor, and results: `least` round trips beside each message. How long nine of ten took at most.
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
        took[trips * 9 / 10]
    }))
}

/// How many there are depends on bytes and on no clock; how long they take, on what else this machine has to do. So one try of several is
/// enough for that. Without turns, or if a message were encoded or decoded by the thread that has the round trips, one of ten
/// would take as long as that.
async fn take_turns_in_time(carrier: Carrier) -> Result<()> {
    let mut tries = Vec::new();
    for _ in 0..TRIES {
        let took = take_turns(carrier, TRIPS).await?;
        if took.iter().all(|took| *took < LAW) {
            return Ok(());
        }
        tries.push(took);
    }
    panic!("nine of ten round trips took up to {tries:?} over {carrier:?}")
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

/// A thread that is held up until it is let go.
struct Gate {
    /// The thread that is never held up.
    home: ThreadId,
    state: Mutex<(bool, bool)>,
    opened: Condvar,
}

impl Gate {
    fn new() -> Arc<Self> {
        Arc::new(Self { home: thread::current().id(), state: Mutex::default(), opened: Condvar::new() })
    }

    /// Whether this thread is one that was held up.
    fn pass(&self) -> bool {
        if thread::current().id() == self.home {
            return false;
        }
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        drop(self.opened.wait_while(state, |state| !state.1).unwrap());
        true
    }

    /// Waits until somebody stands there.
    async fn reached(&self) {
        while !self.state.lock().unwrap().0 {
            yield_now().await;
        }
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.opened.notify_all();
    }
}

/// The gate for whoever decodes a [`Held`] here.
static DECODED: OnceLock<Arc<Gate>> = OnceLock::new();

/// Large, and decoded only once that gate is open.
#[derive(Serialize)]
struct Held(Large);

impl<'de> Deserialize<'de> for Held {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        if let Some(gate) = DECODED.get() {
            gate.pass();
        }
        Large::deserialize(deserializer).map(Self)
    }
}

#[pleach::endpoint]
async fn gives_one(mut far: Far<(), (), Held>) -> Result<()> {
    far.started(()).await?;
    far.send(Held(Large::new())).await?;
    Ok(())
}

/// An actor for one test.
async fn worker(n: &ActorNursery) -> Result<Portal> {
    let worker = n.actor(harness::unique("worker")).max_message(LARGE + 1024);
    worker.expose(takes).expose(gives_one).expose(echo).start().await
}

/// Round trips beside what is held up.
async fn some_trips(worker: &Portal) -> Result<()> {
    let body = async |mut near: Near<u32, u32, ()>, ()| {
        for n in 0..20 {
            near.send(n).await?;
            assert_eq!(near.recv().await?, Some(n));
        }
        near.finish().await
    };
    worker.open_context(echo, (), body).await
}

#[pleach::test]
async fn t06_c02_a_large_value_whose_send_is_cancelled_while_it_is_encoded_comes_back() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let portal = worker(&n).await?;
        let (gate, scope) = (Gate::new(), CancelScope::new());
        let body = async |mut near: Near<Large, (), u32>, ()| {
            let send = scope.run(async { Ok(near.send(Large::behind(&gate)).await) });
            let cancel = async {
                gate.reached().await;
                let went_on = some_trips(&portal).await;
                scope.cancel("no longer wanted");
                gate.open();
                went_on
            };
            let (sent, went_on) = zip(send, cancel).await;
            went_on?;
            let refused =
                sent?.expect("it gives what the send says").expect_err("it was cancelled before it was encoded");
            assert_eq!(refused.into_value().bytes.len(), LARGE);
            // The dialog goes on.
            near.send(Large::new()).await?;
            near.finish().await
        };
        assert_eq!(portal.open_context(takes, (), body).await?, 1);
        portal.cancel_actor().await
    }))
    .await
}

#[pleach::test]
async fn t06_c02_a_large_value_that_nobody_waits_for_while_it_is_decoded_is_there_for_the_next() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let portal = worker(&n).await?;
        let gate = DECODED.get_or_init(Gate::new).clone();
        let body = async |mut near: Near<(), Held, ()>, ()| {
            let left = async {
                near.recv().await?;
                Ok(false)
            };
            let reached = async {
                gate.reached().await;
                Ok::<_, Error>(true)
            };
            assert!(or(left, reached).await?, "it is not there before it is decoded");
            some_trips(&portal).await?;
            gate.open();
            assert_eq!(near.recv().await?.map(|held| held.0.bytes.len()), Some(LARGE));
            assert!(near.recv().await?.is_none());
            near.finish().await
        };
        portal.open_context(gives_one, (), body).await?;
        portal.cancel_actor().await
    }))
    .await
}

#[pleach::test]
async fn c14_a_panic_while_a_large_value_is_encoded_is_one_of_its_sender_with_its_place() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let portal = worker(&n).await?;
        let gate = Gate::new();
        gate.open();
        let body = async |mut near: Near<Large, (), u32>, ()| {
            let large = Large { panics: true, ..Large::behind(&gate) };
            let failed = nursery(async |n| n.spawn(async { Ok(near.send(large).await?) })?.join().await).await;
            let failed = failed.expect_err("it cannot be encoded");
            let panicked = failed.downcast_ref::<Panicked>().expect("a panic");
            assert_eq!(panicked.message(), "no more bytes");
            assert!(panicked.location().is_some_and(|place| place.contains("large.rs")), "{:?}", panicked.location());
            near.finish().await
        };
        assert_eq!(portal.open_context(takes, (), body).await?, 0);
        portal.cancel_actor().await
    }))
    .await
}

#[pleach::test]
async fn c08_a_scope_waits_for_what_encodes_a_value_whose_send_was_dropped() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let portal = worker(&n).await?;
        let gate = Gate::new();
        let body = async |mut near: Near<Large, (), u32>, ()| {
            {
                let send = async { Ok(near.send(Large::behind(&gate)).await?) };
                let reached = async {
                    gate.reached().await;
                    Ok(())
                };
                let mut scope = pin!(CancelScope::new().run(or(send, reached)));
                let turns = async {
                    gate.reached().await;
                    for _ in 0..100 {
                        yield_now().await;
                    }
                    true
                };
                let ended = async {
                    drop(scope.as_mut().await);
                    false
                };
                assert!(or(ended, turns).await, "what was begun in it goes on");
                gate.open();
                scope.await?;
            }
            near.finish().await
        };
        assert_eq!(portal.open_context(takes, (), body).await?, 0);
        portal.cancel_actor().await
    }))
    .await
}
