//! A control connection, with its handshake.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pleach::fuzzing::control(input));
