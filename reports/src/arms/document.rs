//! The document of a comparison of arms, as `comparison.json` holds it.

use crate::text::number;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Everything the page needs.
#[derive(Debug, Clone, Deserialize)]
pub struct Document {
    /// Name of the world.
    pub scenario: String,
    /// First seed.
    pub seed: u64,
    /// Devices of the world.
    pub devices: usize,
    /// Runs of every arm.
    pub replications: u32,
    /// What the arms are: `policies` or `forecasters`.
    pub arms_are: String,
    /// What the reader should know.
    pub remarks: Vec<String>,
    /// What was found, in sentences.
    pub findings: Vec<String>,
    /// The arms, in the order they were named.
    pub arms: Vec<Arm>,
    /// Paired differences.
    pub differences: Vec<Difference>,
    /// Names from the least overload caused to the most.
    pub ranking: Vec<String>,
    /// Which arms may be the best, where that was asked.
    #[serde(default)]
    pub selection: Option<Selection>,
}

/// Arms that may be the best in a measure.
#[derive(Debug, Clone, Deserialize)]
pub struct Selection {
    /// The measure; less is better.
    pub measure: String,
    /// Their names.
    pub subset: Vec<String>,
    /// By arm.
    pub intervals: Vec<FromBest>,
    /// The next question, asked of the arms of the subset only.
    #[serde(default)]
    pub then: Option<Box<Self>>,
}

/// How far an arm is from the best of the others.
#[derive(Debug, Clone, Deserialize)]
pub struct FromBest {
    /// Its name.
    pub arm: String,
    /// Its mean less the smallest mean of the others.
    pub less_best_of_others: f64,
    /// Interval of that; those of all arms hold at once.
    pub ci: [f64; 2],
}

/// One arm.
#[derive(Debug, Clone, Deserialize)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// Its measures.
    pub measures: BTreeMap<String, Summary>,
    /// How its rollouts ended, seed by seed.
    pub rollout_states: Vec<String>,
}

/// A mean and its 95 % interval.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Summary {
    /// Mean.
    pub mean: f64,
    /// Interval; a single run has none.
    pub ci95: Option<[f64; 2]>,
}

impl Summary {
    /// The ends of the interval, for a plot: where there is none, the mean alone.
    pub(crate) fn ends(&self) -> [f64; 2] {
        self.ci95.unwrap_or([self.mean; 2])
    }

    /// In another unit.
    pub(crate) fn scaled(&self, scale: f64) -> Self {
        Self { mean: self.mean / scale, ci95: self.ci95.map(|ends| ends.map(|v| v / scale)) }
    }

    /// `mean ± half width`, or the mean alone.
    pub(crate) fn words(&self, scale: f64) -> String {
        let half = self.ci95.map(|[low, high]| format!(" ± {}", number((high - low) / 2.0 / scale)));
        format!("{}{}", number(self.mean / scale), half.unwrap_or_default())
    }
}

/// A paired difference, `a − b`.
#[derive(Debug, Clone, Deserialize)]
pub struct Difference {
    /// First arm.
    pub a: String,
    /// Second arm.
    pub b: String,
    /// Which measure.
    pub measure: String,
    /// Mean, and an interval that holds together with those of all pairs of this measure.
    #[serde(flatten)]
    pub summary: Summary,
    /// Probability of so large a difference by chance, corrected for the pairs of this measure; none when it rests on one run.
    pub p_corrected: Option<f64>,
    /// More than chance, after that correction.
    pub different: bool,
}

/// How a measure is written.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    /// What people call it.
    pub label: &'static str,
    /// What its value is divided by.
    pub scale: f64,
}

/// The name and unit of a measure; those without an entry are written as they are.
pub fn unit(measure: &str) -> Option<Unit> {
    let unit = |label, scale| Some(Unit { label, scale });
    match measure {
        "overload_caused_device_minutes" => unit("overload caused, device-minutes", 1.0),
        "makespan_s" => unit("makespan, h", 3600.0),
        "unserved_demand_percent" => unit("demand not served, %", 1.0),
        "patch_latency_device_hours" => unit("patch latency, device-hours", 1.0),
        "updated_devices" => unit("devices updated", 1.0),
        "failed_devices" => unit("devices failed", 1.0),
        "exposed_devices" => unit("devices exposed to a bad release", 1.0),
        "forecast_mae_points" => unit("forecasts off by, points", 1.0),
        _ => None,
    }
}
