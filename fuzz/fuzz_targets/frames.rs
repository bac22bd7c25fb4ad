//! A data connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pleach::fuzzing::frames(input));
