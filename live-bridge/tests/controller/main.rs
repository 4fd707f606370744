//! The controller with agents of its own kind in the same process, on a clock that the test turns.
// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// Seeds and measured figures are shown with --nocapture.
#![allow(clippy::print_stdout)]

mod agent;
mod conformance;
mod crash;
mod crew;
mod dashboard;
mod door;
mod floods;
mod frames;
mod ground;
mod hostile;
mod kills;
mod opentelemetry;
mod people;
mod processes;
mod proxy;
mod rollout;
mod rotation;
mod stored;
mod storms;
mod wire;
mod wire_body;
mod world;
