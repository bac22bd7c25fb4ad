//! An actor as its parent knows it: how it is told to end, and how it ended.

pub(super) mod mem;
pub(super) mod process;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::{Duration, Instant};

use event_listener::{Event, listener};
use futures_lite::future::or;

use super::blocked;
use super::builder::ActorBuilder;
use super::nursery::Shared;
use super::wire::Wire;
use crate::error::{Cancelled, Mark, Misuse, Reason, RemoteError, ScopeId};
use crate::proto::blocked::Blocked;
use crate::task::{cancellable, sleep};
use crate::{Error, Result};

/// One start of one actor.
pub(super) struct Child {
    path: String,
    incarnation: u64,
    grace: Duration,
    /// How long its thread may be blocked.
    blocked_limit: Option<Duration>,
    nursery: Weak<Shared>,
    /// Why somebody here has asked it to end, so that its end is no failure.
    asked: OnceLock<Reason>,
    reins: OnceLock<Box<dyn Reins>>,
    wire: OnceLock<Arc<Wire>>,
    /// Set before anybody is told of its end.
    over: AtomicBool,
    state: Mutex<State>,
    changed: Event,
}

#[derive(Default)]
struct State {
    ended: bool,
    /// Why it could not be ended, if it could not.
    stuck: Option<Error>,
    /// Its thread does not turn, since then.
    blocked: Option<(Instant, Blocked)>,
    /// It is being ended for that.
    blamed: bool,
}

/// What makes an actor end, by carrier.
pub(super) trait Reins: Send + Sync {
    fn pid(&self) -> u32;
    fn cancel(&self, reason: Reason, grace: Duration);
    fn kill(&self);
}

impl Child {
    pub(super) fn new(builder: &ActorBuilder) -> Arc<Self> {
        static STARTS: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            path: builder.path(),
            incarnation: STARTS.fetch_add(1, Ordering::Relaxed),
            grace: builder.grace,
            blocked_limit: builder.blocked_limit,
            nursery: Arc::downgrade(&builder.nursery),
            asked: OnceLock::new(),
            reins: OnceLock::new(),
            wire: OnceLock::new(),
            over: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Event::new(),
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The process it runs in, 0 before there is one.
    pub(super) fn pid(&self) -> u32 {
        self.reins.get().map_or(0, |reins| reins.pid())
    }

    /// The connection to it; an actor that has been started has one.
    pub(super) fn wire(&self) -> &Arc<Wire> {
        self.wire.get().expect("a portal is only made when the connection is there")
    }

    /// What ends it is there. Whoever has asked before that, from another thread, did not find it.
    fn rein(&self, reins: Box<dyn Reins>) {
        let _ = self.reins.set(reins);
        fence(Ordering::SeqCst);
        if let Some(reason) = self.asked.get() {
            self.cancel(reason.clone(), None);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What somebody who waits for it, or for its answers, would want to know; `None` if it has ended.
    pub(super) fn waited_for(&self) -> Option<String> {
        if self.state().ended {
            return None;
        }
        let dialogs = self.wire.get().map(|wire| wire.open_dialogs()).unwrap_or_default();
        let forgotten = !self.was_asked() && self.nursery.upgrade().is_some_and(|nursery| nursery.waits());
        let why = match (self.wire.get(), dialogs.is_empty()) {
            (None, _) => "it is starting".to_owned(),
            _ if forgotten => "nobody has cancelled it, and the body of its nursery has ended".to_owned(),
            (_, false) => format!("it has not answered `{}`", dialogs.join("`, `")),
            _ if self.was_asked() => "it was asked to end".to_owned(),
            _ => "nobody is talking to it".to_owned(),
        };
        Some(format!("{} (pid {}: {why})", self.path, self.pid()))
    }

    pub(super) fn was_asked(&self) -> bool {
        self.asked.get().is_some()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// It has ended, and nobody knows.
    fn over(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Refuses to open `endpoint` where it has ended as it was asked to: nothing of the caller is cancelled by that, so it
    /// must not look like a cancel.
    pub(super) fn check_not_over(&self, endpoint: &str) -> Result<()> {
        match self.asked.get() {
            Some(reason) if self.state().ended => {
                let path = &self.path;
                let text = format!("`{endpoint}` of {path} was called after that actor had been cancelled: {reason}");
                Err(Misuse::new(text).into())
            }
            _ => Ok(()),
        }
    }

    /// What a dialog ends with that it did not answer before it ended as it was asked to; `None` if nobody asked.
    fn unanswered(&self) -> Option<RemoteError> {
        let reason = self.asked.get()?.clone();
        let cancelled = Cancelled { mark: Mark { scope: ScopeId::fresh(), reason } };
        Some(Error::from(cancelled).to_remote(&self.path, self.incarnation))
    }

    /// How long it may take to unwind.
    pub(super) fn grace(&self) -> Duration {
        self.grace
    }

    /// Asks it to end within its grace, or within `limit` if that is less, with SIGTERM and SIGKILL to follow where there
    /// is a process; returns at once.
    pub(super) fn cancel(&self, reason: Reason, limit: Option<Duration>) {
        let _ = self.asked.set(reason.clone());
        fence(Ordering::SeqCst);
        if let Some(reins) = self.reins.get() {
            reins.cancel(reason, limit.map_or(self.grace, |limit| limit.min(self.grace)));
        }
    }

    /// Ends it without asking; returns at once.
    pub(super) fn kill(&self) {
        let _ = self.asked.set(Reason::NurseryDropped);
        fence(Ordering::SeqCst);
        if let Some(reins) = self.reins.get() {
            reins.kill();
        }
    }

    /// It says that its thread does not turn, or does so again. To be called on the control thread: what there is to do is done by a
    /// task of its parent.
    fn hears_of_its_thread(self: &Arc<Self>, blocked: Option<Blocked>) {
        let since = |time| Instant::now().checked_sub(time).unwrap_or_else(Instant::now);
        self.state().blocked = blocked.clone().map(|blocked| (since(blocked.time), blocked));
        self.changed.notify(usize::MAX);
        if let (Some(blocked), Some(nursery)) = (blocked, self.nursery.upgrade()) {
            // Refused where the parent has ended, and then it ends as well.
            let _ = nursery.me.services.spawn(self.clone().is_blocked(blocked));
        }
    }

    async fn is_blocked(self: Arc<Self>, blocked: Blocked) -> Result<()> {
        blocked::warn(&self.path, self.pid(), &blocked);
        let Some(limit) = self.blocked_limit else { return Ok(()) };
        loop {
            listener!(self.changed => changed);
            let Some(left) = self.may_be_blocked_for(limit) else { return Ok(()) };
            if left.is_zero() {
                break;
            }
            or(sleep(left), cancellable(changed)).await?;
        }
        // Nobody has asked for its end, so that it is a failure.
        let message = format!("its thread was blocked for more than {limit:?}");
        if let Some(reins) = self.reins.get() {
            reins.cancel(Reason::Explicit { by: String::new(), message }, self.grace);
        }
        Ok(())
    }

    /// How much of the limit is left, if it is blocked; nothing the first time that is so.
    fn may_be_blocked_for(&self, limit: Duration) -> Option<Duration> {
        let mut state = self.state();
        let (since, _) = state.blocked.as_ref()?;
        let left = limit.saturating_sub(since.elapsed());
        if state.ended || state.blamed {
            return None;
        }
        state.blamed = left.is_zero();
        Some(left)
    }

    /// What its thread is blocked by, and whether it is being ended for that.
    fn blame(&self) -> (Option<Blocked>, bool) {
        let state = self.state();
        (state.blocked.as_ref().map(|(_, blocked)| blocked.clone()), state.blamed)
    }

    /// It is gone, and reaped: tell the nursery, then whoever waits, so that who has waited can use its name again.
    fn gone(self: &Arc<Self>, failure: Option<Error>, stuck: Option<Error>) {
        self.over();
        if let Some(nursery) = self.nursery.upgrade() {
            nursery.ended(self, failure);
        }
        {
            let mut state = self.state();
            state.ended = true;
            state.stuck = stuck;
        }
        self.changed.notify(usize::MAX);
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// A cancel; that it could not be ended.
    pub(super) async fn wait(&self) -> Result<()> {
        loop {
            listener!(self.changed => changed);
            {
                let mut state = self.state();
                if state.ended {
                    return state.stuck.take().map_or(Ok(()), Err);
                }
            }
            cancellable(changed).await?;
        }
    }
}
