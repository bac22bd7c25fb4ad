//! The tests of guests, on the main loop of GLib.
#![cfg(test)]
#![forbid(unsafe_code)]

#[path = "../../../guest/stage.rs"]
mod stage;
#[path = "../../../guest/suite/mod.rs"]
#[macro_use]
mod suite;

use std::sync::Arc;
use std::time::Duration;

use glib::{ControlFlow, MainContext, MainLoop, Priority};
use pleach::task::{sleep, start_guest_run};

use crate::stage::{Host, Job, Post};

/// A main context of its own, iterated on the thread of the test. Iterations nest, as those of a dialog do.
struct GLib {
    context: MainContext,
}

impl Host for GLib {
    fn new() -> Self {
        Self { context: MainContext::new() }
    }

    /// By an idle source: `MainContext::invoke` would run it at once on the thread of the loop. It has the priority of everything
    /// else, or a busy loop would never come to it.
    fn post(&self) -> Post {
        let context = self.context.clone();
        Arc::new(move |job: Job| {
            let mut job = Some(job);
            let run = move || {
                if let Some(job) = job.take() {
                    job();
                }
                ControlFlow::Break
            };
            glib::idle_source_new(None, Priority::DEFAULT, run).attach(Some(&context));
        })
    }

    fn turn(&self, most: Duration) {
        let timeout = glib::timeout_source_new(most, None, Priority::DEFAULT, || ControlFlow::Break);
        timeout.attach(Some(&self.context));
        self.context.iteration(!most.is_zero());
        timeout.destroy();
    }
}

suite!(on_glib, crate::GLib);

/// As a program has it: the loop runs until the guest has ended.
#[test]
fn done_quits_the_main_loop() {
    let host = GLib::new();
    let main_loop = MainLoop::new(Some(&host.context), false);
    let (post, quits) = (host.post(), main_loop.clone());
    let late =
        glib::timeout_source_new(Duration::from_secs(20), None, Priority::DEFAULT, || panic!("it has taken too long"));
    late.attach(Some(&host.context));
    let run = start_guest_run(
        move |tick| post(Box::new(move || tick.run())),
        sleep(Duration::from_millis(5)),
        move |slept| {
            slept.expect("it does not panic").expect("nothing cancels it");
            quits.quit();
        },
    );
    main_loop.run();
    assert!(run.is_over());
    late.destroy();
}
