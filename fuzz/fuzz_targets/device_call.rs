//! libFuzzer on the body `device_call`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| slacktide_fuzz::run("device_call", bytes));
