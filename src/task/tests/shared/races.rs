//! Every moment, every thread, and no lock around what is the user's.

use std::pin::Pin;
use std::task::{Context, Waker};

use super::*;
use crate::task::channel;

/// A resource that fails the test if it is open twice, with users that come, are cancelled and are dropped at all times.
struct Exclusive {
    open: AtomicUsize,
    closed: AtomicUsize,
}

impl Exclusive {
    const fn new() -> Self {
        Self { open: AtomicUsize::new(0), closed: AtomicUsize::new(0) }
    }

    async fn run(&self, holder: Holder<u32>) -> Result<()> {
        assert_eq!(self.open.fetch_add(1, Ordering::SeqCst), 0, "it is open twice");
        let over = AtDrop::new(|| assert_eq!(self.open.fetch_sub(1, Ordering::SeqCst), 1));
        checkpoint().await?;
        holder.provide(7).await?;
        checkpoint().await?; // the cleanup is not cancelled
        self.closed.fetch_add(1, Ordering::SeqCst);
        drop(over);
        Ok(())
    }
}

#[test]
fn c02_cancels_and_drops_at_every_moment_leave_nothing_open() {
    for moment in 0..30 {
        let resource = Exclusive::new();
        let (cancelled, dropped) = (CancelScope::new(), CancelScope::new());
        virtually(nursery(async |n| {
            let shared = Shared::new(&n);
            let user = |turns: u64| {
                let opener = |holder| resource.run(holder);
                shared.with(1, opener, async move |seven| {
                    assert_eq!(seven, 7);
                    sleep(ms(turns)).await
                })
            };
            let stop = async {
                for _ in 0..moment {
                    futures_lite::future::yield_now().await;
                }
                cancelled.cancel("now");
                Ok(())
            };
            let drops = dropped.run(futures_lite::future::or(stop, async { user(1000).await }));
            let cancels = cancelled.run(user(1000));
            let (cancels, drops, short) = futures_util::future::join3(cancels, drops, user(0)).await;
            assert_eq!((cancels?, drops?), (None, Some(())));
            short?;
            user(1).await
        }))
        .unwrap();
        assert_eq!(resource.open.load(Ordering::SeqCst), 0, "at {moment}");
        assert!(resource.closed.load(Ordering::SeqCst) >= 1);
    }
}

#[test]
fn users_on_other_threads() {
    static RESOURCES: [Exclusive; 2] = [Exclusive::new(), Exclusive::new()];
    let (send, receive) = std::sync::mpsc::channel::<Shared<'static, usize, u32>>();
    let (over, mut threads_over) = channel::bounded(4);
    let threads = std::thread::spawn(move || {
        let shared = receive.recv().unwrap();
        std::thread::scope(|threads| {
            for thread in 0..4 {
                let (shared, over) = (shared.clone(), over.clone());
                threads.spawn(move || {
                    for round in 0..300 {
                        let key = (thread + round) % 2;
                        let opener = |holder| RESOURCES[key].run(holder);
                        let used = really(shared.with(key, opener, async |seven| Ok(seven)));
                        assert_eq!(used.unwrap(), 7);
                    }
                    over.try_send(()).unwrap();
                });
            }
        });
    });
    really(nursery(async |n| {
        send.send(Shared::new(&n)).unwrap();
        for _ in 0..4 {
            assert!(threads_over.recv().await?.is_some(), "a thread has failed");
        }
        Ok(())
    }))
    .unwrap();
    threads.join().unwrap();
    assert!(RESOURCES.iter().all(|resource| resource.open.load(Ordering::SeqCst) == 0));
}

/// A key that uses the table it is a key of.
struct Nosy<'env>(u32, Shared<'env, Self, u32>);

impl std::hash::Hash for Nosy<'_> {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {
        drop(format!("{:?}", self.1)); // all have the same hash
    }
}

impl PartialEq for Nosy<'_> {
    fn eq(&self, other: &Self) -> bool {
        drop(format!("{:?}", self.1));
        self.0 == other.0
    }
}

impl Eq for Nosy<'_> {}

impl Drop for Nosy<'_> {
    fn drop(&mut self) {
        drop(format!("{:?}", self.1));
    }
}

#[test]
fn no_lock_is_held_while_a_key_is_hashed_compared_or_dropped() {
    on_a_thread(|| {
        virtually(nursery(async |n| {
            let shared = Shared::new(&n);
            let opener = |number| async move |holder: Holder<u32>| holder.provide(number).await;
            let key = |number| Nosy(number, shared.clone());
            let used = shared.with(key(1), opener(1), async |one| {
                let two = shared.with(key(2), opener(2), async |two| Ok(two)).await?;
                Ok((one, two, shared.with(key(1), opener(3), async |again| Ok(again)).await?))
            });
            assert_eq!(used.await?, (1, 2, 1));
            assert_eq!(format!("{shared:?}"), "Shared { resources: 0, .. }");
            Ok(())
        }))
        .unwrap();
    });
}

type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// A key that does something the first time that it is compared.
#[derive(Clone)]
struct Hooked(u32, Hook);

impl std::hash::Hash for Hooked {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl PartialEq for Hooked {
    fn eq(&self, other: &Self) -> bool {
        let hook = self.1.lock().unwrap().take();
        hook.into_iter().for_each(|hook| hook());
        self.0 == other.0
    }
}

impl Eq for Hooked {}

/// As if it were on another thread: a user of the same key comes when the first one has just found that nobody has it.
#[test]
fn two_who_come_at_the_same_time_open_it_once() {
    static RESOURCE: Exclusive = Exclusive::new();
    virtually(nursery(async |n| {
        let shared = Shared::new(&n);
        let hook = Hook::default();
        let (one, other) = (Hooked(1, hook.clone()), Hooked(2, hook.clone()));
        let (begun, mut second) = channel::bounded(1);
        let used = shared.with(
            other,
            async |holder| holder.provide(0).await,
            async |_| {
                let (shared_too, key) = (shared.clone(), one.clone());
                let begin = Box::new(move || {
                    let user = shared_too.with(key, |holder| RESOURCE.run(holder), async |seven| Ok(seven));
                    let mut user: Pin<Box<dyn Future<Output = Result<u32>> + Send>> = Box::pin(user);
                    assert!(user.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                    begun.try_send(user).map_err(drop).unwrap();
                });
                *hook.lock().unwrap() = Some(begin);
                let first = shared.with(
                    one,
                    |holder| RESOURCE.run(holder),
                    async |_| {
                        let second = second.try_recv().expect("it has begun in the meantime");
                        second.await
                    },
                );
                first.await
            },
        );
        assert_eq!(used.await?, 7);
        Ok(())
    }))
    .unwrap();
    assert_eq!(RESOURCE.closed.load(Ordering::SeqCst), 1);
}
