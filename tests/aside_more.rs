//! A large value that a far task starts with, that a sink has taken or that a call has as its argument, while it is encoded beside
//! its actor's thread.

mod harness;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::StreamExt;
use futures_lite::future::{or, yield_now, zip};
use futures_util::SinkExt;
use futures_util::stream::FuturesUnordered;
use harness::eventually;
use harness::gate::Gate;
use harness::item::{ARRIVED, Fate, Item, LARGE};
use pleach::Error;
use pleach::actor::ActorNursery;
use pleach::codec::EncodeError;
use pleach::error::{Kind, RemoteError};
use pleach::prelude::*;
use pleach::task::CancelScope;

pleach::test_entry!();

/// Longer than a strand may go on after its cancel if it only waits.
const LINGERS: Duration = Duration::from_millis(300);

/// The gate of a test, which its far task knows by name: they are in one process, and on one thread.
fn gate(name: &str) -> Arc<Gate> {
    static GATES: Mutex<BTreeMap<String, Arc<Gate>>> = Mutex::new(BTreeMap::new());
    GATES.lock().unwrap().entry(name.to_owned()).or_insert_with(Gate::new).clone()
}

/// The first values whose tasks were told of a cancel while they were encoded.
static TOLD: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Starts with a large value. In a set of futures nobody polls it before it is woken.
#[pleach::endpoint]
async fn starts(mut far: Far<Item, (), ()>, name: String, number: u32) -> Result<()> {
    let gate = gate(&name);
    let fate = if name == "panics" { Fate::Panics } else { Fate::Encoded };
    let started = {
        let mut all = FuturesUnordered::new();
        all.push(far.started(Item::large(number, &gate, fate)));
        all.next().await.expect("there is one")
    };
    if started.as_ref().is_err_and(Error::is_cancelled) {
        TOLD.lock().unwrap().push(number);
    }
    started
}

/// Begins with two first values that it leaves while they are encoded, one dropped and one cancelled, and starts with a third.
#[pleach::endpoint]
async fn starts_anew(mut far: Far<Item, (), ()>) -> Result<()> {
    let gate = Gate::new();
    let dropped = CancelScope::new().run(async {
        let said = async { far.started(Item::large(1, &gate, Fate::Encoded)).await.map(|()| true) };
        let left = async {
            gate.reached().await;
            Ok(false)
        };
        or(said, left).await
    });
    let dropped = async {
        assert_eq!(dropped.await?, Some(false), "it is not said before it is encoded");
        Ok(())
    };
    assert!(goes_on(&gate, dropped).await?, "what was begun in the scope goes on");
    let (gate, scope) = (Gate::new(), CancelScope::new());
    let cancelled = scope.run(far.started(Item::large(2, &gate, Fate::Encoded)));
    let cancel = async {
        gate.reached().await;
        scope.cancel("another one");
        gate.open();
    };
    assert!(zip(cancelled, cancel).await.0?.is_none(), "it was cancelled");
    far.started(Item::small(3)).await
}

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

/// A large value and a small one by its sink.
#[pleach::endpoint]
async fn feeds(mut far: Far<(), (), Item>, name: String) -> Result<()> {
    far.started(()).await?;
    far.feed(Item::large(1, &gate(&name), Fate::Encoded)).await?;
    far.feed(Item::small(2)).await?;
    far.close().await
}

#[pleach::endpoint]
async fn measures(item: Item) -> Result<usize> {
    Ok(item.bytes.len())
}

#[pleach::endpoint]
async fn measures_in_a_dialog(mut far: Far<usize, (), ()>, item: Item) -> Result<()> {
    far.started(item.bytes.len()).await
}

#[pleach::endpoint]
async fn echo(mut far: Far<(), u32, u32>) -> Result<()> {
    far.started(()).await?;
    while let Some(n) = far.recv().await? {
        far.send(n).await?;
    }
    Ok(())
}

/// Talks with an actor of this process, where its gates are.
async fn with_worker(talk: impl AsyncFnOnce(&Portal) -> Result<()>) -> Result<()> {
    let worker = async |n: ActorNursery| {
        let worker = n.actor("worker").carrier(Carrier::Mem).expose(starts).expose(starts_anew);
        let worker = worker.expose(collects).expose(feeds).expose(echo);
        let worker = worker.expose(measures).expose(measures_in_a_dialog).start().await?;
        talk(&worker).await?;
        worker.cancel_actor().await
    };
    eventually(actor_nursery(worker)).await
}

/// Round trips while somebody stands at the gate, which is opened then.
async fn trips_at(gate: &Gate, worker: &Portal) -> Result<()> {
    gate.reached().await;
    let body = async |mut near: Near<u32, u32, ()>, ()| {
        for n in 0..20 {
            near.send(n).await?;
            assert_eq!(near.recv().await?, Some(n));
        }
        near.finish().await
    };
    worker.open_context(echo, (), body).await?;
    gate.open();
    Ok(())
}

/// Whether this goes on as long as the gate is closed.
async fn goes_on(gate: &Gate, waits: impl Future<Output = Result<()>>) -> Result<bool> {
    let mut waits = pin!(waits);
    let turns = async {
        gate.reached().await;
        for _ in 0..100 {
            yield_now().await;
        }
        Ok(true)
    };
    let ended = async { waits.as_mut().await.map(|()| false) };
    let goes_on = or(ended, turns).await?;
    gate.open();
    if goes_on {
        waits.await?;
    }
    Ok(goes_on)
}

#[pleach::test]
async fn t06_round_trips_go_on_while_a_large_first_value_is_encoded() -> Result<()> {
    with_worker(async |worker| {
        let body = async |near: Near<(), (), ()>, first: Item| {
            assert_eq!((first.number, first.bytes.len()), (5, LARGE));
            near.finish().await
        };
        let opened = worker.open_context(starts, ("beside".to_owned(), 5), body);
        let (opened, went_on) = zip(opened, trips_at(&gate("beside"), worker)).await;
        went_on.and(opened)
    })
    .await
}

#[pleach::test]
async fn t06_c02_a_far_task_that_is_cancelled_while_its_first_value_is_encoded_has_not_started() -> Result<()> {
    with_worker(async |worker| {
        let (gate, scope) = (gate("cancelled"), CancelScope::new());
        let body = async |_: Near<(), (), ()>, _: Item| -> Result<()> { panic!("it has not started") };
        let opened = scope.run(async { worker.open_context(starts, ("cancelled".to_owned(), 6), body).await });
        let cancel = async {
            gate.reached().await;
            scope.cancel("no longer wanted");
            sleep(LINGERS).await?;
            assert!(!TOLD.lock().unwrap().contains(&6), "it waits for its value");
            gate.open();
            Ok::<_, Error>(())
        };
        let (opened, cancelled) = zip(opened, cancel).await;
        cancelled?;
        assert!(opened?.is_none(), "it was cancelled");
        assert!(TOLD.lock().unwrap().contains(&6), "it was told where it waited");
        Ok(())
    })
    .await
}

#[pleach::test]
async fn c08_d03_a_first_value_that_was_left_while_it_is_encoded_is_waited_for_and_another_one_can_be_said()
-> Result<()> {
    with_worker(async |worker| {
        let body = async |near: Near<(), (), ()>, first: Item| {
            assert_eq!((first.number, first.bytes.len()), (3, 0));
            near.finish().await
        };
        worker.open_context(starts_anew, (), body).await
    })
    .await
}

#[pleach::test]
async fn c14_a_panic_while_a_large_first_value_is_encoded_is_one_of_the_far_task_with_its_place() -> Result<()> {
    with_worker(async |worker| {
        gate("panics").open();
        let body = async |_: Near<(), (), ()>, _: Item| Ok(());
        let failed = worker.open_context(starts, ("panics".to_owned(), 7), body).await.expect_err("it panics");
        let remote = failed.downcast_ref::<RemoteError>().expect("what the far task failed with");
        assert_eq!(remote.kind, Kind::Panicked, "{remote:?}");
        assert!(remote.message.contains("no more bytes"), "{remote:?}");
        assert!(remote.location.as_ref().is_some_and(|place| place.contains("item.rs")), "{remote:?}");
        Ok(())
    })
    .await
}

#[pleach::test]
async fn t06_d08_round_trips_go_on_while_a_sink_has_a_large_value_and_what_it_takes_keeps_its_order() -> Result<()> {
    with_worker(async |worker| {
        let body = async |mut near: Near<Item, (), Vec<u32>>, ()| {
            let gate = Gate::new();
            near.feed(Item::large(1, &gate, Fate::Encoded)).await?;
            let refused = near.try_send(Item::small(2)).expect_err("the one before it is being encoded");
            let feeds = async {
                near.feed(refused.into_value()).await?;
                near.feed(Item::small(3)).await?;
                near.close().await
            };
            let (fed, went_on) = zip(feeds, trips_at(&gate, worker)).await;
            went_on.and(fed)?;
            near.finish().await
        };
        assert_eq!(worker.open_context(collects, (), body).await?, [1, 2, 3]);
        Ok(())
    })
    .await
}

#[pleach::test]
async fn t06_d08_the_same_of_the_sink_of_a_far_task() -> Result<()> {
    with_worker(async |worker| {
        let body = async |mut near: Near<(), Item, ()>, ()| {
            let mut numbers = Vec::new();
            while let Some(item) = near.recv().await? {
                numbers.push(item.number);
            }
            near.finish().await?;
            Ok(numbers)
        };
        let opened = worker.open_context(feeds, ("far".to_owned(),), body);
        let (opened, went_on) = zip(opened, trips_at(&gate("far"), worker)).await;
        went_on?;
        assert_eq!(opened?, [1, 2]);
        Ok(())
    })
    .await
}

#[pleach::test]
async fn t06_what_a_sink_could_not_encode_is_said_by_whatever_comes_next_and_once() -> Result<()> {
    with_worker(async |worker| {
        let body = async |mut near: Near<Item, (), Vec<u32>>, ()| {
            let gate = Gate::new();
            gate.open();
            for next in ["flush", "feed", "send", "close"] {
                near.feed(Item::large(1, &gate, Fate::Refused)).await?;
                let said = match next {
                    "flush" => near.flush().await,
                    "feed" => near.feed(Item::small(2)).await,
                    "send" => near.send(Item::small(3)).await.map_err(Error::from),
                    _ => near.close().await,
                };
                let said = said.expect_err("it cannot be encoded");
                let refused = said.downcast_ref::<EncodeError>().expect("the reason");
                assert!(refused.cause.contains("no such bytes") && refused.type_name.contains("Item"), "{said}");
                near.flush().await?;
            }
            near.send(Item::small(4)).await?;
            near.finish().await
        };
        assert_eq!(worker.open_context(collects, (), body).await?, [4]);
        Ok(())
    })
    .await
}

#[pleach::test]
async fn l26_a_large_value_that_a_sink_has_taken_is_not_lost_with_a_receive_that_is_left() -> Result<()> {
    with_worker(async |worker| {
        let body = async |mut near: Near<Item, (), Vec<u32>>, ()| {
            let gate = Gate::new();
            near.feed(Item::large(1, &gate, Fate::Encoded)).await?;
            let received = async { near.recv().await.map(|_| true) };
            let left = async {
                gate.reached().await;
                Ok(false)
            };
            assert!(!or(received, left).await?, "nothing comes");
            gate.open();
            near.finish().await
        };
        assert_eq!(worker.open_context(collects, (), body).await?, [1]);
        Ok(())
    })
    .await
}

#[pleach::test]
async fn c08_a_scope_waits_for_what_encodes_a_value_of_a_sink_that_was_dropped() -> Result<()> {
    with_worker(async |worker| {
        let body = async |mut near: Near<Item, (), Vec<u32>>, ()| {
            let gate = Gate::new();
            let scope = CancelScope::new();
            let drops = scope.run(async {
                near.feed(Item::large(1, &gate, Fate::Encoded)).await?;
                gate.reached().await;
                drop(near);
                Ok(())
            });
            assert!(goes_on(&gate, async { drops.await.map(drop) }).await?, "what was begun in it goes on");
            Ok(())
        };
        worker.open_context(collects, (), body).await
    })
    .await
}

#[pleach::test]
async fn t06_round_trips_go_on_while_large_arguments_are_encoded() -> Result<()> {
    with_worker(async |worker| {
        let gate = Gate::new();
        let called = worker.run(measures, (Item::large(20, &gate, Fate::Encoded),));
        let (called, went_on) = zip(called, trips_at(&gate, worker)).await;
        went_on?;
        assert_eq!(called?, LARGE);
        let gate = Gate::new();
        let body = async |near: Near<(), (), ()>, length: usize| near.finish().await.map(|()| length);
        let opened = worker.open_context(measures_in_a_dialog, (Item::large(21, &gate, Fate::Encoded),), body);
        let (opened, went_on) = zip(opened, trips_at(&gate, worker)).await;
        went_on?;
        assert_eq!(opened?, LARGE);
        Ok(())
    })
    .await
}

/// They are larger than a message may be, which is said where they are sent.
#[pleach::test]
async fn d10_what_is_cancelled_while_its_arguments_are_encoded_is_not_sent() -> Result<()> {
    eventually(actor_nursery(async |n: ActorNursery| {
        let worker = n.actor("worker").carrier(Carrier::Mem).max_message(LARGE / 2).expose(measures).start().await?;
        let called = async |gate: &Arc<Gate>| worker.run(measures, (Item::large(30, gate, Fate::Encoded),)).await;
        let (gate, scope) = (Gate::new(), CancelScope::new());
        let cancel = async {
            gate.reached().await;
            scope.cancel("no longer wanted");
            gate.open();
        };
        let (cancelled, ()) = zip(scope.run(called(&gate)), cancel).await;
        assert_eq!(cancelled?, None);
        let refused = called(&gate).await.expect_err("they are too large");
        assert!(refused.to_string().contains("limit"), "{refused}");
        worker.cancel_actor().await
    }))
    .await
}

#[pleach::test]
async fn t03_c14_large_arguments_that_cannot_be_encoded_fail_their_call() -> Result<()> {
    with_worker(async |worker| {
        let gate = Gate::new();
        gate.open();
        let refused = worker.run(measures, (Item::large(40, &gate, Fate::Refused),)).await.expect_err("no such bytes");
        let refused = refused.downcast_ref::<EncodeError>().expect("the reason");
        assert!(refused.cause.contains("no such bytes") && refused.type_name.contains("Item"), "{refused}");
        let panics = CancelScope::new();
        let panicked = panics.run(worker.run(measures, (Item::large(41, &gate, Fate::Panics),))).await;
        assert_eq!(panicked.expect_err("it panics").kind(), Kind::Panicked);
        assert!(!ARRIVED.lock().unwrap().iter().any(|number| (40..42).contains(number)));
        Ok(())
    })
    .await
}
