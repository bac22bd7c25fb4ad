//! Actors: processes in a tree, each owned by a nursery of its parent.

pub(crate) mod process;
