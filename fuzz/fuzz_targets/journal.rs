//! libFuzzer on the body `journal`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| slacktide_fuzz::run("journal", bytes));
