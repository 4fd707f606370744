//! libFuzzer on the body `downtime_csv`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| slacktide_fuzz::run("downtime_csv", bytes));
