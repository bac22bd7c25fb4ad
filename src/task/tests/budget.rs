//! No task starves another: every runtime await takes part in a budget.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use futures_lite::future::{block_on, or, yield_now};

use super::virtually;
use crate::Result;
use crate::task::channel::bounded;
use crate::task::sync::{Event, Mutex, Semaphore};
use crate::task::{cancellable, local_nursery, oneshot};

/// Awaits that a task may make in a row while another one waits for its turn: its own share, and what it had begun.
const SHARE: usize = 2 * 128;

/// Runs `busy` beside a task that counts its turns, and gives the most awaits between two of them.
fn worst<Fut: Future<Output = Result<()>>>(busy: impl FnOnce(Rc<Cell<usize>>) -> Fut) -> usize {
    let (awaits, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (seen, worst) = (awaits.clone(), most.clone());
    virtually(local_nursery(async |n| {
        let turns = n.spawn(async move {
            for _ in 0..20 {
                let before = seen.get();
                yield_now().await;
                worst.set(worst.get().max(seen.get() - before));
            }
            Ok(())
        })?;
        n.spawn(busy(awaits))?;
        turns.join().await?;
        n.cancel();
        Ok(())
    }))
    .unwrap();
    most.get()
}

async fn for_ever(awaits: Rc<Cell<usize>>, mut once: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    loop {
        once().await?;
        awaits.set(awaits.get() + 1);
    }
}

#[test]
fn a_loop_over_a_channel_that_is_always_ready_lets_others_run() {
    let (sender, mut receiver) = bounded(4);
    let most = worst(|awaits| {
        for_ever(awaits, async move || {
            sender.send(1).await?;
            receiver.recv().await.map(drop)
        })
    });
    assert!((1..=SHARE).contains(&most), "{most}");
}

#[test]
fn so_do_loops_over_everything_else_that_is_ready() {
    let (permits, lock, event) = (Semaphore::new(1), Mutex::new(()), Event::new());
    event.set();
    let permits = worst(|awaits| for_ever(awaits, async || permits.acquire().await.map(drop)));
    let locks = worst(|awaits| for_ever(awaits, async || lock.lock().await.map(drop)));
    let events = worst(|awaits| for_ever(awaits, async || event.wait().await));
    let foreign = worst(|awaits| for_ever(awaits, async || cancellable(async {}).await));
    let slots = worst(|awaits| {
        for_ever(awaits, async || {
            let (sender, mut receiver) = oneshot::channel();
            let _ = sender.send(());
            receiver.recv().await.map(drop)
        })
    });
    for most in [permits, locks, events, foreign, slots] {
        assert!((1..=SHARE).contains(&most), "{most}");
    }
}

/// A child of a nursery inside, again and again: the nursery is no way around the budget.
#[test]
fn a_loop_over_nurseries_that_are_always_ready_lets_others_run() {
    let most = worst(|awaits| {
        for_ever(awaits, async || {
            let (sender, mut receiver) = bounded(1);
            local_nursery(async |n| {
                n.spawn(async move { sender.send(1).await.map_err(Into::into) })?;
                receiver.recv().await.map(drop)
            })
            .await
        })
    });
    assert!((1..=1024).contains(&most), "{most}");
}

/// The budgets of nested nurseries do not multiply: the host has its turn after a bounded number of awaits.
#[test]
fn the_host_has_its_turn_however_deep_the_tree_is() {
    let awaits = Rc::new(Cell::new(0_usize));
    let count = awaits.clone();
    let tree = local_nursery(async move |n| {
        for _ in 0..8 {
            let count = count.clone();
            n.spawn(local_nursery(async move |n| {
                for _ in 0..8 {
                    let (count, (sender, mut receiver)) = (count.clone(), bounded(1));
                    n.spawn(for_ever(count, async move || {
                        sender.send(1).await?;
                        receiver.recv().await.map(drop)
                    }))?;
                }
                Ok(())
            }))?;
        }
        Ok(())
    });
    let (mut before, mut most) = (0, 0);
    let host = poll_fn(|cx| {
        let now = awaits.get();
        most = most.max(now - before);
        before = now;
        cx.waker().wake_by_ref();
        if now > 100_000 { Poll::Ready(()) } else { Poll::Pending }
    });
    block_on(or(async { tree.await.unwrap() }, host));
    assert!((1..=1024 + 64).contains(&most), "{most} awaits in one turn of the host");
}

/// What waits takes nobody's turn: a thousand receives that wait, polled again and again, use up nothing.
#[test]
fn waiting_costs_no_budget() {
    let (_sender, mut receiver) = bounded::<()>(1);
    virtually(async {
        let mut waits = receiver.recv();
        for _ in 0..1000 {
            assert!(futures_lite::future::poll_once(&mut waits).await.is_none());
        }
        let ready = futures_lite::future::poll_once(cancellable(async {})).await;
        assert!(ready.is_some_and(|ready| ready.is_ok()), "there is something left");
    });
}
