//! A link of bytes: what a link is, with an `AsyncRead + AsyncWrite` at each side instead of values.

mod far;
mod io;
mod near;
mod pipe;
mod told;

use std::any::type_name;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::{Context, Poll};

use pleach::dialog::{Far, FarFailed, NearGone, Opener, Options, converse};
use pleach::error::{Kind, Mark, Misuse, Reason};
use pleach::{Error, Result};

pub use self::far::FarBytes;
pub use self::near::NearBytes;
use self::pipe::{Life, Lives, Pipe};
use self::told::Told;
use crate::foreign::not_cancelled;
use crate::link::{LinkOpener, launch};
use crate::{ForeignLoop, LinkBuilder, Placement, link};

/// Opens a link of bytes: starts `far` as a task of the foreign loop, and runs `body` with this side's end as soon as that
/// has its first turn. What speaks over a socket speaks over it: HTTP, TLS, a codec's frames.
///
/// It has the life of a [link](crate::open_link), and completes when the foreign task has ended. When `body` returns, the
/// foreign task reads the end of the stream and has the grace to return. `link(on).capacity_bytes(n).open_bytes(far, body)`
/// does the same with other bounds.
///
/// # Errors
/// The body's; the foreign task's, unchanged; [`StartTimeout`](pleach::dialog::StartTimeout);
/// [`Stuck`](pleach::dialog::Stuck) if it blocks its loop. That the foreign task could not write any more after the body
/// had returned is none.
///
/// # Cancel safety
/// If the future is dropped, the foreign task has been aborted before the drop returns, and the enclosing scope does not
/// complete before it has ended.
///
/// ```
/// use futures_lite::{AsyncReadExt, AsyncWriteExt};
/// use pleach::prelude::*;
/// use pleach_bridge::{FarBytes, Tokio, open_byte_link};
///
/// /// Plain tokio code, which would do the same with a socket.
/// async fn echo(io: FarBytes) -> Result<()> {
///     let (mut read, mut write) = tokio::io::split(io);
///     tokio::io::copy(&mut read, &mut write).await?;
///     tokio::io::AsyncWriteExt::shutdown(&mut write).await?;
///     Ok(())
/// }
///
/// pleach::actor::enter(|| {});
/// let echoed = pleach::actor::run(Tokio::current_thread(), || {
///     open_byte_link(Tokio::here().expect("tokio hosts this"), echo, async |mut io| {
///         io.write_all(b"hello").await?;
///         io.close().await?;
///         let mut echoed = String::new();
///         io.read_to_string(&mut echoed).await?;
///         Ok(echoed)
///     })
/// });
/// assert_eq!(echoed.unwrap(), "hello");
/// ```
pub async fn open_byte_link<P, F, FarFut, B, Fut, T>(on: P, far: F, body: B) -> Result<T>
where
    P: Placement,
    F: FnOnce(FarBytes) -> FarFut + Send + 'static,
    FarFut: Future<Output = Result<()>> + 'static,
    B: FnOnce(NearBytes) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    link(on).open_bytes(far, body).await
}

impl<P: Placement> LinkBuilder<P> {
    /// Opens a link of bytes, see [`open_byte_link`].
    ///
    /// # Errors
    /// Those of [`open_byte_link`].
    ///
    /// # Cancel safety
    /// That of [`open_byte_link`].
    pub async fn open_bytes<F, FarFut, B, Fut, T>(self, far: F, body: B) -> Result<T>
    where
        F: FnOnce(FarBytes) -> FarFut + Send + 'static,
        FarFut: Future<Output = Result<()>> + 'static,
        B: FnOnce(NearBytes) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let Self { on, capacity_bytes, options, .. } = self;
        assert!(capacity_bytes > 0, "a link of bytes needs room for one byte");
        on.scope(|on| open_on(on, capacity_bytes, options, far, body)).await
    }
}

/// Opens a link of bytes on a loop that runs.
async fn open_on<L, F, FarFut, B, Fut, T>(on: L, capacity: usize, options: Options, far: F, body: B) -> Result<T>
where
    L: ForeignLoop,
    F: FnOnce(FarBytes) -> FarFut + Send + 'static,
    FarFut: Future<Output = Result<()>> + 'static,
    B: FnOnce(NearBytes) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    not_cancelled().await?;
    let pipes = Arc::new(Pipes::new(capacity));
    let near = NearBytes::new(pipes.clone());
    let far_pipes = pipes.clone();
    let run = async move |mut end: Signal| {
        end.started(()).await?;
        graceful(far(FarBytes::new(far_pipes.clone(), end)).await, &far_pipes.told_far)
    };
    let link = launch(on, type_name::<F>, 1, run)?;
    let opener = ByteOpener { link, pipes: pipes.clone() };
    // Boxed: what speaks a protocol is large, and each combinator around a future holds it more than once.
    converse(opener, options, |()| Box::pin(async { body(near).await.map_err(|error| echo(error, &pipes.told_near)) }))
        .await
}

/// The dialog of a link of bytes, which has its life and carries no values.
type Signal = Far<(), Infallible, Infallible>;

/// That the opener has finished, and reads no more, is no failure of who goes on writing.
fn graceful(outcome: Result<()>, told: &Told) -> Result<()> {
    outcome.or_else(|error| match own_cause(&error, told) {
        _ if is_caused_by::<NearGone>(&error) => Ok(()),
        Some(Some(mark)) => Err(mark.into()),
        Some(None) => Ok(()),
        None => Err(error),
    })
}

/// That the far task has failed is no failure of the body which was told so: the far task's is the link's.
fn echo(error: Error, told: &Told) -> Error {
    match own_cause(&error, told) {
        _ if is_caused_by::<FarFailed>(&error) => error.with_kind(Kind::Cancelled),
        Some(Some(mark)) => mark.into(),
        Some(None) => error.with_kind(Kind::Cancelled),
        None => error,
    }
}

/// What the side was told, where an error is that and has lost its source; and the cancel, if it was told of one.
fn own_cause(error: &Error, told: &Told) -> Option<Option<Mark>> {
    if error.mark().is_some() { None } else { told.is_source_of(error) }
}

fn is_caused_by<E: StdError + 'static>(error: &Error) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(&**error);
    while let Some(error) = next {
        if error.is::<E>() {
            return true;
        }
        next = error.source();
    }
    false
}

/// The two directions.
struct Pipes {
    to_far: Pipe,
    to_near: Pipe,
    told_near: Told,
    told_far: Told,
}

impl Pipes {
    fn new(capacity: usize) -> Self {
        let (told_near, told_far) = (Told::default(), Told::default());
        Self { to_far: Pipe::new(capacity), to_near: Pipe::new(capacity), told_near, told_far }
    }

    /// Says how the sides are now.
    fn tell(&self, change: impl Fn(&mut Lives)) {
        self.to_far.tell(&change);
        self.to_near.tell(&change);
    }
}

/// The control of the foreign task: the link's, which also says at the pipes how the sides are.
struct ByteOpener {
    link: LinkOpener<(), Infallible, Infallible, ()>,
    pipes: Arc<Pipes>,
}

impl Opener<()> for ByteOpener {
    fn poll_first(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<()>>> {
        self.link.poll_first(cx)
    }

    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let ended = self.link.poll_ended(cx);
        if let Poll::Ready(failed) = ended {
            let far = if failed { Life::Failed } else { Life::Done };
            self.pipes.tell(|lives| lives.far = far);
        }
        ended
    }

    fn take_failure(&mut self) -> Option<Error> {
        self.link.take_failure()
    }

    fn failed_at(&self) -> Option<u64> {
        self.link.failed_at()
    }

    fn was_dropped(&self) -> bool {
        self.link.was_dropped()
    }

    fn stop(&mut self) {
        self.link.stop();
        self.pipes.tell(|lives| lives.near = Life::Done);
    }

    fn cancel(&mut self, reason: Reason) {
        self.link.opener.cancel(reason);
        self.pipes.tell(|lives| lives.near = Life::Failed);
        // A read or a write that is still waited for takes the signal in the turn that this gives.
        self.link.nudge.give();
    }

    fn abort(&mut self) {
        self.link.abort();
    }

    fn name(&self) -> String {
        self.link.name()
    }
}

impl Drop for ByteOpener {
    fn drop(&mut self) {
        self.pipes.to_far.clear();
        self.pipes.to_near.clear();
    }
}

/// The reason inside an `io::Error`, as its source.
fn carry(kind: ErrorKind, error: Error) -> std::io::Error {
    std::io::Error::new(kind, error.into_boxed())
}

/// A write after the writer said that there would be none.
fn closed() -> std::io::Error {
    carry(ErrorKind::BrokenPipe, Misuse::new("a write after a close: write everything first, then close").into())
}
