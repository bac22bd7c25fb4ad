//! What runs the root future of an actor.
//!
//! A [`Host`] is a value: it is chosen per actor, at run time. It polls one future to its end on the thread that calls
//! it, and serves the actor's own sockets and timers with whatever reactor it has. One under which actors can be
//! started in other processes is *registered* by name, by the crate that owns it, so that it can be named to a child.

mod net;
mod poll;
mod pulse;
mod registry;
mod smol;

use std::future::Future;
use std::io;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::Waker;

pub(crate) use pulse::{Beat, here, turn};
pub use pulse::{Here, Pulse, during};
pub use registry::{HOSTS, HostEntry};
pub(crate) use registry::{make, names};
pub use smol::Smol;

use crate::transport::Transport;
use crate::transport::socket::{Accept, Listener};

/// The root of an actor: ends when the actor ends.
pub type RootFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes the root once the host's reactor is there.
pub type Root = Box<dyn FnOnce(Arc<dyn Reactor>) -> RootFuture + Send>;

/// Runs the root future of an actor, on the calling thread, to its end.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no host of an actor",
    note = "hosts are `Smol::one_thread()` and, of the bridge, `Tokio::current_thread()`"
)]
pub trait Host: Send + Sync + 'static {
    /// The name under which a child finds it in its own [`HOSTS`].
    fn name(&self) -> &'static str;

    /// What the entry of that name needs to make the same host again, in any encoding it likes.
    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Runs the root to its end.
    ///
    /// # Errors
    /// If the loop cannot be set up.
    fn run(&self, root: Root) -> io::Result<()>;

    /// Runs a future on this host, on the calling thread, without any actor. What it spawns in nurseries is polled here, its
    /// timers are the host's, and its parallel children run on the host's other threads, if it has any.
    ///
    /// # Errors
    /// If the loop cannot be set up.
    ///
    /// ```
    /// use pleach::host::{Host, Smol};
    /// use pleach::task::nursery;
    ///
    /// let host = Smol::one_thread(); // or another one
    /// let sum = host.block_on(nursery(async |n| Ok(n.spawn(async { Ok(40) })?.join().await? + 2)));
    /// assert_eq!(sum.unwrap().unwrap(), 42);
    /// ```
    fn block_on<T, F>(&self, future: F) -> io::Result<T>
    where
        Self: Sized,
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        block_on(self, future)
    }
}

/// [`Host::block_on`] for a host whose type is not known.
///
/// # Errors
/// If the loop cannot be set up, or ended before the future did.
pub fn block_on<T, F>(host: &dyn Host, future: F) -> io::Result<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let result = Arc::new(Mutex::new(None));
    let slot = result.clone();
    let keep = move |value: T| *slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(value);
    host.run(Box::new(move |_| Box::pin(async move { keep(future.await) })))?;
    let value = result.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    value.ok_or_else(|| io::Error::other(format!("the host `{}` ended before its root did", host.name())))
}

/// What a host serves besides polling: the actor's own sockets.
///
/// On a foreign host they belong to the foreign reactor, or every message would cost a thread hop.
pub trait Reactor: Send + Sync + 'static {
    /// Serves this socket. Called within the host's context, on its thread.
    ///
    /// # Errors
    /// If the socket cannot be registered, for want of descriptors or memory.
    fn serve(&self, socket: UnixStream) -> io::Result<Box<dyn Transport>>;

    /// Serves this one, as [`serve`](Self::serve) does. By `async-io`, on a thread of that, if the host says nothing else.
    ///
    /// # Errors
    /// As `serve`.
    fn serve_tcp(&self, socket: TcpStream) -> io::Result<Box<dyn Transport>> {
        net::serve(socket)
    }

    /// Takes the connections of this one. By `async-io`, if the host says nothing else: they are few.
    ///
    /// # Errors
    /// As `serve`.
    fn listen(&self, socket: Listener) -> io::Result<Box<dyn Accept>> {
        net::listen(socket)
    }

    /// Wakes this once the rest of the loop has had its turn. Called within the host's context, on its thread, when a poll
    /// of the root has just returned, for whoever has nothing to do but wants to look again soon.
    ///
    /// At once by default: the loop then polls the root again, after whatever was ready before. One that postpones some
    /// of its tasks for as long as anything is ready must postpone this as well, or they would starve.
    fn wake_in_turn(&self, waker: Waker) {
        waker.wake();
    }
}

impl std::fmt::Debug for dyn Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Host({})", self.name())
    }
}

impl std::fmt::Debug for dyn Reactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reactor")
    }
}
