//! The primitives under what tasks share: those of std, or those of loom, which runs the same code in every order that its
//! threads could take (`RUSTFLAGS="--cfg pleach_loom" cargo test --release --lib loom`).

mod brief;

pub(crate) use brief::{Brief, BriefGuard};
#[cfg(pleach_loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard, atomic};
#[cfg(not(pleach_loom))]
pub(crate) use std::sync::{Mutex, MutexGuard, atomic};
