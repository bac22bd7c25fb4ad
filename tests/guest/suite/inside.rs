//! A loop that runs inside a task of a guest, such as that of a dialog.

use super::*;

pub(crate) fn l27_a_loop_inside_a_task_does_not_enter_its_guest_and_loses_no_wake<H: Host>() {
    let stage = Stage::<H>::new();
    let (host, post, log) = (stage.host.clone(), stage.host.post(), Log::default());
    let seen = log.clone();
    let inside = Rc::new(Cell::new(false));
    let (sender, mut receiver) = channel::bounded(2);
    let (told, watch) = (log.clone(), inside.clone());
    let receives = async move {
        while let Some(who) = receiver.recv().await.unwrap() {
            assert!(!watch.get(), "the guest was entered by a loop inside it");
            told.add(who);
        }
    };
    let (told, watch) = (log.clone(), inside.clone());
    let sleeps = async move {
        // It begins in the poll in which the dialog is opened.
        checkpoint().await.unwrap();
        sleep(ms(1)).await.unwrap();
        assert!(!watch.get(), "the guest was entered by a loop inside it");
        told.add("timer");
    };
    // It is polled last: what it wakes has to be brought back by the guest, as no executor looks at it again.
    let opens = async move {
        checkpoint().await.unwrap();
        inside.set(true);
        modal(&*host, &post, sender);
        inside.set(false);
        log.add("closed");
    };
    let guest = stage.start(zip(zip(receives, sleeps), opens));
    guest.outcome(&stage).unwrap();
    let mut seen = seen.take();
    assert_eq!(seen.remove(0), "closed");
    seen.sort_unstable();
    assert_eq!(seen, ["callback", "thread", "timer"]);
}

/// A dialog that is open for a while, in which a callback and another thread send something to a task of the guest, and a timer
/// of the guest expires.
fn modal<H: Host>(host: &H, post: &Post, sender: channel::Sender<&'static str>) {
    let (from_thread, sent) = (sender.clone(), Arc::new(AtomicUsize::new(0)));
    let (counts, also_counts) = (sent.clone(), sent.clone());
    post(Box::new(move || {
        sender.try_send("callback").expect("there is room");
        counts.fetch_add(1, Ordering::SeqCst);
    }));
    thread::spawn(move || {
        from_thread.try_send("thread").expect("there is room");
        also_counts.fetch_add(1, Ordering::SeqCst);
    });
    let open_until = Instant::now() + ms(10);
    run_until(host, "the dialog was closed", || sent.load(Ordering::SeqCst) == 2 && Instant::now() > open_until);
}

/// A clock that is far ahead.
struct Ahead;

const AHEAD: Duration = Duration::from_secs(1_000_000);

struct AheadTimer(Box<dyn Timer>);

impl Clock for Ahead {
    fn now(&self) -> Instant {
        Instant::now() + AHEAD
    }

    fn timer(&self, at: Instant) -> Box<dyn Timer> {
        Box::new(AheadTimer(Box::new(async_io::Timer::at(at - AHEAD))))
    }
}

impl Timer for AheadTimer {
    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_expired(cx)
    }

    fn reset(&mut self, at: Instant) {
        self.0.reset(at - AHEAD);
    }
}

/// How far the time of whoever runs this is ahead.
fn is_ahead() -> bool {
    clock::now() > Instant::now() + AHEAD / 2
}

pub(crate) fn l27_a_loop_inside_a_task_runs_other_guests_as_trees_of_their_own<H: Host>() {
    let stage = Stage::<H>::new();
    let (host, scope) = (stage.host.clone(), CancelScope::new());
    let (inner_runs, scope_of_outer) = (stage.run_soon(), scope.clone());
    let inner_told = Rc::new(OnceCell::new());
    let slot = inner_told.clone();
    let root = scope.run(async move {
        assert!(is_ahead());
        sleep(ms(1)).await?;
        // The scope around is cancelled, and the clock is another's: neither is the other guest's affair.
        scope_of_outer.cancel("only the outer guest");
        let inner = Guest::new(|done| {
            start_guest_run(
                inner_runs,
                nursery(async |n| {
                    let ahead = n.spawn(async { sleep(ms(1)).await.map(|()| is_ahead()) })?.join().await?;
                    Ok((ahead, is_ahead()))
                }),
                done,
            )
        });
        run_until(&*host, "the inner guest has ended", || inner.is_told());
        assert!(is_ahead());
        assert!(slot.set(inner.told().unwrap()).is_ok());
        never().await
    });
    let outer = Guest::new(|done| start_guest_run_with(Arc::new(Ahead), stage.run_soon(), root, done));
    assert_eq!(outer.outcome(&stage).unwrap().unwrap(), None);
    let inner = Rc::try_unwrap(inner_told).unwrap().into_inner().unwrap();
    assert_eq!(inner.unwrap().unwrap(), (false, false));
}
