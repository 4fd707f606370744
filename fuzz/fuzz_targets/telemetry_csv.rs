//! libFuzzer on the body `telemetry_csv`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| slacktide_fuzz::run("telemetry_csv", bytes));
