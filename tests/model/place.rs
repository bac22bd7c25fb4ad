//! Where the links of the schedules are: what they are carried by when they are real.

use std::sync::Arc;
use std::sync::Mutex;

use pleach::host::{Host, Smol};
use pleach::prelude::*;
use pleach_bridge::{Foreign, ForeignLoop, Here, Thread, Tokio, foreign, link};

use crate::run::{Carrier, LATE, LONG, SHORT, Stage};

/// Opens a link on a loop that runs.
async fn open(on: impl ForeignLoop, stage: Stage) -> Result<u32> {
    let terms = stage.terms;
    let on = stage.watch.clone().over(on);
    let (far, near) = stage.sides();
    let described = link(on)
        .capacity(terms.capacity)
        .grace(if terms.short { SHORT } else { LONG })
        .start_deadline(if terms.late { LATE } else { LONG });
    described.open(far, near).await
}

/// The loop that hosts the tree.
#[derive(Clone)]
pub(crate) struct Guest(pub(crate) Here);

impl Carrier for Guest {
    async fn open(&self, stage: Stage) -> Result<u32> {
        open(self.0, stage).await
    }
}

/// A loop on a thread of its own.
#[derive(Clone)]
pub(crate) struct Beside {
    pub(crate) on: Foreign,
    pub(crate) thread: Thread,
}

impl Carrier for Beside {
    async fn open(&self, stage: Stage) -> Result<u32> {
        if stage.terms.alone {
            return foreign(self.thread, |on| open(on, stage)).await;
        }
        open(self.on.clone(), stage).await
    }
}

/// Runs `tree` as the root of a tree, and gives what it returns.
pub(crate) fn root<T, Fut>(host: impl Host + 'static, tree: impl FnOnce() -> Fut + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
{
    let kept = Arc::new(Mutex::new(None));
    let keeps = kept.clone();
    pleach::actor::run(host, move || {
        Box::pin(async move {
            let value = tree().await?;
            *keeps.lock().unwrap() = Some(value);
            Ok(())
        })
    })?;
    let kept = kept.lock().unwrap().take();
    Ok(kept.expect("it has ended well"))
}

/// One of the placements that links have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Guest,
    Thread,
    Threads,
}

impl Place {
    pub(crate) const ALL: [Self; 3] = [Self::Guest, Self::Thread, Self::Threads];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Thread => "thread",
            Self::Threads => "threads",
        }
    }

    /// Runs `schedules` there.
    pub(crate) fn run<T, W>(self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: Work<T>,
    {
        match self {
            Self::Guest => root(Tokio::current_thread(), move || async move { work.on(Guest(Tokio::here()?)).await }),
            Self::Thread => beside(Tokio::thread(), work),
            Self::Threads => beside(Tokio::threads(2), work),
        }
    }
}

fn beside<T: Send + 'static>(thread: Thread, work: impl Work<T>) -> Result<T> {
    root(Smol::one_thread(), move || foreign(thread, move |on| async move { work.on(Beside { on, thread }).await }))
}

/// What is done with a carrier.
pub(crate) trait Work<T>: Send + 'static {
    fn on(self, carrier: impl Carrier) -> impl Future<Output = Result<T>> + Send;
}
