//! The `slacktide` binary.
fn main() {}
