//! Values between tasks: siblings at some depth, across levels, and below scopes of their own.

use std::pin::Pin;

use async_channel as bare;
use futures_lite::future::block_on;
use pleach::Result;
use pleach::task::channel::{self, Receiver, Sender};
use pleach::task::{CancelScope, nursery};

use crate::gauge::{Effort, Figure};
use crate::{floor, print};

/// Round trips between two looks at the clock.
const TRIPS: u64 = 64;
/// Values of a stream between two looks at the clock.
const STREAM: u64 = 4096;
/// Values that a stream's channel holds.
const CAPACITY: usize = 64;

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

async fn echo(mut from: Receiver<u64>, to: Sender<u64>) -> Result<()> {
    while let Some(value) = from.recv().await? {
        to.send(value).await?;
    }
    Ok(())
}

async fn trips(to: Sender<u64>, mut from: Receiver<u64>, effort: Effort) -> Result<f64> {
    let mut meter = effort.meter();
    while meter.goes_on() {
        for value in 0..TRIPS {
            to.send(value).await?;
            assert_eq!(from.recv().await?, Some(value));
        }
        meter.count(TRIPS);
    }
    Ok(meter.rate())
}

/// Runs `work` as a child, `depth` nurseries down.
fn below<'a, T: Send + 'a>(depth: usize, work: Boxed<'a, T>) -> Boxed<'a, T> {
    if depth == 0 {
        return work;
    }
    Box::pin(nursery(async move |n| {
        let child = n.spawn(below(depth - 1, work))?;
        child.join().await
    }))
}

/// Runs `work` inside `depth` scopes of its own.
fn scoped<'a, T: Send + 'a>(depth: usize, work: Boxed<'a, T>) -> Boxed<'a, T> {
    if depth == 0 {
        return work;
    }
    Box::pin(async move {
        let done = CancelScope::new().run(scoped(depth - 1, work)).await?;
        Ok(done.expect("nobody cancels it"))
    })
}

/// Two children of one nursery.
async fn pair(effort: Effort, scopes: usize) -> Result<f64> {
    let ((to_echo, from_caller), (to_caller, from_echo)) = (channel::bounded(1), channel::bounded(1));
    nursery(async move |n| {
        n.spawn(scoped(scopes, Box::pin(echo(from_caller, to_caller))))?;
        let caller = n.spawn(scoped(scopes, Box::pin(trips(to_echo, from_echo, effort))))?;
        caller.join().await
    })
    .await
}

async fn bare_pair(effort: Effort) -> f64 {
    floor::with_executor(async move |executor| {
        let ((to_echo, from_caller), (to_caller, from_echo)) = (bare::bounded(1), bare::bounded(1));
        let echo = executor.spawn(async move {
            while let Ok(value) = from_caller.recv().await {
                if to_caller.send(value).await.is_err() {
                    return;
                }
            }
        });
        let caller = executor.spawn(async move {
            let mut meter = effort.meter();
            while meter.goes_on() {
                for value in 0..TRIPS {
                    to_echo.send(value).await.expect("the echo is there");
                    assert_eq!(from_echo.recv().await, Ok(value));
                }
                meter.count(TRIPS);
            }
            meter.rate()
        });
        let rate = caller.await;
        echo.await;
        rate
    })
    .await
}

async fn stream(effort: Effort) -> Result<f64> {
    let (to, mut from) = channel::bounded(CAPACITY);
    nursery(async move |n| {
        n.spawn(async move {
            loop {
                for value in 0..STREAM {
                    if to.send(value).await.is_err() {
                        return Ok(());
                    }
                }
            }
        })?;
        let taker = n.spawn(async move {
            let mut meter = effort.meter();
            while meter.goes_on() {
                for _ in 0..STREAM {
                    from.recv().await?;
                }
                meter.count(STREAM);
            }
            Ok(meter.rate())
        })?;
        let rate = taker.join().await?;
        n.cancel();
        Ok(rate)
    })
    .await
}

async fn bare_stream(effort: Effort) -> f64 {
    floor::with_executor(async move |executor| {
        let (to, from) = bare::bounded(CAPACITY);
        let sender = executor.spawn(async move { while to.send(0).await.is_ok() {} });
        let taker = executor.spawn(async move {
            let mut meter = effort.meter();
            while meter.goes_on() {
                for _ in 0..STREAM {
                    from.recv().await.expect("the sender goes on");
                }
                meter.count(STREAM);
            }
            meter.rate()
        });
        let rate = taker.await;
        sender.await;
        rate
    })
    .await
}

pub(crate) fn siblings(effort: Effort) {
    let names = ["async-channel, bare executor", "siblings at depth 1", "siblings at depth 5", "siblings at depth 9"];
    let mut figures: Vec<_> = names.into_iter().map(Figure::new).collect();
    for _ in 0..effort.samples {
        figures[0].rates.push(block_on(bare_pair(effort)));
        for (figure, depth) in figures[1..].iter_mut().zip([0, 4, 8]) {
            figure.rates.push(block_on(below(depth, Box::pin(pair(effort, 0)))).expect("nobody fails"));
        }
    }
    print("round trips between siblings", &figures);
    let mut figures: Vec<_> = ["async-channel, bare executor", "siblings"].map(Figure::new).into();
    for _ in 0..effort.samples {
        figures[0].rates.push(block_on(bare_stream(effort)));
        figures[1].rates.push(block_on(stream(effort)).expect("nobody fails"));
    }
    print("one way between siblings, 64 at once", &figures);
}

/// The echo is a child of the outermost nursery, the caller one of the innermost.
async fn across(effort: Effort, depth: usize) -> Result<f64> {
    let ((to_echo, from_caller), (to_caller, from_echo)) = (channel::bounded(1), channel::bounded(1));
    nursery(async move |n| {
        n.spawn(echo(from_caller, to_caller))?;
        n.spawn(below(depth, Box::pin(trips(to_echo, from_echo, effort))))?.join().await
    })
    .await
}

pub(crate) fn levels(effort: Effort) {
    let names = ["caller at depth 1", "caller at depth 5", "caller at depth 9"];
    let mut figures: Vec<_> = names.into_iter().map(Figure::new).collect();
    for _ in 0..effort.samples {
        for (figure, depth) in figures.iter_mut().zip([0, 4, 8]) {
            figure.rates.push(block_on(across(effort, depth)).expect("nobody fails"));
        }
    }
    print("round trips with an echo at depth 1", &figures);
    let more = figures[2].each() - figures[0].each();
    println!("  a level that a wake crosses costs {:.0} ns", more / 16.0); // 8 levels, to the caller and with its nursery's poll
}

pub(crate) fn scopes(effort: Effort) {
    let names = ["each in no scope of its own", "each in 4", "each in 8"];
    let mut figures: Vec<_> = names.into_iter().map(Figure::new).collect();
    for _ in 0..effort.samples {
        for (figure, scopes) in figures.iter_mut().zip([0, 4, 8]) {
            figure.rates.push(block_on(pair(effort, scopes)).expect("nobody fails"));
        }
    }
    print("round trips between siblings in scopes of their own", &figures);
    println!("  a scope costs {:.0} ns per poll", (figures[2].each() - figures[0].each()) / 16.0);
}
