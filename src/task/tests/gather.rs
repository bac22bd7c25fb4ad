//! Several resources for one body, as `Shared` has one for many.

use super::*;
use crate::Error;
use crate::error::Misuse;
use crate::task::{Holder, clock, fail_after, gather, move_on_after, nursery, shield, sleep};

/// What a resource of the tests does: how long it takes, and how it fails.
#[derive(Clone, Copy)]
struct Plan {
    name: &'static str,
    opens: u64,
    closes: u64,
    fails_to_open: bool,
    fails_to_close: bool,
}

impl Plan {
    fn new(name: &'static str, opens: u64, closes: u64) -> Self {
        Self { name, opens, closes, fails_to_open: false, fails_to_close: false }
    }

    async fn run(self, log: Log, holder: Holder<&'static str>) -> Result<()> {
        let Self { name, opens, closes, fails_to_open, fails_to_close } = self;
        let _gone = log.at_drop(&format!("{name} is gone"));
        sleep(ms(opens)).await?;
        if fails_to_open {
            return Err(Failed(name).into());
        }
        log.add(format!("{name} is open"));
        holder.provide(name).await?;
        sleep(ms(closes)).await?;
        log.add(format!("{name} is closed"));
        if fails_to_close { Err(Failed(name).into()) } else { Ok(()) }
    }
}

/// Openers of these resources.
fn openers<const N: usize>(log: &Log, plans: [Plan; N]) -> impl Iterator<Item = impl AsyncOpener> {
    let log = log.clone();
    plans.into_iter().map(move |plan| {
        let log = log.clone();
        move |holder| -> Opening { Box::pin(plan.run(log, holder)) }
    })
}

type Opening = std::pin::Pin<Box<dyn Future<Output = Result<()>> + Send>>;

trait AsyncOpener: FnOnce(Holder<&'static str>) -> Opening {}
impl<F: FnOnce(Holder<&'static str>) -> Opening> AsyncOpener for F {}

/// Where each text is among those that were logged.
fn places(log: &[String], texts: &[&str]) -> Vec<usize> {
    let place =
        |text: &&str| log.iter().position(|line| line == text).unwrap_or_else(|| panic!("no {text} in {log:?}"));
    texts.iter().map(place).collect()
}

#[test]
fn values_are_in_the_order_of_the_openers_and_all_is_done_at_the_same_time() {
    let log = Log::default();
    let took = virtually(nursery(async |_| {
        let start = clock::now();
        let plans = [Plan::new("a", 30, 10), Plan::new("b", 10, 30), Plan::new("c", 20, 20)];
        let values = gather(openers(&log, plans), async |values| {
            assert_eq!(clock::now() - start, ms(30), "as long as the slowest");
            sleep(ms(5)).await?;
            Ok(values)
        });
        assert_eq!(values.await?, ["a", "b", "c"]);
        Ok(clock::now() - start)
    }));
    assert_eq!(took.unwrap(), ms(65));
    let log: Vec<_> = log.take().into_iter().filter(|line| !line.ends_with("gone")).collect();
    let expected = ["b is open", "c is open", "a is open", "a is closed", "c is closed", "b is closed"];
    assert_eq!(log, expected);
}

#[test]
fn nothing_to_gather_is_an_error() {
    let refused = virtually(gather(openers(&Log::default(), []), async |_| Ok(()))).unwrap_err();
    assert!(refused.downcast_ref::<Misuse>().is_some());
}

#[test]
fn the_first_failure_cancels_what_is_being_opened_and_closes_what_is_open() {
    let log = Log::default();
    let plans =
        [Plan::new("a", 1, 10), Plan { fails_to_open: true, ..Plan::new("b", 5, 0) }, Plan::new("c", 60_000, 0)];
    let (failure, took) = virtually(async {
        let start = clock::now();
        let failure = gather(openers(&log, plans), async |_| Ok(())).await.unwrap_err();
        (failure, clock::now() - start)
    });
    assert_eq!((failure.downcast_ref(), took), (Some(&Failed("b")), ms(15)));
    assert_eq!(log.take(), ["a is open", "b is gone", "c is gone", "a is closed", "a is gone"]);
}

#[test]
fn a_failure_of_the_body_closes_all_and_comes_before_theirs() {
    let log = Log::default();
    let plans = [Plan { fails_to_close: true, ..Plan::new("a", 0, 1000) }, Plan::new("b", 0, 400)];
    let failure = virtually(gather(openers(&log, plans), async |_| Err::<(), Error>(Failed("body").into())));
    let failure = failure.unwrap_err();
    let leaves: Vec<_> = failure.failures().iter().map(Error::to_string).collect();
    assert_eq!(leaves, ["body", "a"], "a failure shortens no cleanup");
    let log = log.take();
    assert!(places(&log, &["b is closed", "a is closed"]).is_sorted());
}

#[test]
fn c09_failures_of_several_cleanups_are_all_told() {
    let plans = ["a", "b", "c"].map(|name| Plan { fails_to_close: name != "b", ..Plan::new(name, 0, 5) });
    let failure = virtually(gather(openers(&Log::default(), plans), async |_| Ok(()))).unwrap_err();
    let leaves: Vec<_> = failure.failures().iter().map(Error::to_string).collect();
    assert_eq!(leaves, ["a", "c"]);
}

#[test]
fn a_cancel_from_outside_closes_what_is_open_within_the_grace() {
    let log = Log::default();
    let plans = [Plan::new("a", 0, 100), Plan::new("b", 0, 60_000)];
    let (outcome, took) = virtually(async {
        let start = clock::now();
        let outcome = move_on_after(ms(50), gather(openers(&log, plans), async |_| never().await)).await;
        (outcome, clock::now() - start)
    });
    assert_eq!((outcome.unwrap(), took), (None, ms(350)));
    let log = log.take();
    assert!(places(&log, &["a is closed", "a is gone", "b is gone"]).is_sorted());
    assert!(!log.contains(&"b is closed".to_owned()));
}

#[test]
fn a_resource_that_fails_in_use_cancels_the_body() {
    let log = Log::default();
    let plans = [Plan::new("a", 0, 5), Plan::new("b", 0, 5)];
    let breaks = move |holder: Holder<&'static str>| -> Opening {
        let breaks = async {
            sleep(ms(5)).await?;
            Err(Failed("broken").into())
        };
        Box::pin(futures_lite::future::or(holder.provide("broken"), breaks))
    };
    let boxed = |opener| -> Box<dyn FnOnce(Holder<&'static str>) -> Opening> { opener };
    let all = openers(&log, plans).map(|opener| boxed(Box::new(opener))).chain([boxed(Box::new(breaks))]);
    let failure = virtually(gather(all, async |values| {
        assert_eq!(values, ["a", "b", "broken"]);
        let told = never().await;
        log.add("told");
        shield(ms(20), sleep(ms(1))).await?;
        told
    }));
    assert_eq!(failure.unwrap_err().downcast_ref(), Some(&Failed("broken")));
    let log = log.take();
    assert_eq!(places(&log, &["a is open", "b is open", "told"]), [0, 1, 2]);
    assert!(log.contains(&"a is closed".to_owned()) && log.contains(&"b is closed".to_owned()));
}

#[test]
fn c14_a_panic_in_one_opener_cancels_the_others() {
    let log = Log::default();
    let panics = |_: Holder<&'static str>| -> Opening { panic!("before it is a future") };
    let boxed = |opener| -> Box<dyn FnOnce(Holder<&'static str>) -> Opening> { opener };
    let all = openers(&log, [Plan::new("a", 0, 5)]).map(|opener| boxed(Box::new(opener)));
    let failure = virtually(gather(all.chain([boxed(Box::new(panics))]), async |_| Ok(())));
    assert!(failure.unwrap_err().is_panic());
    assert_eq!(log.take(), ["a is gone"], "it has met the cancel at its first await");
}

#[test]
fn dropped_at_every_poll() {
    for polls in 0..40 {
        let log = Log::default();
        virtually(async {
            let plans = [Plan::new("a", 0, 1), Plan::new("b", 2, 3)];
            let mut work = Box::pin(fail_after(ms(1000), gather(openers(&log, plans), async |_| sleep(ms(2)).await)));
            for _ in 0..polls {
                if futures_lite::future::poll_once(&mut work).await.is_some() {
                    return;
                }
                sleep(ms(1) / 4).await.unwrap();
            }
        });
        let log = log.take();
        let count = |what| log.iter().filter(|line| line.ends_with(what)).count();
        assert!(count("gone") >= count("open") && count("closed") <= count("gone"), "{polls}: {log:?}");
    }
}
