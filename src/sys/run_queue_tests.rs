//! Tests of the queue: in order, nobody woken in vain, and no future after its time.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

struct Adds<'a>(&'a AtomicUsize);

impl Drop for Adds<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn owner() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (count.clone(), count.into())
}

/// Waits for ever, and shows its waker.
async fn shows(wakers: &Mutex<Vec<Waker>>) {
    poll_fn(|cx| {
        wakers.lock().unwrap().push(cx.waker().clone());
        Poll::Pending
    })
    .await
}

#[test]
fn tasks_run_in_the_order_in_which_they_were_woken() {
    let (said, parked) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let queue = LocalRunQueue::new();
    for number in 0..3 {
        let (said, parked) = (&said, &parked);
        let mut first = true;
        let task = poll_fn(move |cx| {
            said.borrow_mut().push(number);
            parked.borrow_mut().push(cx.waker().clone());
            if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) }
        });
        queue.spawn(task).detach();
    }
    let cx = Context::from_waker(Waker::noop());
    while queue.poll_run(&cx).is_ready() {}
    let wakers = parked.take();
    [2, 0, 1].into_iter().for_each(|number: usize| wakers[number].wake_by_ref());
    while queue.poll_run(&cx).is_ready() {}
    assert_eq!(said.take(), [0, 1, 2, 2, 0, 1]);
    assert!(queue.queue.shared.state.lock().alive.is_empty());
}

#[test]
fn an_owner_is_woken_only_when_it_sleeps() {
    let wakers = Mutex::default();
    let (woken, waker) = owner();
    let cx = Context::from_waker(&waker);
    let queue = RunQueue::new();
    queue.spawn(shows(&wakers)).detach();
    assert_eq!(woken.get(), 0, "it was never told to");
    assert!(queue.poll_run(&cx).is_ready() && queue.poll_run(&cx).is_pending());
    let task = wakers.lock().unwrap()[0].clone();
    task.wake_by_ref();
    assert_eq!(woken.get(), 1);
    assert!(queue.poll_run(&cx).is_ready() && queue.poll_run(&cx).is_pending());
    queue.awake();
    task.wake_by_ref();
    assert_eq!(woken.get(), 1, "it is about to look");
    assert!(queue.poll_run(&cx).is_ready() && queue.poll_run(&cx).is_pending());
    queue.nudge();
    assert_eq!(woken.get(), 2);
}

#[test]
fn futures_that_borrow_are_gone_with_their_queue_and_their_wakers_stay_harmless() {
    let (gone, wakers) = (AtomicUsize::new(0), Mutex::default());
    let queue = RunQueue::new();
    for _ in 0..3 {
        let (counted, wakers) = (Adds(&gone), &wakers);
        let task = async move {
            let _counted = counted;
            shows(wakers).await;
        };
        queue.spawn(task).detach();
    }
    let cx = Context::from_waker(Waker::noop());
    assert!(queue.poll_run(&cx).is_ready() && queue.poll_run(&cx).is_ready(), "the third one was never polled");
    wakers.lock().unwrap()[1].wake_by_ref();
    drop(queue);
    assert_eq!(gone.load(Ordering::SeqCst), 3);
    wakers.into_inner().unwrap().into_iter().for_each(Waker::wake);
}

/// The drop of a queue meets wakes of another thread at every point.
#[test]
fn no_future_outlives_its_queue_whoever_wakes_it_meanwhile() {
    for round in 0..2000 {
        let (gone, wakers) = (AtomicUsize::new(0), Mutex::default());
        let queue = RunQueue::new();
        for _ in 0..4 {
            let (counted, wakers) = (Adds(&gone), &wakers);
            queue.spawn(async move { (shows(wakers).await, counted).0 }).detach();
        }
        while queue.poll_run(&Context::from_waker(Waker::noop())).is_ready() {}
        let theirs: Vec<Waker> = std::mem::take(&mut wakers.lock().unwrap());
        thread::scope(|threads| {
            threads.spawn(move || theirs.into_iter().for_each(Waker::wake));
            (0..round % 50).for_each(|_| std::hint::spin_loop());
            drop(queue);
            assert_eq!(gone.load(Ordering::SeqCst), 4);
        });
    }
}

/// Somebody on another thread may have a handle of it, and be in the middle of it.
#[test]
fn what_is_begun_behind_the_back_of_its_owner_is_dropped_at_once() {
    let (gone, wakers) = (AtomicUsize::new(0), Mutex::default());
    let (woken, waker) = owner();
    let queue = RunQueue::new();
    queue.spawn(shows(&wakers)).detach();
    let cx = Context::from_waker(&waker);
    assert!(queue.poll_run(&cx).is_ready() && queue.poll_run(&cx).is_pending());
    queue.clear();
    assert_eq!(Arc::strong_count(&woken), 2, "the queue does not keep its owner");
    let counted = Adds(&gone);
    queue.spawn(async move { drop(counted) }).detach();
    assert_eq!((gone.load(Ordering::SeqCst), woken.get()), (1, 0));
}

#[test]
fn a_task_gives_its_output_and_a_large_queue_its_memory_back() {
    let sum = Cell::new(0_u64);
    let queue = LocalRunQueue::new();
    let tasks: Vec<Task<u64>> = (0..5000).map(|n| queue.spawn(async move { n })).collect();
    let sum_up = async {
        for task in tasks {
            sum.set(sum.get() + task.await);
        }
    };
    queue.spawn(sum_up).detach();
    while queue.poll_run(&Context::from_waker(Waker::noop())).is_ready() {}
    assert_eq!(sum.get(), 5000 * 4999 / 2);
    let state = queue.queue.shared.state.lock();
    assert!(state.ready.capacity() <= KEEP && state.alive.capacity() <= KEEP);
}
