//! Two ends that do whatever the input says.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| pleach::fuzzing::dialog(input));
