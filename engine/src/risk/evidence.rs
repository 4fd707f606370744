//! What a test says: e-values kept as logarithms, and estimates.

use super::normal::log_sum_exp;
use crate::time::Span;

/// Rises of load that are bet on, in points beyond the tolerated one, and the share of the stake on each.
pub(super) const RISES: [(f64, f64); 5] = [(1.0, 0.15), (2.0, 0.15), (4.0, 0.2), (8.0, 0.3), (16.0, 0.2)];
/// Largest bet on one device, in units of its normal score.
pub(super) const BET_MAX: f64 = 2.5;
/// Variance at which the interval of an estimate is tightest, in the units of a ledger's: about five devices.
const INTERVAL_PRIOR: f64 = 0.25;

/// What one look says of all devices of a variant, or of all.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ledger {
    pub(super) log_e: [f64; RISES.len()],
    pub(super) sums: Sums,
}

/// What an estimate is made of: Σ weight, Σ weight × excess, and the variance of the latter.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    weight: f64,
    weighted: f64,
    variance: f64,
}

impl Sums {
    pub(super) fn add(&mut self, excess: f64, deviation: f64, shared: f64) {
        let weight = 1.0 / (deviation * deviation + 4.0);
        self.weight += weight;
        self.weighted += weight * excess;
        self.variance += weight * weight * deviation * deviation * shared;
    }

    /// The interval is that of Robbins' normal mixture: it holds at all times at once where the variance is right.
    pub(super) fn estimate(&self, rate: f64) -> Option<Estimate> {
        if self.weight <= 0.0 {
            return None;
        }
        let (points, v) = (self.weighted / self.weight, self.variance + INTERVAL_PRIOR);
        let half = (v * libm::log(v / (INTERVAL_PRIOR * rate * rate))).sqrt() / self.weight;
        let standard_error = self.variance.sqrt() / self.weight;
        Some(Estimate { points, standard_error, interval: [points - half, points + half] })
    }
}

impl Ledger {
    pub(super) fn log_e(&self) -> f64 {
        log_sum_exp(self.log_e.iter().zip(RISES).map(|(log_e, (_, stake))| log_e + libm::log(stake)))
    }
}

/// An estimate with an interval that holds at all times at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Points.
    pub points: f64,
    /// Standard error, points.
    pub standard_error: f64,
    /// Interval, points, at the level 1 − false-alarm rate.
    pub interval: [f64; 2],
}

/// What is known at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Logarithm of the e-value.
    pub log_e: f64,
    /// What it is held against: the logarithm of one over the false-alarm rate.
    pub log_threshold: f64,
    /// The variant that says most, where not all devices together do.
    pub variant: Option<u32>,
    /// By how much updated devices carry more than their pool-mates, at the look that says most.
    pub rise: Option<Estimate>,
    /// Updated devices that took it.
    pub devices: u32,
    /// Pools they are in.
    pub pools: u32,
    /// How long the test has watched.
    pub watched: Span,
}
