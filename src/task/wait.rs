//! Runtime awaits: how every await of the runtime meets a cancel (rules R1, R2 and R5).

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;

use super::census;
use super::clock::{self, Alarm};
use super::outcome::cancelled;
use super::strand::{self, Strand, with_current};
use crate::Result;
use crate::error::{Mark, Reason};

/// From this delivery on a strand gets the next ones slowly: a loop that swallows them must not burn a core.
const PATIENCE: u32 = 1000;
const NAP: Duration = Duration::from_millis(1);

/// What a runtime await waits for, as a [snapshot](super::snapshot) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// A value that somebody sends.
    Value,
    /// Room for a value.
    Room,
    /// A point in time.
    Time,
    /// A child of a nursery.
    Child,
    /// What runs in a scope of its own: its tasks are in the snapshot.
    Scope,
    /// The first word of something that was started.
    Start,
    /// A permit.
    Permit,
    /// A lock.
    Lock,
    /// Something that happens once.
    Event,
    /// The other end of a dialog.
    Dialog,
    /// Something of another library, see [`cancellable`].
    Foreign,
    /// Its next turn.
    Turn,
    /// Something else.
    Other,
}

impl WaitsFor {
    const ALL: [Self; 13] = [
        Self::Value,
        Self::Room,
        Self::Time,
        Self::Child,
        Self::Scope,
        Self::Start,
        Self::Permit,
        Self::Lock,
        Self::Event,
        Self::Dialog,
        Self::Foreign,
        Self::Turn,
        Self::Other,
    ];

    /// The one that `what as u8` came from.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|what| *what as u8 == number)
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "a value",
            Self::Room => "room for a value",
            Self::Time => "a point in time",
            Self::Child => "a child",
            Self::Scope => "a scope of its own",
            Self::Start => "a start",
            Self::Permit => "a permit",
            Self::Lock => "a lock",
            Self::Event => "an event",
            Self::Dialog => "the other end of a dialog",
            Self::Foreign => "something foreign",
            Self::Turn => "its turn",
            Self::Other => "something",
        })
    }
}

/// A wait as it is kept: for what, and in which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waits {
    pub(crate) what: WaitsFor,
    pub(crate) at: Option<&'static Location<'static>>,
}

/// The part of a runtime await that has to do with cancellation, for whoever writes a `poll_` function of their own.
///
/// At each poll: [`check`](Wait::check) before the attempt; then, if the attempt is pending, [`park`](Wait::park); if it
/// has succeeded, [`done`](Wait::done). One `Wait` serves any number of awaits after each other. Outside every scope it
/// does nothing. An `async fn` needs none of this: see [`cancellable`].
///
/// ```
/// use std::collections::VecDeque;
/// use std::sync::Mutex;
/// use std::task::{Context, Poll, Waker, ready};
///
/// use pleach::task::Wait;
///
/// #[derive(Default)]
/// struct Mailbox {
///     letters: Mutex<(VecDeque<String>, Option<Waker>)>,
/// }
///
/// struct Reader<'a> {
///     mailbox: &'a Mailbox,
///     wait: Wait,
/// }
///
/// impl Reader<'_> {
///     fn poll_letter(&mut self, cx: &mut Context<'_>) -> Poll<pleach::Result<String>> {
///         ready!(self.wait.check(cx))?;
///         let mut letters = self.mailbox.letters.lock().unwrap();
///         if let Some(letter) = letters.0.pop_front() {
///             self.wait.done();
///             return Poll::Ready(Ok(letter));
///         }
///         letters.1 = Some(cx.waker().clone());
///         self.wait.park(cx);
///         Poll::Pending
///     }
/// }
///
/// let mailbox = Mailbox::default();
/// mailbox.letters.lock().unwrap().0.push_back("hello".to_owned());
/// let mut reader = Reader { mailbox: &mailbox, wait: Wait::default() };
/// let letter = reader.poll_letter(&mut Context::from_waker(Waker::noop()));
/// assert!(matches!(letter, Poll::Ready(Ok(letter)) if letter == "hello"));
/// ```
pub struct Wait {
    registered: Option<(Arc<Strand>, usize)>,
    nap: Option<Box<Alarm>>,
    at: Option<&'static Location<'static>>,
    what: WaitsFor,
    yielded: bool,
}

impl Default for Wait {
    /// One whose place nobody knows.
    fn default() -> Self {
        Self { registered: None, nap: None, at: None, what: WaitsFor::Other, yielded: false }
    }
}

impl Wait {
    /// What is waited for, and that it is the caller's line which waits, for a [snapshot](super::snapshot).
    #[track_caller]
    pub fn new(what: WaitsFor) -> Self {
        Self { registered: None, nap: None, at: Some(Location::caller()), what, yielded: false }
    }

    /// One for a function that has several, at the line of its caller.
    pub(crate) fn at(what: WaitsFor, at: &'static Location<'static>) -> Self {
        Self { registered: None, nap: None, at: Some(at), what, yielded: false }
    }

    /// The same `Wait` for something else, at the caller's line.
    #[track_caller]
    pub fn renew(&mut self, what: WaitsFor) {
        (self.what, self.at) = (what, Some(Location::caller()));
    }

    /// `Ok`: go on. Pending: return it; the waker has been seen to.
    ///
    /// # Errors
    /// `Cancelled` if the scope of the running task was cancelled: return it and try nothing.
    #[inline]
    pub fn check(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let special = with_current(|current, budget| match current {
            Some(place) if place.scope().is_requested() => Special::Requested,
            Some(_) if budget.is_spent() => Special::Spent,
            _ => {
                budget.take();
                Special::None
            }
        });
        match special {
            Special::None => Poll::Ready(Ok(())),
            special => self.hold_up(special, cx),
        }
    }

    #[cold]
    fn hold_up(&mut self, special: Special, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match requested_strand() {
            Some(strand) => self.deliver(&strand, cx),
            None if special == Special::Spent && census::spring() => match requested_strand() {
                Some(strand) => self.deliver(&strand, cx),
                None => Poll::Ready(Ok(())),
            },
            None if special == Special::Spent => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(Ok(())),
        }
    }

    fn deliver(&mut self, strand: &Arc<Strand>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let deliveries = strand.deliveries();
        if deliveries > PATIENCE {
            strand.touch();
            let nap = self.nap.get_or_insert_with(|| Box::new(Alarm::after(NAP)));
            ready!(nap.poll(cx));
        } else if deliveries > 0 && !self.yielded {
            self.yielded = true;
            strand.touch();
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // The next await of the same owner is told as slowly as any other, or a loop that swallows would never yield.
        (self.yielded, self.nap) = (false, None);
        self.leave();
        strand.observe();
        match strand.scope().mark() {
            Some(mark) => Poll::Ready(Err(cancelled(mark))),
            None => Poll::Ready(Ok(())), // a level without a mark does not occur
        }
    }

    /// The attempt is pending: a request must find the waker.
    #[inline]
    pub fn park(&mut self, cx: &mut Context<'_>) {
        if strand::parks(Waits { what: self.what, at: self.at }, cx.waker()) {
            self.done();
        } else {
            self.register(cx);
        }
    }

    fn register(&mut self, cx: &mut Context<'_>) {
        let Some(strand) = strand::current() else { return self.leave() };
        if let Some((home, key)) = &self.registered
            && Arc::ptr_eq(home, &strand)
        {
            if !strand.scope().set_await(*key, cx.waker()) {
                cx.waker().wake_by_ref();
            }
            return;
        }
        self.leave();
        match strand.register(cx.waker()) {
            Some(key) => self.registered = Some((strand, key)),
            None => cx.waker().wake_by_ref(),
        }
    }

    /// The attempt has succeeded.
    #[inline]
    pub fn done(&mut self) {
        if self.registered.is_some() {
            self.leave();
        }
    }

    /// One poll of an await whose `attempt` leaves the waker where it is found: the three steps in their order.
    pub(crate) fn attempt<R>(
        &mut self,
        cx: &mut Context<'_>,
        attempt: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<Result<R>> {
        ready!(self.check(cx))?;
        let attempted = attempt(cx);
        match attempted {
            Poll::Ready(_) => self.done(),
            Poll::Pending => self.park(cx),
        }
        attempted.map(Ok)
    }

    #[cold]
    fn leave(&mut self) {
        if let Some((strand, key)) = self.registered.take() {
            strand.unregister(key);
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("parked", &self.registered.is_some()).finish_non_exhaustive()
    }
}

impl Drop for Wait {
    #[inline]
    fn drop(&mut self) {
        self.done();
    }
}

/// Why an await may not simply go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    None,
    Requested,
    Spent,
}

/// The current strand, if its scope is requested.
#[inline]
fn requested_strand() -> Option<Arc<Strand>> {
    let requested = with_current(|current, _| current.is_some_and(|place| place.scope().is_requested()));
    requested.then(strand::current).flatten()
}

/// Why the scope of the current strand was cancelled, if it was.
pub(crate) fn current_mark() -> Option<Mark> {
    requested_strand()?.scope().mark()
}

/// What whoever was started by the current strand is told when that is cancelled.
pub(crate) fn reason_below() -> Reason {
    current_mark().map_or_else(
        || Reason::Explicit { by: String::new(), message: "whoever started it was cancelled".to_owned() },
        |mark| mark.reason,
    )
}

/// How long the current strand may still unwind, if its scope was cancelled.
pub(crate) fn remaining_grace() -> Option<Duration> {
    let end = requested_strand()?.scope().grace_end()?;
    Some(end.saturating_duration_since(clock::now()))
}

pin_project! {
    /// A foreign future as a runtime await; see [`cancellable`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Cancellable<F> {
        #[pin]
        future: Option<F>,
        wait: Wait,
        started: bool,
    }
}

impl<F> fmt::Debug for Cancellable<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellable").field("started", &self.started).finish_non_exhaustive()
    }
}

/// Makes a foreign future a runtime await: it returns `Cancelled` when its scope is cancelled, instead of being dropped
/// together with the strand around it.
///
/// A future that was started and is ready wins over the cancel. One that was not started is not started any more.
///
/// # Errors
/// `Cancelled` if the scope around it was cancelled; `future` has been dropped then.
///
/// # Cancel safety
/// That of `future`, which is dropped with it.
///
/// ```
/// use pleach::task::{cancellable, time::VirtualClock};
///
/// let two = VirtualClock::block_on(cancellable(async { 1 + 1 }));
/// assert_eq!(two.unwrap(), 2);
/// ```
#[track_caller]
pub fn cancellable<F: Future>(future: F) -> Cancellable<F> {
    cancellable_as(WaitsFor::Foreign, future)
}

/// [`cancellable`] for something of the runtime's.
#[track_caller]
pub(crate) fn cancellable_as<F: Future>(what: WaitsFor, future: F) -> Cancellable<F> {
    Cancellable { future: Some(future), wait: Wait::new(what), started: false }
}

impl<F: Future> Future for Cancellable<F> {
    type Output = Result<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if *this.started
            && let Some(strand) = requested_strand()
        {
            // A last look: what has happened already must not be lost.
            if let Poll::Ready(output) = poll_some(this.future.as_mut(), cx) {
                this.wait.done();
                strand.touch();
                return Poll::Ready(Ok(output));
            }
        }
        if let Err(error) = ready!(this.wait.check(cx)) {
            this.future.set(None);
            return Poll::Ready(Err(error));
        }
        *this.started = true;
        let polled = poll_some(this.future.as_mut(), cx);
        match polled {
            Poll::Ready(_) => this.wait.done(),
            Poll::Pending => this.wait.park(cx),
        }
        polled.map(Ok)
    }
}

fn poll_some<F: Future>(future: Pin<&mut Option<F>>, cx: &mut Context<'_>) -> Poll<F::Output> {
    future.as_pin_mut().expect("polled after it was ready").poll(cx)
}

/// Looks whether the scope was cancelled, before something is started that others would see.
pub(crate) async fn not_cancelled() -> Result<()> {
    let mut wait = Wait::default();
    poll_fn(move |cx| wait.check(cx)).await
}

/// Lets others run once, and looks whether the scope was cancelled.
///
/// # Errors
/// `Cancelled` if it was.
///
/// # Cancel safety
/// Nothing is lost by dropping it.
///
/// ```
/// use pleach::task::{checkpoint, time::VirtualClock};
///
/// VirtualClock::block_on(checkpoint()).unwrap();
/// ```
#[track_caller]
pub fn checkpoint() -> impl Future<Output = Result<()>> + Send {
    let mut wait = Wait::new(WaitsFor::Turn);
    let mut yielded = false;
    poll_fn(move |cx| {
        ready!(wait.check(cx))?;
        if yielded {
            wait.done();
            return Poll::Ready(Ok(()));
        }
        yielded = true;
        wait.park(cx);
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}
