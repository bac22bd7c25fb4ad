//! What holds for a guest on any loop. The loop offers *run this soon*, and nothing else.

mod abandoned;
mod ends;
mod inside;
mod talk;
mod turns;

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use futures_lite::future::zip;
use pleach::error::Panicked;
use pleach::task::guest::{Abandoned, GuestRun, Tick};
use pleach::task::time::{Clock, Timer};
use pleach::task::{
    CancelScope, cancellable, channel, checkpoint, clock, defer, entrust, local_nursery, nursery, shield, sleep,
    start_guest_run, start_guest_run_with,
};
use pleach::{Error, Result};

pub(crate) use self::abandoned::*;
pub(crate) use self::ends::*;
pub(crate) use self::inside::*;
pub(crate) use self::talk::*;
pub(crate) use self::turns::*;
use crate::stage::{Guest, Host, Post, Stage, ms, run_until};

/// The whole of it, in a module per host.
macro_rules! suite {
    ($name:ident, $host:ty) => {
        suite!(
            $name, $host:
            l27_values_go_both_ways_between_callbacks_and_the_guest,
            l27_a_timer_wakes_the_guest,
            l27_other_threads_wake_the_guest,
            l27_a_cancel_from_a_callback_ends_the_guest_and_runs_its_cleanup,
            l27_a_panic_of_the_root_reaches_done,
            l27_a_panic_of_done_ends_nothing_else,
            l27_done_may_start_the_next_guest,
            l27_several_guests_on_one_host,
            l27_the_root_and_its_tasks_stay_on_their_thread,
            l27_a_loop_inside_a_task_does_not_enter_its_guest_and_loses_no_wake,
            l27_a_loop_inside_a_task_runs_other_guests_as_trees_of_their_own,
            l27_abandoned_while_it_is_idle,
            l27_abandoned_by_one_of_its_own_tasks,
            l27_abandoned_by_a_callback_inside_one_of_its_tasks,
            l27_abandoned_inside_a_task_of_another_guest,
            l27_a_tick_that_is_dropped_is_the_last,
            l27_a_tick_on_another_thread_is_refused,
            l27_the_thread_of_the_host_ends_first,
            l29_a_busy_guest_lets_its_host_in,
            l29_a_busy_host_lets_its_guest_in,
            l29_nothing_happens_while_both_are_idle,
        );
    };
    ($name:ident, $host:ty: $($test:ident,)+) => {
        mod $name {
            $(
                #[test]
                fn $test() {
                    $crate::suite::$test::<$host>();
                }
            )+
        }
    };
}

/// What happened, in order; also on other threads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    fn add(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    fn has(&self, what: &'static str) -> bool {
        self.0.lock().unwrap().contains(&what)
    }

    fn take(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// Says so when it is dropped.
    fn at_drop(&self, what: &'static str) -> AtDrop<impl FnOnce() + use<>> {
        let log = self.clone();
        AtDrop(Some(move || log.add(what)))
    }
}

struct AtDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for AtDrop<F> {
    fn drop(&mut self) {
        if let Some(f) = self.0.take() {
            f();
        }
    }
}

/// A runtime await that nothing ends but a cancel.
async fn never() -> Result<()> {
    cancellable(pending()).await
}

/// The loop runs callbacks and guests.
fn goes_on<H: Host>(stage: &Stage<H>) {
    let called = Arc::new(AtomicBool::new(false));
    let flag = called.clone();
    stage.call(move || flag.store(true, Ordering::SeqCst));
    stage.run_until("a callback has run", || called.load(Ordering::SeqCst));
    assert_eq!(stage.start(async { 7 }).outcome(stage).unwrap(), 7);
}

fn is_abandoned<T>(told: &Result<T>) -> bool {
    told.as_ref().err().is_some_and(|error| error.downcast_ref::<Abandoned>().is_some())
}

/// A guest with a task that waits, on its way; `log` has what becomes of it.
fn waiting<H: Host>(stage: &Stage<H>, log: &Log) -> Guest<Result<()>> {
    let (started, gone) = (log.clone(), log.at_drop("dropped"));
    let guest = stage.start(nursery(async move |n| {
        n.spawn(async move {
            let _gone = gone;
            started.add("started");
            never().await
        })?;
        never().await
    }));
    stage.run_until("its task has started", || log.has("started"));
    guest
}
