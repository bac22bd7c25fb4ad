//! The other direction: foreign code that needs the tree, and has a task of it as a future.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use pleach::dialog::{Far, Local, LocalOpener, Near, Opener, Options, converse, local_in_tree};
use pleach::error::{Closed, Reason};
use pleach::task::{CancelScope, Nursery, oneshot};
use pleach::{Error, Result};

/// Values that one direction of a dialog holds before its sender waits.
const CAPACITY: usize = 64;

/// What foreign code starts tasks of the tree with.
///
/// It is a handle of a nursery that may be taken to any thread and any loop. What is started belongs to that nursery, which
/// waits for it; whoever started it has it as a future.
///
/// ```
/// use pleach::prelude::*;
/// use pleach_bridge::{Tokio, TreeHandle, run};
///
/// let answer = smol::block_on(nursery(async |n| {
///     let tree = TreeHandle::new(&n);
///     run(Tokio::thread(), async move || {
///         // Here is tokio; what is spawned runs in the nursery, on smol.
///         let held = tree.spawn(async {
///             sleep(std::time::Duration::from_millis(1)).await?;
///             Ok(42)
///         })?;
///         held.await
///     })
///     .await
/// }));
/// assert_eq!(answer.unwrap(), 42);
/// ```
#[derive(Clone, Debug)]
pub struct TreeHandle {
    nursery: Nursery<'static>,
}

impl TreeHandle {
    /// Starts what it is asked for in this nursery. A nursery whose children may borrow from the function around is none that
    /// foreign code could be given.
    pub fn new(nursery: &Nursery<'static>) -> Self {
        Self { nursery: nursery.clone() }
    }

    /// Starts a task of the tree, and gives it as a future to whoever asked for it.
    ///
    /// What it fails with is the failure of the future; if the future is gone by then, of the nursery.
    ///
    /// # Errors
    /// `Cancelled` if the nursery was cancelled, [`Closed`] if it has ended. `task` has been dropped then.
    #[track_caller]
    pub fn spawn<T, F>(&self, task: F) -> Result<Held<T>>
    where
        F: Future<Output = Result<T>> + Send + 'static,
        T: Send + 'static,
    {
        let (scope, (tell, told)) = (CancelScope::new(), oneshot::channel());
        let run = scope.run(task);
        self.nursery.spawn(async move {
            let outcome = run.await;
            match tell.send(outcome).map_err(|refused| refused.into_value()) {
                Ok(()) | Err(Ok(_)) => Ok(()),
                // Nobody has it any more: it is a failure of the nursery, unless it is the nursery's own cancel.
                Err(Err(failure)) => Err(failure),
            }
        })?;
        Ok(Held { scope, outcome: told, taken: false, nursery: self.nursery.clone() })
    }

    /// Starts `far` as a task of the tree, and converses with it: the roles of a [link](crate::open_link) the other way round.
    /// The same function can be linked, opened in another actor, or opened so by foreign code.
    ///
    /// # Errors
    /// Those of [`open_link`](crate::open_link) but for those of a loop; those of [`spawn`](Self::spawn).
    ///
    /// # Cancel safety
    /// If the future is dropped, the task has been told to end before the drop returns, and its nursery waits for it.
    ///
    /// ```
    /// use pleach::prelude::*;
    /// use pleach_bridge::{Tokio, TreeHandle, run};
    ///
    /// async fn doubles(mut far: Far<(), u64, u64>) -> Result<()> {
    ///     far.started(()).await?;
    ///     while let Some(n) = far.recv().await? {
    ///         far.send(2 * n).await?;
    ///     }
    ///     Ok(())
    /// }
    ///
    /// let doubled = smol::block_on(nursery(async |n| {
    ///     let tree = TreeHandle::new(&n);
    ///     run(Tokio::thread(), async move || {
    ///         tree.open(doubles, async |mut near, ()| {
    ///             near.send(21).await?;
    ///             near.recv().await
    ///         })
    ///         .await
    ///     })
    ///     .await
    /// }));
    /// assert_eq!(doubled.unwrap(), Some(42));
    /// ```
    pub async fn open<F, FarFut, First, In, Out, R, B, Fut, T>(&self, far: F, body: B) -> Result<T>
    where
        F: FnOnce(Far<First, In, Out>) -> FarFut,
        FarFut: Future<Output = Result<R>> + Send + 'static,
        B: FnOnce(Near<In, Out, R>, First) -> Fut,
        Fut: Future<Output = Result<T>>,
        First: Send + 'static,
        In: Send + 'static,
        Out: Send + 'static,
        R: Send + 'static,
    {
        let Local { opener, far: end, report } = local_in_tree(CAPACITY);
        let scope = CancelScope::new();
        let run = scope.run(far(end));
        self.nursery.spawn(async move {
            match run.await {
                Ok(Some(value)) => report.ended(Ok(value)),
                Ok(None) => report.obeyed(),
                Err(failure) => report.ended(Err(failure)),
            }
            Ok(())
        })?;
        let near = opener.near();
        converse(TreeOpener { opener, scope }, Options::default(), |first| body(near, first)).await
    }
}

/// A task of the tree, as the future of foreign code; see [`TreeHandle::spawn`].
///
/// Dropped, it cancels the task, which its nursery waits for.
#[must_use = "dropped, it cancels its task"]
pub struct Held<T> {
    scope: CancelScope,
    outcome: oneshot::Receiver<Result<Option<T>>>,
    taken: bool,
    /// Gets a failure that nobody takes.
    nursery: Nursery<'static>,
}

impl<T> Held<T> {
    /// Cancels the task, and waits until it has ended: with its value, if it had one all the same.
    ///
    /// # Errors
    /// What it failed with while it unwound.
    pub async fn cancel(mut self) -> Result<Option<T>> {
        self.scope.cancel("whoever has it as a future cancels it");
        std::future::poll_fn(|cx| self.poll_outcome(cx)).await
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>>> {
        let polled = pin!(self.outcome.recv()).poll(cx);
        polled.map(|told| {
            self.taken = true;
            // Without a word it was dropped together with its nursery.
            told?.unwrap_or_else(|| Err(Closed.into()))
        })
    }
}

impl<T> Future for Held<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        // Only who has it cancels its scope, and does not poll it as a future then.
        self.poll_outcome(cx).map(|outcome| outcome?.ok_or_else(|| Closed.into()))
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        // In this order: what the task says of its cancel is for its nursery.
        self.outcome.close();
        self.scope.cancel("whoever had it as a future has dropped it");
        if let Some(Err(failure)) = self.outcome.try_recv()
            && !failure.is_cancelled()
            && let Err(refused) = self.nursery.spawn(async { Err::<(), _>(failure) })
        {
            tracing::error!("a failure that came when nobody wanted it any more is lost: {refused}");
        }
    }
}

impl<T> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("cancelled", &self.scope.is_cancelled()).finish_non_exhaustive()
    }
}

/// The foreign opener's control of a task of the tree: the dialog's, and the task's scope.
struct TreeOpener<First, In, Out, R> {
    opener: LocalOpener<First, In, Out, R>,
    scope: CancelScope,
}

impl<First, In, Out, R> Opener<First> for TreeOpener<First, In, Out, R>
where
    First: Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
    R: Send + 'static,
{
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<First>>> {
        self.opener.poll_first(cx)
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.opener.poll_ended(cx)
    }

    fn take_failure(&mut self) -> Option<Error> {
        self.opener.take_failure()
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

    fn cancel(&mut self, reason: Reason) {
        self.opener.cancel(reason.clone());
        self.scope.request(reason);
    }

    fn name(&self) -> String {
        "a task of the tree".to_owned()
    }
}
