//! What the laws use: failures to recognise, flags, and foreign tasks of several tempers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use futures_lite::future::{or, yield_now};
use pleach::prelude::*;
use thiserror::Error;

use crate::harness;

/// Longer than any test may take.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(3600);
/// How long a task that ends in its own time takes to end.
pub(crate) const A_WHILE: Duration = Duration::from_millis(20);

/// Sleeps in the loop's own way, where that has one.
pub(crate) async fn nap(time: Duration) {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => tokio::time::sleep(time).await,
        Err(_) => drop(async_io::Timer::after(time).await),
    }
}

/// Gives the loop a turn in its own way.
pub(crate) async fn turn() {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => tokio::task::yield_now().await,
        Err(_) => yield_now().await,
    }
}

/// Drops `future` when the time is up, as the loop's own timeout does; whether it was.
pub(crate) async fn times_out<T>(time: Duration, future: impl Future<Output = T>) -> bool {
    match tokio::runtime::Handle::try_current() {
        Ok(_) => tokio::time::timeout(time, future).await.is_err(),
        Err(_) => {
            let ended = async {
                future.await;
                false
            };
            let late = async {
                nap(time).await;
                true
            };
            or(ended, late).await
        }
    }
}

/// Whether an error says which kind of task it is about.
pub(crate) fn names_a_task(text: &str) -> bool {
    ["tokio task", "toy task"].into_iter().any(|noun| text.contains(noun))
}

/// What an error says of its causes, nearest first.
pub(crate) fn causes(error: &Error) -> Vec<String> {
    error.to_remote("here", 0).chain
}

/// The far end of a link that starts with nothing and carries numbers.
pub(crate) type Numbers = Far<(), u32, u32>;

#[derive(Debug, Error, PartialEq, Eq)]
#[error("boom number {0}")]
pub(crate) struct Boom(pub(crate) u32);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("the body has had enough")]
pub(crate) struct BodyError;

/// Whether a task is gone: everything it owned has been dropped.
#[derive(Clone, Default)]
pub(crate) struct Gone(Arc<AtomicBool>);

pub(crate) struct Guard(Gone);

impl Gone {
    pub(crate) fn guard(&self) -> Guard {
        Guard(self.clone())
    }

    pub(crate) fn get(&self) -> bool {
        self.0.load(SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.store(true, SeqCst);
    }
}

/// Ends as `future` does, by which time its task must be gone: not only when the scope around has waited for that.
pub(crate) async fn not_before<T>(gone: &Gone, future: impl Future<Output = Result<T>>) -> Result<T> {
    let ended = future.await;
    assert!(gone.get(), "it completed before its task had ended");
    ended
}

/// A flag that one side sets and the other waits for.
#[derive(Clone, Default)]
pub(crate) struct Flag(Arc<AtomicBool>);

impl Flag {
    pub(crate) fn set(&self) {
        self.0.store(true, SeqCst);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(SeqCst)
    }

    pub(crate) async fn wait(&self) {
        while !self.is_set() {
            yield_now().await;
        }
    }
}

type Receives = Pin<Box<dyn Future<Output = Result<Option<u32>>> + Send>>;

/// A body that cancels this scope, which is around it: not before the foreign task is up.
pub(crate) fn cancels(scope: &CancelScope) -> impl FnOnce(Near<u32, u32, ()>, ()) -> Receives + use<> {
    let scope = scope.clone();
    move |mut near, ()| {
        Box::pin(async move {
            scope.cancel("enough");
            near.recv().await
        })
    }
}

/// Takes the cancel signal, and some time to clean up.
pub(crate) async fn listens(mut far: Numbers, guard: Guard) -> Result<()> {
    far.started(()).await?;
    far.cancelled().await;
    nap(A_WHILE).await;
    drop(guard);
    Ok(())
}

/// Hears nothing.
pub(crate) async fn deaf(mut far: Numbers, guard: Guard) -> Result<()> {
    far.started(()).await?;
    nap(FOR_EVER).await;
    drop(guard);
    Ok(())
}

/// Swallows every error and goes on.
pub(crate) async fn stubborn(mut far: Numbers, guard: Guard) -> Result<()> {
    far.started(()).await?;
    loop {
        let _ = far.recv().await;
        nap(Duration::from_millis(1)).await;
        let _keep = &guard;
    }
}

/// Drops of tasks that tokio was asked for are done by its loop, a turn later.
pub(crate) async fn all_gone(gone: &[Gone]) -> Result<()> {
    harness::soon(async {
        while !gone.iter().all(Gone::get) {
            sleep(Duration::from_millis(1)).await?;
        }
        Ok(())
    })
    .await
}
