//! Tasks that one owner polls, in the order in which they were woken; their futures may borrow what outlives the owner.
//!
//! An executor for several threads pays at each wake for a queue without locks, and for a list of those who sleep. A nursery is
//! polled by one task only, so its children need no more than a queue and one waker behind one short lock. Once the queue has its
//! size a wake allocates nothing.
//!
//! # Why it is sound
//! A task may hold a future that borrows for `'a`, so none may be polled or dropped once `'a` is over. Futures are polled in
//! [`poll_run`](RunQueue::poll_run), and dropped there, in [`clear`](RunQueue::clear) or by the drop of the queue; all of these have
//! the queue, and so `'a`, and the last two return only when no future is left. `'a` is invariant, so that nobody can put in what
//! lives shorter. Whoever keeps a waker keeps the memory of a task and of the queue, not its future, nor its owner. A destructor of a
//! future's that panics ends the process, by `async_task`. A queue that is leaked is never polled again, and holds its tasks for ever:
//! one that can go on is in it.

use std::collections::VecDeque;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use async_task::{Builder, Runnable, Task};
use pin_project_lite::pin_project;
use slab::Slab;

use crate::shim::Brief;

/// A queue that is larger gives its memory back when it is empty.
const KEEP: usize = 1024;

/// Tasks of one owner.
pub(crate) struct RunQueue<'a> {
    shared: Arc<Shared>,
    borrowed: PhantomData<fn(&'a ()) -> &'a ()>,
}

/// The same for futures that stay on their thread.
pub(crate) struct LocalRunQueue<'a> {
    queue: RunQueue<'a>,
    here: PhantomData<*const ()>,
}

struct Shared {
    state: Brief<State>,
    /// Whether the owner is to be woken. Set under the lock. The owner clears it also without: it looks into the queue after that
    /// and before it sleeps again.
    asleep: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Those that can go on.
    ready: VecDeque<Runnable>,
    /// Of the owner, once it has slept.
    owner: Option<Waker>,
    /// Of all tasks that have a future.
    alive: Slab<Waker>,
    /// The owner has gone: whoever still puts something in takes it out again.
    closed: bool,
}

impl<'a> RunQueue<'a> {
    pub(crate) fn new() -> Self {
        let shared = Shared { state: Brief::new(State::default()), asleep: AtomicBool::new(false) };
        Self { shared: Arc::new(shared), borrowed: PhantomData }
    }

    /// Begins a task, which is polled when its turn comes.
    pub(crate) fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'a,
        F::Output: Send + 'a,
    {
        // SAFETY: the future and its output are `Send`, and both live for `'a`.
        unsafe { self.spawn_unchecked(future) }
    }

    /// # Safety
    /// The future and its output must live for `'a`, and be `Send` unless the queue is used and dropped on this thread alone.
    unsafe fn spawn_unchecked<F: Future>(&self, future: F) -> Task<F::Output> {
        let key = self.shared.state.lock().alive.insert(Waker::noop().clone());
        let leaving = Leaving { shared: self.shared.clone(), key };
        let future = Alive { future, leaving };
        let shared = self.shared.clone();
        let schedule = move |runnable| shared.schedule(runnable);
        // SAFETY: `schedule` is `Send`, `Sync` and `'static`. The runnable stays in the hands of this queue, by the promise of the
        // caller on a thread where it may be, and is gone before `'a` is over, see the head of this file.
        let (runnable, task) = unsafe { Builder::new().propagate_panic(true).spawn_unchecked(|()| future, schedule) };
        let waker = runnable.waker();
        let (owner, closed) = {
            let mut state = self.shared.state.lock();
            state.alive[key] = waker;
            state.ready.push_back(runnable);
            (self.shared.owner_to_wake(&mut state), state.closed)
        };
        wake(owner);
        if closed {
            self.clear();
        }
        task
    }

    /// The owner goes: drops the futures of all tasks, and of those that somebody begins later.
    pub(crate) fn clear(&self) {
        self.shared.clear();
    }

    /// The owner is polled, and will look into the queue: it need not be woken.
    #[inline]
    pub(crate) fn awake(&self) {
        if self.shared.asleep.load(Ordering::Relaxed) {
            self.shared.asleep.store(false, Ordering::Relaxed);
        }
    }

    /// Has the owner polled once more.
    pub(crate) fn nudge(&self) {
        let owner = self.shared.owner_to_wake(&mut self.shared.state.lock());
        wake(owner);
    }

    /// Polls one task that can go on. If there is none the owner is woken once there is.
    pub(crate) fn poll_run(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.shared.state.lock();
        match state.ready.pop_front() {
            Some(runnable) => {
                let large = state.give_back();
                drop(state);
                drop(large);
                runnable.run();
                Poll::Ready(())
            }
            None => {
                let old = match &state.owner {
                    Some(owner) if owner.will_wake(cx.waker()) => None,
                    _ => state.owner.replace(cx.waker().clone()),
                };
                self.shared.asleep.store(true, Ordering::Relaxed);
                drop(state);
                drop(old);
                Poll::Pending
            }
        }
    }
}

impl Drop for RunQueue<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

impl<'a> LocalRunQueue<'a> {
    pub(crate) fn new() -> Self {
        Self { queue: RunQueue::new(), here: PhantomData }
    }

    /// See [`RunQueue::spawn`].
    pub(crate) fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'a,
        F::Output: 'a,
    {
        // SAFETY: both live for `'a`, and the queue, which is neither `Send` nor `Sync`, is used and dropped on this thread.
        unsafe { self.queue.spawn_unchecked(future) }
    }

    /// See [`RunQueue::awake`].
    #[inline]
    pub(crate) fn awake(&self) {
        self.queue.awake();
    }

    /// See [`RunQueue::clear`].
    pub(crate) fn clear(&self) {
        self.queue.clear();
    }

    /// See [`RunQueue::poll_run`].
    pub(crate) fn poll_run(&self, cx: &Context<'_>) -> Poll<()> {
        self.queue.poll_run(cx)
    }
}

impl Shared {
    /// A task can go on.
    fn schedule(&self, runnable: Runnable) {
        let owner = {
            let mut state = self.state.lock();
            state.ready.push_back(runnable);
            self.owner_to_wake(&mut state)
        };
        wake(owner);
    }

    #[inline]
    fn owner_to_wake(&self, state: &mut State) -> Option<Waker> {
        if !self.asleep.load(Ordering::Relaxed) {
            return None;
        }
        self.asleep.store(false, Ordering::Relaxed);
        state.owner.take()
    }

    /// Drops the futures of all tasks. One that another thread is just about to queue is waited for.
    fn clear(&self) {
        let mut rounds = 0;
        loop {
            let (owner, ready, waiting) = self.state.lock().leave();
            drop(owner);
            if ready.is_empty() && waiting.is_empty() {
                return;
            }
            drop(ready);
            let waits = !waiting.is_empty();
            waiting.into_iter().for_each(Waker::wake); // now they are in the queue
            if waits && self.state.lock().ready.is_empty() {
                pause(rounds);
                rounds += 1;
            }
        }
    }
}

/// Lets another thread run, also one of a lower priority.
fn pause(rounds: u32) {
    if rounds < 64 { thread::yield_now() } else { thread::sleep(Duration::from_micros(50)) }
}

impl State {
    /// What is to be dropped now that the owner goes: it, the tasks that are queued, or, if there are none, to be woken.
    fn leave(&mut self) -> (Option<Waker>, VecDeque<Runnable>, Vec<Waker>) {
        self.closed = true;
        let ready = std::mem::take(&mut self.ready);
        let waiting =
            if ready.is_empty() { self.alive.iter().map(|(_, waker)| waker.clone()).collect() } else { Vec::new() };
        (self.owner.take(), ready, waiting)
    }

    /// The memory of a queue that was large and is empty.
    #[inline]
    fn give_back(&mut self) -> Option<VecDeque<Runnable>> {
        let too_large = self.ready.capacity() > KEEP && self.ready.is_empty();
        too_large.then(|| std::mem::take(&mut self.ready))
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

pin_project! {
    /// A future that is counted as long as it is there.
    struct Alive<F> {
        #[pin]
        future: F,
        leaving: Leaving, // dropped behind the future
    }
}

impl<F: Future> Future for Alive<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().future.poll(cx)
    }
}

struct Leaving {
    shared: Arc<Shared>,
    key: usize,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let waker = state.alive.try_remove(self.key);
        let too_large = state.alive.is_empty() && state.alive.capacity() > KEEP;
        let large = too_large.then(|| std::mem::take(&mut state.alive));
        drop(state);
        drop((waker, large));
    }
}

#[cfg(test)]
#[path = "run_queue_tests.rs"]
mod tests;
