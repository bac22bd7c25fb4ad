//! Where the processes of a bench run.
#![allow(dead_code, reason = "each bench uses its part")]

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// What `PIN` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    Same,
    Split,
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

/// Puts this process on its one CPU, before it has threads; its children inherit that.
pub(crate) fn place_root(pin: Pin) {
    if pin != Pin::None {
        assert!(pin_to(first_cpu()), "a thread can be put on a CPU that it may use");
    }
}

/// Puts the thread of a child, which has inherited the root's CPU, on another one if they are to be split.
pub(crate) fn place_child() {
    if Pin::from_env() == Pin::Split {
        place_elsewhere();
    }
}

/// Puts this thread, which is bound to one CPU, on another one.
pub(crate) fn place_elsewhere() {
    let own = first_cpu();
    assert!((own + 1..CpuSet::MAX_CPU).any(pin_to), "it needs a second CPU");
}
