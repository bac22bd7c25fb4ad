//! What the benches have in common: how long a sample takes, and how a figure is printed beside its floor.

use std::time::{Duration, Instant};

use crate::place::Pin;

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

    #[allow(dead_code, reason = "each bench uses its part")]
    pub(crate) fn meter(self) -> Meter {
        Meter { span: self.span, start: Instant::now(), batches: 0, done: 0 }
    }
}

/// Counts what is done in batches; the first one is to get warm.
#[allow(dead_code, reason = "each bench uses its part")]
pub(crate) struct Meter {
    span: Duration,
    start: Instant,
    batches: u64,
    done: u64,
}

#[allow(dead_code, reason = "each bench uses its part")]
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
#[allow(dead_code, reason = "each bench uses its part")]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) rates: Vec<f64>,
}

#[allow(dead_code, reason = "each bench uses its part")]
impl Figure {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), rates: Vec::new() }
    }

    pub(crate) fn median(&self) -> f64 {
        let mut rates = self.rates.clone();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    }

    /// What one takes, in ns.
    #[allow(dead_code, reason = "each bench uses its part")]
    pub(crate) fn each(&self) -> f64 {
        1e9 / self.median()
    }

    /// One line, in ns per piece of work; `floor` is what it is compared with.
    #[allow(dead_code, reason = "each bench uses its part")]
    pub(crate) fn print_each(&self, floor: &Self) {
        let (each, times) = (self.each(), self.each() / floor.each());
        println!("  {:<36} {each:>9.0} ns  {:>12.0} Hz  {times:>5.2} x the floor", self.name, self.median());
    }

    /// One line; `floor` is what it is compared with.
    #[allow(dead_code, reason = "each bench uses its part")]
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
