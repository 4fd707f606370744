//! The document of a calibration, as `calibration.json` holds it.

use serde::Deserialize;

/// Everything the page needs.
#[derive(Debug, Clone, Deserialize)]
pub struct Document {
    /// Files and folders that were read.
    pub data: Vec<String>,
    /// Devices that were learned from.
    pub recorded_devices: usize,
    /// Devices of the scenario.
    pub devices: usize,
    /// Length of a step.
    pub period_s: i64,
    /// Steps recorded.
    pub steps: usize,
    /// First seed of the generated worlds.
    pub seed: u64,
    /// What the reader should know.
    pub remarks: Vec<String>,
    /// Groups of devices.
    pub groups: Vec<Group>,
    /// The scenario file.
    pub scenario: String,
    /// Metric by metric.
    pub goodness: Vec<Metric>,
    /// First half against second.
    pub held_out: Option<HeldOut>,
    /// A week to look at.
    pub sample_week: Week,
}

/// A group of devices.
#[derive(Debug, Clone, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its devices.
    pub devices: usize,
    /// Members of a pool.
    pub pool_size: usize,
}

/// One metric.
#[derive(Debug, Clone, Deserialize)]
pub struct Metric {
    /// Which.
    pub metric: String,
    /// Of the recorded load.
    pub recorded: Statistics,
    /// Of the generated load.
    pub fitted: Statistics,
    /// What is said of each.
    pub judged: Vec<Judged>,
}

/// Statistics that are curves; a value that cannot be told is none.
#[derive(Debug, Clone, Deserialize)]
pub struct Statistics {
    /// Shares.
    pub quantile_levels: Vec<f64>,
    /// Values at those.
    pub quantiles: Vec<Option<f64>>,
    /// Lags, hours.
    pub lag_hours: Vec<f64>,
    /// Autocorrelations at those.
    pub lag_correlations: Vec<Option<f64>>,
    /// Mean load by part of the day.
    pub profile: Vec<Option<f64>>,
    /// Mean load by weekday.
    pub weekdays: Vec<Option<f64>>,
}

/// What is said of a statistic.
#[derive(Debug, Clone, Deserialize)]
pub struct Judged {
    /// Which.
    pub name: String,
    /// What the distance is.
    pub distance_is: String,
    /// Recorded.
    pub recorded: Option<f64>,
    /// Generated.
    pub fitted: Option<f64>,
    /// How far apart.
    pub distance: Option<f64>,
    /// Good up to here.
    pub good: f64,
    /// Fair up to here.
    pub fair: f64,
    /// good, fair, poor, or not measured.
    pub verdict: String,
}

/// One half against the other.
#[derive(Debug, Clone, Deserialize)]
pub struct HeldOut {
    /// Whole days of a half.
    pub days: usize,
    /// The generator of the first against the second.
    pub fitted: Vec<Judged>,
    /// The first itself against the second.
    pub halves: Vec<Judged>,
}

/// A week to look at.
#[derive(Debug, Clone, Deserialize)]
pub struct Week {
    /// The recorded device.
    pub device: String,
    /// First moment, Unix seconds.
    pub start_s: i64,
    /// Length of a point.
    pub period_s: i64,
    /// Recorded.
    pub recorded: Vec<Option<f64>>,
    /// Generated.
    pub fitted: Vec<Option<f64>>,
}
