//! From the cancel of a request to a black hole to the completion of its scope, beside the floor: tokio's own abort and join
//! of the same request. `cargo bench --bench cancel`
//!
//! All are measured in turns in one run, so that they share what else the machine does. `SAMPLES=n` changes how often. Run as
//! a test, it makes one round and no claim.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use futures_lite::future::yield_now;
use pleach::prelude::*;
use pleach::task::oneshot;
use pleach_bridge::{Placement, Tokio, run};

/// What the law allows.
const LIMIT: Duration = Duration::from_millis(5);

/// Waits for an answer of a peer that takes connections and never says anything.
async fn request(hole: SocketAddr, asked: oneshot::Sender<()>) -> Result<()> {
    let stream = tokio::net::TcpStream::connect(hole).await?;
    let _ = asked.send(());
    stream.readable().await?;
    Ok(())
}

/// From the cancel to the end of the scope around `run`.
async fn cancelled(on: impl Placement, hole: SocketAddr) -> Result<Duration> {
    let scope = CancelScope::new();
    let (asked, mut has_asked) = oneshot::channel();
    let mut since = Instant::now();
    let called = scope.run(async {
        let cancels = async {
            has_asked.recv().await?;
            for _ in 0..3 {
                yield_now().await; // it is parked
            }
            since = Instant::now();
            scope.cancel("no answer");
            std::future::pending().await
        };
        futures_lite::future::or(run(on, move || request(hole, asked)), cancels).await
    });
    assert!(called.await?.is_none(), "a black hole has answered");
    Ok(since.elapsed())
}

async fn floor(hole: SocketAddr) -> Result<Duration> {
    let (asked, mut has_asked) = oneshot::channel();
    let task = tokio::task::spawn_local(request(hole, asked));
    has_asked.recv().await?;
    for _ in 0..3 {
        yield_now().await;
    }
    let since = Instant::now();
    task.abort();
    assert!(task.await.is_err(), "a black hole has answered");
    Ok(since.elapsed())
}

fn show(what: &str, mut times: Vec<Duration>, floor: Option<Duration>) -> Duration {
    times.sort();
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    let ratio = median.as_secs_f64() / floor.unwrap_or(median).as_secs_f64();
    println!("{what:<28} median {median:>10.1?}   worst {most:>10.1?}   {ratio:>6.1} x floor");
    median
}

async fn measure(samples: usize) -> Result<()> {
    let hole = TcpListener::bind("127.0.0.1:0")?;
    let address = hole.local_addr()?;
    let [mut by_hand, mut guest, mut thread] = [const { Vec::new() }; 3];
    for _ in 0..samples {
        by_hand.push(floor(address).await?);
        guest.push(cancelled(Tokio::here()?, address).await?);
        thread.push(cancelled(Tokio::thread(), address).await?);
        hole.accept()?;
        hole.accept()?;
        hole.accept()?;
    }
    let least = show("floor: abort and join", by_hand, None);
    show("guest: cancel of `run`", guest, Some(least));
    show("thread: cancel of `run`", thread, Some(least));
    println!("the law allows {LIMIT:?}; {samples} samples each, in turns");
    Ok(())
}

fn main() -> Result<()> {
    pleach::actor::enter(|| {});
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let samples = std::env::var("SAMPLES").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    pleach::actor::run(Tokio::current_thread(), move || measure(if is_bench { samples } else { 1 }))
}
