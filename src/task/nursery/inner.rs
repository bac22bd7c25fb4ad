//! The future of a nursery: its body, and its children until the last of them has ended.

use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use super::parallel::Crew;
use crate::error::{Closed, Reason};
use crate::sys::{LocalRunQueue, RunQueue};
use crate::task::body::Body;
use crate::task::link::{Grace, Link};
use crate::task::panics;
use crate::task::roster::Watch;
use crate::task::running::{self, is_wholly_spent};
use crate::task::scope::{Kind, Scope};
use crate::task::strand::Place;
use crate::task::waits_for::{Waits, WaitsFor};
use crate::{Error, Result};

/// How many children are polled per poll of the nursery, before its host gets a turn.
const TURN: usize = 64;

/// Nobody has been spawned yet.
const EMPTY: u8 = 0;
/// There are children, or there were.
const PARENT: u8 = 1;
/// There are none, and it is too late for any.
const BARREN: u8 = 2;

/// What a nursery and its handles share. Only the future of the nursery keeps it.
pub(super) struct Inner<X> {
    pub(super) scope: Arc<Scope>,
    phase: AtomicU8,
    /// Made with the first child.
    children: OnceLock<Children<X>>,
    first_child: Watch,
    /// Children that other threads poll.
    pub(super) crew: Crew,
}

pub(super) struct Children<X> {
    pub(super) scope: Arc<Scope>,
    pub(super) queue: X,
}

/// What polls the children of a nursery.
pub(super) trait Polls {
    fn new() -> Self;
    /// The nursery is polled, and will look for children that can go on.
    fn awake(&self);
    /// Polls one that can go on; without any, the nursery is woken once there is one.
    fn poll_run(&self, cx: &Context<'_>) -> Poll<()>;
    /// The nursery goes: drops those there are, and those to come.
    fn clear(&self);
}

impl Polls for RunQueue<'_> {
    fn new() -> Self {
        RunQueue::new()
    }

    fn awake(&self) {
        RunQueue::awake(self);
    }

    fn poll_run(&self, cx: &Context<'_>) -> Poll<()> {
        RunQueue::poll_run(self, cx)
    }

    fn clear(&self) {
        RunQueue::clear(self);
    }
}

impl Polls for LocalRunQueue<'_> {
    fn new() -> Self {
        LocalRunQueue::new()
    }

    fn awake(&self) {
        LocalRunQueue::awake(self);
    }

    fn poll_run(&self, cx: &Context<'_>) -> Poll<()> {
        LocalRunQueue::poll_run(self, cx)
    }

    fn clear(&self) {
        LocalRunQueue::clear(self);
    }
}

impl<X: Polls> Inner<X> {
    fn new(scope: Arc<Scope>) -> Self {
        Self {
            scope,
            phase: AtomicU8::new(EMPTY),
            children: OnceLock::new(),
            first_child: Watch::default(),
            crew: Crew::default(),
        }
    }

    /// Where children are, which the nursery looks at from now on.
    pub(super) fn children(&self) -> Result<&Children<X>, Closed> {
        match self.children.get() {
            Some(children) => Ok(children),
            None => self.begin(),
        }
    }

    #[cold]
    fn begin(&self) -> Result<&Children<X>, Closed> {
        if self.become_(PARENT) == BARREN {
            return Err(Closed);
        }
        let make = || Children { scope: Scope::of_children(&self.scope), queue: X::new() };
        let children = self.children.get_or_init(make);
        self.first_child.wake();
        Ok(children)
    }

    /// Leaves the phase in which there are no children, and says what it is now.
    fn become_(&self, phase: u8) -> u8 {
        match self.phase.compare_exchange(EMPTY, phase, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => phase,
            Err(other) => other,
        }
    }

    /// The children if there are any; otherwise the first of them will wake `cx`.
    fn children_or_wait(&self, cx: &Context<'_>) -> Option<&Children<X>> {
        self.children.get().or_else(|| {
            self.first_child.wait(cx);
            self.children.get()
        })
    }

    /// The body has ended. Nobody is left if there are no children.
    fn body_over(&self, error: Option<Error>) {
        let children = if self.become_(BARREN) == PARENT { self.children().ok() } else { None };
        if let Some(error) = error {
            self.scope.fell(error, children.map(|children| &*children.scope));
        }
        if let Some(children) = children {
            children.scope.count.leave();
        }
    }

    /// Cancels the children, those there are and those to come.
    pub(super) fn cancel_children(&self) {
        let message = "the children of the nursery were cancelled".to_owned();
        self.request_children(Reason::Explicit { by: String::new(), message });
    }

    /// The same for this reason.
    pub(super) fn request_children(&self, reason: Reason) {
        if let Ok(children) = self.children() {
            children.scope.request(reason);
        }
    }

    /// How many children there are, with the body while that runs.
    pub(super) fn live(&self) -> usize {
        self.children.get().map_or(0, |children| children.scope.count.live())
    }

    /// Whether nobody is left.
    fn is_quiet(&self) -> bool {
        match self.children.get() {
            Some(children) => children.scope.count.live() == 0,
            None => self.phase.load(Ordering::SeqCst) == BARREN,
        }
    }

    fn outcome<T>(&self, value: Option<T>) -> Result<T> {
        let children = self.children.get().map(|children| &*children.scope);
        debug_assert!(
            children.is_none_or(Scope::is_quiescent) && self.scope.is_quiescent(),
            "a strand was left behind"
        );
        self.scope.outcome(value, children)
    }
}

/// Closes a nursery when its future ends or is dropped.
struct Closing<'a, X: Polls>(&'a Inner<X>);

impl<X: Polls> Drop for Closing<'_, X> {
    fn drop(&mut self) {
        if self.0.become_(BARREN) == PARENT
            && let Ok(children) = self.0.children()
        {
            children.scope.close();
        }
        self.0.crew.abandon();
    }
}

/// Drops the children before the future of a nursery is gone, also where another thread is just using a handle of it.
struct Clearing<'a, X: Polls>(&'a Inner<X>);

impl<X: Polls> Drop for Clearing<'_, X> {
    fn drop(&mut self) {
        if let Some(children) = self.0.children.get() {
            children.queue.clear();
        }
    }
}

/// Polls the children that can go on, a turn's worth of them.
fn poll_children<X: Polls>(children: &Children<X>, cx: &Context<'_>) {
    for _ in 0..TURN {
        if children.queue.poll_run(cx).is_pending() || children.scope.count.live() == 0 {
            return;
        }
        if is_wholly_spent() {
            break;
        }
    }
    cx.waker().wake_by_ref();
}

/// Runs `f` with a handle of a new nursery.
pub(super) async fn open<X, T, H, F, Fut>(
    handle: impl FnOnce(&Arc<Inner<X>>) -> H,
    f: F,
    opened_at: &'static Location<'static>,
) -> Result<T>
where
    X: Polls,
    F: FnOnce(H) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let mut link = Link::new(Scope::new(Kind::Nursery));
    let inner = Arc::new(Inner::new(link.scope().clone()));
    let handle = handle(&inner);
    let body = panics::catch(|| f(handle))?;
    let value = run(&mut link, &inner, opened_at, body).await;
    let result = inner.outcome(value);
    link.finish(result)
}

/// Until nobody is left. Gives the value of the body, if it returned one.
async fn run<X: Polls, T>(
    link: &mut Link,
    inner: &Inner<X>,
    opened_at: &'static Location<'static>,
    body: impl Future<Output = Result<T>>,
) -> Option<T> {
    // Dropped last: the body goes before the children.
    let _clearing = Clearing(inner);
    let place = Place::at(link.scope(), opened_at);
    let mut body = pin!(Some(Body::of_scope(place, body)));
    let mut grace = Grace::default();
    let mut value = None;
    let _closing = Closing(inner);
    poll_fn(|cx| {
        link.tick(cx);
        if let Some(children) = inner.children.get() {
            children.queue.awake();
            grace.tick(&children.scope, cx);
        }
        if let Some(result) = poll_body(body.as_mut(), cx) {
            value = keep(inner, result);
        }
        if let Some(children) = inner.children_or_wait(cx)
            && !inner.is_quiet()
        {
            poll_children(children, cx);
        }
        inner.crew.watch(cx);
        if inner.is_quiet() {
            return Poll::Ready(());
        }
        link.entitle();
        running::waits(Waits { what: WaitsFor::Scope, at: Some(opened_at) });
        Poll::Pending
    })
    .await;
    value
}

fn poll_body<B: Future>(mut body: Pin<&mut Option<B>>, cx: &mut Context<'_>) -> Option<B::Output> {
    let Poll::Ready(result) = body.as_mut().as_pin_mut()?.poll(cx) else { return None };
    body.set(None);
    Some(result)
}

fn keep<X: Polls, T>(inner: &Inner<X>, result: Result<T>) -> Option<T> {
    let (value, error) = match result {
        Ok(value) => (Some(value), None),
        Err(error) => (None, Some(error)),
    };
    inner.body_over(error);
    value
}
