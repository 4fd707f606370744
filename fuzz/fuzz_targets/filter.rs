//! libFuzzer on the body `filter`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| slacktide_fuzz::run("filter", bytes));
