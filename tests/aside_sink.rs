//! What becomes of a large value that a sink has taken, when nobody flushes it: it is in the dialog, as a small one is.

mod harness;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use futures_lite::future::{yield_now, zip};
use futures_util::SinkExt;
use harness::eventually;
use harness::gate::Gate;
use harness::item::{ARRIVED, Fate, Item, LARGE};
use pleach::Error;
use pleach::actor::ActorNursery;
use pleach::codec::EncodeError;
use pleach::error::{Kind, RemoteError};
use pleach::prelude::*;
use pleach::task::CancelScope;
use pleach_codecs::POSTCARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pleach::test_entry!();

/// The numbers of what it has received.
#[pleach::endpoint]
async fn collects(mut far: Far<(), Item, ()>) -> Result<Vec<u32>> {
    far.started(()).await?;
    let mut numbers = Vec::new();
    while let Some(item) = far.recv().await? {
        numbers.push(item.number);
    }
    Ok(numbers)
}

#[pleach::endpoint]
async fn answers(mut far: Far<(), Item, u32>) -> Result<()> {
    far.started(()).await?;
    while let Some(item) = far.recv().await? {
        far.send(item.number).await?;
    }
    Ok(())
}

/// What [`returns`] waits for.
static IS_FED: AtomicBool = AtomicBool::new(false);

/// Reads nothing.
#[pleach::endpoint]
async fn returns(mut far: Far<(), Item, ()>) -> Result<u32> {
    far.started(()).await?;
    while !IS_FED.load(Ordering::SeqCst) {
        yield_now().await;
    }
    Ok(8)
}

/// Leaves a large value in its sink.
#[pleach::endpoint]
async fn feeds(mut far: Far<(), (), Item>, is_refused: bool) -> Result<()> {
    far.started(()).await?;
    let gate = Gate::new();
    gate.open();
    let fate = if is_refused { Fate::Refused } else { Fate::Encoded };
    far.feed(Item::large(1, &gate, fate)).await
}

/// Does what it may not, with values that are not encoded before it has been refused.
#[pleach::endpoint]
async fn goes_too_far(mut far: Far<Item, (), Item>) -> Result<()> {
    let gate = Gate::new();
    let too_early = far.feed(Item::large(1, &gate, Fate::Encoded)).await.expect_err("it has not started");
    far.started(Item::small(2)).await?;
    let twice = far.started(Item::large(3, &gate, Fate::Encoded)).await.expect_err("it has started");
    gate.open();
    assert_eq!((too_early.kind(), twice.kind()), (Kind::Misuse, Kind::Misuse));
    Ok(())
}

static CALLED: AtomicUsize = AtomicUsize::new(0);

/// Many small parts, encoded only once their gate is open.
struct Parts(Option<Arc<Gate>>);

impl Serialize for Parts {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if let Some(gate) = &self.0 {
            gate.pass();
        }
        vec![7_u8; 40_000].serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(|_| Self(None))
    }
}

#[pleach::endpoint]
async fn counts(_: Parts) -> Result<()> {
    CALLED.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

/// Talks with an actor of this process, where its gates are.
async fn with_worker(talk: impl AsyncFnOnce(&Portal) -> Result<()>) -> Result<()> {
    let worker = async |n: ActorNursery| {
        let worker = n.actor("worker").carrier(Carrier::Mem).expose(collects).expose(answers).expose(returns);
        let worker = worker.expose(feeds).expose(goes_too_far).start().await?;
        talk(&worker).await?;
        worker.cancel_actor().await
    };
    eventually(actor_nursery(worker)).await
}

#[pleach::test]
async fn l26_what_a_sink_has_taken_goes_while_its_end_receives() -> Result<()> {
    with_worker(async |worker| {
        let body = async |mut near: Near<Item, u32, ()>, ()| {
            let gate = Gate::new();
            near.feed(Item::large(1, &gate, Fate::Encoded)).await?;
            let open = async {
                gate.reached().await;
                gate.open();
            };
            let (answer, ()) = zip(near.recv(), open).await;
            assert_eq!(answer?, Some(1));
            near.finish().await
        };
        worker.open_context(answers, (), body).await
    })
    .await
}

#[pleach::test]
async fn d01_a_far_task_that_has_returned_gives_its_result_whatever_is_in_a_sink() -> Result<()> {
    with_worker(async |worker| {
        let body = async |mut near: Near<Item, (), u32>, ()| {
            let gate = Gate::new();
            near.feed(Item::large(1, &gate, Fate::Encoded)).await?;
            IS_FED.store(true, Ordering::SeqCst);
            while near.recv().await?.is_some() {}
            gate.open();
            near.finish().await
        };
        assert_eq!(worker.open_context(returns, (), body).await?, 8);
        Ok(())
    })
    .await
}

#[pleach::test]
async fn l26_d08_what_a_sink_has_taken_goes_before_its_stop_and_nothing_after_it() -> Result<()> {
    with_worker(async |worker| {
        for reads in [false, true] {
            let body = async |mut near: Near<Item, (), Vec<u32>>, ()| {
                let gate = Gate::new();
                near.feed(Item::large(1, &gate, Fate::Encoded)).await?;
                near.stop();
                let after = near.send(Item::small(2)).await.map_err(Error::from).expect_err("it has stopped");
                assert_eq!(after.kind(), Kind::Misuse, "{after}");
                gate.open();
                while reads && near.recv().await?.is_some() {}
                near.finish().await
            };
            assert_eq!(worker.open_context(collects, (), body).await?, [1], "reads: {reads}");
        }
        Ok(())
    })
    .await
}

#[pleach::test]
async fn l26_what_a_sink_has_taken_goes_also_where_its_end_is_dropped() -> Result<()> {
    with_worker(async |worker| {
        let body = async |mut near: Near<(), Item, ()>, ()| {
            let mut numbers = Vec::new();
            while let Some(item) = near.recv().await? {
                numbers.push(item.number);
            }
            near.finish().await.map(|()| numbers)
        };
        assert_eq!(worker.open_context(feeds, (false,), body).await?, [1]);
        let body = async |mut near: Near<Item, (), Vec<u32>>, ()| {
            let gate = Gate::new();
            gate.open();
            near.feed(Item::large(50, &gate, Fate::Encoded)).await
        };
        worker.open_context(collects, (), body).await?;
        assert!(ARRIVED.lock().unwrap().contains(&50));
        Ok(())
    })
    .await
}

#[pleach::test]
async fn l14_that_it_cannot_be_encoded_is_said_also_where_its_end_has_stopped_or_is_dropped() -> Result<()> {
    with_worker(async |worker| {
        let body = async |mut near: Near<Item, (), Vec<u32>>, ()| {
            let gate = Gate::new();
            gate.open();
            near.feed(Item::large(1, &gate, Fate::Refused)).await?;
            near.stop();
            near.finish().await
        };
        let failed = worker.open_context(collects, (), body).await.expect_err("no such bytes");
        assert!(failed.downcast_ref::<EncodeError>().is_some(), "{failed}");
        let body = async |near: Near<(), Item, ()>, ()| near.finish().await;
        let failed = worker.open_context(feeds, (true,), body).await.expect_err("no such bytes");
        let remote = failed.downcast_ref::<RemoteError>().expect("what the far task failed with");
        assert!(remote.to_string().contains("no such bytes"), "{remote}");
        Ok(())
    })
    .await
}

#[pleach::test]
async fn l14_that_it_is_over_the_limit_is_said_also_where_it_is_not_flushed() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let worker = n.actor("worker").carrier(Carrier::Mem).max_message(LARGE / 2).expose(collects).start().await?;
        for ends in ["recv", "stop", "drop"] {
            let body = async |mut near: Near<Item, (), Vec<u32>>, ()| {
                let gate = Gate::new();
                gate.open();
                near.feed(Item::large(1, &gate, Fate::Encoded)).await?;
                match ends {
                    "recv" => near.recv().await.map(|_| Vec::new()),
                    "stop" => {
                        near.stop();
                        near.finish().await
                    }
                    _ => Ok(Vec::new()),
                }
            };
            let failed = worker.open_context(collects, (), body).await.expect_err("it is too large");
            let said = failed.to_string();
            assert!(said.contains("collects") && said.contains("limit"), "{ends}: {said}");
        }
        worker.cancel_actor().await
    }))
    .await
}

#[pleach::test]
async fn d03_what_may_not_be_said_now_is_refused_before_it_is_encoded() -> Result<()> {
    with_worker(async |worker| {
        let body = async |near: Near<(), Item, ()>, first: Item| {
            assert_eq!(first.number, 2);
            near.finish().await
        };
        worker.open_context(goes_too_far, (), body).await
    })
    .await
}

#[pleach::test]
async fn a_send_that_has_completed_is_not_sent_again() -> Result<()> {
    with_worker(async |worker| {
        let body = async |mut near: Near<Item, (), Vec<u32>>, ()| {
            {
                let mut cx = Context::from_waker(Waker::noop());
                let mut send = pin!(near.send(Item::small(5)));
                assert!(send.as_mut().poll(&mut cx).is_ready());
                let again = catch_unwind(AssertUnwindSafe(|| send.as_mut().poll(&mut cx).is_ready()));
                assert!(again.is_err(), "it is not to be polled any more");
            }
            near.finish().await
        };
        assert_eq!(worker.open_context(collects, (), body).await?, [5]);
        Ok(())
    })
    .await
}

/// They are small as bytes, and many as parts.
#[pleach::test]
async fn d10_what_is_cancelled_while_its_many_parts_are_encoded_is_not_begun() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let worker = n.actor("worker").carrier(Carrier::Mem).codecs([POSTCARD]).expose(counts).start().await?;
        let (gate, scope) = (Gate::new(), CancelScope::new());
        let cancel = async {
            gate.reached().await;
            scope.cancel("no longer wanted");
            gate.open();
        };
        let (called, ()) = zip(scope.run(worker.run(counts, (Parts(Some(gate.clone())),))), cancel).await;
        assert_eq!(called?, None);
        worker.run(counts, (Parts(None),)).await?;
        assert_eq!(CALLED.load(Ordering::SeqCst), 1);
        worker.cancel_actor().await
    }))
    .await
}
