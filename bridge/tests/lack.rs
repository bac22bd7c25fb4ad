//! A scope for which something is lacking is a typed error, and leaves nothing. One test, as limits are the process's.

mod bound;

use std::fs::{self, File};
use std::time::Duration;

use bound::block_on;
use pleach_bridge::{LoopFailed, Thread, Tokio, run};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// What this process has mapped, and less than a stack more.
fn room() -> u64 {
    let pages: u64 = fs::read_to_string("/proc/self/statm").unwrap().split(' ').next().unwrap().parse().unwrap();
    pages * rustix::param::page_size() as u64 + (1 << 20)
}

fn lacking(on: Thread, what: &str) {
    let error = block_on(run(on, async || Ok(()))).expect_err("nothing is free");
    let Some(failed) = error.downcast_ref::<LoopFailed>() else { panic!("{error:?}") };
    let text = failed.to_string();
    assert!(text.contains(what), "{text}");
}

fn limited<T>(resource: Resource, limit: u64, test: impl FnOnce() -> T) -> T {
    let usual = getrlimit(resource);
    setrlimit(resource, Rlimit { current: Some(limit), maximum: usual.maximum }).unwrap();
    let result = test();
    setrlimit(resource, usual).unwrap();
    result
}

#[test]
fn f10_f11_what_is_lacking_is_a_typed_error() {
    block_on(smol::Timer::after(Duration::from_millis(1))); // smol's own thread, which lives as long as the process
    let before = threads();
    // First of all, as the stacks of threads that have ended are used again.
    for on in [Tokio::thread(), Tokio::threads(2)] {
        limited(Resource::As, room(), || lacking(on, "starting its thread"));
    }
    // The thread of this scope leaves its stack to the next one, whose worker then finds no room for its own.
    block_on(run(Tokio::thread(), async || Ok(()))).unwrap();
    limited(Resource::As, room(), || lacking(Tokio::threads(1), "building its runtime"));
    assert_eq!(threads(), before);
    block_on(run(Tokio::threads(1), async || Ok(()))).unwrap();
    limited(Resource::Nofile, 64, || {
        let mut taken = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            taken.push(file);
        }
        // One more free descriptor at each turn: another step fails, until there are enough.
        let failed = (0..32).take_while(|free| {
            taken.pop();
            let outcome = block_on(run(Tokio::thread(), async || Ok(())));
            if let Err(error) = &outcome {
                assert!(error.downcast_ref::<LoopFailed>().is_some(), "{free} free: {error:?}");
                assert!(error.to_string().contains("ulimit -n"), "{error}");
            }
            outcome.is_err()
        });
        assert!((2..32).contains(&failed.count()));
    });
    assert_eq!(threads(), before);
    block_on(run(Tokio::thread(), async || Ok(()))).unwrap();
}
