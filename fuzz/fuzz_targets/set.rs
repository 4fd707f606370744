//! libFuzzer on the body `set`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| slacktide_fuzz::run("set", bytes));
