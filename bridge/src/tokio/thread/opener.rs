//! The scope's side of its thread: what both have in common, and how the scope waits for the end.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use pleach::dialog::Opener;
use pleach::error::Reason;
use pleach::task::{entrust, sleep};
use pleach::{Error, Result};

use super::jobs::Jobs;
use super::leaked::{Leaked, OnLeak};
use super::proc::Tid;

/// How long the thread is looked for when it has said its last word, before that is left to a timer.
const LOOK: Duration = Duration::from_micros(50);
const NAP: Duration = Duration::from_millis(1);

/// Threads of foreign scopes that are over, see [`stragglers`].
static STRAGGLERS: AtomicUsize = AtomicUsize::new(0);

/// How many threads of this process belong to foreign scopes that are over: their own threads and those of their tokio.
///
/// Such a thread blocks, and nothing in this process can end it; it is counted until it ends by itself. There was an
/// error for it, [`Leaked`] or [`Stuck`](pleach::dialog::Stuck), or an event of `tracing` where nobody was left to
/// take one.
pub fn stragglers() -> usize {
    STRAGGLERS.load(Ordering::SeqCst)
}

pub(super) fn straggle(threads: usize) {
    STRAGGLERS.fetch_add(threads, Ordering::SeqCst);
}

pub(super) fn straggled(threads: usize) {
    STRAGGLERS.fetch_sub(threads, Ordering::SeqCst);
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub(super) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The last word of a thread: what it could not clear, or why it did not even start.
pub(super) type LastWord = Result<Option<Leaked>>;

/// What a scope and its thread have in common.
pub(super) struct Shared {
    name: String,
    strict: bool,
    jobs: Jobs,
    tid: OnceLock<Tid>,
    state: Mutex<State>,
    /// Notified with the last word, for a drop that waits.
    over: Condvar,
}

#[derive(Default)]
struct State {
    opener: Option<Waker>,
    up: bool,
    last_word: Option<LastWord>,
    /// There is a last word, whether or not it was taken.
    ended: bool,
    /// Nobody waits for the thread any more.
    abandoned: bool,
}

impl Shared {
    /// Under a name that no other scope of this process has; Linux keeps 15 bytes of it.
    pub(super) fn new(strict: bool) -> Arc<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed) & 0xFFF_FFFF;
        Arc::new(Self {
            name: format!("pltokio-{number:x}"),
            strict,
            jobs: Jobs::default(),
            tid: OnceLock::new(),
            state: Mutex::default(),
            over: Condvar::new(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn strict(&self) -> bool {
        self.strict
    }

    pub(super) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// The thread is there.
    pub(super) fn born(&self, tid: Tid) {
        let _ = self.tid.set(tid);
    }

    /// Its loop runs.
    pub(super) fn up(&self) {
        let opener = {
            let mut state = lock(&self.state);
            state.up = true;
            state.opener.take()
        };
        wake(opener);
    }

    /// The last thing that the thread does.
    pub(super) fn over(&self, last_word: LastWord) {
        self.jobs.close();
        let (opener, abandoned) = {
            let mut state = lock(&self.state);
            state.ended = true;
            state.last_word = Some(last_word);
            (state.opener.take(), state.abandoned)
        };
        self.over.notify_all();
        wake(opener);
        if abandoned {
            self.tell_nobody();
            straggled(1);
        }
    }

    /// Whether there is a last word.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.state).ended
    }

    /// Nobody will take the last word.
    fn abandon(&self) {
        {
            let mut state = lock(&self.state);
            if !state.ended && !std::mem::replace(&mut state.abandoned, true) {
                straggle(1);
            }
        }
        self.tell_nobody();
    }

    fn tell_nobody(&self) {
        let last_word = lock(&self.state).last_word.take();
        match last_word {
            None | Some(Ok(None)) => {}
            Some(Ok(Some(leaked))) => tracing::error!("nobody is left to report to: {leaked}"),
            Some(Err(error)) => tracing::error!(scope = self.name, "nobody is left to report to: {error}"),
        }
    }

    /// Whether the thread is not even in `/proc` any more. Its last word comes a moment before its end.
    fn is_gone(&self) -> bool {
        self.tid.get().is_none_or(|tid| !tid.lives())
    }

    /// Whether it is, or will be within the time that nobody notices.
    fn is_gone_soon(&self) -> bool {
        let since = Instant::now();
        while !self.is_gone() {
            if since.elapsed() > LOOK {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    /// Blocks until the thread has ended, for at most `limit`.
    fn wait_for_end(&self, limit: Duration) -> bool {
        let since = Instant::now();
        let state = lock(&self.state);
        let waited = self.over.wait_timeout_while(state, limit, |state| !state.ended);
        let (state, _) = waited.unwrap_or_else(|poisoned| poisoned.into_inner());
        let ended = state.ended;
        drop(state);
        while ended && !self.is_gone_soon() && since.elapsed() < limit {
            std::thread::sleep(NAP);
        }
        ended
    }
}

/// The scope's control of its thread, as of a far task that lives as long as the thread does.
pub(super) struct ThreadOpener {
    shared: Arc<Shared>,
    on_leak: OnLeak,
    nap: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
}

impl ThreadOpener {
    pub(super) fn new(shared: &Arc<Shared>, on_leak: OnLeak) -> Self {
        Self { shared: shared.clone(), on_leak, nap: None }
    }

    /// Ready when the thread is gone: a last word is not the end of a thread whose locals are still being dropped.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.shared.is_gone_soon() {
                self.nap = None;
                return Poll::Ready(());
            }
            let nap = self.nap.get_or_insert_with(|| Box::pin(sleep(NAP)));
            if nap.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.nap = None;
        }
    }

    fn judge(&self, leaked: Leaked) -> Option<Error> {
        if self.on_leak == OnLeak::Warn {
            tracing::warn!("{leaked}");
            return None;
        }
        let error = Error::from(leaked);
        if self.on_leak == OnLeak::EndActor {
            pleach::actor::end_actor(&error);
        }
        Some(error)
    }
}

impl Opener<()> for ThreadOpener {
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        let mut state = lock(&self.shared.state);
        if state.ended {
            return Poll::Ready(None);
        }
        if state.up {
            return Poll::Ready(Some(Ok(())));
        }
        state.opener = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let failed = {
            let mut state = lock(&self.shared.state);
            if !state.ended {
                state.opener = Some(cx.waker().clone());
                return Poll::Pending;
            }
            !matches!(state.last_word, Some(Ok(None)))
        };
        self.poll_gone(cx).map(|()| failed)
    }

    fn take_failure(&mut self) -> Option<Error> {
        let last_word = lock(&self.shared.state).last_word.replace(Ok(None));
        match last_word? {
            Ok(leaked) => self.judge(leaked?),
            Err(error) => Some(error),
        }
    }

    fn stop(&mut self) {
        self.shared.jobs.close();
    }

    fn cancel(&mut self, _reason: Reason) {
        self.shared.jobs.close();
    }

    fn name(&self) -> String {
        format!("the thread `{}` of a foreign scope", self.shared.name)
    }
}

impl Drop for ThreadOpener {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

/// Waits in its drop, if the scope was dropped where nobody else will wait.
pub(super) struct DropWait {
    shared: Option<Arc<Shared>>,
    drop_wait: Duration,
}

impl DropWait {
    pub(super) fn new(shared: &Arc<Shared>, drop_wait: Duration) -> Self {
        Self { shared: Some(shared.clone()), drop_wait }
    }

    /// The scope has completed.
    pub(super) fn disarm(mut self) {
        self.shared = None;
    }
}

impl Drop for DropWait {
    fn drop(&mut self) {
        let Some(shared) = self.shared.take() else { return };
        // Inside the tree the thread was entrusted to the scope around.
        let in_a_tree = entrust(std::future::ready(())).is_ok();
        if in_a_tree || shared.wait_for_end(self.drop_wait) {
            return;
        }
        let (scope, waited) = (shared.name(), self.drop_wait);
        tracing::error!(scope, ?waited, "the thread of a foreign scope that was dropped has not ended");
    }
}

impl fmt::Debug for ThreadOpener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadOpener").field("thread", &self.shared.name).finish_non_exhaustive()
    }
}
