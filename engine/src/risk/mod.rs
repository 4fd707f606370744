//! Statistics of a rollout: is what was updated worse than what was not?
//!
//! Pure: ticks in, evidence out; nothing here knows of rollouts, commands or stages. [`bad_release`] is the test that stops a rollout,
//! [`blame`] says which of several overlapping rollouts is the culprit, [`baselines`] are the simpler tests it is measured against.

pub mod bad_release;
pub mod baselines;
pub mod blame;
mod evidence;
mod normal;
mod panel;
mod slow;
#[cfg(test)]
mod tests;
mod windows;

pub use evidence::{Estimate, Evidence};

use crate::time::Instant;

/// Where a device stands, for a comparison of updated devices with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Runs what it always ran.
    Control,
    /// Runs the release.
    Treated,
    /// Says nothing about the release: under way, failed, taken back, touched by another rollout.
    Absent,
}

/// A device at a tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceTick {
    /// Its load, percent; `None` where it does not serve or did not report.
    pub load: Option<f32>,
    /// The load expected of it by the forecast in force, percent.
    pub point: Option<f32>,
    /// Its pool.
    pub pool: u32,
    /// Its variant.
    pub variant: u32,
    /// Where it stands.
    pub group: Group,
}

/// A pool at a tick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoolTick {
    /// Σ weight of its members.
    pub weight_total: f64,
    /// Σ weight of those in service.
    pub weight_serving: f64,
}

impl PoolTick {
    /// Load of a member over what it would be if nobody were out.
    pub fn moved(&self) -> f64 {
        if self.weight_serving > 0.0 { self.weight_total / self.weight_serving } else { 1.0 }
    }
}

/// A fleet at a tick.
#[derive(Debug, Clone, Copy)]
pub struct Tick<'a> {
    /// When.
    pub now: Instant,
    /// Every device, always in the same order; later ticks may hold more.
    pub devices: &'a [DeviceTick],
    /// Every pool.
    pub pools: &'a [PoolTick],
}
