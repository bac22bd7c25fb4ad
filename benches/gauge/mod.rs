//! What the benches have in common: where the threads run, how long a sample takes, and how a figure is printed beside
//! its floor.

use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Where the two sides run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    /// Both on one CPU.
    Same,
    /// Each on its own.
    Split,
    /// Wherever the scheduler likes.
    None,
}

impl Pin {
    pub(crate) fn from_env() -> Self {
        match std::env::var("PIN").as_deref() {
            Ok("same") => Self::Same,
            Ok("split") => Self::Split,
            Ok("none") | Err(_) => Self::None,
            Ok(other) => panic!("PIN is same, split or none, not {other}"),
        }
    }
}

fn pin_to(cpu: usize) -> bool {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).is_ok()
}

fn first_cpu() -> usize {
    let allowed = sched_getaffinity(None).expect("a thread can ask for its own CPUs");
    (0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu)).expect("a thread runs somewhere")
}

/// Puts this process on its one CPU, before it has threads; they inherit that.
pub(crate) fn place_root(pin: Pin) {
    if pin != Pin::None {
        assert!(pin_to(first_cpu()), "a thread can be put on a CPU that it may use");
    }
}

/// Puts the other side's thread, which has inherited the root's CPU, on another one if they are to be split.
pub(crate) fn place_other(pin: Pin) {
    if pin == Pin::Split {
        let own = first_cpu();
        assert!((own + 1..CpuSet::MAX_CPU).any(pin_to), "PIN=split needs a second CPU");
    }
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) samples: usize,
    pub(crate) span: Duration,
}

impl Effort {
    pub(crate) fn from_env() -> Self {
        // As `cargo bench` calls it; `cargo test` says nothing, or `--test`.
        if !std::env::args().any(|argument| argument == "--bench") {
            return Self { samples: 1, span: Duration::ZERO };
        }
        let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse().ok());
        let millis = number("MILLIS").unwrap_or(150);
        Self { samples: number("SAMPLES").unwrap_or(7) as usize, span: Duration::from_millis(millis) }
    }

    pub(crate) fn meter(self) -> Meter {
        Meter { span: self.span, start: Instant::now(), batches: 0, done: 0 }
    }
}

/// Counts what is done in batches; the first one is to get warm.
pub(crate) struct Meter {
    span: Duration,
    start: Instant,
    batches: u64,
    done: u64,
}

impl Meter {
    /// Whether another batch is wanted.
    pub(crate) fn goes_on(&self) -> bool {
        self.batches < 2 || self.start.elapsed() < self.span
    }

    pub(crate) fn count(&mut self, size: u64) {
        self.batches += 1;
        if self.batches == 1 {
            self.start = Instant::now();
        } else {
            self.done += size;
        }
    }

    /// What was done, per second.
    pub(crate) fn rate(&self) -> f64 {
        self.done as f64 / self.start.elapsed().as_secs_f64()
    }
}

/// The samples of one row, as rates.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) rates: Vec<f64>,
}

impl Figure {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), rates: Vec::new() }
    }

    pub(crate) fn median(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    }

    /// One line; `floor` is what it is compared with.
    pub(crate) fn print(&self, floor: &Self) {
        let (low, high) = self.rates.iter().fold((f64::MAX, 0.0_f64), |(low, high), &r| (low.min(r), high.max(r)));
        let (median, ratio) = (self.median(), self.median() / floor.median());
        println!("  {:<36} {median:>12.0} Hz  {ratio:>5.2} of the floor  ({low:.0} to {high:.0})", self.name);
    }
}

/// Says under which conditions the figures were made.
pub(crate) fn print_conditions(pin: Pin, effort: Effort) {
    let profile = if cfg!(debug_assertions) { "with debug assertions: the figures mean nothing" } else { "optimised" };
    let binary = std::env::current_exe().map_or_else(|_| "unknown".into(), |exe| exe.display().to_string());
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    println!("binary {binary}, {profile}");
    println!("PIN {pin:?}, the root may use {cpus} of the CPUs, {effort:?}, medians");
}
