//! Promises at their edges: limits without end, user code that panics in odd places, cancels that come first.

mod harness;

use std::fmt;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::{By, Way, all_ways, eventually, plain, soon, unique};
use libtest_mimic::Failed;
use pleach::codec::{CODECS, Codec, Encoding, Slot, Value};
use pleach::dialog::Stuck;
use pleach::host::{Host, Reactor, Root, Smol};
use pleach::prelude::*;
use pleach::task::CancelScope;
use pleach::transport::Transport;

/// JSON by another name, which it shares with another one.
struct Twin;

impl Encoding for Twin {
    fn name(&self) -> &'static str {
        "edges/twin"
    }

    fn encode(&self, value: Value<'_>, out: &mut Vec<u8>) -> Result<()> {
        Ok(serde_json::to_writer(out, &value)?)
    }

    fn decode(&self, bytes: &[u8], slot: Slot<'_>) -> Result<()> {
        Codec::Json.decode_into(bytes, slot)
    }
}

#[linkme::distributed_slice(CODECS)]
static ONE: Codec = Codec::Own(&Twin);
#[linkme::distributed_slice(CODECS)]
static OTHER: Codec = Codec::Own(&Twin);

fn two_codecs_of_one_name_are_refused() -> Result<(), Failed> {
    for carrier in [Carrier::Mem, Carrier::Inherited] {
        let started = pleach::actor::run(Smol::one_thread(), move || {
            soon(actor_nursery(async move |n: pleach::actor::ActorNursery| {
                n.actor("worker").carrier(carrier).codecs([Codec::Json, ONE]).start().await.map(drop)
            }))
        });
        let refused = started.expect_err("one of the two would be taken for the other").to_string();
        assert!(refused.contains("two codecs with the name `edges/twin`"), "{refused}");
    }
    Ok(())
}

static CLEANED: Mutex<Vec<String>> = Mutex::new(Vec::new());
static TOUCHED: AtomicU64 = AtomicU64::new(0);

#[pleach::endpoint]
async fn double(n: u64) -> Result<u64> {
    Ok(2 * n)
}

#[pleach::endpoint]
async fn touches() -> Result<u64> {
    Ok(TOUCHED.fetch_add(1, Ordering::SeqCst))
}

#[pleach::endpoint]
async fn touches_and_starts(mut far: Far<u64, (), ()>) -> Result<()> {
    far.started(TOUCHED.fetch_add(1, Ordering::SeqCst)).await
}

/// Sends `amount` values of 64 KiB whether anybody reads them or not.
#[pleach::endpoint]
async fn floods(mut far: Far<(), (), String>, amount: u64) -> Result<u64> {
    far.started(()).await?;
    for _ in 0..amount {
        far.send("x".repeat(64 << 10)).await?;
    }
    Ok(amount)
}

#[derive(Debug)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words for it")
    }
}

impl std::error::Error for Unspeakable {}

#[pleach::endpoint]
async fn fails_without_words() -> Result<()> {
    Err(Unspeakable)?
}

/// Says that it has heard of the cancel, and goes on for as long as its grace.
#[pleach::endpoint]
async fn lingers(mut far: Far<(), (), ()>) -> Result<()> {
    far.started(()).await?;
    let ended = far.recv().await;
    shield(Duration::from_secs(60), sleep(Duration::from_secs(60))).await?;
    ended.map(drop)
}

#[pleach::endpoint]
async fn lingers_in_a_call() -> Result<()> {
    shield(Duration::from_secs(60), sleep(Duration::from_secs(60))).await
}

#[pleach::endpoint]
async fn fails_when_told(mut far: Far<(), (), ()>) -> Result<()> {
    far.started(()).await?;
    far.recv().await?;
    Err(Ended.into())
}

/// Cleans up with a foreign future, which is not dropped at once in a task that took the signal.
#[pleach::endpoint]
async fn cleans_up_when_told(mut far: Far<(), (), ()>, word: String) -> Result<()> {
    far.started(()).await?;
    far.cancelled().await;
    async_io::Timer::after(Duration::from_millis(10)).await;
    CLEANED.lock().unwrap().push(word);
    Ok(())
}

#[pleach::endpoint]
async fn has_cleaned_up(word: String) -> Result<bool> {
    Ok(CLEANED.lock().unwrap().contains(&word))
}

async fn who_takes_the_signal_may_clean_up(way: Way) -> Result<()> {
    actor_nursery(async |n| {
        let builder = n.actor(unique("signal")).by(way).expose(cleans_up_when_told).expose(has_cleaned_up);
        let (worker, word) = (builder.start().await?, unique("word"));
        let scope = CancelScope::new();
        let opened = worker.open_context(cleans_up_when_told, (word.clone(),), async |mut near, ()| {
            scope.cancel("enough");
            near.recv().await
        });
        assert_eq!(soon(scope.run(opened)).await?, None);
        assert!(worker.run(has_cleaned_up, (word,)).await?, "it was dropped while it cleaned up");
        worker.cancel_actor().await
    })
    .await
}

async fn a_finish_does_not_wait_for_a_reader(way: Way) -> Result<()> {
    actor_nursery(async |n| {
        let worker = n.actor(unique("finish")).by(way).expose(floods).start().await?;
        let sent = worker.open_context(floods, (40,), async |near, ()| near.finish().await);
        assert_eq!(eventually(sent).await?, 40);
        worker.cancel_actor().await
    })
    .await
}

async fn nothing_is_started_in_a_cancelled_scope(way: Way) -> Result<()> {
    actor_nursery(async |n| {
        let builder = n.actor(unique("late")).by(way).expose(touches).expose(touches_and_starts);
        let worker = builder.start().await?;
        let before = worker.run(touches, ()).await?;
        let scope = CancelScope::new();
        let ended = scope
            .run(async {
                scope.cancel("before it begins");
                let called = worker.run(touches, ()).await;
                let opened = worker.open_context(touches_and_starts, (), async |_, _| Ok(())).await;
                assert!(called.unwrap_err().is_cancelled() && opened.unwrap_err().is_cancelled());
                Ok(())
            })
            .await;
        assert_eq!(ended?, Some(()));
        assert_eq!(worker.run(touches, ()).await?, before + 1, "a cancelled call has run");
        worker.cancel_actor().await
    })
    .await
}

async fn a_failure_whose_text_panics_is_a_failure(way: Way) -> Result<()> {
    let name = unique("speechless");
    actor_nursery(async |n| {
        let worker = n.actor(&name).by(way).expose(fails_without_words).expose(double).start().await?;
        let error = soon(worker.run(fails_without_words, ())).await.unwrap_err();
        assert!(!error.is_timeout(), "{error:?}");
        assert_eq!(soon(worker.run(double, (21,))).await?, 42, "the others go on");
        soon(worker.cancel_actor()).await
    })
    .await
}

async fn limits_without_end(way: Way) -> Result<()> {
    let failed = actor_nursery(async |n| {
        let endless = n.actor(unique("endless")).by(way).grace(Duration::MAX).expose(double);
        let worker = endless.start().await?;
        assert_eq!(worker.run(double, (21,)).await?, 42);
        Err::<(), _>(Ended.into())
    })
    .await;
    assert!(failed.unwrap_err().downcast_ref::<Ended>().is_some());
    let refused = actor_nursery(async |n| {
        let large = n.actor(unique("large")).by(way).max_message(usize::MAX).expose(double);
        let worker = large.start().await?;
        assert_eq!(worker.run(double, (21,)).await?, 42);
        worker.cancel_actor().await
    })
    .await
    .unwrap_err();
    assert!(refused.is_misuse(), "{refused:?}");
    Ok(())
}

/// An opening that arrives while the actor unwinds is answered, not left alone until the actor has ended.
async fn d01_an_opening_during_the_cancel_has_an_outcome(way: Way) -> Result<()> {
    actor_nursery(async |n| {
        let builder = n.actor(unique("ending")).by(way).grace(harness::SOON + Duration::from_secs(1));
        let worker = builder.expose(lingers).expose(double).start().await?;
        let lingering = worker.clone();
        nursery(async |tasks| {
            let (up, mut is_up) = pleach::task::oneshot::channel();
            tasks.spawn(async move {
                let ended = lingering.open_context(lingers, (), async move |mut near, ()| {
                    let _ = up.send(());
                    near.recv().await
                });
                assert!(ended.await.unwrap_err().is_cancelled());
                Ok(())
            })?;
            is_up.recv().await?;
            n.cancel_actors("the end");
            // The first ones may still be faster than the news of the cancel.
            let late = loop {
                match soon(worker.run(double, (21,))).await {
                    Ok(doubled) => assert_eq!(doubled, 42),
                    Err(error) => break error,
                }
            };
            assert!(late.is_cancelled() && late.downcast_ref::<Stuck>().is_none(), "{late:?}");
            Ok(())
        })
        .await
    })
    .await
}

/// A near end that was carried out of its body is told that the dialog is over, also while it waits.
async fn a_near_end_does_not_outlive_its_dialog(way: Way) -> Result<()> {
    actor_nursery(async |n| {
        let worker = n.actor(unique("carried")).by(way).expose(fails_when_told).start().await?;
        nursery(async |tasks| {
            let (carried, mut taken) = pleach::task::oneshot::channel();
            let failed = worker.open_context(fails_when_told, (), async |mut near, ()| {
                near.send(()).await?;
                carried.send(near)?;
                std::future::pending::<Result<()>>().await
            });
            let waits = async move {
                let mut near: Near<(), (), ()> = taken.recv().await?.ok_or(Ended)?;
                // One receive waits when the dialog ends, the other begins after that.
                let (waiting, sending) = (near.recv().await, near.send(()).await);
                assert!(waiting.is_err() && sending.is_err() && near.recv().await.is_err());
                Ok(())
            };
            let waiting = tasks.spawn(waits)?;
            assert!(soon(failed).await.unwrap_err().remote().is_some());
            soon(waiting.join()).await
        })
        .await?;
        worker.cancel_actor().await
    })
    .await
}

/// A dialog that goes on in another task than the one that began it wakes that one when it ends.
async fn d01_a_dialog_that_moves_to_another_task_hears_of_its_end_there(way: Way) -> Result<()> {
    actor_nursery(async |n| {
        let worker = n.actor(unique("moved")).by(way).expose(fails_when_told).start().await?;
        nursery(async |tasks| {
            let ((up, mut is_up), (go, mut may_go)) =
                (pleach::task::oneshot::channel(), pleach::task::oneshot::channel());
            let mut opened = Box::pin(worker.open_context(fails_when_told, (), async move |mut near, ()| {
                let _ = up.send(());
                may_go.recv().await?;
                near.send(()).await?;
                std::future::pending::<Result<()>>().await
            }));
            let first = tasks.spawn(async move {
                let ended = async { (&mut opened).await.map(|()| false) };
                let began =
                    futures_lite::future::or(ended, async { is_up.recv().await.map(|up| up.is_some()) }).await?;
                assert!(began, "it waits in its body");
                Ok(opened)
            })?;
            let opened = soon(first.join()).await?;
            let second = tasks.spawn(async move {
                assert!(opened.await.unwrap_err().remote().is_some());
                Ok(())
            })?;
            let _ = go.send(());
            soon(second.join()).await
        })
        .await?;
        worker.cancel_actor().await
    })
    .await
}

/// Whoever left has a scope that may wait less long than the far task takes: then it says so.
async fn d02_a_scope_that_ends_before_the_far_task_says_so(way: Way) -> Result<()> {
    let ended = actor_nursery(async |n| {
        let builder = n.actor(unique("slow")).by(way).grace(harness::SOON / 2);
        let worker = builder.expose(lingers).expose(lingers_in_a_call).start().await?;
        let short = || CancelScope::new().with_grace(Duration::from_millis(100));

        let scope = short();
        let opened = worker.open_context(lingers, (), async |mut near, ()| {
            scope.cancel("enough");
            near.recv().await
        });
        let error = soon(scope.run(opened)).await.unwrap_err();
        assert!(error.downcast_ref::<Stuck>().is_some(), "cancelled in a context: {error:?}");

        let scope = short();
        let around = async {
            let (up, mut is_up) = pleach::task::oneshot::channel();
            let opened = worker.open_context(lingers, (), async |_near, ()| {
                let _ = up.send(());
                std::future::pending::<Result<()>>().await
            });
            futures_lite::future::or(opened, async { is_up.recv().await.map(drop) }).await?;
            scope.cancel("enough");
            Ok(())
        };
        let error = soon(scope.run(around)).await.unwrap_err();
        assert!(error.downcast_ref::<Stuck>().is_some(), "a dropped context: {error:?}");

        let scope = short();
        let around = async {
            let called = worker.run(lingers_in_a_call, ());
            let cancel = async {
                sleep(Duration::from_millis(50)).await?;
                scope.cancel("enough");
                std::future::pending::<Result<()>>().await
            };
            futures_lite::future::or(called, cancel).await
        };
        let error = soon(scope.run(around)).await.unwrap_err();
        assert!(error.downcast_ref::<Stuck>().is_some(), "a cancelled call: {error:?}");
        n.cancel_actors("the end");
        Ok(())
    });
    ended.await
}

/// A host whose reactor is counted: it lives as long as anything of its actor does.
#[derive(Clone, Debug)]
struct Counted(Arc<()>);

struct CountedReactor {
    reactor: Arc<dyn Reactor>,
    _token: Arc<()>,
}

impl Reactor for CountedReactor {
    fn serve(&self, socket: UnixStream) -> io::Result<Box<dyn Transport>> {
        self.reactor.serve(socket)
    }
}

impl Host for Counted {
    fn name(&self) -> &'static str {
        "test/counted"
    }

    fn run(&self, root: Root) -> io::Result<()> {
        let _token = self.0.clone();
        Smol::one_thread().run(Box::new(move |reactor| root(Arc::new(CountedReactor { reactor, _token }))))
    }
}

fn nothing_of_an_ended_actor_is_kept(way: Way) -> Result<(), Failed> {
    let token = Arc::new(());
    let ended: Result<()> = pleach::actor::run(Counted(token.clone()), move || async move {
        actor_nursery(async |n| {
            let worker = n.actor(unique("kept")).by(way).expose(double).start().await?;
            assert_eq!(worker.run(double, (21,)).await?, 42);
            worker.cancel_actor().await
        })
        .await
    });
    ended.map_err(|error| format!("{error:?}"))?;
    // The control thread drops its part when it has told of the end.
    let begun = std::time::Instant::now();
    while Arc::strong_count(&token) > 1 {
        assert!(begun.elapsed() < harness::SOON, "{} parts of it are kept", Arc::strong_count(&token) - 1);
        std::thread::yield_now();
    }
    Ok(())
}

fn main() {
    let mut trials = vec![
        plain("two_codecs_of_one_name_are_refused", two_codecs_of_one_name_are_refused),
        plain("mem::nothing_of_an_ended_actor_is_kept", || nothing_of_an_ended_actor_is_kept(Way::MEM)),
        plain("inherited::nothing_of_an_ended_actor_is_kept", || nothing_of_an_ended_actor_is_kept(Way::INHERITED)),
    ];
    trials.extend(all_ways("a_finish_does_not_wait_for_a_reader", a_finish_does_not_wait_for_a_reader));
    trials.extend(all_ways("nothing_is_started_in_a_cancelled_scope", nothing_is_started_in_a_cancelled_scope));
    trials.extend(all_ways("a_failure_whose_text_panics_is_a_failure", a_failure_whose_text_panics_is_a_failure));
    trials.extend(all_ways("limits_without_end", limits_without_end));
    trials.extend(all_ways(
        "d01_an_opening_during_the_cancel_has_an_outcome",
        d01_an_opening_during_the_cancel_has_an_outcome,
    ));
    trials.extend(all_ways(
        "d02_a_scope_that_ends_before_the_far_task_says_so",
        d02_a_scope_that_ends_before_the_far_task_says_so,
    ));
    trials.extend(all_ways("who_takes_the_signal_may_clean_up", who_takes_the_signal_may_clean_up));
    trials.extend(all_ways("a_near_end_does_not_outlive_its_dialog", a_near_end_does_not_outlive_its_dialog));
    trials.extend(all_ways(
        "d01_a_dialog_that_moves_to_another_task_hears_of_its_end_there",
        d01_a_dialog_that_moves_to_another_task_hears_of_its_end_there,
    ));
    harness::main(trials);
}
