//! A link: one task of the tree, one task of a foreign loop.

use std::any::type_name;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pleach::dialog::{Far, Local, LocalOpener, Near, Opener, Options, converse, local};
use pleach::error::Reason;
use pleach::{Error, Result};

use crate::foreign::not_cancelled;
use crate::task::{Name, Nudge, task};
use crate::{ForeignCancelled, ForeignLoop, ForeignTask, Placement};

/// Values that one direction of a link holds before its sender waits.
const CAPACITY: usize = 64;
/// Bytes that one direction of a link of bytes holds before its writer waits.
const CAPACITY_BYTES: usize = 64 * 1024;

/// Opens a link: starts `far` as a task of the foreign loop, waits for its first value, and runs `body` with this side's
/// end and that value. [`link`] does the same with other bounds.
///
/// It completes when the foreign task has ended, for every kind of exit:
///
/// * the foreign task fails or panics: every wait in `body` ends as cancelled, and that failure is the result;
/// * `body` returns: the foreign task's `recv` gives `None`, its `send` is refused with
///   [`NearGone`](pleach::dialog::NearGone), and it is given the grace to return before it is cancelled;
/// * `body` fails, or the scope around is cancelled: the foreign task is told if it waits in an operation of its end, and
///   has its grace; else it is dropped at once.
///
/// What it starts with [`spawn`](crate::spawn) belongs to it.
///
/// # Errors
/// The body's; the foreign task's, unchanged; [`NeverStarted`](pleach::dialog::NeverStarted) if it returned before
/// `started`; [`StartTimeout`](pleach::dialog::StartTimeout); [`ForeignCancelled`] if somebody else cancelled it;
/// [`Escalated`](pleach::dialog::Escalated), beside the rest, if it was dropped after a grace that it did not use;
/// [`Stuck`](pleach::dialog::Stuck) if it blocks its loop.
///
/// # Cancel safety
/// If the future is dropped, the foreign task has been aborted before the drop returns, and the enclosing scope does not
/// complete before it has ended.
///
/// ```
/// use pleach::prelude::*;
/// use pleach_bridge::{Tokio, open_link};
///
/// async fn ticks(mut far: Far<&'static str, (), u32>, last: u32) -> Result<()> {
///     far.started("ticking").await?;
///     for n in 1..=last {
///         tokio::task::yield_now().await;
///         far.send(n).await?;
///     }
///     Ok(())
/// }
///
/// pleach::actor::enter(|| {});
/// let sum = pleach::actor::run(Tokio::current_thread(), || {
///     // What the foreign task needs beside its end is moved in by a closure.
///     open_link(Tokio::here().expect("tokio hosts this"), |far| ticks(far, 4), async |mut near, first| {
///         assert_eq!(first, "ticking");
///         let mut sum = 0;
///         while let Some(n) = near.recv().await? {
///             sum += n;
///         }
///         Ok(sum)
///     })
/// });
/// assert_eq!(sum.unwrap(), 10);
/// ```
pub async fn open_link<P, F, FarFut, First, In, Out, R, B, Fut, T>(on: P, far: F, body: B) -> Result<T>
where
    P: Placement,
    F: FnOnce(Far<First, In, Out>) -> FarFut + Send + 'static,
    FarFut: Future<Output = Result<R>> + 'static,
    B: FnOnce(Near<In, Out, R>, First) -> Fut,
    Fut: Future<Output = Result<T>>,
    First: Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
    R: Send + 'static,
{
    link(on).open(far, body).await
}

/// A link with other bounds than the usual: `link(Tokio::here()?).capacity(1).open(far, body)`.
pub fn link<P: Placement>(on: P) -> LinkBuilder<P> {
    LinkBuilder { on, capacity: CAPACITY, capacity_bytes: CAPACITY_BYTES, options: Options::default() }
}

/// See [`link`].
#[must_use = "a link is opened by `.open(far, body)`"]
pub struct LinkBuilder<P> {
    pub(crate) on: P,
    capacity: usize,
    pub(crate) capacity_bytes: usize,
    pub(crate) options: Options,
}

impl<P: Placement> LinkBuilder<P> {
    /// Values that each direction holds before its sender waits; 64 by default. The memory for them is taken when the link
    /// is opened.
    ///
    /// # Panics
    /// [`open`](LinkBuilder::open) panics if it is 0, or more than there can be memory for.
    pub fn capacity(mut self, values: usize) -> Self {
        self.capacity = values;
        self
    }

    /// Bytes that each direction of a link of bytes holds before its writer waits; 64 KiB by default. Memory beyond that is
    /// taken as it is needed.
    ///
    /// # Panics
    /// [`open_bytes`](LinkBuilder::open_bytes) panics if it is 0.
    pub fn capacity_bytes(mut self, bytes: usize) -> Self {
        self.capacity_bytes = bytes;
        self
    }

    /// How long the foreign task may take to start; 10 s by default.
    pub fn start_deadline(mut self, limit: Duration) -> Self {
        self.options.start = limit;
        self
    }

    /// How long it may take to end before it is aborted; 3 s by default.
    pub fn grace(mut self, limit: Duration) -> Self {
        self.options.grace = limit;
        self
    }

    /// Opens the link, see [`open_link`].
    ///
    /// # Errors
    /// Those of [`open_link`].
    ///
    /// # Cancel safety
    /// That of [`open_link`].
    pub async fn open<F, FarFut, First, In, Out, R, B, Fut, T>(self, far: F, body: B) -> Result<T>
    where
        F: FnOnce(Far<First, In, Out>) -> FarFut + Send + 'static,
        FarFut: Future<Output = Result<R>> + 'static,
        B: FnOnce(Near<In, Out, R>, First) -> Fut,
        Fut: Future<Output = Result<T>>,
        First: Send + 'static,
        In: Send + 'static,
        Out: Send + 'static,
        R: Send + 'static,
    {
        self.open_as(type_name::<F>, far, body).await
    }

    /// The same for a far function that errors call by another name.
    pub(crate) async fn open_as<F, FarFut, First, In, Out, R, B, Fut, T>(
        self,
        function: fn() -> &'static str,
        far: F,
        body: B,
    ) -> Result<T>
    where
        F: FnOnce(Far<First, In, Out>) -> FarFut + Send + 'static,
        FarFut: Future<Output = Result<R>> + 'static,
        B: FnOnce(Near<In, Out, R>, First) -> Fut,
        Fut: Future<Output = Result<T>>,
        First: Send + 'static,
        In: Send + 'static,
        Out: Send + 'static,
        R: Send + 'static,
    {
        let Self { on, capacity, options, .. } = self;
        on.scope(|on| open_on(on, function, capacity, options, far, body)).await
    }
}

/// Opens a link on a loop that runs.
async fn open_on<L, F, FarFut, First, In, Out, R, B, Fut, T>(
    on: L,
    function: fn() -> &'static str,
    capacity: usize,
    options: Options,
    far: F,
    body: B,
) -> Result<T>
where
    L: ForeignLoop,
    F: FnOnce(Far<First, In, Out>) -> FarFut + Send + 'static,
    FarFut: Future<Output = Result<R>> + 'static,
    B: FnOnce(Near<In, Out, R>, First) -> Fut,
    Fut: Future<Output = Result<T>>,
    First: Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
    R: Send + 'static,
{
    not_cancelled().await?;
    let opener = launch(on, function, capacity, far)?;
    let near = opener.opener.near();
    converse(opener, options, |first| body(near, first)).await
}

/// Starts the foreign task, and gives the control of it.
pub(crate) fn launch<L, F, FarFut, First, In, Out, R>(
    on: L,
    function: fn() -> &'static str,
    capacity: usize,
    far: F,
) -> Result<LinkOpener<First, In, Out, R>>
where
    L: ForeignLoop,
    F: FnOnce(Far<First, In, Out>) -> FarFut + Send + 'static,
    FarFut: Future<Output = Result<R>> + 'static,
    First: Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
    R: Send + 'static,
{
    let name = Name { noun: on.noun(), function };
    let Local { mut opener, far: end, report } = local(capacity);
    let nudge = Arc::new(Nudge::default());
    start(&on, task::<L, _, _, _>(name, nudge.clone(), report, move || far(end)), &mut opener)?;
    Ok(ForeignOpener { opener, nudge, name })
}

/// Has the loop start a task. One that it refuses was dropped, but has not failed.
pub(crate) fn start<L: ForeignLoop, First>(on: &L, task: ForeignTask, opener: &mut impl Opener<First>) -> Result<()> {
    on.start(task).inspect_err(|_| drop(opener.take_failure()))
}

/// The opener's control of a foreign task: the dialog's, and a way to have the task drop itself.
pub(crate) struct ForeignOpener<O> {
    pub(crate) opener: O,
    pub(crate) nudge: Arc<Nudge>,
    pub(crate) name: Name,
}

/// That of a link.
pub(crate) type LinkOpener<First, In, Out, R> = ForeignOpener<LocalOpener<First, In, Out, R>>;

impl<First, O: Opener<First>> Opener<First> for ForeignOpener<O> {
    fn identity(&self) -> usize {
        self.opener.identity()
    }

    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<First>>> {
        self.opener.poll_first(cx)
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.opener.poll_ended(cx)
    }

    fn take_failure(&mut self) -> Option<Error> {
        let error = self.opener.take_failure()?;
        let names_it = error.downcast_ref::<ForeignCancelled>().is_some();
        Some(if names_it { error } else { error.context(self.name.to_string()) })
    }

    fn failed_at(&self) -> Option<u64> {
        self.opener.failed_at()
    }

    fn was_dropped(&self) -> bool {
        self.opener.was_dropped()
    }

    fn stop(&mut self) {
        self.opener.stop();
    }

    /// A task that listens is told; one that does not would never hear of it, and drops itself at once.
    fn cancel(&mut self, reason: Reason) {
        self.opener.cancel(reason);
        self.nudge.give();
    }

    fn abort(&mut self) {
        self.nudge.abort();
    }

    fn name(&self) -> String {
        self.name.to_string()
    }
}

impl<P> fmt::Debug for LinkBuilder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capacity, capacity_bytes, .. } = self;
        let mut shown = f.debug_struct("LinkBuilder");
        shown.field("capacity", capacity).field("capacity_bytes", capacity_bytes).finish_non_exhaustive()
    }
}
