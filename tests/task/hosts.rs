//! What polls a tree: executors, runtimes and loops that have nothing in common but that.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use pleach::Result;
use pleach::host::{Host, Smol};
use pleach_bridge::Tokio;

use crate::kit::Tree;
use crate::loops::{Calloop, Toy};
use crate::stage::{self, Stage};

/// A host by name, and how it runs a tree.
pub(crate) type Entry = (&'static str, fn(Tree) -> Result<()>);

pub(crate) const HOSTS: [Entry; 9] = [
    ("smol", |tree| Smol::one_thread().block_on(tree)?),
    ("smol_threads", |tree| Smol::threads(3).block_on(tree)?),
    ("tokio", |tree| Tokio::current_thread().block_on(tree)?),
    ("tokio_threads", |tree| Tokio::threads(2).block_on(tree)?),
    ("tokio_task", tokio_task),
    ("block_on", futures_lite::future::block_on),
    ("parker", parker),
    ("toy", guest::<Toy>),
    ("calloop", guest::<Calloop>),
];

/// As a task among those of tokio's workers, any of which may poll it next.
fn tokio_task(tree: Tree) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(runtime.spawn(tree))?
}

/// Parks its thread until it is woken, and has nothing else.
fn parker<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Inside a loop that offers *run this soon*.
fn guest<H: stage::Host>(tree: Tree) -> Result<()> {
    let stage = Stage::<H>::new();
    stage.start(tree).outcome(&stage)?
}
