//! Why there is no loop.

use std::fmt;
use std::io;

use rustix::io::Errno;

/// The loop of a foreign scope could not be started; nothing of it is left.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoopFailed {
    /// What was being done.
    pub step: &'static str,
    /// What the system said.
    pub source: io::Error,
}

impl LoopFailed {
    /// For `map_err`.
    pub(super) fn at(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { step, source }
    }

    fn remedy(&self) -> &'static str {
        match Errno::from_io_error(&self.source) {
            Some(Errno::MFILE | Errno::NFILE) => {
                ". Close descriptors, or raise the limit (`ulimit -n`): a loop takes six while it runs"
            }
            Some(Errno::AGAIN | Errno::NOMEM) => {
                ". Raise the limit (`ulimit -u`, pids.max of the cgroup), or open fewer scopes at a time"
            }
            Some(Errno::NOENT) => {
                ". Mount /proc, of a kernel with CONFIG_PROC_CHILDREN: without it nothing proves that a scope is empty"
            }
            _ => "",
        }
    }
}

impl fmt::Display for LoopFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, source } = self;
        write!(f, "the loop of a foreign scope was not started: {step} failed: {source}{}", self.remedy())
    }
}

impl std::error::Error for LoopFailed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
