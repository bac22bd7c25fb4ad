//! Shared resources: opened once, used by many, closed by the last (RES-01 to RES-09).

mod failures;
mod races;
mod users;

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::error::{Closed, Reason};
use crate::task::{Holder, Shared, clock, fail_after, nursery, sleep};
use crate::{Error, task};

fn assert_send<T: Send>(value: T) -> T {
    value
}

/// A resource that takes 10 ms to open and 10 ms to clean up, and says what it does.
async fn noted(log: Log, holder: Holder<&'static str>) -> Result<()> {
    log.add("opens");
    let _gone = log.at_drop("gone");
    sleep(ms(10)).await?;
    log.add("open");
    holder.provide("value").await?;
    log.add("closes");
    sleep(ms(10)).await?;
    log.add("closed");
    Ok(())
}

/// One whose cleanup fails after 10 ms.
async fn fails_to_close(holder: Holder<()>) -> Result<()> {
    holder.provide(()).await?;
    sleep(ms(10)).await?;
    Err(Failed("cleanup").into())
}

async fn fails_to_open(holder: Holder<()>) -> Result<()> {
    sleep(ms(10)).await?;
    drop(holder);
    Err(Failed("opening").into())
}

const WHOLE_LIFE: [&str; 5] = ["opens", "open", "closes", "closed", "gone"];

#[test]
fn res01_ten_users_open_it_once_and_have_one_value() {
    let log = Log::default();
    let opened = AtomicUsize::new(0);
    virtually(assert_send(nursery(async |n| {
        let shared = Shared::new(&n);
        for user in 0..10 {
            let (shared, log, opened) = (shared.clone(), &log, &opened);
            n.spawn(assert_send(async move {
                let opener = async |holder: Holder<usize>| {
                    holder.provide(opened.fetch_add(1, Ordering::SeqCst)).await?;
                    Ok(())
                };
                shared
                    .with("key", opener, async |value| {
                        sleep(ms(user)).await?;
                        log.add(value.to_string());
                        Ok(())
                    })
                    .await
            }))?;
        }
        Ok(())
    })))
    .unwrap();
    assert_eq!((log.take(), opened.into_inner()), (vec!["0".to_owned(); 10], 1));
}

#[test]
fn res01_cancelling_all_users_closes_it_once() {
    let log = Log::default();
    let scope = CancelScope::new();
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let users = scope.run(nursery(async |users| {
            for _ in 0..10 {
                let (shared, log) = (shared.clone(), log.clone());
                users.spawn(async move {
                    shared.with("key", |holder| noted(log, holder), async |_| never().await).await
                })?;
            }
            sleep(ms(20)).await?;
            scope.cancel("all of them");
            Ok(())
        }));
        assert_eq!(users.await?, None);
        assert_eq!(log.take(), WHOLE_LIFE, "all is over when the last user is");
        Ok(())
    }))
    .unwrap();
}

#[test]
fn res02_the_last_user_waits_for_the_cleanup_and_no_other_does() {
    let log = Log::default();
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let start = clock::now();
        for (name, stays) in [("first", 5), ("last", 8)] {
            let (shared, log) = (shared.clone(), log.clone());
            n.spawn(async move {
                let opener = log.clone();
                shared.with("key", |holder| noted(opener, holder), async |_| sleep(ms(stays)).await).await?;
                log.add(format!("{name} at {:?}", clock::now() - start));
                Ok(())
            })?;
        }
        Ok(())
    }))
    .unwrap();
    let expected = ["opens", "open", "first at 15ms", "closes", "closed", "gone", "last at 28ms"];
    assert_eq!(log.take(), expected);
}

#[test]
fn res03_a_failure_of_the_cleanup_is_the_last_users() {
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let other = shared.clone();
        let first = n.spawn(async move { other.with(1, fails_to_close, async |()| sleep(ms(1)).await).await })?;
        let failure = shared.with(1, fails_to_close, async |()| sleep(ms(2)).await).await.unwrap_err();
        assert_eq!(failure.downcast_ref(), Some(&Failed("cleanup")), "it is the failure itself");
        first.join().await?;
        checkpoint().await?; // the nursery has not failed
        Ok(())
    }))
    .unwrap();
}

#[test]
fn res03_a_failure_of_the_cleanup_comes_after_that_of_the_body() {
    let failure = virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        shared.with(1, fails_to_close, async |()| Err::<(), Error>(Failed("body").into())).await
    }))
    .unwrap_err();
    let leaves: Vec<_> = failure.failures().iter().map(Error::to_string).collect();
    assert_eq!(leaves, ["body", "cleanup"]);
}

#[test]
fn res05_a_failure_of_the_cleanup_beats_the_cancel_of_the_last_user() {
    let scope = CancelScope::new();
    let failure = virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let user = scope.run(shared.with(1, fails_to_close, async |()| {
            scope.cancel("the last user");
            never().await
        }));
        let failure = user.await.unwrap_err();
        checkpoint().await?; // it is no failure of the nursery
        Err::<(), _>(failure)
    }))
    .unwrap_err();
    assert_eq!(failure.downcast_ref(), Some(&Failed("cleanup")));
}

#[test]
fn res06_a_cancel_of_the_nursery_with_both_in_it_completes_the_cleanup() {
    let log = Log::default();
    let outcome = virtually(fail_after(
        ms(1000),
        nursery(async |n| {
            let shared = Shared::new(&n);
            for _ in 0..3 {
                let (shared, log) = (shared.clone(), log.clone());
                n.spawn(async move {
                    let _left = log.at_drop("a user has left");
                    shared.with("key", |holder| noted(log.clone(), holder), async |_| never().await).await
                })?;
            }
            sleep(ms(20)).await?;
            n.cancel();
            Ok("body")
        }),
    ));
    assert_eq!(outcome.unwrap(), "body");
    let left = "a user has left";
    assert_eq!(log.take(), ["opens", "open", left, left, "closes", "closed", "gone", left]);
}

#[test]
fn res06_a_cancel_from_outside_of_both_does_the_same() {
    let log = Log::default();
    let scope = CancelScope::new();
    let outcome = virtually(scope.run(nursery(async |n| {
        let shared = Shared::new(&n);
        let user = shared.with(
            "key",
            |holder| noted(log.clone(), holder),
            async |_| {
                scope.cancel("all");
                never().await
            },
        );
        let told = user.await;
        assert!(is_cancel_of(&told, &scope));
        told
    })));
    assert_eq!(outcome.unwrap(), None);
    assert_eq!(log.take(), WHOLE_LIFE);
}

/// The user is in the body, which a cancel of the children does not reach.
#[test]
fn res06_a_cancel_of_the_nursery_ends_what_users_elsewhere_do() {
    let log = Log::default();
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let user = shared.with(
            "key",
            |holder| noted(log.clone(), holder),
            async |_| {
                n.cancel();
                let told = never().await;
                assert_eq!(told.as_ref().unwrap_err().mark().unwrap().reason, Reason::PeerGone);
                log.add("told");
                told
            },
        );
        let ended = user.await.unwrap_err();
        assert_eq!(ended.downcast_ref(), Some(&Closed));
        assert_eq!(log.take(), ["opens", "open", "told", "closes", "closed", "gone"]);
        let refused = shared.with("key", |holder| noted(log.clone(), holder), async |_| Ok(())).await.unwrap_err();
        assert_eq!(refused.downcast_ref(), Some(&Closed));
        assert_eq!(log.take(), Vec::<String>::new());
        Ok(())
    }))
    .unwrap();
}

#[test]
fn res06_a_cancel_of_the_nursery_cancels_what_is_being_opened() {
    let log = Log::default();
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let canceller = n.clone();
        n.spawn(async move {
            sleep(ms(5)).await?;
            canceller.cancel();
            Ok(())
        })?;
        let start = clock::now();
        let ended = shared.with("key", |holder| noted(log.clone(), holder), async |_| Ok(())).await.unwrap_err();
        assert_eq!((ended.downcast_ref(), clock::now() - start), (Some(&Closed), ms(5)));
        Ok(())
    }))
    .unwrap();
    assert_eq!(log.take(), ["opens", "gone"]);
}

/// A user that holds on to it costs it its cleanup, and nobody waits longer than the grace.
#[test]
fn res06_the_grace_of_the_nursery_bounds_it_all() {
    let log = Log::default();
    let took = virtually(async {
        let start = clock::now();
        nursery(async |n| {
            let shared = Shared::new(&n);
            let log = log.clone();
            n.spawn(async move {
                let holds_on = async |_| task::shield(ms(60_000), never()).await;
                shared.with("key", |holder| noted(log, holder), holds_on).await
            })?;
            sleep(ms(20)).await?;
            n.cancel();
            Ok(())
        })
        .await
        .unwrap();
        clock::now() - start
    });
    assert_eq!((log.take(), took), (vec!["opens".into(), "open".into(), "gone".into()], ms(320)));
}

#[test]
fn res07_users_share_a_stream_by_subscriptions_of_their_own() {
    let received = virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let opener = async |holder: Holder<task::broadcast::Sender<u32>>| {
            let (sender, _) = task::broadcast::channel(64);
            let source = async {
                for number in 0.. {
                    sender.send(number)?;
                    sleep(ms(1)).await?;
                }
                Ok(())
            };
            futures_lite::future::or(holder.provide(sender.clone()), source).await
        };
        let mut users = Vec::new();
        for late in 0..10 {
            let shared = shared.clone();
            users.push(n.spawn(async move {
                sleep(ms(3 * late)).await?;
                let body = async |sender: task::broadcast::Sender<u32>| {
                    let mut receiver = sender.subscribe();
                    let mut received = Vec::new();
                    while received.len() < 20 {
                        received.extend(receiver.recv().await?.and_then(task::broadcast::Delivery::into_value));
                    }
                    Ok(received)
                };
                shared.with("stream", opener, body).await
            })?);
        }
        let mut received = Vec::new();
        for user in users {
            received.push(user.join().await?);
        }
        Ok(received)
    }));
    let received = received.unwrap();
    assert_eq!(received.len(), 10);
    for numbers in received {
        assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    }
}

#[test]
fn res09_each_key_has_a_life_of_its_own() {
    let log = Log::default();
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let open = |key: u32| {
            let log = &log;
            async move |holder: Holder<u32>| {
                log.add(format!("opens {key}"));
                holder.provide(key).await?;
                log.add(format!("closes {key}"));
                Ok(())
            }
        };
        let held = shared.with(1, open(1), async |one| {
            for _ in 0..2 {
                let two = shared.with(2, open(2), async |two| Ok(two)).await?;
                assert_eq!((one, two), (1, 2));
            }
            // What is open is used, by whichever opener.
            assert_eq!(shared.with(1, open(3), async |one| Ok(one)).await?, 1);
            Ok(())
        });
        held.await
    }))
    .unwrap();
    assert_eq!(log.take(), ["opens 1", "opens 2", "closes 2", "opens 2", "closes 2", "closes 1"]);
}
