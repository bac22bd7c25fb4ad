//! What travels in a dialog between two actors: bounded, in order, decoded or refused, and failures from afar (laws D8,
//! D9, D11), on each way.

mod harness;

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use harness::{By, On, Way, all_ways, eventually, soon, unique};
use pleach::actor::{ActorNursery, Named};
use pleach::dialog::FarReturned;
use pleach::error::Kind;
use pleach::prelude::*;
use pleach::task::oneshot;

/// Credit of one dialog, by default.
const CREDIT: u64 = 1 << 20;
const LARGE: u64 = 64 << 10;
/// What a direction can hold: its credit, and one value in debt.
const HELD: u64 = CREDIT / LARGE + 1;

/// What the endpoints of this process count, and where they wait, by a key that each test makes for itself.
static COUNTS: Mutex<Option<HashMap<String, u64>>> = Mutex::new(None);
static GATES: Mutex<Option<HashMap<String, oneshot::Sender<()>>>> = Mutex::new(None);

fn count(key: &str) {
    *COUNTS.lock().unwrap().get_or_insert_default().entry(key.to_owned()).or_default() += 1;
}

/// How often `key` was counted in that actor.
#[pleach::endpoint]
async fn counted(key: String) -> Result<u64> {
    Ok(COUNTS.lock().unwrap().get_or_insert_default().get(&key).copied().unwrap_or(0))
}

/// Opens the gate `key` of that actor.
#[pleach::endpoint]
async fn opens_gate(key: String) -> Result<()> {
    let gate = GATES.lock().unwrap().get_or_insert_default().remove(&key);
    drop(gate.ok_or(Ended)?.send(()));
    Ok(())
}

fn large(number: u64) -> String {
    let digits = number.to_string();
    "0".repeat(LARGE as usize - digits.len()) + &digits
}

fn number_of(value: &str) -> u64 {
    value.parse().expect("a large value is a number with many zeros")
}

/// Sends `amount` large values and returns.
#[pleach::endpoint]
async fn floods(mut far: Far<(), (), String>, amount: u64, key: String) -> Result<u64> {
    far.started(()).await?;
    for number in 0..amount {
        far.send(large(number)).await?;
        count(&key);
    }
    Ok(amount)
}

/// Reads nothing until its gate is opened; then says which numbers came.
#[pleach::endpoint]
async fn reads_late(mut far: Far<(), String, ()>, key: String) -> Result<Vec<u64>> {
    let (gate, mut opened) = oneshot::channel();
    GATES.lock().unwrap().get_or_insert_default().insert(key, gate);
    far.started(()).await?;
    opened.recv().await?;
    let mut numbers = Vec::new();
    while let Some(value) = far.recv().await? {
        numbers.push(number_of(&value));
    }
    Ok(numbers)
}

#[pleach::endpoint]
async fn adds(mut far: Far<u64, u64, u64>, key: String) -> Result<u64> {
    far.started(0).await?;
    let mut sum = 0;
    let ended = loop {
        match far.recv().await {
            Ok(Some(n)) => sum += n,
            Ok(None) => break Ok(sum),
            Err(error) => break Err(error),
        }
        far.send(sum).await?;
    };
    count(&key);
    ended
}

/// Sends until it is cancelled in the middle of it, and counts which value came back.
#[pleach::endpoint]
async fn keeps(mut far: Far<(), (), String>, key: String) -> Result<()> {
    far.started(()).await?;
    for number in 0.. {
        if let Err(refused) = far.send(large(number)).await {
            assert!(refused.is_cancelled());
            let (value, error) = refused.into_parts();
            count(&format!("{key} {}", number_of(&value) == number && number > 0));
            return Err(error);
        }
        count(&key);
    }
    Ok(())
}

/// Takes nothing.
#[pleach::endpoint]
async fn leaves(mut far: Far<(), String, ()>) -> Result<()> {
    far.started(()).await
}

/// Answers each number with its double, through halves of its end.
#[pleach::endpoint]
async fn doubles(mut far: Far<(), u64, u64>) -> Result<()> {
    far.started(()).await?;
    let (answers, numbers) = StreamExt::split(far);
    numbers.map_ok(|number| 2 * number).forward(answers).await
}

#[derive(Debug)]
struct SensorLost(Unplugged);

impl fmt::Display for SensorLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the sensor is lost")
    }
}

impl std::error::Error for SensorLost {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[derive(Debug)]
struct Unplugged;

impl fmt::Display for Unplugged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its cable is unplugged")
    }
}

impl std::error::Error for Unplugged {}

#[pleach::endpoint]
async fn reads_sensor() -> Result<u64> {
    Err(SensorLost(Unplugged))?
}

/// Asks an actor of its own, `depth` levels down.
#[pleach::endpoint]
async fn relays(depth: u32, mem: bool) -> Result<u64> {
    let way = if mem { Way::MEM } else { Way::INHERITED };
    ask_below(way, depth).await
}

async fn ask_below(way: Way, depth: u32) -> Result<u64> {
    actor_nursery(async move |n: ActorNursery| {
        let name = format!("relay{depth}");
        let below = n.actor(name).by(way).expose(reads_sensor).expose(relays).start().await?;
        if depth == 0 {
            return below.run(reads_sensor, ()).await;
        }
        below.run(relays, (depth - 1, way.on == On::Mem)).await
    })
    .await
}

/// Runs `body` with one actor that exposes the endpoints that converse, then ends it.
async fn with_worker<Fut>(way: Way, body: impl FnOnce(Portal, String) -> Fut) -> Result<()>
where
    Fut: Future<Output = Result<()>>,
{
    actor_nursery(async move |n: ActorNursery| {
        let actor = n.actor(unique("flow")).by(way).expose(counted).expose(opens_gate).expose(floods);
        let worker = actor.expose(reads_late).expose(adds).expose(keeps).expose(doubles).expose(leaves).start().await?;
        body(worker.clone(), unique("key")).await?;
        worker.cancel_actor().await
    })
    .await
}

async fn d08_a_far_sender_without_reader_stops(way: Way) -> Result<()> {
    with_worker(way, async |worker, key| {
        let opened = worker.open_context(floods, (40, key.clone()), async |mut near, ()| {
            let held = settled(&worker, &key).await?;
            assert!((2..=HELD).contains(&held), "{held} values of 64 KiB were taken, there is room for {HELD}");
            for number in 0..40 {
                assert_eq!(near.recv().await?.as_deref().map(number_of), Some(number));
            }
            assert_eq!(near.recv().await?, None);
            near.finish().await
        });
        assert_eq!(eventually(opened).await?, 40);
        Ok(())
    })
    .await
}

/// What the far task has sent when it sends no more: each call is a turn for it, and its values go before the answer.
async fn settled(worker: &Portal, key: &str) -> Result<u64> {
    let (mut last, mut same) = (0, 0);
    while same < 30 {
        let now = worker.run(counted, (key.to_owned(),)).await?;
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}

async fn d08_an_opener_without_reader_stops(way: Way) -> Result<()> {
    with_worker(way, async |worker, key| {
        let sent = AtomicU64::new(0);
        let received = worker.open_context(reads_late, (key.clone(),), async |mut near, ()| {
            nursery(async |n| {
                let sending = n.spawn(async {
                    for number in 0..40 {
                        near.send(large(number)).await?;
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    near.finish().await
                })?;
                let (mut last, mut same) = (0, 0);
                while same < 30 {
                    worker.run(counted, (key.clone(),)).await?;
                    let now = sent.load(Ordering::Relaxed);
                    same = if now == last && now > 0 { same + 1 } else { 0 };
                    last = now;
                }
                assert!((2..=HELD).contains(&last), "{last} values of 64 KiB were taken, there is room for {HELD}");
                worker.run(opens_gate, (key.clone(),)).await?;
                sending.join().await
            })
            .await
        });
        assert_eq!(eventually(received).await?, (0..40).collect::<Vec<_>>());
        Ok(())
    })
    .await
}

async fn d08_what_was_accepted_before_a_graceful_close_is_readable(way: Way) -> Result<()> {
    with_worker(way, async |worker, key| {
        let opened = worker.open_context(floods, (10, key.clone()), async |mut near, ()| {
            while worker.run(counted, (key.clone(),)).await? < 10 {}
            // It has returned. The values come first all the same.
            for number in 0..10 {
                assert_eq!(near.recv().await?.as_deref().map(number_of), Some(number));
            }
            assert_eq!(near.recv().await?, None);
            assert_eq!(near.recv().await?, None, "and it stays at its end");
            near.finish().await
        });
        assert_eq!(eventually(opened).await?, 10);
        let late = unique("late");
        let received = worker.open_context(reads_late, (late.clone(),), async |mut near, ()| {
            for number in 0..10 {
                near.send(large(number)).await?;
            }
            near.stop();
            worker.run(opens_gate, (late.clone(),)).await?;
            near.finish().await
        });
        assert_eq!(eventually(received).await?, (0..10).collect::<Vec<_>>());
        Ok(())
    })
    .await
}

async fn l26_a_cancelled_send_gives_its_value_back(way: Way) -> Result<()> {
    with_worker(way, async |worker, key| {
        let received = worker.open_context(reads_late, (key.clone(),), async |mut near, ()| {
            let mut sent = 0;
            let mut kept = None;
            let sends = async {
                loop {
                    let refused = match near.send(large(sent)).await {
                        Ok(()) => {
                            sent += 1;
                            continue;
                        }
                        Err(refused) => refused,
                    };
                    assert!(refused.is_cancelled());
                    let (value, error) = refused.into_parts();
                    kept = Some(value);
                    return Err::<(), _>(error);
                }
            };
            assert!(move_on_after(Duration::from_millis(50), sends).await?.is_none(), "it is that scope's cancel");
            worker.run(opens_gate, (key.clone(),)).await?;
            assert_eq!(kept.as_deref().map(number_of), Some(sent));
            near.send(kept.expect("it came back")).await?;
            Ok((sent, near.finish().await?))
        });
        let (sent, numbers) = eventually(received).await?;
        assert_eq!(numbers, (0..=sent).collect::<Vec<_>>());
        Ok(())
    })
    .await
}

async fn l26_a_far_send_that_is_cancelled_gives_its_value_back(way: Way) -> Result<()> {
    with_worker(way, async |worker, key| {
        let scope = CancelScope::new();
        let opened = scope.run(worker.open_context(keeps, (key.clone(),), async |mut near, ()| {
            settled(&worker, &key).await?;
            scope.cancel("enough");
            near.recv().await
        }));
        assert!(eventually(opened).await?.is_none());
        assert_eq!(worker.run(counted, (format!("{key} true"),)).await?, 1);
        Ok(())
    })
    .await
}

async fn l26_a_refused_send_gives_its_value_back(way: Way) -> Result<()> {
    with_worker(way, async |worker, _| {
        soon(worker.open_context(leaves, (), async |mut near, ()| {
            while near.gone().is_none() {
                checkpoint().await?;
            }
            let (value, error) = near.send("kept".to_owned()).await.unwrap_err().into_parts();
            assert!(value == "kept" && error.downcast_ref::<FarReturned>().is_some(), "{error:?}");
            Ok(())
        }))
        .await
    })
    .await
}

async fn l26_streams_and_sinks_carry_everything(way: Way) -> Result<()> {
    const MANY: u64 = 500;
    with_worker(way, async |worker, _| {
        let opened = worker.open_context(doubles, (), async |near, ()| {
            let (mut numbers, answers) = StreamExt::split(near);
            let sends = async move {
                numbers.send_all(&mut stream::iter(0..MANY).map(Ok)).await?;
                numbers.close().await
            };
            let ((), answers) = futures_util::future::try_join(sends, answers.try_collect::<Vec<_>>()).await?;
            Ok(answers)
        });
        assert_eq!(eventually(opened).await?, (0..MANY).map(|number| 2 * number).collect::<Vec<_>>());
        Ok(())
    })
    .await
}

/// There is credit for some, one more is kept, and then the sink waits; nothing that it has taken is lost.
async fn l26_what_a_sink_has_taken_is_not_lost(way: Way) -> Result<()> {
    with_worker(way, async |worker, key| {
        let received = worker.open_context(reads_late, (key.clone(),), async |mut near, ()| {
            let mut taken = 0;
            let feeds = async {
                loop {
                    near.feed(large(taken)).await?;
                    taken += 1;
                }
            };
            let waits = move_on_after(Duration::from_millis(50), feeds).await?;
            assert!(waits.is_none_or(|never: std::convert::Infallible| match never {}));
            assert!((2..=HELD + 1).contains(&taken), "{taken} values of 64 KiB were taken, there is room for {HELD}");
            let refused = near.try_send(large(taken)).unwrap_err().into_value();
            assert_eq!(number_of(&refused), taken, "what is kept goes first");
            worker.run(opens_gate, (key.clone(),)).await?;
            near.send(refused).await?;
            near.feed(large(taken + 1)).await?;
            near.close().await?;
            Ok((taken, near.finish().await?))
        });
        let (taken, numbers) = eventually(received).await?;
        assert_eq!(numbers, (0..=taken + 1).collect::<Vec<_>>());
        Ok(())
    })
    .await
}

/// A dialog beside the one that goes wrong: it takes a value before, and one after.
async fn beside<T>(worker: &Portal, wrong: impl Future<Output = Result<T>>) -> Result<Error> {
    let opened = worker.open_context(adds, (unique("beside"),), async |mut near, _| {
        near.send(1).await?;
        assert_eq!(near.recv().await?, Some(1));
        let Err(error) = wrong.await else { panic!("it should have failed") };
        near.send(2).await?;
        assert_eq!(near.recv().await?, Some(3));
        assert_eq!(near.finish().await?, 3);
        Ok(error)
    });
    soon(opened).await
}

type Wrong<First, In, Out> = Named<(First, In, Out, (String,)), u64>;

async fn d09_what_the_far_task_cannot_decode_fails_its_own_dialog(way: Way) -> Result<()> {
    with_worker(way, async |worker, key| {
        let named = Wrong::<u64, String, u64>::new("flow::adds");
        let wrong = worker.open_context(named, (key.clone(),), async |mut near, _| {
            near.send("not a number".to_owned()).await?;
            near.recv().await
        });
        let error = beside(&worker, wrong).await?;
        let text = error.to_string();
        assert!(text.contains("expected u64") && text.contains("not a number"), "{text}");
        assert_eq!(error.remote().expect("it failed over there").actor, worker.path());
        assert_eq!(worker.run(counted, (key,)).await?, 1, "the far task has ended");
        Ok(())
    })
    .await
}

async fn d09_what_the_opener_cannot_decode_fails_its_own_dialog(way: Way) -> Result<()> {
    with_worker(way, async |worker, key| {
        let named = Wrong::<u64, u64, String>::new("flow::adds");
        let wrong = worker.open_context(named, (key.clone(),), async |mut near, _| {
            near.send(7).await?;
            near.recv().await
        });
        let item = beside(&worker, wrong).await?;
        assert_eq!(worker.run(counted, (key.clone(),)).await?, 1, "the far task has ended");

        let named = Wrong::<String, u64, u64>::new("flow::adds");
        let wrong = worker.open_context(named, (key.clone(),), async |_near, _| Ok(()));
        let first = beside(&worker, wrong).await?;
        assert_eq!(worker.run(counted, (key,)).await?, 2, "the far task has ended");

        let named = Named::<(String,), String>::new("flow::counted");
        let result = beside(&worker, worker.run(named, ("nothing".to_owned(),))).await?;

        for error in [item, first, result] {
            let text = error.to_string();
            assert!(text.contains("expected alloc::string::String") && text.contains(worker.path()), "{text}");
            assert!(text.contains("begin with"), "{text}");
        }
        Ok(())
    })
    .await
}

/// root -> relay1 -> relay0 -> the failure, over two relays.
async fn d11_a_failure_shows_where_it_was_born_and_who_relayed_it(way: Way) -> Result<()> {
    let error = soon(actor_nursery(async move |n: ActorNursery| {
        let top = n.actor("top").by(way).expose(relays).start().await?;
        top.run(relays, (1, way.on == On::Mem)).await
    }))
    .await
    .unwrap_err();
    let remote = error.remote().expect("a failure of another actor");
    assert_eq!(remote.actor, "root/top/relay1/relay0");
    assert_eq!(remote.relay, ["root/top/relay1", "root/top"]);
    assert_eq!((remote.kind, error.kind(), error.id()), (Kind::Failed, Kind::Failed, remote.id));
    assert!(remote.type_name.ends_with("flow::SensorLost"), "{}", remote.type_name);
    assert_eq!(
        (remote.message.as_str(), &remote.chain[..]),
        ("the sensor is lost", &["its cable is unplugged".to_owned()][..])
    );
    assert!(remote.location.as_deref().is_some_and(|at| at.starts_with("tests/flow.rs:")), "{remote:?}");
    let text = error.to_string();
    let parts = [
        "root/top/relay1/relay0: the sensor is lost: its cable is unplugged",
        "born at tests/flow.rs:",
        "relayed by root/top/relay1 -> root/top",
    ];
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    Ok(())
}

fn main() {
    let mut tests = Vec::new();
    macro_rules! tests {
        ($($test:ident),* $(,)?) => { $(tests.extend(all_ways(stringify!($test), $test));)* };
    }
    tests! {
        d08_a_far_sender_without_reader_stops,
        d08_an_opener_without_reader_stops,
        d08_what_was_accepted_before_a_graceful_close_is_readable,
        d09_what_the_far_task_cannot_decode_fails_its_own_dialog,
        d09_what_the_opener_cannot_decode_fails_its_own_dialog,
        d11_a_failure_shows_where_it_was_born_and_who_relayed_it,
        l26_a_cancelled_send_gives_its_value_back,
        l26_a_far_send_that_is_cancelled_gives_its_value_back,
        l26_a_refused_send_gives_its_value_back,
        l26_streams_and_sinks_carry_everything,
        l26_what_a_sink_has_taken_is_not_lost,
    }
    harness::main(tests);
}
