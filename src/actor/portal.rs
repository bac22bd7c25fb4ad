//! The handle with which a parent talks to its actor.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ambient;
use super::child::Child;
use super::endpoint::{CallFn, DialogFn};
use super::wire::{self, ConnectionInfo, RemoteOpener};
use crate::Result;
use crate::dialog::{Near, Options, converse};
use crate::error::Reason;
use crate::task::not_cancelled;

/// How much longer than its grace the end of a cancelled task may take, and the news of it.
const AIR: Duration = Duration::from_secs(1);

/// The handle of a running actor. Cloning it gives another handle of the same actor; dropping it does nothing, because
/// the actor belongs to its nursery.
#[derive(Clone)]
pub struct Portal {
    child: Arc<Child>,
}

impl Portal {
    pub(super) fn new(child: Arc<Child>) -> Self {
        Self { child }
    }

    /// Its runtime ends a cancelled task at the end of its grace, which may be longer than the usual one.
    fn bounds(&self) -> Options {
        let usual = Options::default();
        let longer = self.child.grace().saturating_sub(usual.grace);
        Options { abort: longer.saturating_add(AIR), ..usual }
    }

    /// Where the actor stands in the tree: `root/feeds/quotes`.
    pub fn path(&self) -> &str {
        self.child.path()
    }

    /// The process it runs in; this one's for an actor on [`Carrier::Mem`](super::Carrier::Mem).
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// How this process talks to it: transport, codec, version.
    pub fn connection(&self) -> ConnectionInfo {
        self.child.wire().info().clone()
    }

    /// Whether it has ended, for whatever reason. It has for everybody who was told of its death, by a call or by its
    /// nursery; nobody may know yet of an actor that is dead all the same. For pools, which give work to another then.
    pub fn has_ended(&self) -> bool {
        self.child.has_ended()
    }

    /// Runs an endpoint there with these arguments (a tuple) and gives its result.
    ///
    /// # Errors
    /// What the endpoint failed with, as [`RemoteError`](crate::error::RemoteError); a
    /// [`Misuse`](crate::error::Misuse) if it is not an endpoint, not exposed there, or of another signature; a dead
    /// actor's failure; a cancel of this side, once the call has ended over there.
    ///
    /// # Cancel safety
    /// If it is dropped, the call has been cancelled, and the enclosing scope does not complete before it has ended; if
    /// the scope may not wait that long, it fails with [`Stuck`](crate::dialog::Stuck).
    pub async fn run<F, A, R>(&self, function: F, arguments: A) -> Result<R>
    where
        F: CallFn<A, Output = R>,
        A: Serialize + Send + 'static,
        R: DeserializeOwned + Send + 'static,
    {
        let target = function.target()?;
        drop(function);
        self.child.check_not_over(&target.name)?;
        not_cancelled().await?;
        wire::call(self.child.wire(), &target, arguments, self.child.grace().saturating_add(AIR)).await
    }

    /// Opens a dialog with an endpoint there, and runs `body` with this side's end and the first value.
    ///
    /// It completes when the far task has ended. If that fails, every wait in `body` ends as cancelled and the failure
    /// is the result; if `body` fails or is cancelled, the far task is cancelled and waited for.
    ///
    /// # Errors
    /// The body's; the far task's, as [`RemoteError`](crate::error::RemoteError); [`NeverStarted`] and [`StartTimeout`];
    /// those of [`run`](Portal::run).
    ///
    /// # Cancel safety
    /// If it is dropped, the far task has been cancelled, and the enclosing scope does not complete before it has ended;
    /// if the scope may not wait that long, it fails with [`Stuck`](crate::dialog::Stuck).
    ///
    /// ```no_run
    /// use pleach::prelude::*;
    ///
    /// #[pleach::endpoint]
    /// async fn doubles(mut far: Far<String, u64, u64>, by: u64) -> Result<u64> {
    ///     far.started(format!("times {by}")).await?;
    ///     let mut sum = 0;
    ///     while let Some(n) = far.recv().await? {
    ///         sum += n;
    ///         far.send(by * n).await?;
    ///     }
    ///     Ok(sum)
    /// }
    ///
    /// async fn use_it(worker: &Portal) -> Result<()> {
    ///     let sum = worker
    ///         .open_context(doubles, (2,), async |mut near, first| {
    ///             assert_eq!(first, "times 2");
    ///             near.send(21).await?;
    ///             assert_eq!(near.recv().await?, Some(42));
    ///             near.finish().await
    ///         })
    ///         .await?;
    ///     assert_eq!(sum, 21);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// [`NeverStarted`]: crate::dialog::NeverStarted
    /// [`StartTimeout`]: crate::dialog::StartTimeout
    pub async fn open_context<F, First, In, Out, A, R, T, B, Fut>(
        &self,
        function: F,
        arguments: A,
        body: B,
    ) -> Result<T>
    where
        F: DialogFn<First, In, Out, A, Output = R>,
        First: DeserializeOwned + Send + 'static,
        In: Serialize + Send + 'static,
        Out: DeserializeOwned + Send + 'static,
        R: DeserializeOwned + Send + 'static,
        A: Serialize + Send + 'static,
        B: FnOnce(Near<In, Out, R>, First) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let target = function.target()?;
        drop(function);
        self.child.check_not_over(&target.name)?;
        not_cancelled().await?;
        let opener = RemoteOpener::<First, R>::open(self.child.wire(), &target, arguments).await?;
        let near = opener.near();
        converse(opener, self.bounds(), |first| body(near, first)).await
    }

    /// Ends the actor and waits until its process is reaped: it is asked, and after its grace sent SIGTERM, then
    /// SIGKILL. An actor that has ended already is fine.
    ///
    /// # Errors
    /// A cancel of this side; that the process could not be ended.
    ///
    /// # Cancel safety
    /// If it is dropped, the actor has been asked all the same.
    pub async fn cancel_actor(&self) -> Result<()> {
        self.ask_to_end("cancel_actor");
        self.child.wait().await
    }

    /// Asks the actor to end, and does not wait. The first reason counts.
    pub(super) fn ask_to_end(&self, message: &str) {
        let by = ambient::path().unwrap_or_default();
        self.child.cancel(Reason::Explicit { by, message: message.to_owned() }, None);
    }
}

impl fmt::Debug for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Portal").field("path", &self.path()).field("pid", &self.pid()).finish()
    }
}
