//! Foreign code as one meets it: it knows of no tree and leaves things behind.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures_lite::future::yield_now;

/// Longer than any test may take.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(3600);
/// Longer than a busy machine needs.
const SOON: Duration = Duration::from_secs(5);

/// How many guards live, and whether the code is where the test wants it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alive(Arc<(AtomicUsize, AtomicBool)>);

pub(crate) struct Guard(Alive);

impl Alive {
    pub(crate) fn guard(&self) -> Guard {
        self.0.0.fetch_add(1, SeqCst);
        Guard(self.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.0.load(SeqCst)
    }

    pub(crate) fn up(&self) {
        self.0.1.store(true, SeqCst);
    }

    pub(crate) async fn wait_up(&self) {
        while !self.0.1.load(SeqCst) {
            yield_now().await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.0.fetch_sub(1, SeqCst);
    }
}

/// Spawns once more while it is being dropped.
pub(crate) struct SpawnsWhenDropped(pub(crate) Alive);

impl Drop for SpawnsWhenDropped {
    fn drop(&mut self) {
        tokio::spawn(swallows(self.0.guard()));
    }
}

/// Lives on whatever happens.
pub(crate) async fn swallows(guard: Guard) {
    let _guard = guard;
    loop {
        let _: Result<(), std::io::Error> = Err(std::io::Error::other("swallowed"));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Detaches four tasks: a loop, one with a child of its own, and one that spawns when it is dropped.
pub(crate) async fn detaches(alive: &Alive) {
    tokio::spawn(swallows(alive.guard()));
    let (parent, child) = (alive.guard(), alive.guard());
    tokio::spawn(async move {
        let _parent = parent;
        tokio::spawn(swallows(child));
        std::future::pending::<()>().await;
    });
    let (guard, spawns) = (alive.guard(), SpawnsWhenDropped(alive.clone()));
    tokio::spawn(async move {
        let _both = (guard, spawns);
        std::future::pending::<()>().await;
    });
    tokio::time::sleep(Duration::from_millis(2)).await;
}

/// A process that ends only when it is killed.
pub(crate) fn sleeper() -> tokio::process::Command {
    let mut sleep = tokio::process::Command::new("sleep");
    sleep.arg("3600");
    sleep
}

/// Whether there is a process of that number, a zombie included.
pub(crate) fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Looks again and again, for a bounded time: for what others do, such as `init` reaping an orphan.
pub(crate) fn wait_until(mut what: impl FnMut() -> bool) -> bool {
    let since = Instant::now();
    while !what() {
        if since.elapsed() > SOON {
            return false;
        }
        std::thread::yield_now();
    }
    true
}
