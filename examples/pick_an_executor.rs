//! One tree, and whatever polls it. The last line is the same for each:
//!
//! `cargo run --release --example pick_an_executor -- smol|smol-threads|tokio|tokio-threads|guest`

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use pleach::host::{Host, Smol};
use pleach::prelude::*;
use pleach::task::{channel, start_guest_run};
use pleach_bridge::Tokio;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Three nurseries in the other sense are asked for seedlings; who takes too long is left out. A lamp blinks meanwhile.
async fn ask_for_seedlings() -> Result<String> {
    let lamp = AtomicBool::new(false);
    let mut found = nursery(async |n| {
        n.spawn(blink(&lamp))?;
        let (sender, mut answers) = channel::bounded(1);
        for (tree, seedlings, takes) in [("ash", 12, ms(30)), ("elm", 7, ms(10)), ("oak", 900, ms(60_000))] {
            let answers = sender.clone();
            n.spawn(async move {
                let in_time = move_on_after(ms(500), sleep(takes)).await?;
                answers.send(in_time.map_or(format!("{tree} too late"), |()| format!("{seedlings} {tree}"))).await?;
                Ok(())
            })?;
        }
        drop(sender);
        let mut found = Vec::new();
        while let Some(answer) = answers.recv().await? {
            found.push(answer);
        }
        n.cancel(); // the lamp
        Ok(found)
    })
    .await?;
    found.sort();
    let lamp = if lamp.into_inner() { "on" } else { "off" };
    Ok(format!("{}; the lamp is {lamp}", found.join(", ")))
}

/// Until it is cancelled. It is off afterwards, which takes a moment.
async fn blink(lamp: &AtomicBool) -> Result<()> {
    loop {
        lamp.store(true, Ordering::Relaxed);
        if let Err(cancelled) = sleep(ms(5)).await {
            shield(ms(1000), sleep(ms(20))).await?;
            lamp.store(false, Ordering::Relaxed);
            return Err(cancelled);
        }
    }
}

/// A loop that runs what is in its queue, as those of windows and games do.
fn in_a_loop<T: 'static>(tree: impl Future<Output = Result<T>> + 'static) -> Result<T> {
    let (queue, ticks) = mpsc::channel();
    let (done, result) = mpsc::channel();
    start_guest_run(move |tick| drop(queue.send(tick)), tree, move |outcome| drop(done.send(outcome)));
    loop {
        ticks.recv()?.run();
        if let Ok(outcome) = result.try_recv() {
            return outcome?;
        }
    }
}

fn main() -> Result<ExitCode> {
    let seedlings = match std::env::args().nth(1).as_deref() {
        Some("smol") => Smol::one_thread().block_on(ask_for_seedlings())?,
        Some("smol-threads") => Smol::threads(4).block_on(ask_for_seedlings())?,
        Some("tokio") => Tokio::current_thread().block_on(ask_for_seedlings())?,
        Some("tokio-threads") => Tokio::threads(4).block_on(ask_for_seedlings())?,
        Some("guest") => in_a_loop(ask_for_seedlings()),
        _ => {
            eprintln!("Say what is to poll the tree: smol, smol-threads, tokio, tokio-threads or guest.");
            return Ok(ExitCode::from(2));
        }
    };
    println!("{}", seedlings?);
    Ok(ExitCode::SUCCESS)
}
