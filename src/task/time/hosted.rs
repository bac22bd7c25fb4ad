//! Virtual time inside whatever polls: a host, a task of an executor, a guest.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Wake, Waker};

use pin_project_lite::pin_project;

use super::{CURRENT, Current, VirtualClock};
use crate::task::clock::{self, Clock};

impl VirtualClock {
    /// Runs `future` by this clock inside whatever polls it. [`run`](Self::run) polls by itself; this leaves that to a host,
    /// which has its turn between two polls.
    ///
    /// The time moves when all in `future` wait. With no timer set it stands still, and somebody outside has to wake what
    /// waits: another thread may, but while that is at work the time moves on.
    ///
    /// # Cancel safety
    /// That of `future`.
    ///
    /// ```
    /// use pleach::host::{Host, Smol};
    /// use pleach::task::{VirtualClock, sleep};
    /// use std::time::Duration;
    ///
    /// let day = Duration::from_secs(86_400);
    /// Smol::one_thread().block_on(VirtualClock::new().hosted(sleep(day))).unwrap().unwrap();
    /// ```
    pub fn hosted<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        Hosted { future, clock: self.clone(), time: Arc::new(self.clone()), relay: Arc::default() }
    }
}

pin_project! {
    struct Hosted<F> {
        #[pin]
        future: F,
        clock: VirtualClock,
        time: Arc<dyn Clock>,
        relay: Arc<Relay>,
    }
}

impl<F: Future> Future for Hosted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = clock::enter(this.time);
        let _current = Current(CURRENT.replace(Some(this.clock.clone())));
        this.relay.listen(cx.waker());
        let waker = Waker::from(this.relay.clone());
        let polled = this.future.poll(&mut Context::from_waker(&waker));
        while polled.is_pending() && !this.relay.is_woken() && (this.clock.wake_idle() || this.clock.jump()) {}
        polled
    }
}

/// Wakes the host, and knows that it has.
#[derive(Default)]
struct Relay {
    woken: AtomicBool,
    host: Mutex<Option<Waker>>,
}

impl Relay {
    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.host.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A poll begins, with this waker of the host.
    fn listen(&self, host: &Waker) {
        let old = self.lock().replace(host.clone());
        self.woken.store(false, Ordering::SeqCst);
        drop(old);
    }

    fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        let host = self.lock().clone();
        if let Some(host) = host {
            host.wake();
        }
    }
}
