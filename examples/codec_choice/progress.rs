//! A line on a terminal that says how far it is, if it takes long.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// What takes less needs no line.
const LONG: Duration = Duration::from_secs(2);
const WIDTH: usize = 30;

pub(crate) struct Progress {
    start: Instant,
    steps: usize,
    done: usize,
    shown: bool,
}

impl Progress {
    pub(crate) fn new(steps: usize) -> Self {
        Self { start: Instant::now(), steps, done: 0, shown: false }
    }

    /// The next step begins.
    pub(crate) fn step(&mut self, what: &str) {
        let share = self.done * WIDTH / self.steps;
        self.done = (self.done + 1).min(self.steps);
        if self.start.elapsed() < LONG || !std::io::stderr().is_terminal() {
            return;
        }
        self.shown = true;
        let (full, empty) = ("#".repeat(share), ".".repeat(WIDTH - share));
        // Whoever does not take the line does without.
        let _ = write!(std::io::stderr(), "\r[{full}{empty}] {what:<30}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r{:1$}\r", "", WIDTH + 34);
        }
    }
}
