//! The carrier for two tasks of one process: values that move through two bounded rings, and one lock for the rest.
//!
//! A send or a receive that need not wait takes no lock: it looks at the news, which are one atomic, and at its ring.

mod call;
mod far;
mod link;
mod lookout;
mod near;
mod opener;
mod queue;
mod report;
mod sleeper;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard};

pub use self::call::{CallOpener, local_call};
use self::far::LocalFar;
use self::link::{Link, Side, news};
pub use self::opener::LocalOpener;
use self::queue::{Reader, Writer, queue};
use self::report::Ended;
pub use self::report::Report;
use super::{Far, FarFailed, FarReturned, NearGone, SideGone, TrySendError};
use crate::Error;
use crate::error::{Cancelled, Closed, Kind, Mark, Misuse};
use crate::proto::dialog::Callee;
use crate::task::{Wait, WaitsFor};
use crate::waiting::Waiting;

/// Makes the two ends of a dialog inside this process, with room for `capacity` values in each direction.
///
/// The three parts are for whoever starts the far task: the [`LocalOpener`] goes to
/// [`converse`](super::converse), the [`Far`] to the far function, and the [`Report`] says how that function ended.
///
/// # Panics
/// If `capacity` is 0.
pub fn local<First, In, Out, R>(capacity: usize) -> Local<First, In, Out, R>
where
    First: Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
    R: Send + 'static,
{
    make(capacity, None)
}

/// The same for a far function that runs as a task of the tree: its waits end with its scope, as all others do.
///
/// # Panics
/// If `capacity` is 0.
pub fn local_in_tree<First, In, Out, R>(capacity: usize) -> Local<First, In, Out, R>
where
    First: Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
    R: Send + 'static,
{
    make(capacity, Some([Wait::new(WaitsFor::Dialog), Wait::new(WaitsFor::Dialog)]))
}

fn make<First, In, Out, R>(capacity: usize, far_waits: Option<[Wait; 2]>) -> Local<First, In, Out, R>
where
    First: Send + 'static,
    In: Send + 'static,
    Out: Send + 'static,
    R: Send + 'static,
{
    assert!(capacity > 0, "a dialog needs room for one value");
    // The far function may be the first code of the tree that panics.
    crate::error::install_hook();
    let link = Arc::new(Link::default());
    let (to_far, from_near) = queue(capacity, &link, Side::Near, Waiting::Balanced);
    let (to_near, from_far) = queue(capacity, &link, Side::Far, Waiting::Balanced);
    let shared = Arc::new(Shared { core: Mutex::new(Core::new((to_far, from_far))), link });
    let far = Far::new(LocalFar::new(shared.clone(), to_near, from_near, far_waits));
    Local { opener: LocalOpener::new(shared.clone()), far, report: Report::new(shared) }
}

/// The parts of a dialog inside this process, see [`local`].
#[derive(Debug)]
pub struct Local<First, In, Out, R> {
    /// For [`converse`](super::converse).
    pub opener: LocalOpener<First, In, Out, R>,
    /// For the far function.
    pub far: Far<First, In, Out>,
    /// For whoever runs the far function.
    pub report: Report<R>,
}

/// What the parts share.
struct Shared<First, In, Out, R> {
    core: Mutex<Core<First, In, Out, R>>,
    link: Arc<Link>,
}

/// What is seldom needed.
struct Core<First, In, Out, R> {
    phase: Callee,
    first: Option<First>,
    /// The rings of the near end, until it is made.
    near: Option<(Writer<In>, Reader<Out>)>,
    cancel: Option<Mark>,
    /// Whether the far task has been given the cancel, or waits where it will be.
    told: bool,
    ended: Ended<R>,
    /// How the far task has ended, for whoever only asks.
    gone: Option<SideGone>,
}

impl<First, In, Out, R> Core<First, In, Out, R> {
    fn new(near: (Writer<In>, Reader<Out>)) -> Self {
        let phase = Callee::new(false);
        Self { phase, first: None, near: Some(near), cancel: None, told: false, ended: Ended::default(), gone: None }
    }

    /// The far side's view of a cancel: an error that is a cancel of a scope no ancestor of a foreign task has.
    fn cancelled(&mut self) -> Option<Error> {
        let mark = self.cancel.clone()?;
        self.told = true;
        Some(Cancelled { mark }.into())
    }
}

impl<First, In, Out, R> Shared<First, In, Out, R> {
    fn lock(&self) -> MutexGuard<'_, Core<First, In, Out, R>> {
        self.core.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Why the opener's side can send nothing, if it cannot.
    fn near_refusal(&self, news: u8) -> Option<Error> {
        if news & (news::ENDED | news::FAILED) == news::ENDED {
            return Some(FarReturned.into());
        }
        self.near_error(news).or_else(|| (news & news::STOPPED != 0).then(stopped))
    }

    /// What the opener's side is told where the far task has failed, or the end was carried out of its dialog.
    fn near_error(&self, news: u8) -> Option<Error> {
        if news & news::GONE != 0 {
            return Some(Closed.into());
        }
        (news & news::FAILED != 0).then(|| far_failed(self.identity()))
    }

    /// Which dialog it is, as long as it is there.
    fn identity(&self) -> usize {
        Arc::as_ptr(&self.link).addr()
    }

    /// Why the far side can send nothing, if it cannot.
    #[cold]
    fn far_refusal(&self, news: u8) -> Option<Error> {
        let mut core = self.lock();
        if let Some(cancelled) = core.cancelled() {
            return Some(cancelled);
        }
        if let Err(misuse) = core.phase.send() {
            return Some(Misuse::new(misuse.to_string()).into());
        }
        (news & (news::FINISHED | news::GONE) != 0).then(|| NearGone.into())
    }
}

/// Looks at the cancel before the attempt; a runtime await of the opener's strand.
macro_rules! runtime_await {
    ($wait:expr, $cx:expr) => {
        match $wait.check($cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    };
}
pub(crate) use runtime_await;

/// Not a failure of its own: whoever sees it beside the far task's failure drops it.
pub(crate) fn far_failed(dialog: usize) -> Error {
    Error::from(FarFailed { dialog }).with_kind(Kind::Cancelled)
}

/// A value that a sink was given though it had not said that it could take one.
pub(crate) fn started_unready<T>(refused: TrySendError<T>) -> Error {
    match refused {
        TrySendError::Full(_) => Misuse::new("`start_send` before `poll_ready`: the dialog is full".to_owned()).into(),
        TrySendError::Refused(_, error) => error,
    }
}

/// A value sent after the sender said that there would be none.
pub(crate) fn stopped() -> Error {
    Misuse::new("`send` after `stop`: send everything first, then stop").into()
}
