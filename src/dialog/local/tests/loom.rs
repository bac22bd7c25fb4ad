//! The waker of a link, in every order that its threads could take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use loom::future::block_on;
use loom::model;
use loom::thread;

use super::super::sleeper::Sleeper;

/// The sleeper of a link: news that are made known before the wake are seen, or the sleeper is woken.
#[test]
fn loom_a_sleeper_misses_no_news() {
    model(|| {
        let (sleeper, news) = (Arc::new(Sleeper::default()), Arc::new(loom::sync::atomic::AtomicBool::new(false)));
        let (theirs, tell) = (sleeper.clone(), news.clone());
        let teller = thread::spawn(move || {
            tell.store(true, Ordering::SeqCst);
            theirs.wake();
        });
        let polls = AtomicUsize::new(0);
        block_on(std::future::poll_fn(|cx| {
            assert!(polls.fetch_add(1, Ordering::Relaxed) < 10, "it spins");
            if news.load(Ordering::SeqCst) {
                return Poll::Ready(());
            }
            sleeper.sleep(cx.waker());
            if news.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        }));
        teller.join().unwrap();
    });
}
