//! A guest that does not come to its end: abandoned, or with a host that does not do what it should.

use super::*;

pub(crate) fn l27_abandoned_while_it_is_idle<H: Host>() {
    let (stage, log) = (Stage::<H>::new(), Log::default());
    let guest = waiting(&stage, &log);
    assert!(!guest.run.is_over() && !guest.is_told());
    guest.run.abandon();
    assert_eq!(log.take(), ["started", "dropped"]);
    assert!(guest.run.is_over() && is_abandoned(&guest.told().unwrap()));
    guest.run.abandon();
    assert!(!guest.is_told(), "it was told once");
    goes_on(&stage);
}

/// A guest that can be abandoned by one of its tasks: `f` gets its run there.
fn with_own_run<H: Host>(stage: &Stage<H>, log: &Log, f: impl FnOnce(&GuestRun) + 'static) -> Guest<Result<()>> {
    let own = Rc::new(OnceCell::<Rc<GuestRun>>::new());
    let (slot, log) = (own.clone(), log.clone());
    let guest = stage.start(local_nursery(async move |n| {
        let gone = log.at_drop("dropped");
        n.spawn(async move {
            let _gone = gone;
            f(own.get().expect("it was started"));
            log.add("goes on");
            never().await?;
            log.add("not reached");
            Ok(())
        })?;
        never().await
    }));
    assert!(slot.set(guest.run.clone()).is_ok());
    guest
}

pub(crate) fn l27_abandoned_by_one_of_its_own_tasks<H: Host>() {
    let (stage, log) = (Stage::<H>::new(), Log::default());
    let guest = with_own_run(&stage, &log, GuestRun::abandon);
    assert!(is_abandoned(&guest.outcome(&stage)));
    assert_eq!(log.take(), ["goes on", "dropped"]);
    goes_on(&stage);
}

pub(crate) fn l27_abandoned_by_a_callback_inside_one_of_its_tasks<H: Host>() {
    let (stage, log) = (Stage::<H>::new(), Log::default());
    let host = stage.host.clone();
    let guest = with_own_run(&stage, &log, move |own| {
        let called = Arc::new(AtomicBool::new(false));
        let flag = called.clone();
        (host.post())(Box::new(move || flag.store(true, Ordering::SeqCst)));
        run_until(&*host, "the callback has run", || called.load(Ordering::SeqCst));
        own.abandon();
        assert!(own.is_over());
        // The loop goes on for a while, and has nothing to do for this guest.
        host.turn(Duration::ZERO);
    });
    assert!(is_abandoned(&guest.outcome(&stage)));
    assert_eq!(log.take(), ["goes on", "dropped"]);
    goes_on(&stage);
}

pub(crate) fn l27_abandoned_inside_a_task_of_another_guest<H: Host>() {
    let (stage, log) = (Stage::<H>::new(), Log::default());
    let late = log.clone();
    let leaves = AtDrop(Some(move || {
        let late = late.clone();
        // Nobody is left who would wait for it, and the task that happens to run is not its scope.
        let _ = entrust(async move { late.add("entrusted to a stranger") });
    }));
    let started = log.clone();
    let inner = stage.start(nursery(async move |_| {
        let _leaves = leaves;
        started.add("started");
        never().await
    }));
    stage.run_until("the inner guest has started", || log.has("started"));
    let run = inner.run.clone();
    let outer = stage.start(nursery(async move |_| {
        run.abandon();
        sleep(ms(5)).await
    }));
    outer.outcome(&stage).unwrap().unwrap();
    assert!(is_abandoned(&inner.told().unwrap()));
    assert_eq!(log.take(), ["started"]);
}

pub(crate) fn l27_a_tick_that_is_dropped_is_the_last<H: Host>() {
    let (stage, log) = (Stage::<H>::new(), Log::default());
    let (sender, mut receiver) = channel::bounded::<u32>(4);
    let drops = Arc::new(AtomicBool::new(false));
    let (inner, asked) = (stage.run_soon(), Arc::new(AtomicUsize::new(0)));
    let (dropping, counts) = (drops.clone(), asked.clone());
    let run_soon = move |tick: Tick| {
        counts.fetch_add(1, Ordering::SeqCst);
        if !dropping.load(Ordering::SeqCst) {
            inner(tick);
        }
    };
    let gone = log.at_drop("dropped");
    let taken = log.clone();
    let root = async move {
        let _gone = gone;
        while receiver.recv().await.unwrap().is_some() {
            taken.add("taken");
        }
    };
    let guest = Guest::new(|done| start_guest_run(run_soon, root, done));
    sender.try_send(1).unwrap();
    stage.run_until("the guest has taken the first", || log.has("taken"));
    let before = asked.load(Ordering::SeqCst);
    drops.store(true, Ordering::SeqCst);
    sender.try_send(2).unwrap();
    drops.store(false, Ordering::SeqCst);
    sender.try_send(3).unwrap();
    goes_on(&stage);
    assert_eq!(asked.load(Ordering::SeqCst), before + 1, "it does not ask again");
    assert_eq!((log.take(), guest.is_told()), (vec!["taken"], false));
    guest.run.abandon();
    assert!(is_abandoned(&guest.told().unwrap()));
    assert_eq!(log.take(), ["dropped"]);
}

pub(crate) fn l27_a_tick_on_another_thread_is_refused<H: Host>() {
    let stage = Stage::<H>::new();
    let (sender, ticks) = mpsc::channel();
    let run = start_guest_run(move |tick| sender.send(tick).unwrap(), pending::<()>(), drop);
    let tick = ticks.recv().unwrap();
    let refused = thread::spawn(move || catch_unwind(AssertUnwindSafe(|| tick.run())).is_err());
    assert!(refused.join().unwrap());
    run.abandon();
    goes_on(&stage);
}

pub(crate) fn l27_the_thread_of_the_host_ends_first<H: Host>() {
    let log = Log::default();
    let (seen, asked, kept) = (log.clone(), Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(None::<Waker>)));
    let (counts, keeps, waits) = (asked.clone(), kept.clone(), kept.clone());
    let host = thread::spawn(move || {
        let stage = Stage::<H>::new();
        let (inner, gone) = (stage.run_soon(), log.at_drop("dropped"));
        let run_soon = move |tick: Tick| {
            counts.fetch_add(1, Ordering::SeqCst);
            inner(tick);
        };
        let root = nursery(async move |n| {
            n.spawn(async move {
                let _gone = gone;
                never().await
            })?;
            cancellable(poll_fn(|cx| {
                *keeps.lock().unwrap() = Some(cx.waker().clone());
                Poll::<()>::Pending
            }))
            .await
        });
        let told = log.clone();
        start_guest_run(run_soon, root, move |result| told.add(if is_abandoned(&result) { "told" } else { "?" }));
        stage.run_until("the guest waits", || waits.lock().unwrap().is_some());
    });
    host.join().unwrap();
    assert_eq!(seen.take(), ["dropped", "told"]);
    let before = asked.load(Ordering::SeqCst);
    kept.lock().unwrap().take().expect("it was polled").wake();
    assert_eq!(asked.load(Ordering::SeqCst), before, "there is nobody to ask for a tick");
}
