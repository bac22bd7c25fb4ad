//! A connection to one peer: the protocol, who waits for what in it, and its driver.
//!
//! This is the one place where `proto` and `transport` meet. Tasks call the state machine under a short lock and wake
//! the [`driver`]; the driver moves bytes and wakes the tasks that its events name. No lock is held while a waker, a
//! user's `Serialize` or a user's `Drop` runs.

mod call;
mod data;
mod dial;
mod driver;
mod far;
pub(super) mod gate;
mod inbound;
mod info;
mod intake;
pub(super) mod join;
mod look;
mod near;
mod open;
mod opener;
mod outflow;
mod value;
#[cfg(test)]
#[path = "golden_tests.rs"]
mod golden;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

pub(super) use call::call;
pub(crate) use data::DataError;
pub(super) use data::{Data, Line, LooseLine};
pub use inbound::Inbound;
pub use info::ConnectionInfo;
pub(super) use info::connection_info;
pub(super) use opener::RemoteOpener;

use super::ambient::Me;
use crate::Result;
use crate::codec::Codec;
use crate::error::{Closed, Kind, Reason, RemoteError};
use crate::proto::connection::{Connection, Limits, Role};
use crate::proto::control::ControlMessage;
use crate::proto::entry::IdHasher;
use crate::proto::event::{ControlFrame, ControlVerb, DialogId, EventKind};
use crate::shim::{Brief, BriefGuard};
use crate::task::{CancelScope, Wait};
use crate::transport::Transport;

/// Sends control frames past the data, where there is a control connection.
pub(super) trait Control: Send + Sync {
    fn send(&self, message: ControlMessage);
}

/// What a connection is to be.
pub(super) struct Setup {
    pub(super) role: Role,
    pub(super) here: Arc<Me>,
    pub(super) peer: String,
    pub(super) codec: Codec,
    pub(super) max_message: usize,
    pub(super) waiting: crate::Waiting,
    pub(super) control: Option<Box<dyn Control>>,
    pub(super) info: ConnectionInfo,
    /// Whether somebody will tell of the peer's death.
    pub(super) watched: bool,
    /// Where the peer came in, if it does not belong to the tree.
    pub(super) door: Option<String>,
}

/// Why there will be no more bytes.
pub(super) enum Lost {
    /// The peer's process is gone, and this is what all its dialogs end with.
    Died(Box<RemoteError>),
    /// The peer ended as it should.
    Closed,
}

/// A connection to one peer.
pub(crate) struct Wire {
    state: Brief<State>,
    here: Arc<Me>,
    peer: String,
    codec: Codec,
    waiting: crate::Waiting,
    control: Option<Box<dyn Control>>,
    info: ConnectionInfo,
    watched: bool,
    door: Option<String>,
}

struct State {
    proto: Connection,
    waiting: HashMap<DialogId, Waiting, BuildHasherDefault<IdHasher>>,
    incoming: VecDeque<DialogId>,
    /// Why no more dialogs of the peer are taken in.
    refusal: Option<Reason>,
    acceptor: Option<Waker>,
    driver: Option<Waker>,
    /// What the death of the peer was, once it is known.
    lost: Option<Lost>,
    /// The driver has ended: nothing will be read or written any more.
    over: bool,
    closing: bool,
    /// The peer has said that it sends nothing more.
    said_bye: bool,
}

/// Who waits in one dialog, and what a cancel of it cancels.
#[derive(Default)]
struct Waiting {
    endpoint: String,
    reader: Option<Waker>,
    writer: Option<Waker>,
    opener: Option<Waker>,
    scope: Option<CancelScope>,
    /// The outcome is there to be taken.
    ended: Arc<AtomicBool>,
}

/// What to do once the lock is released. A step mostly wakes one task, so the first waker needs no allocation.
#[derive(Default)]
struct After {
    waker: Option<Waker>,
    wakers: Vec<Waker>,
    cancels: Vec<(CancelScope, Reason)>,
    control: Vec<ControlMessage>,
}

impl Wire {
    /// Starts the connection's driver beside the actor's tasks.
    ///
    /// # Errors
    /// If the actor is ending.
    pub(super) fn start(setup: Setup, transport: Box<dyn Transport>) -> Result<Arc<Self>> {
        let limits =
            Limits { max_message: setup.max_message, separate_control: setup.control.is_some(), ..Limits::default() };
        let mut proto = Connection::new(setup.role, limits);
        proto.set_actor(&setup.here.path, setup.here.incarnation);
        let state = State {
            proto,
            waiting: HashMap::default(),
            incoming: VecDeque::new(),
            refusal: None,
            acceptor: None,
            driver: None,
            lost: None,
            over: false,
            closing: false,
            said_bye: false,
        };
        let services = setup.here.services.clone();
        let wire = Arc::new(Self {
            state: Brief::new(state),
            here: setup.here,
            peer: setup.peer,
            codec: setup.codec,
            waiting: setup.waiting,
            control: setup.control,
            info: setup.info,
            watched: setup.watched,
            door: setup.door,
        });
        services.spawn(driver::drive(wire.clone(), transport))?;
        Ok(wire)
    }

    fn state(&self) -> BriefGuard<'_, State> {
        self.state.lock()
    }

    /// What it is.
    pub(super) fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// One step of the state machine: taken under the lock, its consequences drawn when it is released.
    fn step<T>(&self, step: impl FnOnce(&mut State) -> T) -> T {
        let mut after = After::default();
        let (result, driver) = {
            let mut state = self.state();
            let result = step(&mut state);
            state.dispatch(&mut after);
            after.control = state.take_control();
            let driver = if state.proto.has_output() || state.closing { state.driver.take() } else { None };
            (result, driver)
        };
        self.draw(after);
        if let Some(driver) = driver {
            driver.wake();
        }
        result
    }

    /// Tells those whom something concerns that the driver itself has brought about.
    fn tell(&self) {
        let mut after = After::default();
        self.state().dispatch(&mut after);
        self.draw(after);
    }

    /// The consequences of a step, without the lock.
    fn draw(&self, after: After) {
        self.send_control(after.control);
        for (scope, reason) in after.cancels {
            scope.request(reason);
        }
        if let Some(waker) = after.waker {
            waker.wake();
        }
        after.wakers.into_iter().for_each(Waker::wake);
    }

    fn send_control(&self, messages: Vec<ControlMessage>) {
        if let Some(control) = &self.control {
            messages.into_iter().for_each(|message| control.send(message));
        }
    }

    /// A frame has come on the control connection.
    pub(super) fn control(&self, message: ControlMessage) {
        let taken = self.step(|state| match message {
            ControlMessage::Cancel { dialog, reason } => state.proto.on_cancel(dialog, reason),
            ControlMessage::CancelAck { dialog } => state.proto.on_cancel_ack(dialog),
            _ => Ok(()),
        });
        if let Err(error) = taken {
            let text = format!("{} broke the protocol: {error}", self.peer);
            self.lost(Lost::Died(Box::new(self.broken(text))));
        }
    }

    /// The peer is gone; what it sent before is still read.
    pub(super) fn lost(&self, lost: Lost) {
        {
            let mut state = self.state();
            if state.over || state.lost.is_some() {
                return;
            }
            state.lost = Some(lost);
        }
        self.wake_driver();
    }

    /// Cancels every dialog that the peer has open here, and answers those to come as cancelled.
    pub(super) fn end_inbound(&self, reason: &Reason) {
        let scopes: Vec<_> = self.step(|state| {
            state.refusal = Some(reason.clone());
            std::mem::take(&mut state.incoming).into_iter().for_each(|id| state.proto.refuse(id, reason));
            state.waiting.values().filter_map(|waiting| waiting.scope.clone()).collect()
        });
        scopes.iter().for_each(|scope| scope.request(reason.clone()));
    }

    /// Waits until no dialog that the peer opened is running. Not a runtime await: the actor is ending.
    pub(super) async fn inbound_ended(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.waiting.values().all(|waiting| waiting.scope.is_none()) {
                return Poll::Ready(());
            }
            let old = register(&mut state.acceptor, cx);
            drop(state);
            drop(old);
            Poll::Pending
        })
        .await;
    }

    /// Everything queued is written, then the driver ends.
    pub(super) fn close(&self) {
        self.step(|state| {
            state.closing = true;
            state.proto.bye();
        });
    }

    /// Waits until the driver has ended. Not a runtime await: it is used while everything is cancelled.
    pub(super) async fn closed(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.over {
                return Poll::Ready(());
            }
            let old = register(&mut state.acceptor, cx);
            drop(state);
            drop(old);
            Poll::Pending
        })
        .await;
    }

    fn wake_driver(&self) {
        let driver = self.state().driver.take();
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// The endpoints of the dialogs that are open to the peer.
    pub(super) fn open_dialogs(&self) -> Vec<String> {
        let state = self.state();
        let mut names: Vec<_> = state.waiting.values().map(|waiting| waiting.endpoint.clone()).collect();
        names.sort();
        names
    }

    /// What a dialog is called in errors.
    fn name_of(&self, id: DialogId) -> String {
        let state = self.state();
        state
            .waiting
            .get(&id)
            .map_or_else(|| "a dialog that has ended".into(), |waiting| format!("`{}`", waiting.endpoint))
    }

    /// The next dialog that the peer opens.
    ///
    /// # Errors
    /// A cancel; [`Closed`] when the connection is over.
    pub(super) async fn incoming(self: &Arc<Self>) -> Result<Inbound> {
        let mut wait = Wait::default();
        loop {
            let id = poll_fn(|cx| self.poll_incoming(cx, &mut wait)).await?;
            if let Some(inbound) = Inbound::new(self.clone(), id) {
                return Ok(inbound);
            }
        }
    }

    fn poll_incoming(&self, cx: &mut Context<'_>, wait: &mut Wait) -> Poll<Result<DialogId>> {
        crate::dialog::local::runtime_await!(wait, cx);
        let mut state = self.state();
        if let Some(id) = state.incoming.pop_front() {
            return Poll::Ready(Ok(id));
        }
        if state.over {
            return Poll::Ready(Err(Closed.into()));
        }
        let old = register(&mut state.acceptor, cx);
        drop(state);
        drop(old);
        wait.park(cx);
        Poll::Pending
    }

    /// What dialogs end with when the connection breaks and the peer's death does not explain it.
    fn broken(&self, message: String) -> RemoteError {
        RemoteError {
            id: crate::error::FailureId::fresh(),
            kind: Kind::Died,
            actor: self.peer.clone(),
            incarnation: 0,
            location: None,
            relay: Vec::new(),
            type_name: "pleach::actor::ConnectionLost".to_owned(),
            message,
            chain: Vec::new(),
            trace: None,
            mark: None,
        }
    }
}

impl State {
    fn take_control(&mut self) -> Vec<ControlMessage> {
        if !self.proto.has_control() {
            return Vec::new();
        }
        let mut frames = Vec::new();
        self.proto.transmit_control(&mut frames);
        let message = |frame: ControlFrame| match frame.verb {
            ControlVerb::Cancel(reason) => ControlMessage::Cancel { dialog: frame.id, reason },
            ControlVerb::CancelAck => ControlMessage::CancelAck { dialog: frame.id },
        };
        frames.into_iter().map(message).collect()
    }

    /// Turns the protocol's events into wakers and cancels.
    fn dispatch(&mut self, after: &mut After) {
        while let Some(event) = self.proto.next_event() {
            if event.kind == EventKind::Incoming {
                if let Some(reason) = &self.refusal {
                    self.proto.refuse(event.id, reason);
                    continue;
                }
                self.incoming.push_back(event.id);
                after.wake(self.acceptor.take());
                continue;
            }
            self.said_bye |= event.kind == EventKind::Bye;
            let Some(waiting) = self.waiting.get_mut(&event.id) else { continue };
            match event.kind {
                EventKind::Readable | EventKind::Stopped => after.wake(waiting.reader.take()),
                EventKind::Writable => after.wake(waiting.writer.take()),
                // It stays registered, see `Shared::poll_ended`.
                EventKind::Started => after.wake(waiting.opener.clone()),
                EventKind::Outcome => {
                    waiting.ended.store(true, Ordering::Release);
                    waiting.all().into_iter().for_each(|waker| after.wake(waker));
                }
                EventKind::CancelRequested => {
                    if let Some(scope) = &waiting.scope
                        && let Some(reason) = self.proto.take_cancel(event.id)
                    {
                        after.cancels.push((scope.clone(), reason));
                    }
                }
                _ => {}
            }
        }
    }
}

impl After {
    fn wake(&mut self, waker: Option<Waker>) {
        match &self.waker {
            None => self.waker = waker,
            Some(_) => self.wakers.extend(waker),
        }
    }
}

impl Waiting {
    fn all(&mut self) -> [Option<Waker>; 3] {
        [self.reader.take(), self.writer.take(), self.opener.take()]
    }
}

/// Keeps a waker. One of another task that it replaces is to be dropped when the lock is free: that may be code of somebody's.
#[must_use = "it may not be dropped under the lock"]
fn register(slot: &mut Option<Waker>, cx: &Context<'_>) -> Option<Waker> {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => None,
        other => other.replace(cx.waker().clone()),
    }
}
