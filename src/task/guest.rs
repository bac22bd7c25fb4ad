//! Guest mode: a tree of tasks polled inside the loop of somebody else.
//!
//! The loop of a GUI, of a game, of an interpreter has to offer one thing: *run this soon*, callable from any thread. The tree
//! is then a guest of its thread. It is polled in short ticks between whatever the host does, never two of them at once, and
//! asks for the next one only when it has something to do.
//!
//! ```
//! use pleach::task::{nursery, start_guest_run};
//! use std::sync::mpsc;
//!
//! // A host: it runs what it finds in its queue.
//! let (queue, jobs) = mpsc::channel();
//! let stop = queue.clone();
//! let run = start_guest_run(
//!     move |tick| queue.send(Some(tick)).unwrap(),
//!     nursery(async |n| Ok(n.spawn(async { Ok(42) })?.join().await?)),
//!     move |result| {
//!         assert_eq!(result.unwrap().unwrap(), 42);
//!         stop.send(None).unwrap();
//!     },
//! );
//! while let Ok(Some(tick)) = jobs.recv() {
//!     tick.run();
//! }
//! assert!(run.is_over());
//! ```

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};

use super::clock::{self, Clock};
use super::panics;
use super::running::Outside;
use crate::{Error, Result};

/// Polls in one tick, as long as the guest has been woken meanwhile, before the host has its turn.
const POLLS: u32 = 4;

/// Nobody has woken the guest.
const IDLE: u8 = 0;
/// One tick is on its way.
const SCHEDULED: u8 = 1;
/// A tick polls the guest.
const POLLING: u8 = 2;
/// The same, and it was woken meanwhile.
const WOKEN: u8 = 3;
/// It has ended.
const OVER: u8 = 4;

/// A guest as its thread has it: the future, and who wants to know of its end.
struct Guest {
    shared: Arc<Shared>,
    future: Pin<Box<dyn Future<Output = ()>>>,
    abandoned: Box<dyn FnOnce()>,
}

impl Guest {
    /// Dropped before its end, with all its tasks.
    fn end(self) {
        let Self { shared, future, abandoned } = self;
        shared.state.store(OVER, Ordering::SeqCst);
        let _alone = Alone::with(&shared);
        panics::dispose(future, |panic| tracing::error!("nobody is left to report to: {panic}"));
        abandoned();
    }
}

/// A guest has nothing to do with what runs around it, such as the task of another guest that runs the loop inside itself:
/// neither its scope nor its clock.
struct Alone {
    _outside: Outside,
    _clock: clock::Entered,
}

impl Alone {
    fn with(shared: &Shared) -> Self {
        Self { _outside: Outside::enter(), _clock: clock::enter_or_leave(shared.clock.as_ref()) }
    }
}

/// The guests of this thread that are not being polled, in the order in which they came.
#[derive(Default)]
struct Guests(RefCell<BTreeMap<u64, Guest>>);

impl Guests {
    fn put(&self, guest: Guest) {
        self.0.borrow_mut().insert(guest.shared.id, guest);
    }
}

impl Drop for Guests {
    /// The thread ends, and its loop is gone.
    fn drop(&mut self) {
        std::mem::take(self.0.get_mut()).into_values().for_each(Guest::end);
    }
}

thread_local! {
    static GUESTS: Guests = Guests::default();
}

/// Takes a guest from its thread, unless it is being polled or has ended.
fn take(id: u64) -> Option<Guest> {
    GUESTS.try_with(|guests| guests.0.borrow_mut().remove(&id)).ok().flatten()
}

struct Shared {
    id: u64,
    state: AtomicU8,
    thread: ThreadId,
    clock: Option<Arc<dyn Clock>>,
    run_soon: Box<dyn Fn(Tick) + Send + Sync>,
}

impl Shared {
    fn schedule(self: &Arc<Self>) {
        (self.run_soon)(Tick { shared: self.clone() });
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// Asks for a tick, if none is on its way. It takes no lock, and the host's `run_soon` must take none that its loop holds
    /// while it runs a tick: some wakers are called under a lock of their own.
    fn wake_by_ref(self: &Arc<Self>) {
        let next = |state| match state {
            IDLE => Some(SCHEDULED),
            POLLING => Some(WOKEN),
            _ => None,
        };
        if self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) == Ok(IDLE) {
            self.schedule();
        }
    }
}

/// One turn of a guest, for its host to [run](Tick::run) soon, on the thread that the guest was started on.
///
/// There is never more than one on its way. One that is dropped instead is lost, and the guest with it: it will not ask again.
pub struct Tick {
    shared: Arc<Shared>,
}

impl Tick {
    /// Polls the guest.
    ///
    /// Run by a loop inside one of the guest's own tasks, such as that of a modal dialog, it does nothing: a task that is
    /// being polled cannot be polled, and what woke it is not forgotten.
    ///
    /// # Panics
    /// On another thread than the guest's.
    pub fn run(self) {
        let Self { shared } = self;
        assert_eq!(thread::current().id(), shared.thread, "a tick runs on the thread that its guest was started on");
        let Some(mut guest) = take(shared.id) else { return };
        if poll(&mut guest) {
            return;
        }
        if shared.state.load(Ordering::SeqCst) == OVER {
            // Abandoned by one of its own tasks.
            guest.end();
            return;
        }
        let _ = GUESTS.try_with(|guests| guests.put(guest));
    }
}

impl fmt::Debug for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tick").field("guest", &self.shared.id).finish()
    }
}

/// Polls a guest until it rests or has had its share; `true` if it has ended.
fn poll(guest: &mut Guest) -> bool {
    let Guest { shared, future, .. } = guest;
    let _alone = Alone::with(shared);
    let waker = Waker::from(shared.clone());
    let mut cx = Context::from_waker(&waker);
    for left in (0..POLLS).rev() {
        let begin = |state| if state == OVER { None } else { Some(POLLING) };
        if shared.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, begin).is_err() {
            return false;
        }
        if future.as_mut().poll(&mut cx).is_ready() {
            shared.state.store(OVER, Ordering::SeqCst);
            return true;
        }
        // A wake that comes from here on asks for a tick, which this thread will not run before this one is over.
        match shared.state.compare_exchange(POLLING, IDLE, Ordering::SeqCst, Ordering::SeqCst) {
            Err(WOKEN) if left == 0 => {
                shared.state.store(SCHEDULED, Ordering::SeqCst);
                shared.schedule();
            }
            Err(WOKEN) => continue,
            _ => {}
        }
        return false;
    }
    false
}

/// A guest, for its host. Dropping it does nothing: the guest goes on, at most until its thread ends.
pub struct GuestRun {
    shared: Arc<Shared>,
}

impl GuestRun {
    /// Whether the guest has ended.
    pub fn is_over(&self) -> bool {
        self.shared.state.load(Ordering::SeqCst) == OVER
    }

    /// For a host whose loop ends first: drops the guest, with all its tasks, now, or, if it is just being polled, right
    /// after that. `done` is told that it was [`Abandoned`]. Nothing happens to one that has ended.
    ///
    /// A host that can wait cancels a [`CancelScope`](super::CancelScope) in the guest instead, and runs on until it is over.
    ///
    /// # Panics
    /// On another thread than the guest's.
    pub fn abandon(&self) {
        assert_eq!(thread::current().id(), self.shared.thread, "a guest is abandoned on its own thread");
        if self.shared.state.swap(OVER, Ordering::SeqCst) == OVER {
            return;
        }
        if let Some(guest) = take(self.shared.id) {
            guest.end();
        }
    }
}

impl fmt::Debug for GuestRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestRun").field("over", &self.is_over()).finish_non_exhaustive()
    }
}

/// The host of a guest ended before the guest did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abandoned;

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the loop that this was a guest of has ended before it")
    }
}

impl std::error::Error for Abandoned {}

/// Runs `root` as a guest of this thread's loop.
///
/// `run_soon` has the loop call [`Tick::run`] soon, on this thread. It may be called from any thread, also by whatever wakes a
/// task of the guest; it must not run the tick itself, nor wait for anything, nor take a lock that the loop holds while it
/// runs one. `done` is called in the last tick, with what `root` gave. Several guests can be on one thread.
///
/// Time is that of `async-io`, unless the host has a [`Clock`]: see [`start_guest_run_with`].
///
/// # Errors
/// `done` is given an error if `root` panicked; [`Abandoned`] by [`GuestRun::abandon`], or when the thread ends before the guest.
///
/// An example is at the [module](self).
pub fn start_guest_run<T: 'static>(
    run_soon: impl Fn(Tick) + Send + Sync + 'static,
    root: impl Future<Output = T> + 'static,
    done: impl FnOnce(Result<T>) + 'static,
) -> GuestRun {
    start(None, Box::new(run_soon), root, done)
}

/// [`start_guest_run`] by the time of the host.
pub fn start_guest_run_with<T: 'static>(
    clock: Arc<dyn Clock>,
    run_soon: impl Fn(Tick) + Send + Sync + 'static,
    root: impl Future<Output = T> + 'static,
    done: impl FnOnce(Result<T>) + 'static,
) -> GuestRun {
    start(Some(clock), Box::new(run_soon), root, done)
}

fn start<T: 'static>(
    clock: Option<Arc<dyn Clock>>,
    run_soon: Box<dyn Fn(Tick) + Send + Sync>,
    root: impl Future<Output = T> + 'static,
    done: impl FnOnce(Result<T>) + 'static,
) -> GuestRun {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    // Whoever comes first: the end of the guest, or that of its host.
    let done: Rc<Cell<Option<Done<T>>>> = Rc::new(Cell::new(Some(Box::new(done))));
    let last = done.clone();
    let future = async move {
        let result = Caught(Some(Box::pin(root))).await;
        tell(&done, result);
    };
    let abandoned = move || tell(&last, Err(Abandoned.into()));
    let state = AtomicU8::new(SCHEDULED);
    let shared = Arc::new(Shared { id, state, thread: thread::current().id(), clock, run_soon });
    let guest = Guest { shared: shared.clone(), future: Box::pin(future), abandoned: Box::new(abandoned) };
    GUESTS.with(|guests| guests.put(guest));
    shared.schedule();
    GuestRun { shared }
}

type Done<T> = Box<dyn FnOnce(Result<T>)>;

fn tell<T>(done: &Cell<Option<Done<T>>>, result: Result<T>) {
    if let Some(done) = done.take()
        && let Err(panic) = panics::catch(move || done(result))
    {
        tracing::error!("the host's `done` of a guest has panicked: {panic}");
    }
}

/// A future whose panic is an error, also that of its drop.
struct Caught<F>(Option<Pin<Box<F>>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = panics::catch(|| {
            let future = self.0.as_mut().expect("polled after it was ready");
            future.as_mut().poll(cx)
        });
        let result: Result<F::Output, Error> = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(panic),
        };
        match panics::catch(|| drop(self.0.take())) {
            Err(panic) if result.is_ok() => Poll::Ready(Err(panic)),
            _ => Poll::Ready(result),
        }
    }
}
