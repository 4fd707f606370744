//! The controller with agents of its own kind in the same process, on a clock that the test turns.
// A test fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agent;
mod conformance;
mod crash;
mod crew;
mod door;
mod ground;
mod hostile;
mod kills;
mod opentelemetry;
mod people;
mod processes;
mod proxy;
mod rollout;
mod stored;
mod storms;
mod world;
