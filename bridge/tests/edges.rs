//! Foreign scopes at their edges: hosts within hosts, handles that are kept, limits without end, drops that panic.

mod bound;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::panic::catch_unwind;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bound::block_on;
use futures_lite::future::poll_once;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use pleach::error::Closed;
use pleach::prelude::*;
use pleach_bridge::{FarBytes, Foreign, ForeignCancelled, Tokio, foreign, link, run, spawn};

pleach::test_entry!();

const SHORT: Duration = Duration::from_millis(20);
const SOON: Duration = Duration::from_secs(10);
const NEVER: Duration = Duration::from_secs(1000);

/// A root on tokio.
fn infected<T, Fut>(root: impl FnOnce() -> Fut + Send + 'static) -> T
where
    T: Send + 'static,
    Fut: Future<Output = Result<T>> + Send + 'static,
{
    pleach::actor::run(Tokio::current_thread(), root).unwrap()
}

#[test]
fn l30_a_second_host_on_a_thread_leaves_the_first_one_infected() {
    let one = infected(|| async {
        let second = catch_unwind(|| pleach::actor::run(Tokio::current_thread(), || async { Ok(()) }));
        assert!(!matches!(second, Ok(Ok(()))), "tokio runs one runtime on a thread");
        run(Tokio::here()?, async || Ok(1)).await
    });
    assert_eq!(one, 1);
}

#[test]
fn l28_a_hundred_scopes_at_a_time_in_an_infected_actor() {
    let sum = infected(|| {
        nursery(async |n| {
            let calls: Vec<_> = (0..100)
                .map(|k| {
                    n.spawn(run(Tokio::thread(), async move || {
                        tokio::time::sleep(Duration::from_millis(k % 7)).await;
                        Ok(k)
                    }))
                })
                .collect::<Result<_>>()?;
            let mut sum = 0;
            for call in calls {
                sum += call.join().await?;
            }
            Ok(sum)
        })
    });
    assert_eq!(sum, 99 * 50);
}

/// Also in a plain tokio runtime, and cancelled from outside.
#[test]
fn l02_a_call_within_a_call() {
    async fn nested() -> Result<u32> {
        run(Tokio::thread(), async || run(Tokio::thread(), async || Ok(3)).await).await
    }
    assert_eq!(block_on(nested()).unwrap(), 3);
    let plain = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let nested = plain.block_on(async { tokio::spawn(nested()).await.unwrap() });
    assert_eq!(nested.unwrap(), 3);
    let endless = || run(Tokio::thread(), async || run(Tokio::thread(), async || pending::<Result<()>>().await).await);
    let cut = block_on(nursery(async |_| move_on_after(SHORT, endless()).await));
    assert!(cut.unwrap().is_none());
}

#[test]
fn l30_a_handle_that_is_kept_is_refused() {
    let kept = block_on(foreign(Tokio::thread(), async |tokio| Ok(tokio.clone()))).unwrap();
    let refused = block_on(kept.run(async || Ok(()))).unwrap_err();
    assert!(refused.downcast_ref::<Closed>().is_some(), "{refused:?}");
}

#[test]
fn l18_a_call_from_elsewhere_ends_with_the_scope() {
    let (up, is_up) = mpsc::channel();
    let elsewhere = block_on(foreign(Tokio::thread(), async |tokio| {
        let theirs = tokio.clone();
        let call = move || {
            block_on(theirs.run(async move || {
                up.send(())?;
                pending::<Result<()>>().await
            }))
        };
        let thread = std::thread::spawn(call);
        is_up.recv()?;
        Ok(thread)
    }));
    let ended = elsewhere.unwrap().join().unwrap().unwrap_err();
    assert!(ended.downcast_ref::<ForeignCancelled>().is_some(), "{ended:?}");
}

#[test]
fn limits_without_end_and_of_nothing() {
    for limit in [Duration::MAX, Duration::ZERO] {
        let on = || Tokio::thread().deadline(limit.max(SHORT)).drop_wait(limit);
        let linked = link(on()).grace(limit).start_deadline(limit.max(Duration::from_secs(10))).open(
            async |mut far: Far<u32, (), ()>| {
                far.started(5).await?;
                far.recv().await.map(drop)
            },
            async |_near, first| Ok(first),
        );
        assert_eq!(block_on(linked).unwrap(), 5);
        let cut =
            block_on(nursery(async |_| move_on_after(SHORT, run(on(), async || pending::<Result<()>>().await)).await));
        assert!(cut.unwrap().is_none());
        let mut dropped = Box::pin(run(on(), async || pending::<Result<()>>().await));
        assert!(block_on(poll_once(dropped.as_mut())).is_none());
        drop(dropped);
    }
}

/// What a capacity promises is not taken before it is needed.
#[test]
fn l23_bytes_a_capacity_without_end() {
    let echo = async |mut io: FarBytes| {
        let mut text = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut io, &mut text).await?;
        tokio::io::AsyncWriteExt::write_all(&mut io, text.as_bytes()).await?;
        Ok(())
    };
    let text = "x".repeat(300_000);
    let echoed = link(Tokio::thread()).capacity_bytes(usize::MAX).open_bytes(echo, async |mut io| {
        io.write_all(text.as_bytes()).await?;
        io.close().await?;
        let mut echoed = String::new();
        io.read_to_string(&mut echoed).await?;
        Ok(echoed)
    });
    assert_eq!(block_on(echoed).unwrap().len(), 300_000);
}

/// It is a panic, which the scope takes: its thread ends.
#[test]
fn a_capacity_that_no_memory_has() {
    let linked = link(Tokio::thread())
        .capacity(usize::MAX)
        .open(async |mut far: Far<(), u64, ()>| far.started(()).await, async |_near, ()| Ok(()));
    assert!(block_on(linked).unwrap_err().is_panic());
}

/// Each of them ends, and there is always one more.
fn relay() -> Result<()> {
    spawn(async { relay() }).map(drop)
}

#[test]
fn l16_successors_without_end_are_cancelled() {
    let endless = run(Tokio::thread(), async || {
        relay()?;
        Ok(())
    });
    let cut = block_on(nursery(async |_| move_on_after(SHORT, endless).await));
    assert!(cut.unwrap().is_none());
}

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("on purpose");
        }
    }
}

/// Polls a call once that has no turn, as the thread is blocked, and drops it.
async fn drops_a_call_that_waits(tokio: &Foreign) {
    let bomb = PanicsInDrop;
    let mut call = Box::pin(tokio.run(move || {
        let bomb = bomb;
        async move {
            drop(bomb);
            Ok(())
        }
    }));
    assert!(poll_once(call.as_mut()).await.is_none());
}

/// The first call blocks the thread until it may go on, or is let go; then `after`.
async fn blocks(go: mpsc::Receiver<()>, ends: mpsc::Sender<()>, after: impl Future<Output = ()>) -> Result<u32> {
    foreign(Tokio::thread(), async |tokio| {
        let (up, is_up) = mpsc::channel();
        let mut blocking = Box::pin(tokio.run(async move || {
            THREAD.set(Some(ends));
            up.send(())?;
            let _ = go.recv();
            Ok(())
        }));
        assert!(poll_once(blocking.as_mut()).await.is_none());
        is_up.recv()?;
        drops_a_call_that_waits(&tokio).await;
        after.await;
        blocking.await?;
        tokio.run(async || Ok(7)).await
    })
    .await
}

thread_local! {
    /// Dropped with the thread.
    static THREAD: RefCell<Option<mpsc::Sender<()>>> = const { RefCell::new(None) };
}

#[test]
fn l14_a_panic_in_the_drop_of_what_never_ran_is_one_failure() {
    let ((go, may_go), (ends, _)) = (mpsc::channel(), mpsc::channel());
    let ended = block_on(nursery(async |_| blocks(may_go, ends, async { drop(go) }).await));
    let error = ended.unwrap_err();
    let failures = error.failures();
    assert!(failures.iter().all(|failure| failure.is_panic()) && failures.len() == 1, "{error:?}");
}

/// It is dropped by whoever drops the scope, outside of every other one.
#[test]
fn l01_a_panic_in_the_drop_of_what_never_ran_does_not_keep_the_thread() {
    let ((go, may_go), (ends, ended)) = (mpsc::channel(), mpsc::channel());
    let is_there = Cell::new(false);
    let mut scope = Box::pin(blocks(may_go, ends, async {
        is_there.set(true);
        pending().await
    }));
    while !is_there.get() {
        assert!(block_on(poll_once(scope.as_mut())).is_none());
    }
    drop(scope);
    drop(go);
    assert_eq!(ended.recv_timeout(SOON), Err(mpsc::RecvTimeoutError::Disconnected));
}

/// What is asked of a scope while a link waits for the end of its task is asked of that task.
#[test]
fn l16_a_cancel_comes_also_when_the_body_is_done() {
    let linked = link(Tokio::thread()).grace(NEVER).open(
        async |mut far: Far<(), (), ()>| {
            far.started(()).await?;
            pending::<Result<()>>().await
        },
        async |_near, ()| Ok(5),
    );
    let since = Instant::now();
    let ended = block_on(nursery(async |_| move_on_after(SHORT, linked).await));
    assert_eq!(ended.unwrap(), Some(5), "the body has returned it");
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
}
