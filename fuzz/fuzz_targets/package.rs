//! libFuzzer on the body `package`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| slacktide_fuzz::run("package", bytes));
