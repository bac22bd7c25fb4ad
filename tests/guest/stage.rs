//! What a host has to offer, and what the tests of guests do with one. The hosts of packages of their own use this as well.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use pleach::Result;
use pleach::task::guest::{GuestRun, Tick};
use pleach::task::start_guest_run;

/// Something that a loop runs.
pub(crate) type Job = Box<dyn FnOnce() + Send>;
/// *Run this soon*, from any thread. A loop that is gone forgets it.
pub(crate) type Post = Arc<dyn Fn(Job) + Send + Sync>;

/// A loop on this thread.
pub(crate) trait Host: 'static {
    fn new() -> Self;

    fn post(&self) -> Post;

    /// Waits for at most `most` for something to run, and runs what is there. Also inside something that it runs.
    fn turn(&self, most: Duration);
}

/// No wait may take longer.
const BOUND: Duration = Duration::from_secs(20);
/// How long a turn waits for something to run, where another thread may change what is waited for.
const TURN: Duration = Duration::from_millis(20);

pub(crate) fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Runs the loop until that is so.
pub(crate) fn run_until<H: Host>(host: &H, what: &str, until: impl Fn() -> bool) {
    let end = Instant::now() + BOUND;
    while !until() {
        assert!(Instant::now() < end, "it has taken too long until {what}");
        host.turn(TURN);
    }
}

/// A host, and the ticks that its guests have asked for.
pub(crate) struct Stage<H> {
    pub(crate) host: Rc<H>,
    ticks: Arc<AtomicUsize>,
}

/// The ticks of one guest that are on their way, and how many at most there were.
#[derive(Default)]
struct OnTheWay {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl<H: Host> Stage<H> {
    pub(crate) fn new() -> Self {
        Self { host: Rc::new(H::new()), ticks: Arc::default() }
    }

    /// How many ticks the guests have asked for.
    pub(crate) fn ticks(&self) -> usize {
        self.ticks.load(Ordering::SeqCst)
    }

    /// Where they are counted.
    pub(crate) fn ticks_counter(&self) -> Arc<AtomicUsize> {
        self.ticks.clone()
    }

    /// Has the loop call this soon.
    pub(crate) fn call(&self, callback: impl FnOnce() + Send + 'static) {
        (self.host.post())(Box::new(callback));
    }

    pub(crate) fn run_until(&self, what: &str, until: impl Fn() -> bool) {
        run_until(&*self.host, what, until);
    }

    /// What a guest asks for a tick with.
    pub(crate) fn run_soon(&self) -> impl Fn(Tick) + Send + Sync + use<H> {
        let (post, ticks) = (self.host.post(), self.ticks.clone());
        let way = Arc::new(OnTheWay::default());
        move |tick| {
            ticks.fetch_add(1, Ordering::SeqCst);
            way.most.fetch_max(way.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let way = way.clone();
            post(Box::new(move || {
                way.now.fetch_sub(1, Ordering::SeqCst);
                assert_eq!(way.most.load(Ordering::SeqCst), 1, "two ticks of one guest were on their way");
                tick.run();
            }));
        }
    }

    pub(crate) fn start<T: 'static>(&self, root: impl Future<Output = T> + 'static) -> Guest<T> {
        Guest::new(|done| start_guest_run(self.run_soon(), root, done))
    }
}

/// A guest, and what its host was told of its end.
pub(crate) struct Guest<T> {
    pub(crate) run: Rc<GuestRun>,
    told: Rc<RefCell<Option<Result<T>>>>,
}

impl<T: 'static> Guest<T> {
    pub(crate) fn new(start: impl FnOnce(Box<dyn FnOnce(Result<T>)>) -> GuestRun) -> Self {
        let told = Rc::new(RefCell::new(None));
        let tell = told.clone();
        let run = start(Box::new(move |result| *tell.borrow_mut() = Some(result)));
        Self { run: Rc::new(run), told }
    }

    pub(crate) fn is_told(&self) -> bool {
        self.told.borrow().is_some()
    }

    /// Runs the loop until the guest has ended.
    pub(crate) fn outcome<H: Host>(&self, stage: &Stage<H>) -> Result<T> {
        stage.run_until("the guest has ended", || self.is_told());
        assert!(self.run.is_over());
        self.told.take().expect("it was just looked at")
    }

    /// What was told already.
    pub(crate) fn told(&self) -> Option<Result<T>> {
        self.told.take()
    }
}
