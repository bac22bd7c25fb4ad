//! The right of a strand to go on waiting after a cancel, for what cannot be stopped but has a bound.

use std::sync::Arc;

use super::running;
use super::strand::Strand;

/// As long as it is there, the strand that it was made in may wait until its grace is over (R3).
pub(crate) struct Entitled(Arc<Strand>);

impl Entitled {
    /// For the running strand; `None` outside every scope.
    pub(crate) fn here() -> Option<Self> {
        let strand = running::current()?;
        strand.entitle();
        Some(Self(strand))
    }
}

impl Drop for Entitled {
    fn drop(&mut self) {
        self.0.disentitle();
    }
}
