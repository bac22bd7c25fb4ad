//! How a guest ends, and what its host is told.

use super::*;

pub(crate) fn l27_a_cancel_from_a_callback_ends_the_guest_and_runs_its_cleanup<H: Host>() {
    let stage = Stage::<H>::new();
    let (scope, log) = (CancelScope::new(), Log::default());
    let seen = log.clone();
    let root = scope.run(nursery(async move |n| {
        let (child, last) = (log.clone(), log.clone());
        defer(async move { last.add("finalizer") })?;
        n.spawn(async move {
            child.add("started");
            let told = never().await;
            shield(ms(5000), sleep(ms(5))).await?;
            child.add("cleanup");
            told
        })?;
        never().await
    }));
    let guest = stage.start(root);
    stage.run_until("its task has started", || seen.has("started"));
    stage.call(move || scope.cancel("by a callback"));
    assert_eq!(guest.outcome(&stage).unwrap().unwrap(), None);
    let mut seen = seen.take();
    seen.sort_unstable();
    assert_eq!(seen, ["cleanup", "finalizer", "started"]);
}

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

pub(crate) fn l27_a_panic_of_the_root_reaches_done<H: Host>() {
    let roots: [fn() -> Boxed; 3] = [
        || Box::pin(async { panic!("on purpose") }),
        || {
            Box::pin(async {
                sleep(ms(1)).await.unwrap();
                panic!("on purpose")
            })
        },
        // As it is dropped.
        || {
            let bad = AtDrop(Some(|| panic!("on purpose")));
            Box::pin(poll_fn(move |_| {
                let _ = &bad;
                Poll::Ready(())
            }))
        },
    ];
    for root in roots {
        let stage = Stage::<H>::new();
        let failure = stage.start(root()).outcome(&stage).unwrap_err();
        assert_eq!(failure.downcast_ref::<Panicked>().unwrap().message(), "on purpose");
        goes_on(&stage);
    }
}

pub(crate) fn l27_a_panic_of_done_ends_nothing_else<H: Host>() {
    let stage = Stage::<H>::new();
    let run = start_guest_run(stage.run_soon(), async { 1 }, |_| panic!("in `done`, on purpose"));
    stage.run_until("the guest has ended", || run.is_over());
    goes_on(&stage);
}

pub(crate) fn l27_done_may_start_the_next_guest<H: Host>() {
    let stage = Stage::<H>::new();
    let next = Rc::new(OnceCell::new());
    let (run_soon, slot) = (stage.run_soon(), next.clone());
    let run = start_guest_run(stage.run_soon(), async { 1 }, move |first| {
        let second = Guest::new(|done| start_guest_run(run_soon, async { sleep(ms(1)).await.map(|()| 2) }, done));
        assert!(slot.set((first.unwrap(), second)).is_ok());
    });
    stage.run_until("the first guest has ended", || run.is_over());
    let (first, second) = next.get().unwrap();
    assert_eq!((*first, second.outcome(&stage).unwrap().unwrap()), (1, 2));
}
