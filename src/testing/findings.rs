//! What a driver has found.

use std::fmt;

/// All that a driver has found in a scenario.
#[derive(Clone, Debug)]
#[must_use = "what it found is to be looked at: `.assert_none()`"]
pub struct Findings {
    /// How often the scenario was run.
    pub runs: usize,
    /// What was wrong, and in which run.
    pub found: Vec<Finding>,
}

impl Findings {
    /// The number of runs, if nothing was found.
    ///
    /// # Panics
    /// If something was, with all of it.
    #[track_caller]
    pub fn assert_none(&self) -> usize {
        assert!(self.found.is_empty(), "{self}");
        self.runs
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} runs, {} of them went wrong", self.runs, self.found.len())?;
        self.found.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The await, or the poll, at which the scenario was ended; counted from 1.
    pub at: usize,
    /// What it was.
    pub what: What,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended at {}: {}", self.at, self.what)
    }
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// It did not end: nobody had anything to do, and no timer was set.
    Hangs,
    /// It was polled a million times and had not ended.
    Spins,
    /// A panic came out of it.
    Panicked(String),
    /// Of these probes, and of so many scopes, tasks and permits, something was left.
    Leaked(String),
    /// A task has returned this failure, and the outcome does not have it.
    LostFailure(String),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hangs => write!(f, "it hangs: everybody waits, and no timer is set"),
            Self::Spins => write!(f, "it spins: polled a million times, it had not ended"),
            Self::Panicked(text) => write!(f, "it panicked: {text}"),
            Self::Leaked(what) => write!(f, "it left behind {what}"),
            Self::LostFailure(text) => write!(f, "the failure `{text}` is lost"),
        }
    }
}
