//! libFuzzer on the body `scenario`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| slacktide_fuzz::run("scenario", bytes));
