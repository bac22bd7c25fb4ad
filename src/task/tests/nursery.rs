//! Nurseries: C10, C14, and what their documentation says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use super::*;
use crate::Error;
use crate::error::{Closed, Panicked, Reason};
use crate::task::{ChildFailed, Nursery, channel, nursery, shield, sleep};

fn assert_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn children_borrow_from_the_function_around() {
    let data = vec![1, 2, 3];
    let sum = AtomicUsize::new(0);
    let outcome = virtually(assert_send(nursery(async |n| {
        for number in &data {
            let sum = &sum;
            n.spawn(async move {
                sum.fetch_add(*number, Ordering::SeqCst);
                Ok(())
            })?;
        }
        Ok(data.len())
    })));
    assert_eq!((outcome.unwrap(), sum.into_inner()), (3, 6));
}

#[test]
fn children_take_disjoint_exclusive_captures() {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    virtually(nursery(async |n| {
        n.spawn(async {
            settle().await?;
            left.push(1);
            Ok(())
        })?;
        n.spawn(async {
            right.push(2);
            Ok(())
        })?;
        Ok(())
    }))
    .unwrap();
    assert_eq!((left, right), (vec![1], vec![2]));
}

#[test]
fn a_child_starts_siblings_through_its_handle() {
    let count = AtomicUsize::new(0);
    fn grow<'env>(n: Nursery<'env>, left: usize, count: &'env AtomicUsize) -> Result<()> {
        count.fetch_add(1, Ordering::SeqCst);
        if left > 0 {
            let inner = n.clone();
            n.spawn(async move { grow(inner, left - 1, count) })?;
        }
        Ok(())
    }
    virtually(nursery(async |n| grow(n, 100, &count))).unwrap();
    assert_eq!(count.into_inner(), 101);
}

#[test]
fn nested_in_another_nursery_and_sendable() {
    let log = Log::default();
    let outcome = virtually(assert_send(nursery(async |outer| {
        let child = outer.spawn(nursery(async |inner| {
            inner.spawn(async {
                settle().await?;
                log.add("grandchild");
                Ok(())
            })?;
            Ok(1)
        }))?;
        child.join().await
    })));
    assert_eq!(outcome.unwrap(), 1);
    assert_eq!(log.take(), ["grandchild"]);
}

#[test]
fn the_first_failure_cancels_the_rest() {
    let log = Log::default();
    let failure = virtually(nursery(async |n| {
        for _ in 0..5 {
            let log = log.clone();
            n.spawn(async move {
                let told = sleep(ms(60_000)).await;
                let reason = &told.as_ref().unwrap_err().mark().unwrap().reason;
                log.add(format!("{}", matches!(reason, Reason::SiblingFailed { .. })));
                told
            })?;
        }
        n.spawn(async {
            sleep(ms(5)).await?;
            Err::<(), _>(Failed("first").into())
        })?;
        never().await
    }))
    .unwrap_err();
    assert_eq!(failure.downcast_ref(), Some(&Failed("first")));
    assert_eq!(log.take(), ["true"; 5]);
}

#[test]
fn the_body_fails_and_cancels_its_children() {
    let log = Log::default();
    let failure = virtually(nursery(async |n| {
        let gone = log.at_drop("child dropped");
        n.spawn(async move {
            let _gone = gone;
            never().await
        })?;
        settle().await?;
        Err::<(), _>(Failed("body").into())
    }))
    .unwrap_err();
    assert_eq!(failure.downcast_ref(), Some(&Failed("body")));
    assert_eq!(log.take(), ["child dropped"]);
}

#[test]
fn c09_failures_are_grouped_and_late_ones_come_last() {
    let failure = virtually(nursery(async |n| {
        n.spawn(async {
            let told = never().await;
            assert!(told.is_err());
            Err::<(), Error>(Failed("late").into())
        })?;
        settle().await?;
        // Two that fail in one turn are both original causes.
        n.spawn(async { Err::<(), Error>(Failed("one").into()) })?;
        n.spawn(async {
            std::future::ready(()).await;
            Err::<(), Error>(Failed("two").into())
        })?;
        never().await
    }))
    .unwrap_err();
    let leaves: Vec<_> = failure.failures().iter().map(|leaf| (leaf.to_string(), leaf.is_after_cancel())).collect();
    // "two" was not started before the request: it never ran.
    assert_eq!(leaves, [("one".to_owned(), false), ("late".to_owned(), true)]);
}

#[test]
fn c09_a_group_and_who_has_joined_it_are_told_once() {
    let outcome = virtually(nursery(async |n| {
        let child = n.spawn(nursery(async |n| {
            for name in ["one", "two"] {
                n.spawn(async move {
                    futures_lite::future::yield_now().await;
                    Err::<(), Error>(Failed(name).into())
                })?;
            }
            never().await
        }))?;
        child.join().await
    }));
    let error = outcome.unwrap_err();
    let told: Vec<_> = error.failures().iter().map(Error::to_string).collect();
    assert_eq!(told, ["one", "two"]);
}

#[test]
fn c09_two_that_fail_in_one_turn_are_both_original() {
    let failure = virtually(nursery(async |n| {
        for name in ["one", "two"] {
            n.spawn(async move {
                futures_lite::future::yield_now().await; // not an await that could be told
                Err::<(), Error>(Failed(name).into())
            })?;
        }
        never().await
    }))
    .unwrap_err();
    let leaves: Vec<_> = failure.failures().iter().map(|leaf| (leaf.to_string(), leaf.is_after_cancel())).collect();
    assert_eq!(leaves, [("one".to_owned(), false), ("two".to_owned(), false)]);
}

#[test]
fn a_joiner_of_a_failed_child_reports_the_same_failure() {
    let failure = virtually(nursery(async |n| {
        let child = n.spawn(async { Err::<(), Error>(Failed("once").into()) })?;
        // Shielded, so that it hears of the child and not of the cancel.
        let told = shield(ms(1000), child.join()).await.unwrap_err();
        assert!(told.downcast_ref::<ChildFailed>().is_some(), "{told:?}");
        Err::<(), _>(told)
    }))
    .unwrap_err();
    assert_eq!(failure.failures().len(), 1, "one leaf per failure: {failure:?}");
    assert_eq!(failure.downcast_ref(), Some(&Failed("once")));
}

#[test]
fn dropping_a_child_neither_cancels_nor_detaches() {
    let log = Log::default();
    virtually(nursery(async |n| {
        let log = log.clone();
        drop(n.spawn(async move {
            sleep(ms(5)).await?;
            log.add("ended");
            Ok(())
        })?);
        Ok(())
    }))
    .unwrap();
    assert_eq!(log.take(), ["ended"]);
}

#[test]
fn cancel_reaches_the_children_only() {
    let outcome = virtually(nursery(async |n| {
        let child = n.spawn(never())?;
        settle().await?;
        n.cancel();
        assert!(child.join().await.unwrap_err().is_cancelled());
        checkpoint().await?; // the body goes on
        let refused = n.spawn(async { Ok(()) }).unwrap_err();
        assert!(refused.is_cancelled());
        Ok("body")
    }));
    assert_eq!(outcome.unwrap(), "body");
}

#[test]
fn dropping_the_nursery_drops_body_and_children() {
    let log = Log::default();
    virtually(async {
        let work = nursery(async |n| {
            let _body = log.at_drop("body");
            for _ in 0..3 {
                let gone = log.at_drop("child");
                n.spawn(async move {
                    let _gone = gone;
                    never().await
                })?;
            }
            never().await
        });
        let mut work = Box::pin(work);
        assert!(futures_lite::future::poll_once(&mut work).await.is_none());
        drop(work);
        let mut gone = log.take();
        gone.sort();
        assert_eq!(gone, ["body", "child", "child", "child"]);
    });
}

#[test]
fn c10_spawn_into_a_cancelled_nursery_is_refused_with_its_cancel() {
    let scope = CancelScope::new();
    let outcome = virtually(scope.run(nursery(async |n| {
        scope.cancel("test");
        let refused = n.spawn(async { Ok(()) }).map(drop);
        assert!(is_cancel_of(&refused, &scope));
        refused
    })));
    assert_eq!(outcome.unwrap(), None);
}

#[test]
fn c10_spawn_into_a_completed_nursery_is_refused_as_closed() {
    let mut kept = None;
    virtually(nursery(async |n| {
        kept = Some(n.clone());
        Ok(())
    }))
    .unwrap();
    let refused = kept.unwrap().spawn(async { Ok(()) }).unwrap_err();
    assert_eq!(refused.downcast_ref(), Some(&Closed));
    assert!(refused.location().file().ends_with("nursery.rs"), "{}", refused.location());
}

#[test]
fn c10_a_child_that_was_never_polled_does_not_start() {
    let log = Log::default();
    let outcome = virtually(nursery(async |n| {
        let gone = log.at_drop("dropped");
        n.spawn(async {
            let _gone = gone;
            log.add("started");
            Ok(())
        })?;
        n.cancel();
        Ok(())
    }));
    outcome.unwrap();
    assert_eq!(log.take(), ["dropped"]);
}

#[test]
fn c14_a_panic_is_an_error_with_payload_and_place() {
    let failure = virtually(nursery(async |n| {
        n.spawn(async {
            if checkpoint().await.is_ok() {
                std::panic::panic_any(17_u32);
            }
            Ok(())
        })?;
        never().await
    }))
    .unwrap_err();
    assert!(failure.is_panic());
    let panicked = failure.downcast_ref::<Panicked>().unwrap();
    assert_eq!(panicked.take_payload().unwrap().downcast_ref::<u32>(), Some(&17));
    let place = panicked.backtrace().unwrap();
    assert!(place.contains("tests/nursery.rs"), "{place}");
}

#[test]
fn c14_a_panic_in_the_body_cancels_the_children() {
    let log = Log::default();
    let failure = virtually(nursery(async |n| {
        let gone = log.at_drop("child dropped");
        n.spawn(async move {
            let _gone = gone;
            never().await
        })?;
        settle().await?;
        if !log.0.lock().unwrap().is_empty() {
            return Ok(());
        }
        panic!("on {}", "purpose")
    }))
    .unwrap_err();
    assert_eq!(failure.downcast_ref::<Panicked>().unwrap().message(), "on purpose");
    assert_eq!(log.take(), ["child dropped"]);
}

#[test]
fn c14_a_panic_in_a_drop_is_an_error_too() {
    let scope = CancelScope::new();
    let outcome = virtually(scope.run(async {
        let _bad = AtDrop::new(|| panic!("in a drop"));
        scope.cancel("test");
        pending::<Result<()>>().await
    }));
    assert_eq!(outcome.unwrap_err().downcast_ref::<Panicked>().unwrap().message(), "in a drop");
    // Also when the strand is dropped from outside: the strand around reports it.
    let outcome = virtually(CancelScope::new().run(async {
        let mut inner = Box::pin(nursery(async |_| {
            let _bad = AtDrop::new(|| panic!("in an outside drop"));
            never().await
        }));
        assert!(futures_lite::future::poll_once(&mut inner).await.is_none());
        drop(inner);
        Ok(())
    }));
    assert_eq!(outcome.unwrap_err().downcast_ref::<Panicked>().unwrap().message(), "in an outside drop");
}

#[test]
fn a_nursery_without_children_and_one_with_many() {
    assert_eq!(virtually(nursery(async |_| Ok(1))).unwrap(), 1);
    let sum = virtually(nursery(async |n| {
        let children: Vec<_> = (0..1000)
            .map(|number| n.spawn(async move { checkpoint().await.map(|()| number) }))
            .collect::<Result<_>>()?;
        let mut sum = 0;
        for child in children {
            sum += child.join().await?;
        }
        Ok(sum)
    }));
    assert_eq!(sum.unwrap(), 499_500);
}

#[test]
fn spawned_from_another_thread() {
    let (sender, mut receiver) = channel::bounded(1);
    let outcome = really(nursery(async |n: Nursery<'static>| {
        let thread = std::thread::spawn(move || n.spawn(async move { Ok(sender.send(7).await?) }).map(drop));
        let got = receiver.recv().await?;
        thread.join().unwrap()?;
        Ok(got)
    }));
    assert_eq!(outcome.unwrap(), Some(7));
}

/// Everything that was made is dropped, wherever the outermost future is dropped.
#[test]
fn drop_at_every_poll() {
    let made = AtomicUsize::new(0);
    let gone = AtomicUsize::new(0);
    let track = || {
        made.fetch_add(1, Ordering::SeqCst);
        AtDrop::new(|| {
            gone.fetch_add(1, Ordering::SeqCst);
        })
    };
    let scenario = || async {
        let scope = CancelScope::new();
        scope
            .run(nursery(async |n| {
                let (sender, mut receiver) = channel::bounded(2);
                let (first, second, third) = (track(), track(), track());
                n.spawn(async move {
                    let _first = first;
                    for number in 0..6 {
                        sender.send(number).await?;
                    }
                    shield(ms(100), sleep(ms(10))).await
                })?;
                n.spawn(nursery(async move |inner| {
                    let _second = second;
                    inner.spawn(async move {
                        let _third = third;
                        while receiver.recv().await?.is_some() {}
                        never().await
                    })?;
                    never().await
                }))?;
                let _body = track();
                sleep(ms(5)).await?;
                scope.cancel("in the middle");
                never().await
            }))
            .await
    };
    let mut polls = 0;
    loop {
        let ended = virtually(async {
            let mut future = Box::pin(scenario());
            for _ in 0..polls {
                if futures_lite::future::poll_once(&mut future).await.is_some() {
                    return true;
                }
                sleep(ms(1)).await.unwrap();
            }
            false
        });
        assert_eq!(made.load(Ordering::SeqCst), gone.load(Ordering::SeqCst), "dropped after {polls} polls");
        if ended {
            break;
        }
        polls += 1;
        assert!(polls < 200, "it should have ended");
    }
    assert!(polls > 3, "{polls}");
}

/// The drop of a nursery returns when its children are gone, also where another thread has a handle of it and is just using it.
#[test]
fn c08_no_child_is_alive_when_the_drop_of_its_nursery_has_returned() {
    for round in 0..200 {
        let alive = Arc::new(());
        let kept = alive.clone();
        let (give, given) = std::sync::mpsc::channel();
        let mut open = Box::pin(nursery(async move |n: Nursery<'static>| {
            for _ in 0..50 {
                let kept = kept.clone();
                n.spawn(async move {
                    let _kept = kept;
                    never().await
                })?;
            }
            drop(kept);
            give.send(n).expect("it is waited for");
            never().await
        }));
        assert!(open.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        let n = given.recv().unwrap();
        let (begin, begun) = std::sync::mpsc::channel();
        std::thread::scope(|threads| {
            threads.spawn(move || {
                begin.send(()).unwrap();
                while n.spawn(async { Ok(()) }).is_ok() {}
            });
            begun.recv().unwrap();
            (0..round).for_each(|_| std::hint::spin_loop());
            drop(open);
            assert_eq!(Arc::strong_count(&alive), 1, "round {round}");
        });
    }
}
