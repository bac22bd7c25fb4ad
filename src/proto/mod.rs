//! The wire protocol as pure state machines: no I/O, no clock, no tasks.
#![forbid(unsafe_code)]

pub(crate) mod auth;
pub(crate) mod blocked;
pub(crate) mod connection;
pub(crate) mod control;
pub(crate) mod credit;
pub(crate) mod dialog;
pub(crate) mod entry;
pub(crate) mod event;
pub(crate) mod fragment;
pub(crate) mod gather;
pub(crate) mod handshake;
mod inbox;
pub(crate) mod key;
pub(crate) mod landing;
pub(crate) mod lobby;
mod outbox;
pub(crate) mod plain;
mod reader;
mod recycle;
pub(crate) mod segments;
pub(crate) mod start;

#[cfg(test)]
mod tests;
