//! Runtime awaits: how every await of the runtime meets a cancel (rules R1, R2 and R5).

use std::fmt;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::census;
use super::clock::{self, Alarm};
use super::outcome::cancelled;
use super::running::{self, with_current};
use super::strand::Strand;
use super::waits_for::{Waits, WaitsFor};
use crate::Result;
use crate::error::{Mark, Reason};

/// From this delivery on a strand gets the next ones slowly: a loop that swallows them must not burn a core.
const PATIENCE: u32 = 1000;
const NAP: Duration = Duration::from_millis(1);

const UNREGISTERED: ManuallyDrop<Option<(Arc<Strand>, usize)>> = ManuallyDrop::new(None);
const NO_NAP: ManuallyDrop<Option<Box<Alarm>>> = ManuallyDrop::new(None);

/// The part of a runtime await that has to do with cancellation, for whoever writes a `poll_` function of their own.
///
/// At each poll: [`check`](Wait::check) before the attempt; then, if the attempt is pending, [`park`](Wait::park); if it
/// has succeeded, [`done`](Wait::done). One `Wait` serves any number of awaits after each other. Outside every scope it
/// does nothing. An `async fn` needs none of this: see [`cancellable`](super::cancellable()).
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
    // Seldom there, and looked for at the end of every await: by the drop of the whole, so that it is one look and no call.
    registered: ManuallyDrop<Option<(Arc<Strand>, usize)>>,
    nap: ManuallyDrop<Option<Box<Alarm>>>,
    at: Option<&'static Location<'static>>,
    what: WaitsFor,
    yielded: bool,
}

impl Default for Wait {
    /// One whose place nobody knows.
    fn default() -> Self {
        Self { registered: UNREGISTERED, nap: NO_NAP, at: None, what: WaitsFor::Other, yielded: false }
    }
}

impl Wait {
    /// What is waited for, and that it is the caller's line which waits, for a [snapshot](super::snapshot).
    #[track_caller]
    pub fn new(what: WaitsFor) -> Self {
        Self { registered: UNREGISTERED, nap: NO_NAP, at: Some(Location::caller()), what, yielded: false }
    }

    /// One for a function that has several, at the line of its caller.
    pub(crate) fn at(what: WaitsFor, at: &'static Location<'static>) -> Self {
        Self { registered: UNREGISTERED, nap: NO_NAP, at: Some(at), what, yielded: false }
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
        (self.yielded, *self.nap) = (false, None);
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
        if running::parks(Waits { what: self.what, at: self.at }, cx.waker()) {
            self.done();
        } else {
            self.register(cx);
        }
    }

    fn register(&mut self, cx: &mut Context<'_>) {
        let Some(strand) = running::current() else { return self.leave() };
        if let Some((home, key)) = &*self.registered
            && Arc::ptr_eq(home, &strand)
        {
            if !strand.scope().set_await(*key, cx.waker()) {
                cx.waker().wake_by_ref();
            }
            return;
        }
        self.leave();
        match strand.register(cx.waker()) {
            Some(key) => *self.registered = Some((strand, key)),
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
        if self.registered.is_some() || self.nap.is_some() {
            self.leave();
            *self.nap = None;
        }
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
pub(super) fn requested_strand() -> Option<Arc<Strand>> {
    let requested = with_current(|current, _| current.is_some_and(|place| place.scope().is_requested()));
    requested.then(running::current).flatten()
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

/// How long what is left behind here is waited for: what remains of a grace, or the whole of one that has not begun.
pub(crate) fn grace_here() -> Duration {
    let whole = || Some(running::current()?.scope().limits().grace);
    remaining_grace().or_else(whole).unwrap_or_default()
}

/// How long the current strand may still unwind, if its scope was cancelled.
pub(crate) fn remaining_grace() -> Option<Duration> {
    let end = requested_strand()?.scope().grace_end()?;
    Some(end.saturating_duration_since(clock::now()))
}
