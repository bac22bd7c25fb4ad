//! Queues and waits.
