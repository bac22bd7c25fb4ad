//! Many scopes leave the process as they found it. One test, as it looks at all of its process.

mod bound;

use std::fs;
use std::time::Duration;

use bound::block_on;
use futures_lite::future::{or, yield_now};
use pleach::prelude::*;
use pleach_bridge::{Thread, Tokio, foreign, open_link, run, stragglers};

/// The names of all threads, and how many descriptors are open.
fn now() -> (Vec<String>, usize) {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let mut names: Vec<String> = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok()).collect();
    names.sort();
    (names, fs::read_dir("/proc/self/fd").unwrap().count())
}

/// One scope of each kind: a call, a link, one that is cancelled, one that is dropped, one that fails.
async fn scopes(on: Thread) {
    let blocking = async || Ok(tokio::task::spawn_blocking(|| 1).await?);
    assert_eq!(run(on, blocking).await.unwrap(), 1);
    let echo = async |mut far: Far<(), u32, u32>| {
        far.started(()).await?;
        while let Some(n) = far.recv().await? {
            far.send(n).await?;
        }
        Ok(())
    };
    let echoed = open_link(on, echo, async |mut near, ()| {
        near.send(2).await?;
        near.recv().await
    });
    assert_eq!(echoed.await.unwrap(), Some(2));
    let never = move_on_after(Duration::from_millis(2), run(on, std::future::pending::<Result<()>>));
    assert_eq!(never.await.unwrap(), None);
    let dropped = async {
        for _ in 0..3 {
            yield_now().await;
        }
        Ok(())
    };
    or(run(on, std::future::pending::<Result<()>>), dropped).await.unwrap();
    let failed = foreign(on, async |tk| tk.run(async || -> Result<()> { Err(Error::msg("boom")) }).await);
    assert_eq!(failed.await.unwrap_err().to_string().matches("boom").count(), 1);
}

/// What there is when the process has started what it starts once: the thread of its timers, which names itself when it runs.
fn settled(on: Thread) -> (Vec<String>, usize) {
    for _ in 0..1000 {
        block_on(scopes(on));
        let now = now();
        if now.0.iter().any(|name| name.trim_end() == "async-io") {
            return now;
        }
    }
    panic!("no thread for timers: {:?}", now())
}

#[test]
fn l02_scopes_leave_threads_and_descriptors_as_they_were() {
    let drop_wait = Duration::from_secs(10);
    let kinds = [Tokio::thread(), Tokio::threads(2)].map(|on| on.drop_wait(drop_wait));
    let before = settled(kinds[0]);
    for round in 0..50 {
        for on in kinds {
            block_on(scopes(on));
        }
        assert_eq!(now(), before, "after round {round}");
    }
    assert_eq!(stragglers(), 0);
}
