//! Children that other threads poll: the same laws.

use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::task::Poll;
use std::thread;

use async_executor::Executor;
use futures_lite::future::{block_on, poll_once};

use super::{Failed, Log, ms, really};
use crate::task::{CancelScope, Parallel, cancellable, channel, enter_parallel, nursery, shield, sleep};
use crate::{Error, Result};

/// Two threads that poll what they are given.
struct Workers(Executor<'static>);

impl Parallel for Workers {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.0.spawn(task).detach();
    }
}

/// Beside two other threads.
fn in_parallel<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let workers = Arc::new(Workers(Executor::new()));
    let (stop, stopped) = async_channel::bounded::<()>(1);
    for _ in 0..2 {
        let (workers, stopped) = (workers.clone(), stopped.clone());
        let work = move || block_on(workers.0.run(stopped.recv()));
        thread::Builder::new().name("worker".into()).spawn(work).unwrap();
    }
    let pool: Arc<dyn Parallel> = workers;
    let _entered = enter_parallel(&pool);
    let outcome = really(future);
    drop(stop);
    outcome
}

#[test]
fn they_run_at_the_same_time_on_other_threads() {
    let threads = in_parallel(nursery(async |n| {
        let meet = Arc::new(Barrier::new(2));
        let child = |meet: Arc<Barrier>| async move {
            meet.wait(); // both are in the middle of a poll
            Ok(thread::current().id())
        };
        let children = [n.spawn_parallel(child(meet.clone()))?, n.spawn_parallel(child(meet))?];
        let mut threads = vec![thread::current().id()];
        for child in children {
            threads.push(child.join().await?);
        }
        Ok(threads)
    }));
    let [root, one, two] = threads.unwrap()[..] else { panic!("three threads") };
    assert!(one != two && one != root && two != root);
}

#[test]
fn without_a_host_with_threads_they_are_ordinary_children() {
    let root = thread::current().id();
    let child = really(nursery(async |n| n.spawn_parallel(async { Ok(thread::current().id()) })?.join().await));
    assert_eq!(child.unwrap(), root);
}

#[test]
fn c09_a_failure_cancels_the_others_and_is_the_outcome() {
    let log = Log::default();
    let gone = log.clone();
    let outcome = in_parallel(nursery(async move |n| {
        for _ in 0..2 {
            let gone = gone.clone();
            n.spawn_parallel(async move {
                let _gone = gone.at_drop("cancelled");
                cancellable(pending::<()>()).await
            })?;
        }
        n.spawn_parallel(async { Err::<(), Error>(Failed("in parallel").into()) })?;
        cancellable(pending::<()>()).await
    }));
    assert_eq!(outcome.unwrap_err().downcast_ref::<Failed>(), Some(&Failed("in parallel")));
    assert_eq!(log.take().len(), 2);
}

#[test]
fn c14_a_panic_of_one_is_a_failure() {
    let outcome = in_parallel(nursery(async |n| {
        n.spawn_parallel(async {
            assert!(thread::current().name().is_none(), "it slipped");
            Ok(())
        })?;
        Ok(())
    }));
    assert!(outcome.unwrap_err().is_panic());
}

/// It is told, cleans up in a shield, by the host's clock, and the nursery waits for that.
#[test]
fn c06_a_cancel_reaches_them_and_waits_for_their_cleanup() {
    let log = Log::default();
    let cleaned = log.clone();
    let scope = CancelScope::new();
    let outcome = in_parallel({
        let scope = scope.clone();
        async move {
            let inner = scope.clone();
            let run = scope.run(nursery(async move |n| {
                let (started, mut is_started) = channel::bounded(1);
                n.spawn_parallel(async move {
                    started.send(()).await?;
                    let cancel = cancellable(pending::<()>()).await;
                    shield(ms(200), sleep(ms(1))).await?;
                    cleaned.add("cleaned up");
                    cancel
                })?;
                is_started.recv().await?;
                inner.cancel("enough");
                Ok(())
            }));
            run.await
        }
    });
    assert_eq!(outcome.unwrap(), None);
    assert_eq!(log.take(), ["cleaned up"]);
}

#[test]
fn values_of_a_thousand_arrive() {
    let sum = in_parallel(nursery(async |n| {
        let children = (0..1000_u64).map(|k| n.spawn_parallel(async move { Ok(k) })).collect::<Result<Vec<_>>>()?;
        let mut sum = 0;
        for child in children {
            sum += child.join().await?;
        }
        Ok(sum)
    }));
    assert_eq!(sum.unwrap(), 499_500);
}

/// Nobody joins them: the nursery is woken by the end of the last.
#[test]
fn the_nursery_waits_for_them_also_when_it_sleeps() {
    let ended = Arc::new(AtomicUsize::new(0));
    let count = ended.clone();
    in_parallel(nursery(async move |n| {
        for _ in 0..20 {
            let count = count.clone();
            n.spawn_parallel(async move {
                sleep(ms(2)).await?;
                count.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })?;
        }
        Ok(())
    }))
    .unwrap();
    assert_eq!(ended.load(Ordering::SeqCst), 20);
}

/// R7: dropped from outside while another thread is in the middle of a poll of it: the scope around does not complete before
/// that is over and the child is gone.
#[test]
fn r7_one_that_is_being_polled_is_waited_for_by_the_scope_around() {
    let gone = Arc::new(AtomicBool::new(false));
    let seen = gone.clone();
    in_parallel(async move {
        let run = CancelScope::new().run(async move {
            let (entered, is_entered) = mpsc::channel();
            let (release, released) = mpsc::channel::<()>();
            let released = Mutex::new(released);
            let guard = super::AtDrop::new(move || gone.store(true, Ordering::SeqCst));
            let mut inner = Box::pin(nursery(async move |n| {
                n.spawn_parallel(async move {
                    let _guard = guard;
                    poll_fn(move |_| {
                        entered.send(()).unwrap();
                        let _ = released.lock().unwrap().recv(); // in the middle of a poll
                        Poll::Ready(())
                    })
                    .await;
                    cancellable(pending::<()>()).await
                })?;
                cancellable(pending::<()>()).await
            }));
            assert!(poll_once(&mut inner).await.is_none());
            is_entered.recv().unwrap();
            drop(inner);
            drop(release);
            Ok(())
        });
        run.await
    })
    .unwrap();
    assert!(seen.load(Ordering::SeqCst), "the scope completed before the child was gone");
}

/// One that waits is dropped by whoever drops the nursery, before the drop returns.
#[test]
fn r7_one_that_waits_is_dropped_with_its_nursery() {
    let log = Log::default();
    let gone = log.clone();
    in_parallel(async move {
        let (parked, mut is_parked) = channel::bounded(1);
        let mut inner = Box::pin(nursery(async move |n| {
            let gone = gone.clone();
            n.spawn_parallel(async move {
                let _gone = gone.at_drop("gone");
                parked.send(()).await?;
                cancellable(pending::<()>()).await
            })?;
            is_parked.recv().await?;
            sleep(ms(20)).await?; // its poll is over
            Ok(())
        }));
        let first = futures_lite::future::or(
            async {
                let _ = (&mut inner).await;
                false
            },
            async {
                async_io::Timer::after(ms(60)).await;
                true
            },
        )
        .await;
        assert!(first, "it waits for its child");
        drop(inner);
        assert_eq!(log.take(), ["gone"]);
    });
}
