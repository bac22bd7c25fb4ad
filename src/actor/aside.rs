//! Work that takes as long as a value is large, beside the thread of the actor, so that its other dialogs go on meanwhile.
//!
//! The threads for it are few, are started when there is work, and end when there has been none for a moment.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::num::NonZero;
use std::pin::Pin;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use async_task::{Runnable, Task};

use crate::error::Raised;
use crate::task::{Wait, entrust};

/// How long a thread without work stays.
const LINGER: Duration = Duration::from_millis(100);
/// How many threads there are at most, however many CPUs there are.
const MOST: usize = 8;

static THREADS: Threads = Threads { state: Mutex::new(State::new()), news: Condvar::new() };

/// Work that has been begun, as a future of what it gives. If it panics, so does whoever polls this.
///
/// Nothing ends it before it is done. If this is dropped, the scope around waits for it.
pub(super) struct Aside<T: Send + 'static>(Option<Task<Result<T, Raised>>>);

impl<T: Send + 'static> Aside<T> {
    /// Has it done on another thread; on this one, if the system has none left.
    pub(super) fn begin(work: impl FnOnce() -> T + Send + 'static) -> Self {
        let (runnable, task) = async_task::spawn(async { Raised::catch(work) }, |runnable| THREADS.run(runnable));
        runnable.schedule();
        Self(Some(task))
    }

    /// Waits for the end, also while the scope around is being cancelled: it is told, and goes on to wait.
    pub(super) async fn ended(mut self) -> T {
        let mut wait = Wait::default();
        poll_fn(|cx| {
            let told = ready!(wait.check(cx)).is_err();
            let polled = Pin::new(&mut self).poll(cx);
            match polled {
                Poll::Ready(_) => wait.done(),
                Poll::Pending if told => {}
                Poll::Pending => wait.park(cx),
            }
            polled
        })
        .await
    }
}

impl<T: Send + 'static> Future for Aside<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let task = self.0.as_mut().expect("there until it is dropped");
        Poll::Ready(ready!(Pin::new(task).poll(cx)).unwrap_or_else(|raised| raised.resume()))
    }
}

impl<T: Send + 'static> Drop for Aside<T> {
    fn drop(&mut self) {
        let Some(task) = self.0.take().filter(|task| !task.is_finished()) else { return };
        // Outside every scope nobody waits, and it ends all the same.
        let _ = entrust(async move { drop(task.cancel().await) });
    }
}

/// All threads of this process that do such work.
struct Threads {
    state: Mutex<State>,
    /// There is work.
    news: Condvar,
}

struct State {
    waiting: VecDeque<Runnable>,
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

    fn run(&'static self, runnable: Runnable) {
        let is_short = {
            let mut state = self.lock();
            state.waiting.push_back(runnable);
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
            if state.threads == 0 { std::mem::take(&mut state.waiting) } else { VecDeque::new() }
        };
        for runnable in left {
            runnable.run();
        }
    }

    fn serve(&self) {
        while let Some(runnable) = self.next() {
            runnable.run();
        }
    }

    /// `None` if there was nothing for a while: the thread is no longer one of ours.
    fn next(&self) -> Option<Runnable> {
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

    fn start(on: &'static Threads, work: impl FnOnce() + Send + 'static) {
        let (runnable, task) = async_task::spawn(async { work() }, |runnable| on.run(runnable));
        task.detach();
        runnable.schedule();
    }

    #[test]
    fn there_are_as_many_threads_as_work_and_no_more_than_most_and_they_end_when_it_does() {
        let (on, (held, hold)) = (threads(), mpsc::channel::<()>());
        let hold: &'static Mutex<_> = Box::leak(Box::new(Mutex::new(hold)));
        let (done, all) = mpsc::channel();
        for n in 1..=3 * most() {
            let done = done.clone();
            start(on, move || {
                drop(hold.lock().map(|hold| hold.recv()));
                done.send(thread::current().id()).unwrap();
            });
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
        start(on, move || done.send(thread::current().id()).unwrap());
        on.lock().threads = 1;
        on.do_without();
        assert_eq!(here.try_recv().unwrap(), thread::current().id());
        let state = on.lock();
        assert_eq!((state.threads, state.waiting.len()), (0, 0));
    }
}
