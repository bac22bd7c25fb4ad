//! Guest mode on loops of others: one text of tests, in `guest/`, for each of them (laws L27 and L29).
#![forbid(unsafe_code)]

#[path = "guest/hosts.rs"]
mod hosts;
#[path = "guest/stage.rs"]
mod stage;
#[path = "guest/suite/mod.rs"]
#[macro_use]
mod suite;

suite!(toy, crate::hosts::Toy);
suite!(calloop, crate::hosts::Calloop);
