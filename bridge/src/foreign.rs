//! Foreign scopes, and single calls into them.

use std::any::type_name;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use pleach::dialog::{Options, attend, local_call};
use pleach::task::cancellable;
use pleach::{Error, Result};

use crate::Translated;
use crate::link::{ForeignOpener, start};
use crate::task::{Name, Nudge, task};

/// A foreign task: called on the loop, in its context, to make the future it will run. The future need not be `Send`.
pub type ForeignTask = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A loop that links can be opened to.
pub trait ForeignLoop: Send {
    /// Starts a task on the loop. It must be run to its end or be dropped, whatever happens to the loop. Nothing else ends
    /// it: when its link is cancelled it wakes itself and drops what it holds.
    ///
    /// # Errors
    /// If the loop cannot be reached from here, with what to do about it. It never blocks.
    fn start(&self, task: ForeignTask) -> Result<()>;

    /// What its tasks are called in errors: `tokio task`.
    fn noun(&self) -> &'static str;

    /// How many tasks the loop of this thread has, if it knows: a link or call after which there are more than before has
    /// perhaps left some behind, which is an event of the log, at `DEBUG`.
    fn alive() -> Option<usize>
    where
        Self: Sized,
    {
        None
    }

    /// What an error of a far function means if it is the loop's own word, for a task that it waited for: a cancel, a panic.
    fn translate(error: Error) -> Translated
    where
        Self: Sized,
    {
        Translated::Failed(error)
    }
}

/// Where a piece of foreign code may be placed: on a loop that runs already, or on one that is started for a scope.
#[diagnostic::on_unimplemented(
    message = "foreign code cannot be placed on `{Self}`",
    note = "`Tokio::thread()` and `Tokio::threads(n)` start a runtime for it; in an infected actor there is `Tokio::here()?`",
    note = "`Tokio::current_thread()` is the host of an actor: `.host(Tokio::current_thread())`"
)]
pub trait Placement {
    /// The loop that the scope's body is given.
    type Loop: ForeignLoop;

    /// Opens a scope on the loop: what is started in it does not outlive it.
    ///
    /// # Errors
    /// The body's; that the loop could not be started, or not be ended.
    fn scope<B, Fut, T>(self, body: B) -> impl Future<Output = Result<T>>
    where
        B: FnOnce(Self::Loop) -> Fut,
        Fut: Future<Output = Result<T>>;
}

/// A loop that runs already is its own scope: what is started on it is owned by links and calls.
impl<L: ForeignLoop> Placement for L {
    type Loop = L;

    async fn scope<B, Fut, T>(self, body: B) -> Result<T>
    where
        B: FnOnce(L) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let before = L::alive();
        let ended = body(self).await;
        let left = L::alive().zip(before).map_or(0, |(after, before)| after.saturating_sub(before));
        if left > 0 {
            tracing::debug!(suspected = left, scope = type_name::<B>(), "there are more foreign tasks than before");
        }
        ended
    }
}

/// Opens a foreign scope for many calls and links: pools and clients live there, and are made there.
///
/// The body is a task of whoever awaits this: only what goes through `tk.run` or a link is on the loop. A client that was made
/// in one scope has its tasks there, so it is of no use in another, and fails when its scope ends.
///
/// What a scope on [`Tokio::thread()`](crate::Tokio::thread) finds left behind when it ends, and what it does about it, is in
/// [`Thread`](crate::Thread): detached tasks are dropped, processes killed, threads waited for. A panic of a detached task is
/// nobody's result, as in tokio. Two things belong to the process and stay: the pair of local sockets that tokio makes for
/// signals and child processes, and its handler of a signal that foreign code has asked for (`tokio::signal`), which keeps
/// the signal from ending the process.
///
/// # Errors
/// The body's; that the loop could not be started, or not be ended.
///
/// # Cancel safety
/// If the future is dropped, the scope's end has been asked for before the drop returns, and the enclosing scope does not
/// complete before it has ended.
///
/// ```
/// use pleach::Result;
/// use pleach_bridge::{Tokio, foreign};
///
/// let sum: Result<u32> = smol::block_on(foreign(Tokio::thread(), async |tokio| {
///     let one = tokio.run(async || Ok(1)).await?;
///     let two = tokio.run(async || Ok(tokio::spawn(async { 2 }).await?)).await?;
///     Ok(one + two)
/// }));
/// assert_eq!(sum.unwrap(), 3);
/// ```
pub async fn foreign<P, B, Fut, T>(on: P, body: B) -> Result<T>
where
    P: Placement,
    B: FnOnce(P::Loop) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    on.scope(body).await
}

/// Runs one piece of foreign code to its end, and gives its result.
///
/// `work` is called on the loop's thread, in its context, and its future need not be `Send`.
///
/// # Errors
/// What it failed with, unchanged; a panic of it; [`ForeignCancelled`](crate::ForeignCancelled) if somebody else cancelled it.
///
/// # Cancel safety
/// If the future is dropped or cancelled, the foreign task is dropped at its next await, and the enclosing scope does not
/// complete before it has ended.
///
/// ```
/// use std::time::Duration;
///
/// use pleach_bridge::{Tokio, run};
///
/// let slept = smol::block_on(run(Tokio::thread(), async || {
///     tokio::time::sleep(Duration::from_millis(1)).await;
///     Ok("slept")
/// }));
/// assert_eq!(slept.unwrap(), "slept");
/// ```
pub async fn run<P, F, Fut, T>(on: P, work: F) -> Result<T>
where
    P: Placement,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<T>> + 'static,
    T: Send + 'static,
{
    on.scope(|on| call(on, work)).await
}

/// Looks at the cancel before anything is started.
pub(crate) async fn not_cancelled() -> Result<()> {
    cancellable(ready(())).await
}

/// One call on a loop that runs.
pub(crate) async fn call<L, F, Fut, T>(on: L, work: F) -> Result<T>
where
    L: ForeignLoop,
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<T>> + 'static,
    T: Send + 'static,
{
    not_cancelled().await?;
    let name = Name { noun: on.noun(), function: type_name::<F> };
    let (mut opener, report) = local_call();
    let nudge = Arc::new(Nudge::default());
    start(&on, task::<L, _, _, _>(name, nudge.clone(), report, work), &mut opener)?;
    drop(on);
    let mut ended = attend(ForeignOpener { opener, nudge, name }, Options::default()).await?;
    Ok(ended.opener.take_result().expect("it has ended well"))
}
