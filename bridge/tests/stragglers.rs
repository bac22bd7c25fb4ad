//! Threads that outlive their scope are counted until they end. One test, as the count is the process's.

mod bound;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use bound::block_on;
use futures_lite::future::{or, yield_now};
use pleach_bridge::{Thread, Tokio, run, stragglers};

const SOON: Duration = Duration::from_secs(5);

fn soon(what: impl Fn() -> bool) {
    let since = Instant::now();
    while !what() {
        assert!(since.elapsed() < SOON, "{} stragglers", stragglers());
        std::thread::yield_now();
    }
}

/// Drops a call that blocks its thread, outside every scope; gives what lets the thread go, and how long the drop took.
fn dropped(on: Thread) -> (mpsc::Sender<()>, Duration) {
    let ((up, is_up), (hold, held)) = (mpsc::channel(), mpsc::channel::<()>());
    let call = run(on, move || async move {
        up.send(())?;
        let _ = held.recv();
        Ok(())
    });
    let up = async {
        while is_up.try_recv().is_err() {
            yield_now().await;
        }
        Ok(())
    };
    let mut call = Box::pin(call);
    block_on(or(async { call.as_mut().await }, up)).unwrap();
    let since = Instant::now();
    drop(call);
    (hold, since.elapsed())
}

#[test]
fn l01_what_is_dropped_outside_every_scope_is_waited_for_and_then_counted() {
    let wait = Duration::from_millis(50);
    let (hold, took) = dropped(Tokio::thread());
    assert!(took >= wait && took < SOON, "{took:?}");
    assert_eq!(stragglers(), 1);
    let (second, took) = dropped(Tokio::threads(1).drop_wait(2 * wait));
    assert!(took >= 2 * wait && took < SOON, "{took:?}");
    soon(|| stragglers() >= 2);
    drop((hold, second));
    soon(|| stragglers() == 0);

    // A thread of tokio that blocks beyond the deadline.
    let (hold, held) = mpsc::channel::<()>();
    let leaks = run(Tokio::thread().deadline(wait), async move || {
        tokio::task::spawn_blocking(move || held.recv().is_ok());
        Ok(())
    });
    assert!(block_on(leaks).is_err());
    assert_eq!(stragglers(), 1);
    drop(hold);
    soon(|| stragglers() == 0);
}
