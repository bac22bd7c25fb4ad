//! The life of a dialog between two actors, from its start to its one outcome (laws D1 to D5), on each way.

mod harness;

use std::fmt;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::future::{select, try_join_all};
use harness::{By, SOON, Way, all_ways, soon, unique};
use pleach::actor::ActorNursery;
use pleach::dialog::NeverStarted;
use pleach::prelude::*;

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct SensorLost;

impl fmt::Display for SensorLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the sensor is lost")
    }
}

impl std::error::Error for SensorLost {}

#[pleach::endpoint]
async fn double(n: u64) -> Result<u64> {
    Ok(2 * n)
}

#[pleach::endpoint]
async fn fails() -> Result<u64> {
    Err(SensorLost)?
}

#[pleach::endpoint]
async fn sleeps() -> Result<u64> {
    sleep(HOUR).await?;
    Ok(0)
}

/// Writes down why it was cancelled.
#[pleach::endpoint]
async fn says_why(mut far: Far<(), (), ()>, trace: PathBuf) -> Result<()> {
    far.started(()).await?;
    let error = sleep(HOUR).await.unwrap_err();
    std::fs::write(trace, error.mark().expect("it is a cancel").reason.to_string())?;
    Err(error)
}

/// Writes down how its opener is gone.
#[pleach::endpoint]
async fn says_how(mut far: Far<(), (), ()>, trace: PathBuf) -> Result<()> {
    assert!(far.gone().is_none());
    far.started(()).await?;
    let told = far.recv().await.map(drop);
    std::fs::write(trace, far.gone().expect("it is gone").to_string())?;
    told
}

/// Has another actor write down why it was cancelled.
#[pleach::endpoint]
async fn relays(mut far: Far<(), (), ()>, trace: PathBuf) -> Result<()> {
    actor_nursery(async |n: ActorNursery| {
        let below = n.actor("below").expose(says_why).start().await?;
        below
            .open_context(says_why, (trace,), async |mut near, ()| {
                far.started(()).await?;
                near.recv().await.map(drop)
            })
            .await
    })
    .await
}

#[pleach::endpoint]
async fn exits(status: i32) -> Result<u64> {
    std::process::exit(status)
}

#[pleach::endpoint]
async fn starts_twice(mut far: Far<(), (), ()>) -> Result<String> {
    far.started(()).await?;
    refusal(far.started(()).await)
}

#[pleach::endpoint]
async fn sends_early(mut far: Far<String, (), ()>) -> Result<()> {
    let refused = refusal(far.send(()).await.map_err(Into::into))?;
    far.started(refused).await
}

/// The text with which the runtime refuses a misuse.
fn refusal(result: Result<()>) -> Result<String> {
    let error = result.expect_err("a misuse is an error at its caller");
    assert!(error.is_misuse(), "{error}");
    Ok(error.to_string())
}

#[pleach::endpoint]
async fn echoes(mut far: Far<(), u64, u64>) -> Result<u64> {
    far.started(()).await?;
    let mut count = 0;
    while let Some(n) = far.recv().await? {
        far.send(n).await?;
        count += 1;
    }
    Ok(count)
}

#[pleach::endpoint]
async fn fails_at_once(_far: Far<(), (), ()>) -> Result<()> {
    Err(SensorLost)?
}

#[pleach::endpoint]
async fn returns_at_once(_far: Far<(), (), ()>) -> Result<()> {
    Ok(())
}

#[pleach::endpoint]
async fn fails_when_told(mut far: Far<(), (), ()>) -> Result<()> {
    far.started(()).await?;
    far.recv().await?.ok_or(Ended)?;
    Err(SensorLost)?
}

/// Cleans up at its end, slowly, and leaves traces of it: first of the shielded part, then of its destructor.
#[pleach::endpoint]
async fn cleans_up(mut far: Far<(), (), ()>, trace: PathBuf) -> Result<()> {
    let _last = Trace(trace.clone());
    far.started(()).await?;
    let ended = far.recv().await;
    shield(Duration::from_secs(1), async {
        sleep(Duration::from_millis(50)).await?;
        append(&trace, "cleaned ");
        Ok(())
    })
    .await?;
    ended.map(drop)
}

struct Trace(PathBuf);

impl Drop for Trace {
    fn drop(&mut self) {
        append(&self.0, "dropped");
    }
}

fn append(file: &Path, word: &str) {
    let before = std::fs::read_to_string(file).unwrap_or_default();
    std::fs::write(file, before + word).expect("a file in the folder for temporary ones");
}

/// Runs `body` with one actor that exposes all of the above, then ends it.
async fn with_worker<Fut>(way: Way, body: impl FnOnce(Portal) -> Fut) -> Result<()>
where
    Fut: Future<Output = Result<()>>,
{
    actor_nursery(async move |n: ActorNursery| {
        let calls = n.actor(unique("dialogs")).by(way).expose(double).expose(fails).expose(sleeps).expose(exits);
        let starts = calls.expose(starts_twice).expose(sends_early).expose(fails_at_once).expose(returns_at_once);
        let ends = starts.expose(echoes).expose(fails_when_told).expose(cleans_up);
        let worker = ends.expose(says_why).expose(says_how).expose(relays).start().await?;
        body(worker.clone()).await?;
        worker.cancel_actor().await
    })
    .await
}

fn assert_sensor_lost(error: &Error, worker: &Portal) {
    let remote = error.remote().unwrap_or_else(|| panic!("not from the far task: {error:?}"));
    assert_eq!((remote.message.as_str(), remote.actor.as_str()), ("the sensor is lost", worker.path()));
    assert!(remote.type_name.ends_with("SensorLost"), "{remote:?}");
}

async fn d01_a_call_ends_as_value_error_or_cancelled(way: Way) -> Result<()> {
    with_worker(way, async |worker| {
        assert_eq!(worker.run(double, (21,)).await?, 42);
        assert_sensor_lost(&worker.run(fails, ()).await.unwrap_err(), &worker);
        let cancelled = soon(move_on_after(Duration::from_millis(10), worker.run(sleeps, ()))).await?;
        assert_eq!(cancelled, None);
        // The dialogs after a cancelled one have their own outcomes.
        assert_eq!(worker.run(double, (4,)).await?, 8);
        Ok(())
    })
    .await
}

async fn d01_a_context_ends_as_value_error_or_cancelled(way: Way) -> Result<()> {
    with_worker(way, async |worker| {
        let counted = worker.open_context(echoes, (), async |mut near, ()| {
            near.send(7).await?;
            assert_eq!(near.recv().await?, Some(7));
            near.finish().await
        });
        assert_eq!(soon(counted).await?, 1);
        let failed = worker.open_context(fails_when_told, (), async |mut near, ()| {
            near.send(()).await?;
            near.finish().await
        });
        assert_sensor_lost(&soon(failed).await.unwrap_err(), &worker);
        let cancelled = worker.open_context(echoes, (), async |mut near, ()| near.recv().await);
        assert_eq!(soon(move_on_after(Duration::from_millis(10), cancelled)).await?, None);
        Ok(())
    })
    .await
}

/// Whether the value or the cancel comes first, it is one of them, and the dialogs beside it keep theirs.
async fn d01_a_cancel_that_crosses_a_return_leaves_one_outcome(way: Way) -> Result<()> {
    with_worker(way, async |worker| {
        for n in 0..200 {
            let raced = move_on_after(Duration::from_micros(n * 5), worker.run(double, (n,)));
            let (raced, beside) = futures_util::future::join(raced, worker.run(double, (n + 1,))).await;
            let raced = raced?;
            assert!(raced.is_none_or(|value| value == 2 * n), "{raced:?}");
            assert_eq!(beside?, 2 * n + 2);
        }
        Ok(())
    })
    .await
}

async fn d01_a_death_is_an_outcome_and_carries_the_status() -> Result<()> {
    let ended = actor_nursery(async |n| {
        let worker = n.actor(unique("d01")).expose(exits).start().await?;
        let error = worker.run(exits, (7,)).await.unwrap_err();
        assert!(error.is_died() && error.to_string().contains("exited with status 7"), "{error:?}");
        Err::<(), _>(error)
    })
    .await;
    let error = ended.unwrap_err();
    let died = error.downcast_ref::<pleach::actor::ActorDied>().expect("one failure: that of the actor");
    assert_eq!((died.status, died.signal), (Some(7), None));
    Ok(())
}

/// The four ways in which an opener leaves; whichever it is, the far task has cleaned up when its scope has ended.
async fn d02_the_openers_scope_ends_after_the_far_task(way: Way) -> Result<()> {
    with_worker(way, async |worker| {
        let (finished, failed) = (traces(), traces());
        soon(worker.open_context(cleans_up, (finished.clone(),), async |near, ()| near.finish().await)).await?;
        assert_eq!(take(&finished), "cleaned dropped");

        let error =
            worker.open_context(cleans_up, (failed.clone(),), async |_near, ()| -> Result<()> { Err(SensorLost)? });
        assert_eq!(soon(error).await.unwrap_err().to_string(), "the sensor is lost");
        assert_eq!(take(&failed), "cleaned dropped");

        let cancelled = traces();
        let scope = CancelScope::new();
        let opened = worker.open_context(cleans_up, (cancelled.clone(),), async |mut near, ()| {
            scope.cancel("enough");
            near.recv().await
        });
        assert_eq!(soon(scope.run(opened)).await?, None);
        assert_eq!(take(&cancelled), "cleaned dropped");
        Ok(())
    })
    .await
}

async fn d02_a_dropped_opener_is_waited_for_by_the_scope_around(way: Way) -> Result<()> {
    with_worker(way, async |worker| {
        let trace = traces();
        let around = CancelScope::new().run(async {
            let (up, mut started) = pleach::task::oneshot::channel();
            let opened = worker.open_context(cleans_up, (trace.clone(),), async |_near, ()| {
                let _ = up.send(());
                pending::<Result<()>>().await
            });
            futures_lite::future::or(opened, async { started.recv().await.map(drop) }).await
        });
        soon(around).await?;
        assert_eq!(take(&trace), "cleaned dropped");
        Ok(())
    })
    .await
}

/// In the actor below and in the one below that: which actor it came up in, and why.
async fn c04_reasons_travel_with_their_origin(way: Way) -> Result<()> {
    with_worker(way, async |worker| {
        let (late, asked, failed) = (traces(), traces(), traces());
        let scope = CancelScope::new();
        let opened = scope.run(worker.open_context(relays, (late.clone(),), async |mut near, ()| {
            scope.set_deadline(Some(pleach::task::clock::now()));
            near.recv().await.map(drop)
        }));
        assert_eq!(soon(opened).await?, None);
        assert_eq!(take(&late), "root was cancelled: its deadline passed");

        let scope = CancelScope::new();
        let opened = scope.run(worker.open_context(says_why, (asked.clone(),), async |mut near, ()| {
            scope.cancel("not needed");
            near.recv().await.map(drop)
        }));
        assert_eq!(soon(opened).await?, None);
        assert_eq!(take(&asked), "not needed (asked by root)");

        let (up, mut is_up) = pleach::task::oneshot::channel();
        let sibling = nursery(async |n| {
            n.spawn(worker.open_context(relays, (failed.clone(),), async |mut near, ()| {
                let _ = up.send(());
                near.recv().await.map(drop)
            }))?;
            is_up.recv().await?;
            Err::<(), Error>(SensorLost.into())
        });
        assert_eq!(soon(sibling).await.unwrap_err().to_string(), "the sensor is lost");
        assert_eq!(take(&failed), "root was cancelled: a sibling failed: the sensor is lost");
        Ok(())
    })
    .await
}

async fn l17_a_context_can_be_asked_how_its_opener_left(way: Way) -> Result<()> {
    with_worker(way, async |worker| {
        let traces: [PathBuf; 3] = std::array::from_fn(|_| traces());
        let [done, failed, cancelled] = &traces;
        worker.open_context(says_how, (done.clone(),), async |near, ()| near.finish().await).await?;
        assert_eq!(take(done), "finished");

        let opened =
            worker.open_context(says_how, (failed.clone(),), async |_near, ()| -> Result<()> { Err(SensorLost)? });
        assert_eq!(opened.await.unwrap_err().to_string(), "the sensor is lost");
        assert_eq!(take(failed), "failed: the sensor is lost");

        let scope = CancelScope::new();
        let opened = scope.run(worker.open_context(says_how, (cancelled.clone(),), async |mut near, ()| {
            scope.cancel("not needed");
            near.recv().await
        }));
        assert_eq!(opened.await?, None);
        assert_eq!(take(cancelled), "cancelled: not needed (asked by root)");
        Ok(())
    })
    .await
}

fn traces() -> PathBuf {
    std::env::temp_dir().join(unique("pleach-d02"))
}

/// What the file says; it is gone afterwards.
fn take(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let _ = std::fs::remove_file(file);
    text
}

async fn d03_a_step_out_of_turn_is_an_error_at_its_caller(way: Way) -> Result<()> {
    with_worker(way, async |worker| {
        let twice = worker.open_context(starts_twice, (), async |near, ()| near.finish().await);
        let twice = soon(twice).await?;
        assert!(twice.contains("`dialogs::starts_twice`: `started` was called a second time"), "{twice}");
        let early = worker.open_context(sends_early, (), async |near, first| near.finish().await.map(|()| first));
        let early = soon(early).await?;
        assert!(early.contains("before `started`; call `started(first)` first"), "{early}");
        let late = worker.open_context(echoes, (), async |mut near, ()| {
            near.stop();
            let late = refusal(near.send(1).await.map_err(Into::into))?;
            assert_eq!(near.recv().await?, None, "it was not sent");
            Ok((late, near.finish().await?))
        });
        let (late, received) = soon(late).await?;
        assert!(late.contains("this side has already ended its items"), "{late}");
        assert_eq!(received, 0);
        Ok(())
    })
    .await
}

async fn d04_an_end_before_started_is_the_openers_error(way: Way) -> Result<()> {
    with_worker(way, async |worker| {
        let failed = worker.open_context(fails_at_once, (), async |_near, ()| -> Result<()> { unreachable!() });
        assert_sensor_lost(&soon(failed).await.unwrap_err(), &worker);
        let returned = worker.open_context(returns_at_once, (), async |_near, ()| -> Result<()> { unreachable!() });
        let error = soon(returned).await.unwrap_err();
        assert!(error.downcast_ref::<NeverStarted>().is_some(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("returns_at_once") && text.contains(worker.path()), "{text}");
        assert!(text.contains("call `far.started(first)` before it returns"), "{text}");
        Ok(())
    })
    .await
}

/// Where the opener's body waits when the far task fails.
#[derive(Clone, Copy, Debug)]
enum Parked {
    Sleep,
    Recv,
    Finish,
    NestedNursery,
    Select,
    OtherCall,
    OtherContext,
}

async fn d05_a_far_failure_wakes_the_body_wherever_it_is(way: Way) -> Result<()> {
    use Parked::{Finish, NestedNursery, OtherCall, OtherContext, Recv, Select, Sleep};
    with_worker(way, async |worker| {
        let places = [Sleep, Recv, Finish, NestedNursery, Select, OtherCall, OtherContext];
        try_join_all(places.map(|place| wakes(&worker, place))).await.map(drop)
    })
    .await
}

async fn wakes(worker: &Portal, place: Parked) -> Result<()> {
    let opened = worker.open_context(fails_when_told, (), async |mut near, ()| {
        near.send(()).await?;
        match place {
            Parked::Sleep => sleep(HOUR).await,
            Parked::Recv => near.recv().await.map(drop),
            Parked::Finish => near.finish().await,
            Parked::NestedNursery => {
                nursery(async |n| n.spawn(nursery(async |_| sleep(HOUR).await))?.join().await).await
            }
            Parked::Select => {
                let (slept, received) = (pin!(sleep(HOUR)), pin!(async { near.recv().await.map(drop) }));
                select(slept, received).await.factor_first().0
            }
            Parked::OtherCall => worker.run(sleeps, ()).await.map(drop),
            Parked::OtherContext => {
                worker.open_context(echoes, (), async |mut near, ()| near.recv().await.map(drop)).await
            }
        }
    });
    let since = Instant::now();
    let error = soon(opened).await.unwrap_err().context(format!("parked in {place:?}"));
    assert_sensor_lost(&error, worker);
    assert!(since.elapsed() < SOON, "it was found only when the time was up, {error}");
    Ok(())
}

fn main() {
    let mut tests = vec![harness::actors("inherited::d01_a_death_is_an_outcome_and_carries_the_status", || {
        d01_a_death_is_an_outcome_and_carries_the_status()
    })];
    macro_rules! tests {
        ($($test:ident),* $(,)?) => { $(tests.extend(all_ways(stringify!($test), $test));)* };
    }
    tests! {
        c04_reasons_travel_with_their_origin,
        l17_a_context_can_be_asked_how_its_opener_left,
        d01_a_call_ends_as_value_error_or_cancelled,
        d01_a_context_ends_as_value_error_or_cancelled,
        d01_a_cancel_that_crosses_a_return_leaves_one_outcome,
        d02_the_openers_scope_ends_after_the_far_task,
        d02_a_dropped_opener_is_waited_for_by_the_scope_around,
        d03_a_step_out_of_turn_is_an_error_at_its_caller,
        d04_an_end_before_started_is_the_openers_error,
        d05_a_far_failure_wakes_the_body_wherever_it_is,
    }
    harness::main(tests);
}
