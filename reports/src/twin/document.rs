//! The document of schema `slacktide/twin/1`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What may come of the rollouts of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// `slacktide/twin/1`.
    pub schema: String,
    /// The journal's file.
    pub journal: String,
    /// The moment looked ahead from, RFC 3339.
    pub at: String,
    /// How far, hours.
    pub ahead_h: f64,
    /// Courses for each policy.
    pub runs: u64,
    /// Draws their loads.
    pub seed: u64,
    /// By policy, the journal's own first.
    pub arms: Vec<Arm>,
    /// How earlier looks ahead came out, where asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub calibration: Option<Calibration>,
}

/// What may come under one policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Its name.
    pub policy: String,
    /// Time until the last rollout has ended.
    pub completion: Hours,
    /// Share of the courses (0–1) in which something happens, by name.
    pub chances: BTreeMap<String, f64>,
    /// Capacity of the devices in service, slot by slot.
    pub capacity: Vec<Point>,
    /// Devices on the new release at the end, mean.
    pub updated_devices: f64,
}

/// Quantiles of a time in hours; `None` beyond the time looked ahead.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Hours {
    /// One in ten is shorter.
    pub p10: Option<f64>,
    /// Half are.
    pub p50: Option<f64>,
    /// Nine in ten are.
    pub p90: Option<f64>,
}

/// Quantiles of capacity at one moment, percent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Hours ahead.
    pub h: f64,
    /// 2.5 %.
    pub p2: f64,
    /// 10 %.
    pub p10: f64,
    /// Half.
    pub p50: f64,
    /// 90 %.
    pub p90: f64,
    /// 97.5 %.
    pub p97: f64,
}

/// How earlier looks ahead came out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Percent in the middle that each band is to hold.
    pub bands_percent: Vec<u32>,
    /// Capacity, by distance, then the time of completion.
    pub scores: Vec<Score>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// What was foretold.
    pub what: String,
    /// Pairs of forecast and truth.
    pub count: u64,
    /// Percent of them within each band; `None` without pairs.
    pub within_percent: Vec<Option<f64>>,
}
