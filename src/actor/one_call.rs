//! An actor for one call.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::builder::ActorBuilder;
use super::endpoint::CallFn;
use super::nursery::actor_nursery;
use super::portal::Portal;
use crate::Result;

/// Starts an actor that exposes only this endpoint, calls it with these arguments (a tuple), ends the actor, and gives the
/// result.
///
/// The actor is a process on smol, called after the function. For another host, carrier or grace, describe one in a nursery
/// and call [`ActorBuilder::run`].
///
/// # Errors
/// What the endpoint failed with, as [`RemoteError`](crate::error::RemoteError); an [`ActorDied`](super::ActorDied) if its
/// process ended; those of [`start`](ActorBuilder::start); a cancel of the scope around, once the actor has ended.
///
/// # Cancel safety
/// As for [`actor_nursery`]: if it is dropped, the process has been sent SIGKILL, and the enclosing scope does not complete
/// before it is reaped.
///
/// ```no_run
/// use pleach::prelude::*;
///
/// /// Blocks its thread, and may: nothing else runs in its process.
/// #[pleach::endpoint]
/// async fn sum_to(n: u64) -> Result<u64> {
///     Ok((1..=n).sum())
/// }
///
/// #[pleach::main]
/// async fn main() -> Result<()> {
///     assert_eq!(run_in_actor(sum_to, (100,)).await?, 5050);
///     Ok(())
/// }
/// ```
pub async fn run_in_actor<F, A, R>(function: F, arguments: A) -> Result<R>
where
    F: CallFn<A, Output = R>,
    A: Serialize + Send + 'static,
    R: DeserializeOwned + Send + 'static,
{
    let name = name(&function.target()?.name);
    actor_nursery(|n| n.actor(name).run(function, arguments)).await
}

/// The last step of the function's name, and a number, so that two at a time can be told from each other.
fn name(function: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let last = function.rsplit("::").next().unwrap_or(function).replace(['/', '\0'], "-");
    format!("{last}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

impl ActorBuilder {
    /// Starts the actor for this one call: exposes the endpoint, calls it with these arguments (a tuple), ends the actor, and
    /// gives the result. [`run_in_actor`] does it in a nursery of its own.
    ///
    /// # Errors
    /// What the endpoint failed with, as [`RemoteError`](crate::error::RemoteError); those of [`start`](Self::start); a dead
    /// actor's failure, with which its nursery fails as well; that the actor could not be ended; a cancel.
    ///
    /// # Cancel safety
    /// If it is dropped, the call has been cancelled and the actor asked to end; the nursery waits for it.
    ///
    /// ```no_run
    /// use pleach::prelude::*;
    ///
    /// #[pleach::endpoint]
    /// async fn double(n: u64) -> Result<u64> {
    ///     Ok(2 * n)
    /// }
    ///
    /// async fn in_memory() -> Result<u64> {
    ///     actor_nursery(async |n| n.actor("doubler").carrier(Carrier::Mem).run(double, (21,)).await).await
    /// }
    /// ```
    pub async fn run<F, A, R>(self, function: F, arguments: A) -> Result<R>
    where
        F: CallFn<A, Output = R>,
        A: Serialize + Send + 'static,
        R: DeserializeOwned + Send + 'static,
    {
        let actor = OneCall(self.expose_type_of(&function).start().await?);
        let ended = actor.0.run(function, arguments).await;
        match (ended, actor.0.cancel_actor().await) {
            (Ok(_), Err(stuck)) if !stuck.is_cancelled() => Err(stuck),
            // What the call gave is the caller's, also if its scope was cancelled while the actor ended.
            (ended, _) => ended,
        }
    }
}

/// Asks the actor to end when the call is dropped.
struct OneCall(Portal);

impl Drop for OneCall {
    fn drop(&mut self) {
        self.0.ask_to_end("its one call is over");
    }
}
