//! Nobody is starved, and nobody spins.

use super::*;

pub(crate) fn l29_a_busy_guest_lets_its_host_in<H: Host>() {
    fn chain(post: Post, ticks: Arc<AtomicUsize>, seen: Arc<Mutex<Vec<usize>>>) {
        let mut list = seen.lock().unwrap();
        list.push(ticks.load(Ordering::SeqCst));
        if list.len() < 100 {
            drop(list);
            let again = post.clone();
            post(Box::new(move || chain(again, ticks, seen)));
        }
    }
    let stage = Stage::<H>::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let over = seen.clone();
    let (ticks, polls) = (stage.ticks_counter(), Arc::new(AtomicUsize::new(0)));
    let counts = polls.clone();
    let guest = stage.start(async move {
        while over.lock().unwrap().len() < 100 {
            counts.fetch_add(1, Ordering::SeqCst);
            checkpoint().await?;
        }
        Ok::<_, Error>(())
    });
    let (post, list) = (stage.host.post(), seen.clone());
    stage.call(move || chain(post, ticks, list));
    guest.outcome(&stage).unwrap().unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.windows(2).all(|pair| pair[1] - pair[0] <= 2), "ticks between two callbacks: {seen:?}");
    assert!(polls.load(Ordering::SeqCst) <= 4 * stage.ticks() + 1, "a tick polls its guest at most four times");
}

pub(crate) fn l29_a_busy_host_lets_its_guest_in<H: Host>() {
    fn chain(post: Post, calls: Arc<AtomicUsize>, over: Arc<AtomicBool>) {
        calls.fetch_add(1, Ordering::SeqCst);
        if !over.load(Ordering::SeqCst) {
            let again = post.clone();
            post(Box::new(move || chain(again, calls, over)));
        }
    }
    let stage = Stage::<H>::new();
    let (calls, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (post, counts, ends) = (stage.host.post(), calls.clone(), over.clone());
    stage.call(move || chain(post, counts, ends));
    let guest = stage.start(async move {
        for _ in 0..100 {
            checkpoint().await?;
        }
        Ok::<_, Error>(())
    });
    guest.outcome(&stage).unwrap().unwrap();
    over.store(true, Ordering::SeqCst);
    let (calls, ticks) = (calls.load(Ordering::SeqCst), stage.ticks());
    assert!(calls <= 2 * ticks + 2, "{calls} callbacks beside {ticks} ticks");
}

pub(crate) fn l29_nothing_happens_while_both_are_idle<H: Host>() {
    let (stage, log) = (Stage::<H>::new(), Log::default());
    let guest = waiting(&stage, &log);
    // What its start has left behind.
    (0..4).for_each(|_| stage.host.turn(ms(1)));
    let before = stage.ticks();
    let end = Instant::now() + ms(50);
    while Instant::now() < end {
        stage.host.turn(ms(10));
    }
    assert_eq!(stage.ticks(), before);
    guest.run.abandon();
}
