//! The language of simulated worlds (TOML), the library of named ones, and recorded load (CSV).
//!
//! A file passes three rooms: [`fragment`] (its shape, everything optional) → [`Scenario`] (validated settings). [`library`] holds the
//! named ones; [`recorded`] reads telemetry and fleets from files, [`package`] what is rolled out, and
//! [`functions`] asks whether what devices do was written as it was meant.

pub mod calibration;
pub mod faults;
pub mod fragment;
pub mod functions;
pub mod library;
pub mod package;
pub mod recorded;
mod scenario;
pub mod shape;

pub use scenario::{
    AlsoRollout, BadRelease, BadReleaseKind, CheckIn, Crash, Duration, Failures, Flash, LoadFamily, Operator,
    PoolGroup, Ramp, Scenario, UpdatePhysics,
};
