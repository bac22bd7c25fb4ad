//! Where the foreign task of a link is placed, and how a law is run on each placement.

use std::future::Future;
use std::pin::Pin;

use libtest_mimic::Trial;
use pleach::prelude::*;
use pleach_bridge::{Foreign, ForeignLoop, Here, Placement, RunSoon, Thread, Tokio};

use crate::harness::{actors, plain};
use crate::toy;

/// A placement, by its type.
pub(crate) trait Place: Send + Sync + 'static {
    type Loop: ForeignLoop + Clone + Send + Sync + 'static;
    type On: Placement<Loop = Self::Loop> + Send;

    fn on() -> Result<Self::On>;
}

/// The loop that hosts the actor: both tasks share a thread.
pub(crate) struct Guest;

impl Place for Guest {
    type Loop = Here;
    type On = Here;

    fn on() -> Result<Here> {
        Tokio::here()
    }
}

/// A loop on a thread of its own.
pub(crate) struct OwnThread;

impl Place for OwnThread {
    type Loop = Foreign;
    type On = Thread;

    fn on() -> Result<Thread> {
        Ok(Tokio::thread())
    }
}

/// A loop that can only run something soon, on a thread of its own.
pub(crate) struct ToyThread;

impl Place for ToyThread {
    type Loop = RunSoon;
    type On = RunSoon;

    fn on() -> Result<RunSoon> {
        Ok(toy::on_a_thread())
    }
}

/// The same loop, with the tree a guest of its thread as well.
pub(crate) struct ToyGuest;

impl Place for ToyGuest {
    type Loop = RunSoon;
    type On = RunSoon;

    fn on() -> Result<RunSoon> {
        Ok(toy::here())
    }
}

type Proof = fn() -> Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// A law, on both placements.
#[derive(Clone, Copy)]
pub(crate) struct Law {
    pub(crate) name: &'static str,
    pub(crate) guest: Proof,
    pub(crate) thread: Proof,
    /// On a loop that is not tokio, on a thread of its own and as the host of the tree.
    pub(crate) toy: Option<[Proof; 2]>,
}

/// The laws with these names, functions of a [`Place`].
macro_rules! laws {
    ($($law:ident),* $(,)?) => {
        vec![$($crate::place::Law {
            name: stringify!($law),
            guest: || Box::pin($law::<$crate::place::Guest>()),
            thread: || Box::pin($law::<$crate::place::OwnThread>()),
            toy: Some([
                || Box::pin($law::<$crate::place::ToyThread>()),
                || Box::pin($law::<$crate::place::ToyGuest>()),
            ]),
        }),*]
    };
}
pub(crate) use laws;

/// Those that are about tokio, and hold on its placements alone.
macro_rules! tokio_laws {
    ($($law:ident),* $(,)?) => {
        vec![$($crate::place::Law {
            name: stringify!($law),
            guest: || Box::pin($law::<$crate::place::Guest>()),
            thread: || Box::pin($law::<$crate::place::OwnThread>()),
            toy: None,
        }),*]
    };
}
pub(crate) use tokio_laws;

/// Runs a law inside the infected actor that this is.
#[pleach::endpoint]
pub(crate) async fn proves(name: String) -> Result<()> {
    let law = crate::laws().into_iter().find(|law| law.name == name).expect("it is asked for by its name");
    (law.guest)().await
}

async fn in_an_infected_actor(law: Law) -> Result<()> {
    actor_nursery(async |n| {
        let actor = n.actor("infected").host(Tokio::current_thread()).expose(proves).start().await?;
        actor.run(proves, (law.name.to_owned(),)).await?;
        actor.cancel_actor().await
    })
    .await
}

impl Law {
    /// `guest::l01_..` in an infected actor, `root::l32_l01_..` in an infected root, `thread::l01_..` in a root on smol; `toy_thread::` and `toy_guest::` with a loop of
    /// fifty lines in place of tokio.
    pub(crate) fn trials(self) -> Vec<Trial> {
        let mut trials = vec![
            actors(format!("guest::{}", self.name), move || in_an_infected_actor(self)),
            actors(format!("thread::{}", self.name), move || (self.thread)()),
            plain(format!("root::l32_{}", self.name), move || {
                let ended = pleach::actor::run(Tokio::current_thread(), self.guest);
                ended.map_err(|error| format!("{error:?}").into())
            }),
        ];
        if let Some([thread, guest]) = self.toy {
            trials.push(actors(format!("toy_thread::{}", self.name), thread));
            trials.push(plain(format!("toy_guest::{}", self.name), move || {
                toy::host(guest()).map_err(|error| format!("{error:?}").into())
            }));
        }
        trials
    }
}

/// What each file of laws needs.
pub(crate) mod prelude {
    pub(crate) use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    pub(crate) use std::sync::{Arc, Mutex};
    pub(crate) use std::time::{Duration, Instant};

    pub(crate) use futures_lite::future::{or, poll_once, yield_now};
    pub(crate) use pleach::prelude::*;
    pub(crate) use pleach::task::oneshot;
    pub(crate) use pleach_bridge::{foreign, link, open_link, run};

    pub(crate) use super::{Law, Place, laws, tokio_laws};
    pub(crate) use crate::harness;
    pub(crate) use crate::open::Open;
    pub(crate) use crate::tools::*;
}
