//! What async-process needs while programs run: its driver, polled by this actor.
//!
//! Without it the crate would start a thread of its own that waits in async-io for ever, and everything else that waits
//! there would pay for it with a thread hop.

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use crate::Result;
use crate::task::{CancelScope, Nursery, cancellable};

/// The programs of the actors that share one executor.
#[derive(Default)]
pub(in crate::actor) struct Programs {
    scope: CancelScope,
    started: AtomicBool,
}

impl Programs {
    /// Has the driver run as a task of this nursery, from the first call on.
    pub(super) async fn ready(&self, services: &Nursery<'static>) -> Result<()> {
        if self.started.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut driver = Box::pin(async_process::driver());
        // It counts from its first poll on, and a program may be started before the task has its turn.
        poll_fn(|cx| {
            let _ = driver.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
        self.started.store(true, Ordering::Release);
        let driven = self.scope.run(async { cancellable(driver).await.map(|never| match never {}) });
        services.spawn(async { driven.await.map(|_: Option<()>| ()) })?;
        Ok(())
    }

    /// No program will be started any more, and none runs.
    pub(in crate::actor) fn end(&self) {
        self.scope.cancel("the actor ends");
    }
}
