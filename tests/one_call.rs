//! Actors for one call: the result is the caller's, and nothing is left, however it ends (laws P1, P3, C14).

mod harness;

use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::processes::{actors as actors_called, assert_gone, children, kill};
use harness::{By, SOON, Way, actors, all_ways, soon, unique};
use pleach::actor::{ActorDied, ActorNursery};
use pleach::prelude::*;

#[pleach::endpoint]
async fn double(n: u64) -> Result<u64> {
    Ok(2 * n)
}

#[derive(Debug)]
struct Odd(u64);

impl std::fmt::Display for Odd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is odd", self.0)
    }
}

impl std::error::Error for Odd {}

#[pleach::endpoint]
async fn half(n: u64) -> Result<u64> {
    if n % 2 == 1 {
        return Err(Odd(n).into());
    }
    Ok(n / 2)
}

#[pleach::endpoint]
async fn panics() -> Result<()> {
    panic!("what was I to do?")
}

#[pleach::endpoint]
async fn kills_itself() -> Result<()> {
    kill(std::process::id());
    std::future::pending().await
}

/// Says that it runs by a file that the caller waits for.
#[pleach::endpoint]
async fn parks(sign: String) -> Result<()> {
    std::fs::write(sign, "up")?;
    sleep(SOON * 100).await
}

/// The same once more: tests run beside each other, and tell their actors by the names of the functions.
#[pleach::endpoint]
async fn waits(sign: String) -> Result<()> {
    parks(sign).await
}

/// The children of this process that were started for this function, also those that were not reaped.
fn started_for(function: &str) -> usize {
    let (ours, called) = (children(), actors_called(&format!("root/{function}-")));
    called.into_iter().filter(|pid| ours.contains(pid)).count()
}

/// Not an endpoint.
async fn triple(n: u64) -> Result<u64> {
    Ok(3 * n)
}

/// A file that does not exist, until `parks` makes it.
fn sign() -> PathBuf {
    std::env::temp_dir().join(unique("pleach-one-call"))
}

async fn appears(sign: &Path) -> Result<()> {
    while !sign.exists() {
        sleep(Duration::from_millis(1)).await?;
    }
    Ok(std::fs::remove_file(sign)?)
}

async fn p01_the_result_is_the_callers_and_the_actor_is_gone() -> Result<()> {
    assert_eq!(soon(run_in_actor(double, (21,))).await?, 42);
    let all_ways = nursery(async |n| {
        let (one, two) = (n.spawn(run_in_actor(double, (1,)))?, n.spawn(run_in_actor(half, (8,)))?);
        Ok((one.join().await?, two.join().await?))
    });
    assert_eq!(soon(all_ways).await?, (2, 4));
    assert_eq!(started_for("double"), 0);
    Ok(())
}

async fn p01_a_described_actor_lives_for_one_call(way: Way) -> Result<()> {
    let name = unique("one");
    soon(actor_nursery(async |n: ActorNursery| {
        for number in 0..3 {
            // The name is free again.
            assert_eq!(n.actor(&name).by(way).run(double, (number,)).await?, 2 * number);
        }
        let error = n.actor(&name).by(way).run(half, (7,)).await.unwrap_err();
        let remote = error.remote().expect("it failed in another actor");
        assert_eq!((remote.actor.as_str(), remote.message.as_str()), (format!("root/{name}").as_str(), "7 is odd"));
        // The nursery has not failed by that.
        assert_eq!(n.actor(&name).by(way).run(half, (8,)).await?, 4);
        assert_gone(&[], &name);
        Ok(())
    }))
    .await
}

async fn a_failure_there_is_the_failure_here() -> Result<()> {
    let error = soon(run_in_actor(half, (7,))).await.unwrap_err();
    let remote = error.remote().expect("it failed in another actor");
    assert!(remote.actor.starts_with("root/half-"), "{remote:?}");
    assert_eq!((remote.message.as_str(), remote.type_name.as_str()), ("7 is odd", "one_call::Odd"));
    Ok(())
}

async fn c14_a_panic_there_is_an_error_here() -> Result<()> {
    let error = soon(run_in_actor(panics, ())).await.unwrap_err();
    assert!(error.is_panic() && error.to_string().contains("what was I to do?"), "{error:?}");
    let remote = error.remote().expect("it panicked in another actor");
    assert!(remote.trace.as_ref().is_some_and(|trace| trace.contains("one_call.rs")), "{remote:?}");
    Ok(())
}

async fn p03_a_death_there_names_the_actor_and_the_signal() -> Result<()> {
    let error = soon(run_in_actor(kills_itself, ())).await.unwrap_err();
    let died = error.downcast_ref::<ActorDied>().unwrap_or_else(|| panic!("{error:?}"));
    assert!(died.actor.starts_with("root/kills_itself-"), "{died:?}");
    assert_eq!(died.signal, Some(9));
    assert!(error.to_string().contains("SIGKILL (9)"), "{error}");
    Ok(())
}

async fn p01_a_cancel_of_the_caller_ends_the_actor() -> Result<()> {
    let (scope, sign) = (CancelScope::new(), sign());
    let called = nursery(async |n| {
        let called = n.spawn(scope.run(run_in_actor(parks, (sign.display().to_string(),))))?;
        appears(&sign).await?;
        assert_eq!(started_for("parks"), 1);
        scope.cancel("not needed any more");
        called.join().await
    });
    assert_eq!(soon(called).await?, None);
    assert_eq!(started_for("parks"), 0);
    Ok(())
}

async fn c12_a_dropped_call_leaves_nothing() -> Result<()> {
    let sign = sign();
    let around = CancelScope::new().run(async {
        let call = run_in_actor(waits, (sign.display().to_string(),));
        futures_lite::future::or(call, appears(&sign)).await
    });
    soon(around).await?;
    assert_eq!(started_for("waits"), 0);
    Ok(())
}

/// The nursery goes on; the actor of the call does not.
async fn c12_a_dropped_call_ends_its_actor(way: Way) -> Result<()> {
    let (sign, name) = (sign(), unique("dropped"));
    soon(actor_nursery(async |n: ActorNursery| {
        let call = n.actor(&name).by(way).run(parks, (sign.display().to_string(),));
        futures_lite::future::or(call, appears(&sign)).await
    }))
    .await?;
    assert_gone(&[], &name);
    Ok(())
}

async fn what_cannot_be_called_is_refused_and_nothing_started() -> Result<()> {
    let error = soon(run_in_actor(triple, (1,))).await.unwrap_err();
    assert!(error.is_misuse() && error.to_string().contains("`one_call::triple` is not an endpoint"), "{error:?}");
    assert_eq!(started_for("triple"), 0);
    Ok(())
}

fn main() {
    let mut tests = vec![];
    macro_rules! inherited {
        ($($test:ident),* $(,)?) => { $(tests.push(actors(concat!("inherited::", stringify!($test)), $test));)* };
    }
    tests.extend(all_ways("p01_a_described_actor_lives_for_one_call", p01_a_described_actor_lives_for_one_call));
    tests.extend(all_ways("c12_a_dropped_call_ends_its_actor", c12_a_dropped_call_ends_its_actor));
    inherited! {
        p01_the_result_is_the_callers_and_the_actor_is_gone,
        a_failure_there_is_the_failure_here,
        c14_a_panic_there_is_an_error_here,
        p03_a_death_there_names_the_actor_and_the_signal,
        p01_a_cancel_of_the_caller_ends_the_actor,
        c12_a_dropped_call_leaves_nothing,
        what_cannot_be_called_is_refused_and_nothing_started,
    }
    harness::main(tests);
}
