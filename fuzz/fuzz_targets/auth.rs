//! A socket before the key is proven.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pleach::fuzzing::auth(input));
