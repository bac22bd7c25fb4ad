//! What a strand leaves to be done when it has ended.

use std::future::Future;

use super::running::current;
use super::strand::Entrusted;
use crate::error::Misuse;
use crate::{Error, Result};

/// Runs `finalizer` when the strand that calls this has ended, however it ended: it returned, failed, or was dropped by
/// a cancel.
///
/// The last one registered runs first. A finalizer is shielded; it may take as long as the grace of its scope still has,
/// or, without a cancel, one grace from the end of its strand. A strand that is dropped from outside (by a `select`, or
/// with the whole tree) runs none.
///
/// # Errors
/// `Misuse` outside every strand.
///
/// ```
/// use pleach::task::{CancelScope, defer, time::VirtualClock};
/// use std::sync::{Arc, Mutex};
///
/// let log = Arc::new(Mutex::new(Vec::new()));
/// let seen = log.clone();
/// VirtualClock::block_on(CancelScope::new().run(async {
///     let late = log.clone();
///     defer(async move { late.lock().unwrap().push("cleaned up") })?;
///     log.lock().unwrap().push("worked");
///     Ok(())
/// }))
/// .unwrap();
/// assert_eq!(*seen.lock().unwrap(), ["worked", "cleaned up"]);
/// ```
pub fn defer(finalizer: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let Some(strand) = current() else {
        return Err(
            Misuse::new("defer was called outside every task; call it inside a nursery or a CancelScope").into()
        );
    };
    strand.add_finalizer(Box::pin(finalizer));
    Ok(())
}

/// Hands over something that must have ended before the scope of the current strand completes.
///
/// For a `Drop` that cannot wait: it takes what is left of its job, makes a future of it, and the strand around sees to
/// its end. It runs at once, beside the strand and outside every cancel, for at most the remaining grace after the
/// strand has ended (one grace without a cancel). When the strand that holds it is itself dropped from outside, it
/// goes to the next strand around.
///
/// # Errors
/// Gives the future back if there is no strand around: then nobody will wait, and the caller has to end it some other
/// way.
///
/// ```
/// use pleach::task::{CancelScope, entrust, time::VirtualClock};
///
/// struct Connection;
/// impl Drop for Connection {
///     fn drop(&mut self) {
///         let _ = entrust(async { /* say goodbye */ });
///     }
/// }
/// VirtualClock::block_on(CancelScope::new().run(async {
///     drop(Connection);
///     Ok(())
/// }))
/// .unwrap();
/// ```
pub fn entrust<F: Future<Output = ()> + Send + 'static>(future: F) -> Result<(), F> {
    let Some(strand) = current() else { return Err(future) };
    let future = async move {
        future.await;
        Ok(())
    };
    strand.adopt(vec![Entrusted { future: Box::pin(future), late: None }], Vec::new());
    Ok(())
}

/// [`entrust`] for what may fail; `late` is the failure if it has not ended when the strand may wait no longer.
///
/// Without a strand around nobody waits, and nobody is told.
pub(crate) fn entrust_or(late: Error, future: impl Future<Output = Result<()>> + Send + 'static) {
    if let Some(strand) = current() {
        strand.adopt(vec![Entrusted { future: Box::pin(future), late: Some(late) }], Vec::new());
    }
}
