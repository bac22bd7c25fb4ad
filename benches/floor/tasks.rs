//! The floor of nurseries: the same tasks on a bare executor, or in tokio's `JoinSet`, without names, scopes or cancels.

use std::future::Future;
use std::sync::Arc;

use async_executor::Executor;
use futures_lite::future::{or, yield_now};
use tokio::task::{JoinSet, LocalSet};

/// Runs `root` with a bare executor of this thread, driven as a nursery drives its own.
pub(crate) async fn with_executor<T, F, Fut>(root: F) -> T
where
    F: FnOnce(Arc<Executor<'static>>) -> Fut,
    Fut: Future<Output = T>,
{
    let executor = Arc::new(Executor::new());
    let drive = {
        let executor = executor.clone();
        async move {
            loop {
                for _ in 0..64 {
                    executor.tick().await;
                }
                yield_now().await;
            }
        }
    };
    or(root(executor), drive).await
}

/// Starts `count` tasks on a bare executor and waits for each.
pub(crate) async fn executor_children(count: usize) -> usize {
    with_executor(async |executor| {
        let tasks: Vec<_> = (0..count).map(|n| executor.spawn(async move { n })).collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await;
        }
        sum
    })
    .await
}

/// The same in a `JoinSet` of tokio, on the runtime of this thread.
pub(crate) async fn join_set_children(count: usize) -> usize {
    let mut set = JoinSet::new();
    for n in 0..count {
        set.spawn(async move { n });
    }
    let mut sum = 0;
    while let Some(n) = set.join_next().await {
        sum += n.expect("it does not panic");
    }
    sum
}

/// A runtime of tokio, to run the floor of tokio on.
pub(crate) fn tokio() -> (tokio::runtime::Runtime, LocalSet) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    (runtime, LocalSet::new())
}
