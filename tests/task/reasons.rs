//! Why a scope was cancelled, and who absorbs that (laws C4 and C5).

use std::error::Error as StdError;
use std::fmt;
use std::io;

use futures_lite::future::poll_once;
use futures_util::future::FutureExt;
use pleach::error::{Cancelled, Group, Mark, Reason};
use pleach::task::{CancelScope, Child, channel, checkpoint, move_on_after, nursery, sleep};
use pleach::{Error, Result};

use crate::kit::{Failed, Log, is_cancel_of, ms, never, scenarios, settle};

scenarios! {
    Virtual:
    c04_a_cancel_says_what_was_said_and_by_which_scope,
    c04_a_deadline_is_a_reason,
    c04_siblings_hear_of_the_failure_that_ends_them,
    c04_children_hear_of_the_failure_of_the_body,
    c04_who_joins_a_child_of_a_dropped_nursery_hears_of_that,
    c04_a_reason_goes_through_bytes,
    c05_a_scope_absorbs_its_own_cancel_and_no_other,
    c05_a_scope_absorbs_its_cancel_also_when_it_is_wrapped,
    c05_a_group_loses_only_its_cancelled_leaves,
    c05_a_cancel_from_around_passes_through_all_inside,
    c05_of_two_requests_the_outer_one_is_delivered,
    c05_a_cancel_of_a_scope_elsewhere_is_a_failure,
    c05_a_cancel_shared_with_another_scope_is_a_failure_there,
    c05_a_cancel_that_came_by_a_channel_is_a_failure,
    c05_a_scope_that_fails_has_not_caught_its_cancel,
    c05_a_nursery_that_is_cancelled_by_its_handle_is_no_failure,
}

/// Why this was cancelled.
fn reason<T: fmt::Debug>(told: Result<T>) -> Reason {
    told.unwrap_err().mark().expect("it is a cancel").reason.clone()
}

async fn c04_a_cancel_says_what_was_said_and_by_which_scope() -> Result<()> {
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        scope.cancel("the kettle is empty");
        let told = never().await.unwrap_err();
        assert_eq!(told.mark().map(|mark| mark.scope), Some(scope.id()));
        assert_eq!(told.mark().map(ToString::to_string).as_deref(), Some("the kettle is empty"));
        let cancelled = told.downcast_ref::<Cancelled>().expect("it is one");
        assert_eq!(
            cancelled.mark().reason,
            Reason::Explicit { by: String::new(), message: "the kettle is empty".into() }
        );
        Err::<(), _>(told)
    });
    assert_eq!(outcome.await?, None);
    Ok(())
}

async fn c04_a_deadline_is_a_reason() -> Result<()> {
    let log = Log::default();
    let outcome = move_on_after(ms(10), async {
        log.add(reason(sleep(ms(1000)).await).to_string());
        let scope = CancelScope::new();
        log.add(reason(scope.run(never()).await).to_string());
        checkpoint().await
    });
    assert_eq!(outcome.await?, None);
    assert_eq!(log.take(), ["its deadline passed", "its deadline passed"]);
    Ok(())
}

async fn c04_siblings_hear_of_the_failure_that_ends_them() -> Result<()> {
    let log = Log::default();
    let failure = nursery(async |n| {
        let log = log.clone();
        n.spawn(nursery(async move |n| {
            n.spawn(async move {
                let Reason::SiblingFailed { failure, what } = reason(never().await) else { panic!("another reason") };
                log.add(format!("{failure:?} {what}"));
                Ok(())
            })?;
            never().await
        }))?;
        n.spawn(async {
            settle().await?;
            Err::<(), Error>(Failed("the first").into())
        })?;
        never().await
    });
    let failure = failure.await.unwrap_err();
    assert_eq!(log.take(), [format!("{:?} the first", failure.id())]);
    Ok(())
}

async fn c04_children_hear_of_the_failure_of_the_body() -> Result<()> {
    let log = Log::default();
    let failure = nursery(async |n| {
        n.spawn(async {
            log.add(reason(never().await).to_string());
            Ok(())
        })?;
        settle().await?;
        Err::<(), Error>(Failed("the body").into())
    });
    assert_eq!(failure.await.unwrap_err().downcast_ref(), Some(&Failed("the body")));
    assert_eq!(log.take(), ["a sibling failed: the body"]);
    Ok(())
}

async fn c04_who_joins_a_child_of_a_dropped_nursery_hears_of_that() -> Result<()> {
    let (give, mut given) = channel::bounded::<Child<()>>(1);
    let mut dropped = Box::pin(nursery(async |n| {
        give.try_send(n.spawn(never())?).expect("there is room");
        never().await
    }));
    assert!(poll_once(&mut dropped).await.is_none());
    drop(dropped);
    let child = given.try_recv().expect("it was sent");
    assert_eq!(reason(child.join().await), Reason::NurseryDropped);
    Ok(())
}

async fn c04_a_reason_goes_through_bytes() -> Result<()> {
    let reasons = [
        Reason::Deadline,
        Reason::Signal(15),
        Reason::SiblingFailed { failure: Error::msg("the first").id(), what: "the first".to_owned() },
        Reason::ParentCancelled { actor: "root/server".to_owned(), because: Box::new(Reason::Shutdown) },
    ];
    for reason in reasons {
        let mark = Mark { scope: CancelScope::new().id(), reason };
        assert_eq!(serde_json::from_slice::<Mark>(&serde_json::to_vec(&mark)?)?, mark);
    }
    Ok(())
}

async fn c05_a_scope_absorbs_its_own_cancel_and_no_other() -> Result<()> {
    let (outer, inner) = (CancelScope::new(), CancelScope::new());
    let outcome = outer.run(async {
        inner.cancel("inner");
        assert_eq!(inner.run(never()).await?, None);
        checkpoint().await?; // the outer scope is untouched
        outer.cancel("outer");
        let passed = CancelScope::new().run(never()).await;
        assert!(is_cancel_of(&passed, &outer));
        Ok("passed")
    });
    assert_eq!(outcome.await?, Some("passed"));
    assert!(!outer.cancelled_caught() && inner.cancelled_caught());
    Ok(())
}

/// An error of a library around another.
#[derive(Debug)]
struct Wrapped(Box<dyn StdError + Send + Sync>);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrapped")
    }
}

impl StdError for Wrapped {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

/// One that says what the inner one says, and is not seen itself: `#[error(transparent)]`.
#[derive(Debug)]
struct Transparent(Box<dyn StdError + Send + Sync>);

impl fmt::Display for Transparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for Transparent {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

async fn c05_a_scope_absorbs_its_cancel_also_when_it_is_wrapped() -> Result<()> {
    let wraps: [fn(Error) -> Error; 6] = [
        |error| error,
        |error| error.context("while testing"),
        |error| Wrapped(error.into_boxed()).into(),
        |error| Transparent(error.into_boxed()).into(),
        |error| io::Error::other(error.into_boxed()).into(),
        |error| Wrapped(Box::new(io::Error::other(error.into_boxed()))).into(),
    ];
    for (number, wrap) in wraps.into_iter().enumerate() {
        let scope = CancelScope::new();
        scope.cancel("test");
        assert_eq!(scope.run(async { never().await.map_err(wrap) }).await?, None, "wrapped in way {number}");
    }
    Ok(())
}

async fn c05_a_group_loses_only_its_cancelled_leaves() -> Result<()> {
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        scope.cancel("test");
        let own = never().await.unwrap_err();
        let inner = Group::new(vec![Failed("one").into(), own]);
        Err::<(), Error>(Group::new(vec![inner.into(), Failed("two").into()]).into())
    });
    let left = outcome.await.unwrap_err();
    let texts: Vec<_> = left.failures().iter().map(ToString::to_string).collect();
    assert!(texts.concat().contains("one") && texts.concat().contains("two"), "{texts:?}");
    assert!(!scope.cancelled_caught());
    Ok(())
}

async fn c05_a_cancel_from_around_passes_through_all_inside() -> Result<()> {
    let (scope, log) = (CancelScope::new(), Log::default());
    let outcome = scope.run(nursery(async |n| {
        n.spawn(async {
            let told = CancelScope::new().run(move_on_after(ms(100_000), nursery(async |_| never().await))).await;
            log.add(if is_cancel_of(&told, &scope) { "as what it is" } else { "as something else" });
            told
        })?;
        settle().await?;
        scope.cancel("test");
        never().await
    }));
    assert_eq!(outcome.await?, None::<()>);
    assert_eq!(log.take(), ["as what it is"]);
    Ok(())
}

async fn c05_of_two_requests_the_outer_one_is_delivered() -> Result<()> {
    let scopes = [CancelScope::new(), CancelScope::new(), CancelScope::new()];
    let [one, two, three] = &scopes;
    let outcome = one.run(two.run(three.run(async {
        three.cancel("the inner");
        two.cancel("the outer");
        let told = never().await;
        assert!(is_cancel_of(&told, two));
        told
    })));
    assert_eq!(outcome.await?, Some(None));
    assert_eq!(scopes.each_ref().map(CancelScope::cancel_called), [false, true, true]);
    assert_eq!(scopes.each_ref().map(CancelScope::cancelled_caught), [false, true, false]);
    Ok(())
}

async fn c05_a_cancel_of_a_scope_elsewhere_is_a_failure() -> Result<()> {
    let over = CancelScope::new();
    over.cancel("long ago");
    let mut kept = None;
    let ended = over.run(async {
        kept = never().await.err();
        Ok(())
    });
    ended.await?;
    let stray = nursery(async |n| {
        n.spawn(async { Err::<(), _>(kept.expect("it was told")) })?;
        Ok(())
    });
    let stray = stray.await.unwrap_err();
    assert!(!stray.is_cancelled(), "{stray:?}");
    Ok(())
}

async fn c05_a_cancel_shared_with_another_scope_is_a_failure_there() -> Result<()> {
    let inner = CancelScope::new();
    let stray = nursery(async |n| {
        let shared = async { never().await.map_err(|error| error.mark().cloned()) }.boxed().shared();
        let (mine, theirs, scope) = (shared.clone(), shared, inner.clone());
        n.spawn(async move { scope.run(async { mine.await.map_err(|mark| mark.unwrap().into()) }).await })?;
        n.spawn(async move { theirs.await.map_err(|mark| mark.unwrap().into()) })?;
        settle().await?;
        inner.cancel("only one of them");
        Ok(())
    });
    let stray = stray.await.unwrap_err();
    assert!(!stray.is_cancelled() && stray.failures().len() == 1, "{stray:?}");
    assert_eq!(stray.mark().map(|mark| mark.scope), Some(inner.id()));
    Ok(())
}

async fn c05_a_cancel_that_came_by_a_channel_is_a_failure() -> Result<()> {
    let (sender, mut receiver) = channel::bounded::<Error>(1);
    let scope = CancelScope::new();
    let stray = nursery(async |n| {
        n.spawn(scope.run(async {
            let told = never().await.unwrap_err();
            sender.try_send(told).expect("there is room");
            Ok(())
        }))?;
        settle().await?;
        scope.cancel("test");
        Err::<(), _>(receiver.recv().await?.expect("it was sent"))
    });
    assert!(!stray.await.unwrap_err().is_cancelled());
    Ok(())
}

async fn c05_a_scope_that_fails_has_not_caught_its_cancel() -> Result<()> {
    let scope = CancelScope::new();
    let outcome = scope.run(async {
        scope.cancel("test");
        Err::<(), Error>(Failed("something else").into())
    });
    assert_eq!(outcome.await.unwrap_err().downcast_ref(), Some(&Failed("something else")));
    assert!(scope.cancel_called() && !scope.cancelled_caught());
    Ok(())
}

async fn c05_a_nursery_that_is_cancelled_by_its_handle_is_no_failure() -> Result<()> {
    let outcome = nursery(async |n| {
        let child = n.spawn(never())?;
        settle().await?;
        n.cancel();
        assert!(child.join().await.unwrap_err().is_cancelled());
        checkpoint().await?; // the body goes on
        Ok("its value")
    });
    assert_eq!(outcome.await?, "its value");
    Ok(())
}
