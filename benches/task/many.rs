//! Many children that wait: what each takes, and how long the cancel of all takes.

use std::fs;
use std::time::{Duration, Instant};

use futures_lite::future::{block_on, yield_now};
use pleach::Result;
use pleach::task::{CancelScope, Nursery, cancellable, nursery};

use crate::floor;
use crate::gauge::Effort;

/// Children whose memory is measured.
const PARKED: usize = 100_000;
/// Children that are cancelled at once.
const CANCELLED: usize = 10_000;

/// Memory of this process that is in use.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn count(effort: Effort, most: usize) -> usize {
    if effort.samples > 1 { most } else { 10 }
}

/// Lets every child be polled once.
async fn settle(count: usize) {
    for _ in 0..=count / 32 {
        yield_now().await;
    }
}

async fn bare(count: usize) -> usize {
    floor::with_executor(async |executor| {
        let (_keep, never) = async_channel::bounded::<()>(1);
        let before = resident();
        for _ in 0..count {
            let never = never.clone();
            executor
                .spawn(async move {
                    let _ = never.recv().await;
                })
                .detach();
        }
        settle(count).await;
        resident().saturating_sub(before)
    })
    .await
}

async fn ours(count: usize) -> Result<usize> {
    nursery(async |n| {
        let before = resident();
        for _ in 0..count {
            n.spawn(cancellable(std::future::pending::<()>()))?;
        }
        settle(count).await;
        n.cancel();
        Ok(resident().saturating_sub(before))
    })
    .await
}

pub(crate) fn parked(effort: Effort) {
    let count = count(effort, PARKED);
    // Ours first: what it gives back is there for the floor, which is small either way.
    let ours = block_on(ours(count)).expect("nobody fails");
    let bare = block_on(bare(count));
    println!("memory of a parked child, of {count}");
    println!("  bare executor, async-channel   {:>5} B", bare / count);
    println!("  nursery                        {:>5} B", ours / count);
}

async fn cancelled<F>(count: usize, start: impl Fn(&Nursery<'static>, usize) -> Result<F>) -> Result<Duration> {
    let scope = CancelScope::new();
    let mut since = Instant::now();
    let outcome = scope.run(nursery(async |n| {
        for child in 0..count {
            start(&n, child)?;
        }
        settle(count).await;
        since = Instant::now();
        scope.cancel("enough");
        cancellable(std::future::pending::<()>()).await
    }));
    assert!(outcome.await?.is_none());
    Ok(since.elapsed())
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    println!("  {what:<36} median {:>9.2?}  worst {:>9.2?}", times[times.len() / 2], times[times.len() - 1]);
}

pub(crate) fn cancels(effort: Effort) {
    let count = count(effort, CANCELLED);
    let [mut flat, mut foreign, mut nested] = [const { Vec::new() }; 3];
    for _ in 0..effort.samples {
        let wait = |n: &Nursery<'static>, _| n.spawn(cancellable(std::future::pending::<()>()));
        flat.push(block_on(cancelled(count, wait)).expect("nobody fails"));
        let wait = |n: &Nursery<'static>, _| n.spawn(std::future::pending::<Result<()>>());
        foreign.push(block_on(cancelled(count, wait)).expect("nobody fails"));
        let wait = |n: &Nursery<'static>, _| {
            n.spawn(nursery(async |n| {
                (0..100).try_for_each(|_| n.spawn(cancellable(std::future::pending::<()>())).map(drop))
            }))
        };
        nested.push(block_on(cancelled(count / 100, wait)).expect("nobody fails"));
    }
    println!("cancel of {count} parked children, from the request to the end of all");
    show("in one nursery", flat);
    show("in one nursery, foreign awaits", foreign);
    show("in 100 nurseries", nested);
}
