//! What becomes of a large value that is encoded or decoded beside its actor's thread, when things go otherwise meanwhile.

mod harness;

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use futures_lite::StreamExt;
use futures_lite::future::{or, yield_now, zip};
use futures_util::stream::FuturesUnordered;
use harness::eventually;
use harness::gate::Gate;
use pleach::Error;
use pleach::actor::ActorNursery;
use pleach::codec::{CODECS, Codec, Encoding, Slot, Value};
use pleach::dialog::Stuck;
use pleach::error::Panicked;
use pleach::prelude::*;
use pleach::task::CancelScope;
use pleach::task::channel::SendError;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::{ByteBuf, Bytes};

pleach::test_entry!();

/// More than is encoded at once.
const LARGE: usize = 1 << 20;

/// What a value does beside being large.
#[derive(Clone, Copy, PartialEq)]
enum Trick {
    None,
    /// It panics when it is encoded, once its gate is open.
    PanicsEncoded,
    /// It panics when it is dropped.
    PanicsDropped,
}

struct Large {
    bytes: ByteBuf,
    /// Encoded only once this is open.
    gate: Option<Arc<Gate>>,
    trick: Trick,
}

impl Large {
    fn new() -> Self {
        Self { bytes: ByteBuf::from(vec![7; LARGE]), gate: None, trick: Trick::None }
    }

    fn behind(gate: &Arc<Gate>, trick: Trick) -> Self {
        Self { bytes: ByteBuf::from(vec![7; LARGE]), gate: Some(gate.clone()), trick }
    }
}

impl Drop for Large {
    fn drop(&mut self) {
        if self.trick == Trick::PanicsDropped && !thread::panicking() {
            panic!("no way out");
        }
    }
}

impl Serialize for Large {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if self.gate.as_ref().is_some_and(|gate| gate.pass()) && self.trick == Trick::PanicsEncoded {
            panic!("no more bytes");
        }
        self.bytes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Large {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        ByteBuf::deserialize(deserializer).map(|bytes| Self { bytes, gate: None, trick: Trick::None })
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
    far.send(Large::new()).await?;
    Ok(())
}

#[pleach::endpoint]
async fn echo(mut far: Far<(), u32, u32>) -> Result<()> {
    far.started(()).await?;
    while let Some(n) = far.recv().await? {
        far.send(n).await?;
    }
    Ok(())
}

/// Longer than a strand may go on after its cancel if it only waits.
const LINGERS: Duration = Duration::from_millis(300);

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

/// The first of them panics when it is decoded.
#[derive(Serialize)]
struct Bad(Large);

impl<'de> Deserialize<'de> for Bad {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        static FIRST: OnceLock<()> = OnceLock::new();
        let large = Large::deserialize(deserializer)?;
        assert!(FIRST.set(()).is_err(), "the first one");
        Ok(Self(large))
    }
}

#[pleach::endpoint]
async fn gives_bad(mut far: Far<(), (), Bad>) -> Result<()> {
    far.started(()).await?;
    for _ in 0..2 {
        far.send(Bad(Large::new())).await?;
    }
    Ok(())
}

/// Goes on when an element of it was refused.
struct Sloppy(usize);

impl Serialize for Sloppy {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(3))?;
        let _ = list.serialize_element(&1);
        let _ = list.serialize_element(Bytes::new(&vec![7; self.0]));
        let _ = list.serialize_element(&2);
        list.end()
    }
}

impl<'de> Deserialize<'de> for Sloppy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        <(u8, ByteBuf, u8)>::deserialize(deserializer).map(|(_, bytes, _)| Self(bytes.len()))
    }
}

#[pleach::endpoint]
async fn measures(mut far: Far<(), Sloppy, ()>) -> Result<usize> {
    far.started(()).await?;
    let mut all = 0;
    while let Some(sloppy) = far.recv().await? {
        all += sloppy.0;
    }
    Ok(all)
}

/// The gate for whoever decodes a [`Slow`] here.
static SLOW: OnceLock<Arc<Gate>> = OnceLock::new();
static BEGUN: AtomicBool = AtomicBool::new(false);

/// Large, and decoded only once that gate is open.
#[derive(Serialize)]
struct Slow(Large);

impl<'de> Deserialize<'de> for Slow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        SLOW.get().expect("it is in this process").pass();
        Large::deserialize(deserializer).map(Self)
    }
}

#[pleach::endpoint]
async fn begins(slow: Slow) -> Result<()> {
    drop(slow);
    BEGUN.store(true, Ordering::SeqCst);
    Ok(())
}

/// Msgpack by another name: of a codec of one's own it is not known how long a value will be.
struct Own;

impl Encoding for Own {
    fn name(&self) -> &'static str {
        "aside/msgpack"
    }

    fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<()> {
        Ok(rmp_serde::encode::write_named(out, &value)?)
    }

    fn decode(&self, bytes: &[u8], slot: Slot<'_>) -> Result<()> {
        Codec::MsgPack.decode_into(bytes, slot)
    }
}

#[linkme::distributed_slice(CODECS)]
static OWN: Codec = Codec::Own(&Own);

/// An actor for one test.
async fn worker(n: &ActorNursery) -> Result<Portal> {
    let worker = n.actor(harness::unique("worker")).expose(takes).expose(gives).expose(gives_one);
    worker.expose(gives_bad).expose(measures).expose(echo).start().await
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

/// In a set of futures nobody polls it before it is woken, so the strand must be let wait for longer than it may linger.
async fn send_in_a_set(near: &mut Near<Large, (), u32>, large: Large) -> Result<(), SendError<Large>> {
    let mut all = FuturesUnordered::new();
    all.push(near.send(large));
    all.next().await.expect("there is one")
}

#[pleach::test]
async fn t06_c02_a_large_value_whose_send_is_cancelled_while_it_is_encoded_comes_back() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let portal = worker(&n).await?;
        let (gate, scope) = (Gate::new(), CancelScope::new());
        let body = async |mut near: Near<Large, (), u32>, ()| {
            let send = scope.run(async { Ok(send_in_a_set(&mut near, Large::behind(&gate, Trick::None)).await) });
            let cancel = async {
                gate.reached().await;
                let went_on = some_trips(&portal).await;
                scope.cancel("no longer wanted");
                sleep(LINGERS).await?;
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
            let large = Large::behind(&gate, Trick::PanicsEncoded);
            let failed = nursery(async |n| n.spawn(async { Ok(near.send(large).await?) })?.join().await).await;
            let failed = failed.expect_err("it cannot be encoded");
            let panicked = failed.downcast_ref::<Panicked>().expect("a panic");
            assert_eq!(panicked.message(), "no more bytes");
            assert!(panicked.location().is_some_and(|place| place.contains("aside.rs")), "{:?}", panicked.location());
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
                let send = async { Ok(near.send(Large::behind(&gate, Trick::None)).await?) };
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

#[pleach::test]
async fn c08_a_scope_says_what_goes_on_longer_than_it_may_wait() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let portal = worker(&n).await?;
        let gate = Gate::new();
        let body = async |mut near: Near<Large, (), u32>, ()| {
            let scope = CancelScope::new().with_grace(Duration::from_millis(50));
            let ended = scope.run(begins_to_send(&mut near, &gate, Trick::None)).await;
            let late = ended.expect_err("it goes on");
            assert!(late.downcast_ref::<Stuck>().is_some(), "{late}");
            let text = late.to_string();
            assert!(text.contains("Large") && text.contains("50ms at most"), "{text}");
            gate.open();
            near.finish().await
        };
        assert_eq!(portal.open_context(takes, (), body).await?, 0);
        portal.cancel_actor().await
    }))
    .await
}

/// Drops a send whose value is being encoded.
async fn begins_to_send(near: &mut Near<Large, (), u32>, gate: &Arc<Gate>, trick: Trick) -> Result<()> {
    let send = async { Ok(near.send(Large::behind(gate, trick)).await?) };
    let reached = async {
        gate.reached().await;
        Ok(())
    };
    or(send, reached).await
}

#[pleach::test]
async fn c14_a_panic_in_the_drop_of_a_value_whose_send_was_dropped_is_one_of_the_scope() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let portal = worker(&n).await?;
        let gate = Gate::new();
        let body = async |mut near: Near<Large, (), u32>, ()| {
            let ended = CancelScope::new().run(async {
                begins_to_send(&mut near, &gate, Trick::PanicsDropped).await?;
                gate.open();
                Ok(())
            });
            let panicked = ended.await.expect_err("it panics");
            assert_eq!(panicked.downcast_ref::<Panicked>().map(Panicked::message), Some("no way out"));
            near.finish().await
        };
        assert_eq!(portal.open_context(takes, (), body).await?, 0);
        portal.cancel_actor().await
    }))
    .await
}

#[pleach::test]
async fn c14_a_panic_while_a_large_value_is_decoded_is_one_of_its_receiver_and_the_next_one_comes() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let portal = worker(&n).await?;
        let body = async |mut near: Near<(), Bad, ()>, ()| {
            let first = CancelScope::new().run(async { near.recv().await.map(|bad| bad.is_some()) }).await;
            assert!(first.is_err_and(|failed| failed.downcast_ref::<Panicked>().is_some()));
            assert_eq!(near.recv().await?.map(|bad| bad.0.bytes.len()), Some(LARGE));
            near.finish().await
        };
        portal.open_context(gives_bad, (), body).await?;
        portal.cancel_actor().await
    }))
    .await
}

#[pleach::test]
async fn d01_an_end_that_was_carried_out_of_its_dialog_takes_no_large_value() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let portal = worker(&n).await?;
        let mut near = portal.open_context(takes, (), async |near: Near<Large, (), u32>, ()| Ok(near)).await?;
        let refused = near.send(Large::new()).await.expect_err("the dialog is over");
        assert_eq!(refused.into_value().bytes.len(), LARGE);
        portal.cancel_actor().await
    }))
    .await
}

#[pleach::test]
async fn d08_a_large_value_that_came_before_the_end_is_read_after_it() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let portal = worker(&n).await?;
        let ended = async |near: Near<(), Large, ()>, ()| {
            while near.gone().is_none() {
                yield_now().await;
            }
            Ok(near)
        };
        let mut near = portal.open_context(gives, (), ended).await?;
        assert_eq!(near.recv().await?.map(|large| large.bytes.len()), Some(LARGE));
        portal.cancel_actor().await
    }))
    .await
}

#[pleach::test]
async fn t03_a_value_that_swallows_the_refusal_of_a_part_arrives_whole() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let portal = worker(&n).await?;
        for size in [100, LARGE] {
            let body = async |mut near: Near<Sloppy, (), usize>, ()| {
                near.send(Sloppy(size)).await?;
                near.finish().await
            };
            assert_eq!(portal.open_context(measures, (), body).await?, size);
        }
        portal.cancel_actor().await
    }))
    .await
}

#[pleach::test]
async fn d10_a_call_that_is_cancelled_while_its_arguments_are_decoded_is_not_begun() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let gate = SLOW.get_or_init(Gate::new);
        // In this process, where its gate is.
        let portal = n.actor("worker").carrier(Carrier::Mem).expose(begins).expose(echo).start().await?;
        let scope = CancelScope::new();
        let call = scope.run(portal.run(begins, (Slow(Large::new()),)));
        let cancel = async {
            gate.reached().await;
            scope.cancel("no longer wanted");
            // They go the same way as the cancel.
            some_trips(&portal).await?;
            gate.open();
            Ok::<_, Error>(())
        };
        let (called, cancelled) = zip(call, cancel).await;
        cancelled?;
        assert!(called?.is_none(), "it was cancelled");
        assert!(!BEGUN.load(Ordering::SeqCst));
        portal.cancel_actor().await
    }))
    .await
}

#[pleach::test]
async fn t06_of_a_codec_of_ones_own_no_large_value_holds_up_anybody() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let portal = n.actor("worker").codecs([OWN]).expose(takes).expose(echo).start().await?;
        let gate = Gate::new();
        let body = async |mut near: Near<Large, (), u32>, ()| {
            let send = async { Ok(near.send(Large::behind(&gate, Trick::None)).await?) };
            let beside = async {
                gate.reached().await;
                some_trips(&portal).await?;
                gate.open();
                Ok::<_, Error>(())
            };
            let (sent, went_on) = zip(send, beside).await;
            went_on.and(sent)?;
            near.finish().await
        };
        assert_eq!(portal.open_context(takes, (), body).await?, 1);
        portal.cancel_actor().await
    }))
    .await
}
