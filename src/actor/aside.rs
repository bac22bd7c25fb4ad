//! Work that takes as long as a value is large, beside the thread of the actor, so that its other dialogs go on meanwhile.
//!
//! The threads for it are few, are started when there is work, and end when there has been none for a moment.

use std::any::type_name;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::dialog::Stuck;
use crate::error::Raised;
use crate::task::{Entitled, Wait, entrust_or, grace_here};

/// How long a thread without work stays.
const LINGER: Duration = Duration::from_millis(100);
/// How many threads there are at most, however many CPUs there are.
const MOST: usize = 8;

static THREADS: Threads = Threads { state: Mutex::new(State::new()), news: Condvar::new() };

/// Work that has been begun, on another thread. Nothing ends it before it is done.
///
/// If this is dropped before, the scope around waits for the work and for the drop of what it gives, as long as it waits for
/// anything; their panics, and work that takes longer, are its failures. Outside every scope nobody waits.
pub(super) struct Aside<T: Send + 'static>(Arc<Slot<T>>);

impl<T: Send + 'static> Aside<T> {
    /// Has it done; on this thread, if the system has no other one left.
    pub(super) fn begin(work: impl FnOnce() -> T + Send + 'static) -> Self {
        let slot = Arc::new(Slot { state: Mutex::new(Progress::Begun(None)), unwanted: AtomicBool::new(false) });
        let theirs = slot.clone();
        THREADS.run(Box::new(move || {
            let ended = match theirs.unwanted.load(Ordering::Acquire) {
                true => Raised::catch(|| drop(work)).map(|()| None),
                false => Raised::catch(work).map(Some),
            };
            theirs.end(ended);
        }));
        Self(slot)
    }

    /// Whether it has been done.
    pub(super) fn is_done(&self) -> bool {
        !self.0.is_begun()
    }

    /// Ready once, when it is done: with what it gives, or with its panic.
    pub(super) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Raised>> {
        let ended = ready!(self.0.poll(cx));
        Poll::Ready(ended.map(|value| value.expect("only what nobody waits for is left out")))
    }

    /// Waits for the end, also while the scope around is being cancelled: it is told, and may go on to wait. If the work
    /// panics, so does this.
    pub(super) async fn ended(mut self) -> T {
        let (mut wait, mut entitled) = (Wait::default(), None);
        let ended = poll_fn(|cx| {
            let told = ready!(wait.check(cx)).is_err();
            let polled = self.poll_ended(cx);
            match polled {
                Poll::Ready(_) => wait.done(),
                Poll::Pending if told => entitled = entitled.take().or_else(Entitled::here),
                Poll::Pending => wait.park(cx),
            }
            polled
        })
        .await;
        ended.unwrap_or_else(|raised| raised.resume())
    }
}

impl<T: Send + 'static> Drop for Aside<T> {
    fn drop(&mut self) {
        if self.is_done() {
            return;
        }
        self.0.unwanted.store(true, Ordering::Release);
        let who = format!("what makes a `{}` beside the actor's thread", type_name::<T>());
        let stuck = Stuck { who, after: grace_here(), actor: None };
        let rest = Rest(self.0.clone());
        entrust_or(stuck.into(), async move { rest.ended().await });
    }
}

/// What is left of work that nobody wants any more.
struct Rest<T>(Arc<Slot<T>>);

impl<T> Rest<T> {
    async fn ended(self) -> Result<()> {
        let ended = poll_fn(|cx| self.0.poll(cx)).await;
        Ok(ended.and_then(|value| Raised::catch(|| drop(value)))?)
    }
}

impl<T> Drop for Rest<T> {
    fn drop(&mut self) {
        let left = mem::replace(&mut *self.0.lock(), Progress::Over);
        unheard(left);
    }
}

/// Where work and whoever waits for it meet.
struct Slot<T> {
    state: Mutex<Progress<T>>,
    /// What has not been begun need not be.
    unwanted: AtomicBool,
}

enum Progress<T> {
    Begun(Option<Waker>),
    Ended(Ended<T>),
    /// It was taken, or nobody will take it.
    Over,
}

/// What came of it; no value, if it was left out.
type Ended<T> = Result<Option<T>, Raised>;

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, Progress<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn is_begun(&self) -> bool {
        matches!(*self.lock(), Progress::Begun(_))
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<Ended<T>> {
        let mut state = self.lock();
        match mem::replace(&mut *state, Progress::Over) {
            Progress::Ended(ended) => Poll::Ready(ended),
            Progress::Begun(old) => {
                *state = Progress::Begun(Some(cx.waker().clone()));
                drop(state);
                drop(old);
                Poll::Pending
            }
            Progress::Over => unreachable!("its end is taken once"),
        }
    }

    fn end(&self, ended: Ended<T>) {
        let mut state = self.lock();
        let waker = match &mut *state {
            Progress::Begun(waker) => waker.take(),
            _ => {
                drop(state);
                return unheard(Progress::Ended(ended));
            }
        };
        *state = Progress::Ended(ended);
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Drops what came of work that nobody waits for. A panic has nobody to go to.
fn unheard<T>(left: Progress<T>) {
    let Progress::Ended(ended) = left else { return };
    if let Err(raised) = ended.and_then(|value| Raised::catch(|| drop(value))) {
        tracing::error!("nobody is left to report to: {}", crate::Error::from(raised));
    }
}

/// Work that does not panic.
type Work = Box<dyn FnOnce() + Send>;

/// All threads of this process that do such work.
struct Threads {
    state: Mutex<State>,
    /// There is work.
    news: Condvar,
}

struct State {
    waiting: VecDeque<Work>,
    threads: usize,
    idle: usize,
}

impl State {
    const fn new() -> Self {
        Self { waiting: VecDeque::new(), threads: 0, idle: 0 }
    }
}

impl Threads {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn run(&'static self, work: Work) {
        let is_short = {
            let mut state = self.lock();
            state.waiting.push_back(work);
            let is_short = state.idle < state.waiting.len() && state.threads < most();
            state.threads += usize::from(is_short);
            is_short
        };
        self.news.notify_one();
        if is_short {
            let builder = thread::Builder::new().name("pleach-aside".to_owned());
            if builder.spawn(|| self.serve()).is_err() {
                self.do_without();
            }
        }
    }

    /// There is one thread less than was hoped for; if it is the only one, its work is done here.
    fn do_without(&self) {
        let left = {
            let mut state = self.lock();
            state.threads -= 1;
            if state.threads == 0 { mem::take(&mut state.waiting) } else { VecDeque::new() }
        };
        left.into_iter().for_each(|work| work());
    }

    fn serve(&self) {
        while let Some(work) = self.next() {
            work();
        }
    }

    /// `None` if there was nothing for a while: the thread is no longer one of ours.
    fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            state.idle += 1;
            let waited = self.news.wait_timeout_while(state, LINGER, |state| state.waiting.is_empty());
            state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
            state.idle -= 1;
        }
        let next = state.waiting.pop_front();
        state.threads -= usize::from(next.is_none());
        next
    }
}

fn most() -> usize {
    static CPUS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));
    (*CPUS).clamp(2, MOST)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn threads() -> &'static Threads {
        Box::leak(Box::new(Threads { state: Mutex::new(State::new()), news: Condvar::new() }))
    }

    #[test]
    fn there_are_as_many_threads_as_work_and_no_more_than_most_and_they_end_when_it_does() {
        let (on, (held, hold)) = (threads(), mpsc::channel::<()>());
        let hold: &'static Mutex<_> = Box::leak(Box::new(Mutex::new(hold)));
        let (done, all) = mpsc::channel();
        for n in 1..=3 * most() {
            let done = done.clone();
            on.run(Box::new(move || {
                drop(hold.lock().map(|hold| hold.recv()));
                done.send(thread::current().id()).unwrap();
            }));
            assert_eq!(on.lock().threads, n.min(most()));
        }
        drop(held);
        for _ in 0..3 * most() {
            assert_ne!(all.recv_timeout(SOON).unwrap(), thread::current().id());
        }
        let since = Instant::now();
        while on.lock().threads > 0 {
            assert!(since.elapsed() < SOON, "{} threads are left", on.lock().threads);
            thread::yield_now();
        }
    }

    #[test]
    fn where_the_system_has_no_thread_the_work_is_done_by_whoever_brings_it() {
        let on = threads();
        on.lock().threads = most(); // so that none is started
        let (done, here) = mpsc::channel();
        on.run(Box::new(move || done.send(thread::current().id()).unwrap()));
        on.lock().threads = 1;
        on.do_without();
        assert_eq!(here.try_recv().unwrap(), thread::current().id());
        let state = on.lock();
        assert_eq!((state.threads, state.waiting.len()), (0, 0));
    }
}
