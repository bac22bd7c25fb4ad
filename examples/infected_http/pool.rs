//! Workers in processes of their own. One that dies fails the request it had, and another is started in its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pleach::actor::StartFailed;
use pleach::prelude::*;
use pleach::task::channel::{Receiver, Sender, bounded};

use crate::server::Request;
use crate::worker::work;

/// A worker that could not be started so many times in a row never will be.
const ATTEMPTS: usize = 20;

pub(crate) struct Pool {
    free: Receiver<Portal>,
    give_back: Sender<Portal>,
    deaths: Arc<AtomicUsize>,
}

impl Pool {
    /// Starts the workers as children of this nursery, and waits until all of them are up.
    pub(crate) async fn start(n: &Nursery<'_>, workers: usize) -> Result<Self> {
        let (give_back, mut free) = bounded(workers);
        let deaths = Arc::new(AtomicUsize::new(0));
        for number in 1..=workers {
            n.spawn(keep(format!("worker-{number}"), give_back.clone(), deaths.clone()))?;
        }
        let mut up = Vec::new();
        while up.len() < workers {
            up.push(free.recv().await?.ok_or(Ended)?);
        }
        for worker in up {
            give_back.send(worker).await?;
        }
        Ok(Self { free, give_back, deaths })
    }

    /// Waits for a free worker, and lets it answer while others go on.
    pub(crate) async fn take(&mut self, request: Request, n: &Nursery<'_>) -> Result<()> {
        let mut worker = self.free.recv().await?.ok_or(Ended)?;
        while worker.has_ended() {
            worker = self.free.recv().await?.ok_or(Ended)?; // the one in its place comes
        }
        n.spawn(answer(request, worker, self.give_back.clone()))?;
        Ok(())
    }

    pub(crate) fn deaths(&self) -> usize {
        self.deaths.load(Ordering::Relaxed)
    }
}

/// The life of one worker after the other. Each has a nursery of its own, so that its death ends nothing else.
async fn keep(name: String, free: Sender<Portal>, deaths: Arc<AtomicUsize>) -> Result<()> {
    let mut attempts = 0;
    loop {
        let life = actor_nursery(async |n| {
            let worker = n.actor(&name).expose(work).start().await?;
            attempts = 0;
            free.send(worker).await?;
            Ok(())
        });
        let Err(error) = life.await else { return Ok(()) };
        if error.downcast_ref::<StartFailed>().is_some() && attempts < ATTEMPTS {
            attempts += 1;
        } else if !error.is_died() {
            return Err(error);
        }
        deaths.fetch_add(1, Ordering::Relaxed);
    }
}

/// One request, unless its client hangs up before it is done: that cancels the work.
async fn answer(request: Request, worker: Portal, free: Sender<Portal>) -> Result<()> {
    let Request { job, mut answer } = request;
    tokio::select! {
        done = worker.run(work, (job,)) => {
            // Who hung up just now does not want it.
            let _ = answer.send(done.map_err(|error| error.to_string()));
        }
        () = answer.closed() => {}
    }
    Ok(free.send(worker).await?)
}
