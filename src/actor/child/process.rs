//! An actor in a process of its own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use event_listener::{Event, listener};

use super::{Child, Reins};
use crate::actor::builder::{ActorBuilder, StartFailed};
use crate::actor::carrier::Carrier;
use crate::actor::defaults::names;
use crate::actor::endpoint::Entry;
use crate::actor::failure::Verdict;
use crate::actor::process::{
    self, ChildEvents, ChildHandle, Death, Launch, Outcome, Program, SpawnError, StartError, Times,
};
use crate::actor::wire::{Control, Data, Line, Lost, Setup, Wire};
use crate::error::{Reason, RemoteError};
use crate::proto::connection::Role;
use crate::proto::control::{ControlMessage, SpawnSpec};
use crate::proto::handshake::{Agreed, Known};
use crate::task::cancellable;
use crate::{Error, Result};

/// Starts the process and waits for its answer.
pub(in crate::actor) async fn start(
    builder: &ActorBuilder,
    carrier: Carrier,
    child: &Arc<Child>,
    exposed: &[&'static Entry],
) -> Result<()> {
    let born = birth(builder, carrier, child, exposed);
    if let Err(error) = born {
        child.gone(None, None);
        return Err(error);
    }
    let (data, events, handle) = born?;
    // Dropped or failed from here on, the process must not stay.
    let unfinished = Unfinished { child: Some(child) };
    let answer = async { cancellable(events.answer()).await? };
    let (agreed, line) = data.line(&builder.nursery.me, answer).await?;
    let wire = connect(builder, child, &agreed, line, handle)?;
    events.connected(&wire);
    unfinished.done();
    Ok(())
}

struct Unfinished<'a> {
    child: Option<&'a Arc<Child>>,
}

impl Unfinished<'_> {
    fn done(mut self) {
        self.child = None;
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(child) = self.child {
            child.kill();
        }
    }
}

type Born = (Data, Arc<Events>, ChildHandle);

fn birth(builder: &ActorBuilder, carrier: Carrier, child: &Arc<Child>, exposed: &[&'static Entry]) -> Result<Born> {
    let (ours, theirs) = Data::new(&builder.nursery.me, carrier, &child.path, child.incarnation)
        .map_err(|error| StartFailed { path: child.path.clone(), text: format!("its socket: {error}") })?;
    let pid = Arc::new(AtomicU32::new(0));
    let state = Mutex::default();
    let events = Arc::new(Events { child: child.clone(), pid: pid.clone(), state, changed: Event::new() });
    let launch = Launch {
        program: Program::this(&child.path),
        tree: builder.nursery.me.tree.as_ref().to_owned(),
        spec: SpawnSpec { data: theirs.address, ..spec(builder, child, exposed)? },
        known: Known { codecs: names(&builder.codecs), max_message: builder.max_message as u64 },
        data: theirs.passed,
        times: Times::default(),
    };
    let handle = process::start(launch, events.clone()).map_err(|error| not_started(child, error))?;
    child.rein(Box::new(ProcessReins { handle: handle.clone(), pid }));
    Ok((ours, events, handle))
}

/// A refusal before anything was started.
fn not_started(child: &Child, error: StartError) -> Error {
    match error {
        StartError::Misuse(misuse) => misuse.into(),
        other => StartFailed { path: child.path.clone(), text: other.to_string() }.into(),
    }
}

fn spec(builder: &ActorBuilder, child: &Child, exposed: &[&'static Entry]) -> Result<SpawnSpec> {
    let (host, host_config) = builder.host_by_name();
    let mut spec = SpawnSpec {
        path: child.path.clone(),
        incarnation: child.incarnation,
        key: Some(builder.nursery.me.key.clone()),
        host,
        host_config,
        exposed: exposed.iter().map(|entry| entry.name.to_owned()).collect(),
        grace_ms: u64::try_from(builder.grace.as_millis()).unwrap_or(u64::MAX),
        waiting: builder.waiting.name().to_owned(),
        ..SpawnSpec::default()
    };
    builder.nursery.me.defaults.tell(&mut spec)?;
    Ok(spec)
}

fn connect(
    builder: &ActorBuilder,
    child: &Arc<Child>,
    agreed: &Agreed,
    line: Line,
    handle: ChildHandle,
) -> Result<Arc<Wire>> {
    let me = &builder.nursery.me;
    let codec = builder.codecs.iter().copied().find(|codec| codec.name() == agreed.codec);
    let codec = codec.ok_or_else(|| StartFailed {
        path: child.path.clone(),
        text: format!("it chose the codec `{}`, which this side has not offered", agreed.codec),
    })?;
    let setup = Setup {
        role: Role::Parent,
        here: me.clone(),
        peer: child.path.clone(),
        codec,
        max_message: usize::try_from(agreed.max_message).unwrap_or(usize::MAX),
        waiting: builder.waiting,
        control: Some(Box::new(ControlOf(handle))),
        info: line.info(agreed),
        watched: true,
        door: None,
    };
    let wire = Wire::start(setup, line.into())?;
    let _ = child.wire.set(wire.clone());
    Ok(wire)
}

/// It holds nothing that holds the child, which would then be kept for ever.
struct ProcessReins {
    handle: ChildHandle,
    pid: Arc<AtomicU32>,
}

impl Reins for ProcessReins {
    fn pid(&self) -> u32 {
        self.pid.load(Ordering::Relaxed)
    }

    fn cancel(&self, reason: Reason, grace: Duration) {
        self.handle.cancel(reason, grace);
    }

    fn kill(&self) {
        self.handle.kill();
    }
}

/// The control connection, as the wire's dialogs use it.
struct ControlOf(ChildHandle);

impl Control for ControlOf {
    fn send(&self, message: ControlMessage) {
        // A control message is small and of our own making; if the child is gone, its death says so.
        let _ = self.0.send(&message);
    }
}

/// What the control thread tells of the process.
struct Events {
    child: Arc<Child>,
    /// The number of the process, once there is one.
    pid: Arc<AtomicU32>,
    state: Mutex<Birth>,
    changed: Event,
}

#[derive(Default)]
struct Birth {
    answer: Option<Result<Agreed, StartFailed>>,
    /// It has answered, so that from now on its end is a death and no failed start.
    lives: bool,
    /// What its dialogs end with, for a connection that is made only after the death.
    verdict: Option<RemoteError>,
}

impl Events {
    fn state(&self) -> MutexGuard<'_, Birth> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn say(&self, answer: Result<Agreed, StartFailed>) {
        self.state().answer = Some(answer);
        self.changed.notify(usize::MAX);
    }

    async fn answer(&self) -> Result<Agreed> {
        loop {
            listener!(self.changed => changed);
            if let Some(answer) = self.state().answer.take() {
                return Ok(answer?);
            }
            changed.await;
        }
    }

    /// The wire is there; if the process died meanwhile, the wire has not heard of it.
    fn connected(&self, wire: &Arc<Wire>) {
        if let Some(verdict) = self.state().verdict.take() {
            wire.lost(Lost::Died(Box::new(verdict)));
        }
    }

    fn failed(&self, text: String) {
        self.say(Err(StartFailed { path: self.child.path.clone(), text }));
        self.child.gone(None, None);
    }
}

impl ChildEvents for Events {
    fn born(&self, pid: u32) {
        self.pid.store(pid, Ordering::Relaxed);
    }

    fn ready(&self, agreed: Agreed) {
        self.pid.store(agreed.peer, Ordering::Relaxed);
        self.state().lives = true;
        self.say(Ok(agreed));
    }

    fn control(&self, message: ControlMessage) {
        if let ControlMessage::Blocked(blocked) = message {
            return self.child.hears_of_its_thread(blocked.map(|blocked| *blocked));
        }
        if let Some(wire) = self.child.wire.get() {
            wire.control(message);
        }
    }

    fn not_started(self: Arc<Self>, error: SpawnError) {
        self.failed(error.to_string());
    }

    fn ended(self: Arc<Self>, death: Death) {
        if !self.state().lives {
            return self.failed(death.to_string());
        }
        self.child.over();
        let wire = self.child.wire.get();
        let dialogs = wire.map(|wire| wire.open_dialogs()).unwrap_or_default();
        let (blocked, is_blamed) = self.child.blame();
        let verdict = Verdict::new(&death, self.child.incarnation, dialogs, blocked);
        let as_asked = death.requested && death.outcome == Outcome::Exited(0);
        let unanswered = self.child.unanswered().filter(|_| as_asked && !verdict.has_last_word());
        self.state().verdict = Some(unanswered.unwrap_or_else(|| verdict.remote()));
        if let Some(wire) = self.child.wire.get() {
            self.connected(wire);
        }
        let stuck = matches!(death.outcome, Outcome::Unkillable { .. }).then(|| verdict.error());
        // Not whether it has been asked by now: whoever heard of its death first has ended the rest already.
        let failure =
            (!death.requested || is_blamed || verdict.has_last_word() || stuck.is_some()).then(|| verdict.error());
        self.child.gone(failure, stuck);
    }
}
