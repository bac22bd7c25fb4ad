//! What several futures come to: the policies of `join`, and the engine below them.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::Error;
use crate::error::{Mark, Reason};
use crate::task::join::{Flow, Policy, TooFew};
use crate::task::outcome::cancelled;
use crate::task::snapshot::{TaskState, snapshot};
use crate::task::{WaitsFor, clock, current_effective_deadline, fail_after, join, shield, sleep};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

fn is_send<T: Send>(value: T) -> T {
    value
}

/// Runs it on virtual time and says how long it took there.
fn timed<F: Future>(future: F) -> (F::Output, Duration) {
    virtually(async {
        let start = clock::now();
        let output = future.await;
        (output, clock::now() - start)
    })
}

/// Waits for its cancel.
async fn waits<T>() -> Result<T> {
    cancellable(pending()).await
}

/// Succeeds after a while.
async fn gives<T>(after: u64, value: T) -> Result<T> {
    sleep(ms(after)).await?;
    Ok(value)
}

/// Fails after a while.
async fn fails<T>(after: u64, text: &'static str) -> Result<T> {
    sleep(ms(after)).await?;
    Err(Failed(text).into())
}

/// Waits for its cancel, and takes its time to clean up.
async fn cleans_up<T>(log: Log, name: &'static str, takes: u64) -> Result<T> {
    let told = waits::<()>().await.unwrap_err();
    shield(ms(10_000), sleep(ms(takes))).await?;
    log.add(name);
    Err(told)
}

/// Waits for its cancel, and fails then.
async fn fails_late<T>(text: &'static str) -> Result<T> {
    waits::<()>().await.unwrap_err();
    Err(Failed(text).into())
}

/// Waits for its cancel, and gives what it has.
async fn gives_late<T>(value: T) -> Result<T> {
    waits::<()>().await.unwrap_err();
    Ok(value)
}

/// The names of the failures in an error, and whether each came after a cancel.
fn leaves(error: &Error) -> Vec<(String, bool)> {
    error.failures().iter().map(|leaf| (leaf.to_string(), leaf.is_after_cancel())).collect()
}

fn named(names: &[(&str, bool)]) -> Vec<(String, bool)> {
    names.iter().map(|(name, late)| ((*name).to_owned(), *late)).collect()
}

// ---- what kind of futures

#[test]
fn futures_borrow_and_the_whole_can_be_sent() {
    let names = ["ash".to_owned(), "hazel".to_owned()];
    let count = AtomicUsize::new(0);
    let lengths = || {
        names.iter().map(async |name| {
            checkpoint().await?;
            count.fetch_add(1, Ordering::SeqCst);
            Ok(name.as_str())
        })
    };
    assert_eq!(virtually(is_send(join::all(lengths()))).unwrap(), ["ash", "hazel"]);
    assert_eq!(virtually(is_send(join::first_ok(lengths()))).unwrap(), "ash");
    assert_eq!(virtually(is_send(join::quorum(2, lengths()))).unwrap(), [(0, "ash"), (1, "hazel")]);
    assert_eq!(virtually(is_send(join::outcomes(lengths()))).unwrap().len(), 2);
    assert_eq!(virtually(is_send(join::within(ms(5), lengths()))).unwrap().len(), 2);
    assert_eq!(virtually(is_send(join::with(Told::default(), lengths()))).unwrap().len(), 2);
    assert_eq!(count.into_inner(), 12);
}

#[test]
fn the_iterator_itself_need_not_be_send() {
    let made = std::rc::Rc::new(Cell::new(0));
    let work = is_send(join::all((0..3).map(|number| {
        made.set(made.get() + 1);
        async move { Ok(number) }
    })));
    assert_eq!(made.get(), 3, "the futures are made at the call");
    assert_eq!(virtually(work).unwrap(), [0, 1, 2]);
}

#[test]
fn futures_of_several_types_come_in_boxes() {
    let mut borrowed = Vec::new();
    let work: Vec<Boxed<'_, u32>> = vec![
        Box::pin(gives(2, 1)),
        Box::pin(async {
            borrowed.push(2);
            Ok(2)
        }),
    ];
    assert_eq!(virtually(is_send(join::all(work))).unwrap(), [1, 2]);
    assert_eq!(borrowed, [2]);
}

#[test]
fn runs_as_a_task_of_a_runtime_with_several_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let work = async {
        let texts = ["1".to_owned(), "2".to_owned(), "x".to_owned()];
        let parse = |text: &'static str| async move {
            checkpoint().await?;
            Ok(text.parse::<u32>()?)
        };
        let borrowed = join::all(texts.iter().map(async |text| gives(1, text.len()).await)).await?;
        let first = join::first_ok(["x", "7"].map(parse)).await?;
        let two = join::quorum(2, ["1", "x", "2"].map(parse)).await?;
        let all = join::outcomes(["1", "x"].map(parse)).await?;
        let some = join::within(Duration::from_secs(20), ["1", "x"].map(parse)).await?;
        Ok::<_, Error>((borrowed, first, two, all.len(), some.len()))
    };
    let outcome = really(runtime.spawn(work)).unwrap().unwrap();
    assert_eq!(outcome, (vec![1, 1, 1], 7, vec![(0, 1), (2, 2)], 2, 2));
}

// ---- all

#[test]
fn all_gives_the_values_in_the_order_of_the_futures() {
    let (outcome, took) = timed(join::all([3, 1, 2].map(|after| gives(after, after))));
    assert_eq!((outcome.unwrap(), took), (vec![3, 1, 2], ms(3)));
}

#[test]
fn all_cancels_the_rest_at_the_first_failure() {
    let log = Log::default();
    let told = async {
        let error = waits::<()>().await.unwrap_err();
        let reason = &error.mark().unwrap().reason;
        log.add(format!("{}", matches!(reason, Reason::SiblingFailed { .. })));
        Err(error)
    };
    let work: Vec<Boxed<'_, u32>> = vec![Box::pin(gives(1, 1)), Box::pin(told), Box::pin(fails(5, "first"))];
    let (outcome, took) = timed(join::all(work));
    let failure = outcome.unwrap_err();
    assert_eq!((failure.downcast_ref(), took), (Some(&Failed("first")), ms(5)));
    assert_eq!(log.take(), ["true"]);
}

#[test]
fn c09_all_keeps_every_failure_and_the_late_ones_last() {
    let work: Vec<Boxed<'_, ()>> =
        vec![Box::pin(fails_late("late")), Box::pin(fails(5, "one")), Box::pin(waits()), Box::pin(fails(5, "two"))];
    let failure = virtually(join::all(work)).unwrap_err();
    assert_eq!(leaves(&failure), named(&[("one", false), ("two", false), ("late", true)]));
}

// ---- first_ok

#[test]
fn first_ok_gives_the_first_value_and_cancels_the_rest() {
    let log = Log::default();
    let work: Vec<Boxed<'_, u32>> =
        vec![Box::pin(fails(1, "bad")), Box::pin(cleans_up(log.clone(), "cleaned", 50)), Box::pin(gives(5, 7))];
    let (outcome, took) = timed(join::first_ok(work));
    assert_eq!((outcome.unwrap(), took), (7, ms(55)), "the one that is cancelled has its grace");
    assert_eq!(log.take(), ["cleaned"]);
}

#[test]
fn first_ok_tells_of_all_failures_when_all_fail() {
    let failure = virtually(join::first_ok([fails::<()>(1, "alone")])).unwrap_err();
    assert_eq!(failure.downcast_ref(), Some(&Failed("alone")), "bare");
    let work = [(3, "third"), (1, "first"), (2, "second")].map(|(after, text)| fails::<()>(after, text));
    let (outcome, took) = timed(join::first_ok(work));
    assert_eq!(leaves(&outcome.unwrap_err()), named(&[("first", false), ("second", false), ("third", false)]));
    assert_eq!(took, ms(3));
}

// ---- quorum

#[test]
fn quorum_gives_the_first_values_in_the_order_of_arrival() {
    let (outcome, took) = timed(join::quorum(2, [3, 9, 1].map(|after| gives(after, after * 10))));
    assert_eq!((outcome.unwrap(), took), (vec![(2, 10), (0, 30)], ms(3)));
}

#[test]
fn quorum_fails_as_soon_as_it_cannot_be_reached() {
    let work: Vec<Boxed<'_, u32>> = vec![
        Box::pin(gives(1, 1)),
        Box::pin(fails(2, "one")),
        Box::pin(fails_late("late")),
        Box::pin(gives_late(4)),
        Box::pin(fails(3, "two")),
        Box::pin(fails(4, "three")),
    ];
    let (outcome, took) = timed(join::quorum(4, work));
    assert_eq!(
        leaves(&outcome.unwrap_err()),
        named(&[("one", false), ("two", false), ("three", false), ("late", true)])
    );
    assert_eq!(took, ms(4));
}

#[test]
fn quorum_of_none_starts_nothing() {
    let log = Log::default();
    let logs = || async {
        log.add("started");
        Ok(1)
    };
    assert_eq!(virtually(join::quorum(0, [logs(), logs()])).unwrap(), []);
    let (outcome, took) = timed(join::quorum(3, [logs(), logs()]));
    let failure = outcome.unwrap_err();
    assert_eq!((failure.downcast_ref(), took), (Some(&TooFew { needed: 3, given: 2 }), ms(0)));
    assert_eq!(failure.to_string(), "3 of the futures must succeed, and there are 2");
    assert!(log.take().is_empty());
}

#[test]
fn quorum_of_as_many_as_there_are_needs_all() {
    assert_eq!(virtually(join::quorum(2, [gives(2, 'a'), gives(1, 'b')])).unwrap(), [(1, 'b'), (0, 'a')]);
    let work: Vec<Boxed<'_, char>> = vec![Box::pin(gives(1, 'a')), Box::pin(fails(2, "one"))];
    assert_eq!(virtually(join::quorum(2, work)).unwrap_err().downcast_ref(), Some(&Failed("one")));
}

// ---- outcomes

#[test]
fn outcomes_gives_every_outcome_and_cancels_nobody() {
    let work: Vec<Boxed<'_, u32>> = vec![
        Box::pin(gives(9, 1)),
        Box::pin(fails(1, "bad")),
        Box::pin(async { panic!("on purpose") }),
        Box::pin(gives(2, 4)),
    ];
    let (outcomes, took) = timed(join::outcomes(work));
    let outcomes = outcomes.unwrap();
    assert!(matches!(&outcomes[..], [Ok(1), Err(bad), Err(panic), Ok(4)] if !bad.is_panic() && panic.is_panic()));
    assert_eq!(took, ms(9));
}

// ---- within

#[test]
fn within_gives_what_has_ended_by_then() {
    let log = Log::default();
    let work: Vec<Boxed<'_, u32>> = vec![
        Box::pin(gives(10, 1)),
        Box::pin(fails(10, "bad")),
        Box::pin(gives(30, 3)),
        Box::pin(async {
            assert_eq!(waits::<()>().await.unwrap_err().mark().unwrap().reason, Reason::Deadline);
            cleans_up(log.clone(), "cleaned", 50).await
        }),
        Box::pin(pending()),
    ];
    let (outcomes, took) = timed(join::within(ms(20), work));
    assert!(matches!(&outcomes.unwrap()[..], [Some(Ok(1)), Some(Err(_)), None, None, None]));
    assert_eq!((log.take(), took), (vec!["cleaned".to_owned()], ms(70)));
}

#[test]
fn within_does_not_wait_for_the_time_when_all_have_ended() {
    let (outcomes, took) = timed(join::within(ms(1000), [gives(1, 1), gives(2, 2)]));
    assert!(matches!(&outcomes.unwrap()[..], [Some(Ok(1)), Some(Ok(2))]));
    assert_eq!(took, ms(2));
}

#[test]
fn within_loses_nothing_that_ends_at_the_very_end_or_after_the_cancel() {
    let work: Vec<Boxed<'_, &str>> =
        vec![Box::pin(gives(20, "just")), Box::pin(gives_late("so far")), Box::pin(fails_late("cleanup"))];
    let outcomes = virtually(join::within(ms(20), work)).unwrap();
    assert!(matches!(&outcomes[..], [Some(Ok("just")), Some(Ok("so far")), Some(Err(late))] if late.is_after_cancel()));
}

#[test]
fn within_lets_its_futures_know_how_long_they_have() {
    let asks = || async { Ok(current_effective_deadline().unwrap() - clock::now()) };
    let outcomes = virtually(join::within(ms(20), [asks()])).unwrap();
    assert!(matches!(&outcomes[..], [Some(Ok(left))] if *left == ms(20)));
    let sooner = virtually(fail_after(ms(7), join::within(ms(20), [asks()]))).unwrap();
    assert!(matches!(&sooner[..], [Some(Ok(left))] if *left == ms(7)));
}

#[test]
fn within_no_time_starts_nothing() {
    let log = Log::default();
    let work = async {
        log.add("started");
        Ok(())
    };
    let (outcomes, took) = timed(join::within(Duration::ZERO, [work]));
    assert!(matches!(&outcomes.unwrap()[..], [None]));
    assert_eq!((log.take().len(), took), (0, ms(0)));
}

// ---- of nothing, and of several at once

#[test]
fn of_no_futures() {
    let none = Vec::<Boxed<'_, u32>>::new;
    assert!(virtually(join::all(none())).unwrap().is_empty());
    assert!(virtually(join::outcomes(none())).unwrap().is_empty());
    let (outcomes, took) = timed(join::within(ms(20), none()));
    assert_eq!((outcomes.unwrap().len(), took), (0, ms(0)));
    assert!(virtually(join::quorum(0, none())).unwrap().is_empty());
    let few = [virtually(join::first_ok(none())).unwrap_err(), virtually(join::quorum(1, none())).unwrap_err()];
    for failure in few {
        assert_eq!(failure.downcast_ref(), Some(&TooFew { needed: 1, given: 0 }));
        assert!(!failure.is_cancelled());
    }
}

#[test]
fn nothing_is_lost_when_two_succeed_in_one_turn() {
    let dropped = AtomicUsize::new(0);
    let value = || {
        AtDrop::new(|| {
            dropped.fetch_add(1, Ordering::SeqCst);
        })
    };
    let pair = || {
        let ready = || async { Ok(value()) };
        vec![Box::pin(ready()) as Boxed<'_, _>, Box::pin(ready())]
    };
    assert_eq!(virtually(join::quorum(2, pair())).unwrap().len(), 2);
    assert_eq!(dropped.swap(0, Ordering::SeqCst), 2, "both were given");
    let first = virtually(join::first_ok(pair())).unwrap();
    assert_eq!(dropped.load(Ordering::SeqCst), 1, "one is given, the other dropped and not forgotten");
    drop(first);
    let both = virtually(join::within(ms(1), pair())).unwrap();
    assert!(matches!(&both[..], [Some(Ok(_)), Some(Ok(_))]));
    assert!(matches!(&virtually(join::outcomes(pair())).unwrap()[..], [Ok(_), Ok(_)]));
}

#[test]
fn many_at_once_and_each_is_told_of_once() {
    let work = (0..1000).map(async |number| {
        checkpoint().await?;
        Ok(number)
    });
    let told = virtually(join::with(Told::default(), work)).unwrap();
    assert_eq!(told, (0..1000).collect::<Vec<_>>());
}

// ---- cancels

#[test]
fn c05_a_cancel_of_a_scope_around_passes_through_as_what_it_is() {
    fn cancelled_in<T>(join: impl FnOnce(Vec<Boxed<'static, u32>>) -> Boxed<'static, T>) {
        let (scope, log) = (CancelScope::new(), Log::default());
        let work: Vec<Boxed<'static, u32>> =
            vec![Box::pin(waits()), Box::pin(pending()), Box::pin(cleans_up(log.clone(), "cleaned", 50))];
        let canceller = scope.clone();
        let join = join(work);
        let (outcome, took) = timed(scope.run(async {
            let (outcome, ()) = futures_util::future::join(join, async {
                sleep(ms(5)).await.unwrap();
                canceller.cancel("test");
            })
            .await;
            assert!(is_cancel_of(&outcome, &canceller), "{:?}", outcome.err());
            outcome.map(drop)
        }));
        assert_eq!((outcome.unwrap(), took), (None, ms(55)));
        assert_eq!(log.take(), ["cleaned"]);
    }
    cancelled_in(|work| Box::pin(join::all(work)));
    cancelled_in(|work| Box::pin(join::first_ok(work)));
    cancelled_in(|work| Box::pin(join::quorum(2, work)));
    cancelled_in(|work| Box::pin(join::outcomes(work)));
    cancelled_in(|work| Box::pin(join::within(ms(1000), work)));
    cancelled_in(|work| Box::pin(join::with(Told::default(), work)));
}

/// Cancels the scope around `work` from one of the futures, in the turn in which the others have ended.
#[test]
fn a_cancel_from_around_does_not_undo_what_is_certain() {
    // A value: the loser is still being cleaned up when the cancel comes.
    let scope = CancelScope::new();
    let loser = async {
        waits::<u32>().await.unwrap_err();
        scope.cancel("too late");
        waits().await
    };
    let work: Vec<Boxed<'_, u32>> = vec![Box::pin(gives(1, 7)), Box::pin(loser)];
    assert_eq!(virtually(scope.run(join::first_ok(work))).unwrap(), Some(7));

    // Failures: C9, they win over the cancel.
    let scope = CancelScope::new();
    let loser = async {
        waits::<u32>().await.unwrap_err();
        scope.cancel("too late");
        waits().await
    };
    let work: Vec<Boxed<'_, u32>> = vec![Box::pin(fails(1, "one")), Box::pin(loser)];
    let outcome = virtually(scope.run(join::quorum(2, work)));
    assert_eq!(outcome.unwrap_err().downcast_ref(), Some(&Failed("one")));
}

#[test]
fn c09_what_fails_in_the_cleanup_of_a_cancel_from_around() {
    let cancelled = |join: Boxed<'static, ()>| {
        let scope = CancelScope::new().with_timeout(ms(5));
        virtually(scope.run(join))
    };
    let pair = || -> Vec<Boxed<'static, ()>> { vec![Box::pin(fails_late("cleanup")), Box::pin(waits())] };
    let failed = cancelled(Box::pin(async move { join::all(pair()).await.map(drop) }));
    assert_eq!(leaves(&failed.unwrap_err()), named(&[("cleanup", true)]), "one failure is enough for `all`");
    let tolerated = cancelled(Box::pin(async move { join::outcomes(pair()).await.map(drop) }));
    assert_eq!(tolerated.unwrap(), None, "here it would have been an outcome beside others");
}

#[test]
fn a_cancel_that_belongs_to_no_scope_around_is_a_failure() {
    let stray = || async {
        let mark = Mark { scope: CancelScope::new().id(), reason: Reason::PeerGone };
        Err::<u32, _>(cancelled(mark))
    };
    for failure in [virtually(join::all([stray()])).unwrap_err(), virtually(join::first_ok([stray()])).unwrap_err()] {
        assert!(!failure.is_cancelled() && failure.mark().is_some(), "{failure:?}");
    }
    let work: Vec<Boxed<'_, u32>> = vec![Box::pin(stray()), Box::pin(gives(5, 7))];
    assert_eq!(virtually(join::first_ok(work)).unwrap(), 7);
}

/// One that answers a cancel by the policy with a cancel and a failure: the failure counts.
#[test]
fn c05_of_a_group_the_cancel_is_absorbed_and_the_failure_is_not() {
    let mixed = async {
        let own = waits::<u32>().await.unwrap_err();
        Err(crate::error::Group(vec![own, Failed("mixed").into()]).into())
    };
    let work: Vec<Boxed<'_, u32>> = vec![Box::pin(fails(1, "one")), Box::pin(mixed)];
    let failure = virtually(join::all(work)).unwrap_err();
    assert_eq!(leaves(&failure), named(&[("one", false), ("mixed", true)]));
}

#[test]
fn c08_those_that_are_cancelled_are_waited_for_no_longer_than_their_grace() {
    let log = Log::default();
    let gone = log.at_drop("dropped");
    let stubborn = async {
        let _gone = gone;
        shield(ms(100_000), waits()).await
    };
    let scope = CancelScope::new().with_grace(ms(70));
    let work: Vec<Boxed<'_, u32>> = vec![Box::pin(stubborn), Box::pin(gives(5, 1))];
    let (outcome, took) = timed(scope.run(async {
        let value = join::first_ok(work).await;
        log.add("joined");
        value
    }));
    assert_eq!((outcome.unwrap(), took), (Some(1), ms(75)));
    assert_eq!(log.take(), ["dropped", "joined"]);
}

#[test]
fn c14_a_panic_is_a_failure_also_in_a_drop_and_in_cleanup() {
    let panics: [fn() -> Boxed<'static, u32>; 3] = [
        || Box::pin(async { panic!("in the middle") }),
        || {
            Box::pin(async {
                let _bad = AtDrop::new(|| panic!("in a drop"));
                checkpoint().await?;
                Ok(1)
            })
        },
        || {
            Box::pin(async {
                crate::task::defer(async { panic!("in a finalizer") })?;
                Ok(1)
            })
        },
    ];
    for panic in panics {
        let failure = virtually(join::all([panic()])).unwrap_err();
        assert!(failure.is_panic(), "{failure:?}");
        let work: Vec<Boxed<'_, u32>> = vec![panic(), Box::pin(gives(5, 7))];
        assert_eq!(virtually(join::first_ok(work)).unwrap(), 7);
    }
}

#[test]
fn dropping_it_drops_all_futures() {
    let log = Log::default();
    virtually(async {
        let work = ["one", "two"].map(|name| {
            let gone = log.at_drop(name);
            async move {
                let _gone = gone;
                waits::<()>().await
            }
        });
        let mut join = Box::pin(join::all(work));
        assert!(futures_lite::future::poll_once(&mut join).await.is_none());
        drop(join);
        let mut gone = log.take();
        gone.sort();
        assert_eq!(gone, ["one", "two"]);
    });
}

#[test]
fn a_snapshot_shows_the_line_that_joins() {
    let looks = async { Ok(snapshot().unwrap()) };
    let work: Vec<Boxed<'_, _>> = vec![Box::pin(looks), Box::pin(async { waits().await })];
    let scope = CancelScope::new();
    let line = line!() + 1;
    let tree = virtually(scope.run(join::first_ok(work))).unwrap().unwrap();
    let [body, child] = &tree.tasks[0].scopes[0].tasks[..] else { panic!("{tree:?}") };
    let TaskState::Waiting { what: WaitsFor::Child, at: Some(at) } = body.state else { panic!("{tree:?}") };
    for place in [at, body.spawned_at, child.spawned_at] {
        assert!(place.file().ends_with("tests/join.rs") && place.line() == line, "{place}");
    }
}

// ---- policies of one's own

/// Notes who has ended, successfully or not, in order; can have enough of it.
#[derive(Default)]
struct Told {
    told: Vec<usize>,
    enough_after: Option<usize>,
}

impl<T> Policy<T> for Told {
    type Output = Vec<usize>;

    fn begin(&mut self, _count: usize) -> Flow {
        if self.enough_after == Some(0) { Flow::Enough } else { Flow::GoOn }
    }

    fn ended(&mut self, index: usize, _outcome: Result<T>) -> Flow {
        self.told.push(index);
        if self.enough_after == Some(self.told.len()) { Flow::Enough } else { Flow::GoOn }
    }

    fn finish(self) -> Result<Vec<usize>> {
        Ok(self.told)
    }
}

#[test]
fn a_policy_is_told_of_late_outcomes_and_not_of_cancels() {
    let work = || -> Vec<Boxed<'static, u32>> {
        vec![Box::pin(gives_late(0)), Box::pin(waits()), Box::pin(gives(5, 2)), Box::pin(fails_late("late"))]
    };
    let enough = |count| Told { enough_after: Some(count), ..Told::default() };
    assert_eq!(virtually(join::with(enough(1), work())).unwrap(), [2, 0, 3]);
    assert_eq!(virtually(join::with(enough(0), work())).unwrap(), [0_usize; 0]);
}

#[test]
fn a_policy_that_changes_its_mind_is_not_heard() {
    struct Fickle(usize);
    impl Policy<u32> for Fickle {
        type Output = usize;
        fn ended(&mut self, _index: usize, _outcome: Result<u32>) -> Flow {
            self.0 += 1;
            if self.0 == 1 { Flow::Enough } else { Flow::GoOn }
        }
        fn finish(self) -> Result<usize> {
            Ok(self.0)
        }
    }
    let work: Vec<Boxed<'_, u32>> = vec![Box::pin(gives_late(1)), Box::pin(gives_late(2)), Box::pin(waits())];
    let scope = CancelScope::new().with_timeout(ms(5));
    assert_eq!(virtually(scope.run(join::with(Fickle(0), work))).unwrap(), Some(2), "it was certain after the first");
}

#[test]
fn a_panic_of_the_policy_is_an_error_and_cancels_all() {
    struct Panics;
    impl Policy<u32> for Panics {
        type Output = ();
        fn ended(&mut self, _index: usize, _outcome: Result<u32>) -> Flow {
            panic!("in the policy")
        }
        fn finish(self) -> Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let work: Vec<Boxed<'_, u32>> = vec![Box::pin(gives(1, 1)), Box::pin(cleans_up(log.clone(), "cleaned", 5))];
    let failure = virtually(join::with(Panics, work)).unwrap_err();
    assert!(failure.is_panic() && failure.failures().len() == 1, "{failure:?}");
    assert_eq!(log.take(), ["cleaned"]);
}

#[test]
fn gather_makes_one_error_of_several() {
    assert!(join::gather(Vec::new()).is_none());
    let group = join::gather(vec![Failed("one").into(), Failed("two").into()]).unwrap();
    let flat = join::gather(vec![group, Failed("three").into()]).unwrap();
    assert_eq!(leaves(&flat), named(&[("one", false), ("two", false), ("three", false)]));
}
