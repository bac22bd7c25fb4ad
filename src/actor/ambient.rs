//! Which actor the running task belongs to.
//!
//! A process can hold several actors (those on the `mem` transport), so this is not a global: the wrapper [`In`] says it
//! around each poll of an actor's root.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::command::Programs;
use super::defaults::Defaults;
use super::process;
use super::started::Started;
use super::turns::Turns;
use super::wire::gate::Places;
use crate::Result;
use crate::error::Misuse;
use crate::host::Reactor;
use crate::proto::key::Key;
use crate::task::Nursery;

/// An actor, seen from its own tasks.
#[derive(Clone)]
pub(crate) struct Me {
    /// Where it stands in the tree: `root/feeds/quotes`.
    pub(crate) path: String,
    /// The name of its tree: random, and told to every actor of it.
    pub(crate) tree: Arc<str>,
    /// The key of the tree, which every actor of it has.
    pub(crate) key: Key,
    /// What actors are that do not choose.
    pub(super) defaults: Arc<Defaults>,
    /// Where the sockets of its process are.
    pub(in crate::actor) places: Arc<Places>,
    /// Which start of that name it is.
    pub(crate) incarnation: u64,
    /// How long its dialogs may take to unwind when they are cancelled.
    pub(crate) grace: Duration,
    /// Serves its sockets.
    pub(crate) reactor: Arc<dyn Reactor>,
    /// The turns of its root.
    pub(crate) turns: Arc<Turns>,
    /// Where connection drivers live: beside the actor's own tasks, not below them, so that they outlive a cancel.
    pub(crate) services: Nursery<'static>,
    /// The actors that its tasks have started, and those of the actors that share its process.
    pub(super) started: Arc<Started>,
    /// What the foreign programs of this executor's actors need.
    pub(crate) programs: Arc<Programs>,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Me>>> = const { RefCell::new(None) };
}

/// The actor of the running task.
///
/// # Errors
/// Outside every actor, with the line to add.
pub(crate) fn me() -> Result<Arc<Me>> {
    CURRENT.with(|current| current.borrow().clone()).ok_or_else(|| outside().into())
}

/// The path of the running task's actor, if there is one.
pub(crate) fn path() -> Option<String> {
    CURRENT.with(|current| current.borrow().as_ref().map(|me| me.path.clone()))
}

fn outside() -> Misuse {
    if process::may_be_root() {
        return Misuse::new(
            "no actor here: this task runs outside the tree (in a thread or executor of its own); \
             open actor nurseries in tasks of the tree, below the root function",
        );
    }
    Misuse::new(
        "no actor can be started here: the entry point of this program was not taken, so its children would start \
         everything again; write `#[pleach::main]` above `async fn main`",
    )
}

pin_project! {
    /// Polls a future as part of an actor.
    pub(crate) struct In<F> {
        me: Option<Arc<Me>>,
        #[pin]
        future: F,
    }
}

impl<F> In<F> {
    pub(crate) fn new(me: Arc<Me>, future: F) -> Self {
        Self { me: Some(me), future }
    }
}

/// Puts back what was current before, also when a poll unwinds.
struct Restore<'a> {
    before: Option<Arc<Me>>,
    home: &'a mut Option<Arc<Me>>,
}

fn replace(me: Option<Arc<Me>>) -> Option<Arc<Me>> {
    CURRENT.with(|current| std::mem::replace(&mut *current.borrow_mut(), me))
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        *self.home = replace(self.before.take());
    }
}

impl<F: Future> Future for In<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let before = replace(this.me.take());
        let _restore = Restore { before, home: this.me };
        this.future.poll(cx)
    }
}
