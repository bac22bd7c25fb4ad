//! The floor of foreign scopes: a tokio runtime on a thread, started and ended by hand.

use std::future::{Future, pending};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Handle, LocalOptions};
use tokio::sync::oneshot;

use crate::place::place_child;

/// A runtime that is up until this is dropped.
pub(crate) struct Runtime {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Runtime {
    pub(crate) fn start() -> Self {
        let (up, is_up) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            place_child();
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
            let _ = up.send(runtime.handle().clone());
            let _ = runtime.block_on(stopped);
        });
        let handle = is_up.recv().expect("the runtime comes up");
        Self { handle, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One task on a runtime and a thread made for it.
pub(crate) fn once<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> T {
    let thread = thread::spawn(move || {
        place_child();
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = runtime.expect("a runtime can be made");
        let output = runtime.block_on(async { tokio::task::spawn_local(task).await.expect("it does not panic") });
        // Something that nobody waits for, as there may be in a scope.
        runtime.spawn_local(pending::<()>());
        runtime.shutdown_background();
        output
    });
    thread.join().expect("it does not panic")
}

/// What this process has used of its CPUs.
pub(crate) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
