//! What is said to the program's log because nobody is left to report to, or because it is only suspected.

mod bound;

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, mpsc};
use std::time::Duration;

use bound::block_on;
use futures_lite::future::{or, yield_now};
use pleach::prelude::*;
use pleach::task::oneshot;
use pleach_bridge::{Placement, Tokio, open_link, run};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

pleach::test_entry!();

static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Log;

/// The fields of an event, as text.
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!("{}={value:?} ", field.name());
    }
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Log).unwrap());
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("pleach")
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(format!("{} ", event.metadata().level()));
        event.record(&mut fields);
        SAID.lock().unwrap().push(fields.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Panics when it is dropped.
struct Slippery(&'static str);

impl Drop for Slippery {
    fn drop(&mut self) {
        std::panic::panic_any(self.0);
    }
}

/// Drops it where no scope is around: on a thread without one, or in a task of tokio's own.
async fn drop_outside<T: 'static>(dropped: T, in_tokio: bool) {
    if in_tokio {
        tokio::task::spawn_local(async move { drop(dropped) }).await.unwrap();
        tokio::task::yield_now().await;
    }
}

/// Drops a link whose foreign task has begun to wait.
async fn drops_a_link<P: Placement + 'static>(on: P, what: &'static str, in_tokio: bool) {
    let far = async move |mut far: Far<(), (), ()>| {
        let _slippery = Slippery(what);
        far.started(()).await?;
        pending::<Result<()>>().await
    };
    let (up, mut is_up) = oneshot::channel();
    let body = async move |mut near: Near<(), (), ()>, ()| {
        let _ = up.send(());
        near.recv().await.map(drop)
    };
    let mut link = Box::pin(open_link(on, far, body));
    or(link.as_mut(), async { is_up.recv().await.map(drop) }).await.unwrap();
    drop_outside(link, in_tokio).await;
}

/// Drops a call that has begun to wait.
async fn drops_a_call<P: Placement + 'static>(on: P, what: &'static str, in_tokio: bool) {
    let is_up = Arc::new(AtomicBool::new(false));
    let up = is_up.clone();
    let work = async move || {
        let _slippery = Slippery(what);
        up.store(true, Ordering::SeqCst);
        pending::<Result<()>>().await
    };
    let mut call = Box::pin(run(on, work));
    let up = async {
        while !is_up.load(Ordering::SeqCst) {
            yield_now().await;
        }
        Ok(())
    };
    or(call.as_mut(), up).await.unwrap();
    drop_outside(call, in_tokio).await;
}

async fn of_a_guest() -> Result<()> {
    drops_a_link(Tokio::here()?, "link, guest", true).await;
    drops_a_call(Tokio::here()?, "call, guest", true).await;
    Ok(())
}

fn is_said(what: &str) -> bool {
    SAID.lock()
        .unwrap()
        .iter()
        .any(|said| said.starts_with("ERROR message=nobody is left to report to: ") && said.contains(what))
}

#[test]
fn l14_a_failure_of_what_is_dropped_outside_of_every_scope_is_said_to_the_log() {
    listen();
    // To say where something panicked takes longer than the drop waits by default.
    let on = Tokio::thread().drop_wait(Duration::from_secs(10));
    block_on(async {
        drops_a_link(on, "link, thread", false).await;
        drops_a_call(on, "call, thread", false).await;
    });
    pleach::actor::run(Tokio::current_thread(), of_a_guest).unwrap();
    let missing: Vec<_> = ["link, thread", "call, thread", "link, guest", "call, guest"]
        .into_iter()
        .filter(|what| !is_said(what))
        .collect();
    assert!(missing.is_empty(), "not said: {missing:?}; said: {:?}", SAID.lock().unwrap());
}

#[test]
fn l01_a_drop_that_has_waited_in_vain_is_said_to_the_log() {
    listen();
    let ((up, is_up), (hold, held)) = (mpsc::channel(), mpsc::channel::<()>());
    let mut call = Box::pin(run(Tokio::thread().drop_wait(Duration::from_millis(50)), move || async move {
        up.send(())?;
        let _ = held.recv();
        Ok(())
    }));
    let up = async {
        while is_up.try_recv().is_err() {
            yield_now().await;
        }
        Ok(())
    };
    block_on(or(call.as_mut(), up)).unwrap();
    drop(call);
    let said = SAID.lock().unwrap().clone();
    drop(hold);
    let late = "the thread of a foreign scope that was dropped has not ended";
    assert!(said.iter().any(|said| said.starts_with("ERROR ") && said.contains(late)), "{said:?}");
}

#[test]
fn l03_what_a_link_spawned_behind_our_back_is_suspected_and_ends_with_the_actor() {
    listen();
    let (held, is_dropped) = mpsc::channel::<()>();
    let root = async move || {
        run(Tokio::here()?, async move || {
            tokio::spawn(async move { drop((pending::<()>().await, held)) });
            Ok(())
        })
        .await
    };
    pleach::actor::run(Tokio::current_thread(), root).unwrap();
    assert!(is_dropped.try_recv().is_err_and(|error| error == mpsc::TryRecvError::Disconnected));
    let said = SAID.lock().unwrap().clone();
    for expected in
        ["DEBUG message=there are more foreign tasks than before suspected=1", "INFO message=the actor has ended"]
    {
        assert!(said.iter().any(|said| said.starts_with(expected)), "{expected} is not in {said:#?}");
    }
}
