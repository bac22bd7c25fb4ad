//! How trees end: nothing is left, nothing is lost, nothing is told twice (laws C8 to C11 and C14).

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use pleach::Result;
use pleach::task::{CancelScope, Nursery, defer, nursery};

use crate::kit::{AtDrop, never, scenarios, settle};

scenarios! {
    Virtual:
    c11_a_cancel_ends_ten_thousand_parked_strands_each_once,
}

/// Half of them wait for the runtime, half for something else.
const PARKED: usize = 10_000;

/// What has become of the strands.
#[derive(Default)]
struct Counts {
    started: AtomicUsize,
    told: AtomicUsize,
    dropped: AtomicUsize,
    finalized: AtomicUsize,
}

fn count(counter: &AtomicUsize) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A strand that waits: for the runtime, or for something that knows of no cancel.
async fn parked(counts: &'static Counts, foreign: bool) -> Result<()> {
    count(&counts.started);
    let _gone = AtDrop::new(|| count(&counts.dropped));
    defer(async { count(&counts.finalized) })?;
    if foreign {
        return pending().await;
    }
    let told = never().await;
    count(&counts.told);
    told
}

async fn c11_a_cancel_ends_ten_thousand_parked_strands_each_once() -> Result<()> {
    let counts: &'static Counts = Box::leak(Box::default());
    let scope = CancelScope::new();
    let outcome = scope.run(nursery(async |n: Nursery<'static>| {
        for number in 0..PARKED {
            n.spawn(parked(counts, number % 2 == 1))?;
        }
        while counts.started.load(Ordering::Relaxed) < PARKED {
            settle().await?;
        }
        assert_eq!(counts.dropped.load(Ordering::Relaxed), 0, "they wait");
        scope.cancel("enough");
        never().await
    }));
    assert_eq!(outcome.await?, None);
    let seen =
        [&counts.started, &counts.told, &counts.dropped, &counts.finalized].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(seen, [PARKED, PARKED / 2, PARKED, PARKED], "started, told, dropped, cleaned up");
    Ok(())
}
