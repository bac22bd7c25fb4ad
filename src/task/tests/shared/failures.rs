//! Resources that fail, and whom that is told.

use super::*;
use crate::error::Misuse;
use crate::task::{ChildFailed, Nursery, move_on_after};

#[test]
fn a_failure_of_the_opening_is_that_of_all_who_wait_for_it_and_not_the_nurserys() {
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let users = (0..3).map(|_| shared.with(1, fails_to_open, async |()| Ok(())));
        let failures: Vec<_> =
            futures_util::future::join_all(users).await.into_iter().map(Result::unwrap_err).collect();
        assert!(failures.iter().all(|failure| failure.id() == failures[0].id()));
        assert_eq!(failures[0].downcast_ref(), Some(&Failed("opening")));
        assert!(failures[1..].iter().all(|failure| failure.downcast_ref::<ChildFailed>().is_some()));
        checkpoint().await?; // the nursery has not failed
        assert_eq!(shared.with(1, async |holder| holder.provide(()).await, async |()| Ok(2)).await?, 2);
        Ok(())
    }))
    .unwrap();
}

#[test]
fn c14_a_panic_of_the_opener_is_the_failure_of_its_user() {
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let before: fn(Holder<()>) -> std::future::Ready<Result<()>> = |_| panic!("before it is a future");
        let failure = shared.with(1, before, async |()| Ok(())).await.unwrap_err();
        assert!(failure.is_panic(), "{failure:?}");
        let after = async |holder: Holder<()>| {
            holder.provide(()).await?;
            panic!("in the cleanup")
        };
        let failure = shared.with(1, after, async |()| Ok(())).await.unwrap_err();
        assert!(failure.is_panic(), "{failure:?}");
        let failure = shared.with(1, fails_to_close, async |()| if true { panic!("in the body") } else { Ok(()) });
        let failure = failure.await.unwrap_err();
        assert_eq!(failure.failures().iter().map(Error::is_panic).collect::<Vec<_>>(), [true, false]);
        Ok(())
    }))
    .unwrap();
}

#[test]
fn an_opener_that_provides_nothing_is_told_how() {
    for calls in [false, true] {
        let refused = virtually(nursery(async |n| {
            let opener = async |holder: Holder<()>| {
                let provides = calls.then(|| holder.provide(()));
                drop(provides); // it was not awaited
                Ok(())
            };
            Shared::new(&n).with(1, opener, async |()| Ok(())).await
        }))
        .unwrap_err();
        assert!(refused.downcast_ref::<Misuse>().unwrap().to_string().contains("Holder::provide"), "{refused}");
    }
}

#[test]
fn a_resource_that_fails_in_use_cancels_its_users_and_is_their_failure() {
    let log = Log::default();
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let opener = async |holder: Holder<()>| {
            let breaks = async {
                sleep(ms(5)).await?;
                Err(Failed("the connection broke").into())
            };
            futures_lite::future::or(holder.provide(()), breaks).await
        };
        let body = async |()| {
            let told = never().await;
            log.add("told");
            told
        };
        let users = (0..2).map(|_| shared.with(1, opener, body));
        let failures: Vec<_> =
            futures_util::future::join_all(users).await.into_iter().map(Result::unwrap_err).collect();
        assert_eq!(failures[0].downcast_ref(), Some(&Failed("the connection broke")));
        assert_eq!(failures[1].id(), failures[0].id());
        assert_eq!(log.take(), ["told"; 2]);
        Ok(())
    }))
    .unwrap();
}

/// The users leave, and nobody else comes, as soon as the value is not provided any more.
#[test]
fn a_resource_that_stops_to_provide_has_its_users_leave() {
    let log = Log::default();
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let opener = |log: Log| {
            async move |holder: Holder<&'static str>| {
                move_on_after(ms(5), holder.provide("value")).await?;
                log.add("closes");
                sleep(ms(10)).await?;
                log.add("closed");
                Ok(())
            }
        };
        let (other, late) = (shared.clone(), log.clone());
        n.spawn(async move {
            sleep(ms(8)).await?;
            other.with(1, opener(late.clone()), async |_| checkpoint().await).await?;
            late.add("used anew");
            Ok(())
        })?;
        let ended = shared.with(1, opener(log.clone()), async |_| {
            let told = never().await;
            log.add("told");
            told
        });
        assert_eq!(ended.await.unwrap_err().downcast_ref(), Some(&Closed));
        log.add("left");
        Ok(())
    }))
    .unwrap();
    let log = log.take();
    assert_eq!(log[..3], ["closes", "told", "closed"]);
    assert!(log.contains(&"left".to_owned()));
    assert_eq!(log.iter().filter(|line| *line == "closed").count(), 2, "it was opened anew: {log:?}");
}

#[test]
fn a_user_that_is_dropped_leaves_the_cleanup_to_the_scope_around() {
    let log = Log::default();
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let outcome = CancelScope::new().run(async {
            let user = Box::pin(shared.with("key", |holder| noted(log.clone(), holder), async |_| never().await));
            futures_lite::future::or(user, sleep(ms(15))).await
        });
        assert_eq!(outcome.await?, Some(()));
        assert_eq!(log.take(), WHOLE_LIFE);
        let failure = CancelScope::new().run(async {
            let user = Box::pin(shared.with("other", fails_too, async |_| never().await));
            futures_lite::future::or(user, sleep(ms(15))).await
        });
        assert_eq!(failure.await.unwrap_err().downcast_ref(), Some(&Failed("cleanup")));
        checkpoint().await
    }))
    .unwrap();
}

async fn fails_too(holder: Holder<&'static str>) -> Result<()> {
    holder.provide("value").await?;
    sleep(ms(10)).await?;
    Err(Failed("cleanup").into())
}

/// The last user is dropped where no scope is: the nursery is told, which has the task of the resource.
#[test]
fn c09_a_failure_that_nobody_is_left_to_be_told_is_the_nurserys() {
    let shared = Mutex::new(None);
    let failure = virtually(async {
        let nursery = nursery(async |n| {
            *shared.lock().unwrap() = Some(Shared::new(&n));
            sleep(ms(20)).await
        });
        let user = async {
            let shared = shared.lock().unwrap().clone().unwrap();
            let user = Box::pin(shared.with(1, fails_to_close, async |()| never().await));
            let outside = async {
                sleep(ms(5)).await.unwrap();
                Ok(())
            };
            futures_lite::future::or(user, outside).await.unwrap();
        };
        futures_util::future::join(nursery, user).await.0
    })
    .unwrap_err();
    assert_eq!(failure.downcast_ref(), Some(&Failed("cleanup")));
}

/// A failure that was kept for a user which is dropped before it asks.
#[test]
fn c09_a_failure_that_was_not_asked_for_is_that_of_the_scope_around() {
    let failure = virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let mut user = Box::pin(shared.with(1, fails_to_open, async |()| Ok(())));
        assert!(futures_lite::future::poll_once(&mut user).await.is_none());
        sleep(ms(20)).await?;
        let outcome = CancelScope::new().run(async {
            drop(user);
            Ok(())
        });
        let failure = outcome.await.unwrap_err();
        checkpoint().await?;
        Err::<(), _>(failure)
    }))
    .unwrap_err();
    assert_eq!(failure.downcast_ref(), Some(&Failed("opening")));
}

#[test]
fn dropping_the_nursery_ends_the_resource_and_its_users_elsewhere() {
    let log = Log::default();
    let shared = Mutex::new(None);
    let ended = virtually(async {
        let work = nursery(async |n: Nursery<'_>| {
            *shared.lock().unwrap() = Some(Shared::new(&n));
            never().await
        });
        let mut work = Box::pin(work);
        assert!(futures_lite::future::poll_once(&mut work).await.is_none());
        let shared = shared.lock().unwrap().clone().unwrap();
        let user = shared.with("key", |holder| noted(log.clone(), holder), async |_| never().await);
        let (_, ended) = futures_util::future::join(async { drop(move_on_after(ms(15), work).await) }, user).await;
        ended
    });
    assert_eq!(ended.unwrap_err().downcast_ref(), Some(&Closed));
}
