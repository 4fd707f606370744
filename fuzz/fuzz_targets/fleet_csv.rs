//! libFuzzer on the body `fleet_csv`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| slacktide_fuzz::run("fleet_csv", bytes));
