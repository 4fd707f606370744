//! The statistics that recorded and generated load are compared by.

use super::Sample;
use slacktide_scenarios::calibration::bursts;
use slacktide_scenarios::calibration::statistics::{
    autocorrelation, correlation, mean_autocorrelation, moments, quantile, sorted,
};

/// Quantiles of all values, as shares.
pub const QUANTILES: [f64; 13] = [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];
/// Lags of the autocorrelation in hours, beside one step.
pub const LAG_HOURS: [f64; 12] = [0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 18.0, 24.0, 36.0, 48.0];
/// Days of which weekdays are told apart.
const WEEK_DAYS_MIN: usize = 14;
/// Values kept of the sorted whole, for the distance of distributions.
const KEPT_MAX: usize = 20_000;

/// Statistics of the load of some devices; NaN is what cannot be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Devices.
    pub devices: usize,
    /// Mean of all values, percent.
    pub mean: f64,
    /// Mean over devices of the standard deviation of each, points.
    pub spread: f64,
    /// Quantiles of all values at [`QUANTILES`], percent.
    pub quantiles: Vec<f64>,
    /// All values sorted, thinned evenly.
    pub sorted: Vec<f64>,
    /// Mean autocorrelation at one step.
    pub step_correlation: f64,
    /// Mean autocorrelations at [`LAG_HOURS`].
    pub lag_correlations: Vec<f64>,
    /// Mean load by part of the day, midnight UTC first.
    pub profile: Vec<f64>,
    /// Mean over devices of the share of variance that the time of day explains.
    pub explained_by_day: f64,
    /// Mean load by weekday, Monday first; empty for less than two weeks.
    pub weekdays: Vec<f64>,
    /// Bursts a day and device.
    pub bursts_per_day: f64,
    /// Mean height of a burst, points.
    pub burst_height: f64,
    /// Mean length of a burst, minutes.
    pub burst_minutes: f64,
    /// Mean correlation of two devices of the same pool.
    pub pair_correlation: f64,
    /// Mean over pools of the 99th percentile of the pool's load, as a multiple of its mean.
    pub pool_peak: f64,
}

impl Statistics {
    /// Of a sample.
    pub fn of(sample: &Sample) -> Self {
        let grid = sample.grid;
        let parts = if grid.period_s <= 1800 { 48 } else { 24 };
        let all = sorted(sample.devices.iter().flatten().copied());
        let spreads: Vec<f64> = sample.devices.iter().filter(|s| moments(s).2 > 1).map(|s| moments(s).1).collect();
        let at = |hours: f64| {
            let lag = (hours * 3600.0 / grid.period_s as f64).round() as usize;
            let exact = (lag as f64 * grid.period_s as f64 - hours * 3600.0).abs() < 1.0;
            if exact && lag > 0 { mean_autocorrelation(&sample.devices, lag).unwrap_or(f64::NAN) } else { f64::NAN }
        };
        let explained: Vec<f64> = sample.devices.iter().filter_map(|s| grid.explained_by_day(s, parts)).collect();
        let (bursts_per_day, burst_height, burst_minutes) = bursts_of(sample, parts);
        let every = all.len().div_ceil(KEPT_MAX).max(1);
        Self {
            devices: sample.devices.len(),
            mean: mean_of(&all),
            spread: mean_of(&spreads),
            quantiles: QUANTILES.iter().map(|p| quantile(&all, *p)).collect(),
            sorted: all.iter().copied().step_by(every).collect(),
            step_correlation: mean_autocorrelation(&sample.devices, 1).unwrap_or(f64::NAN),
            lag_correlations: LAG_HOURS.iter().map(|hours| at(*hours)).collect(),
            profile: profile_of(sample, parts),
            explained_by_day: mean_of(&explained),
            weekdays: weekdays_of(sample),
            bursts_per_day,
            burst_height,
            burst_minutes,
            pair_correlation: pairs_of(sample),
            pool_peak: pool_peak_of(sample),
        }
    }
}

/// NaN of none.
fn mean_of(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Mean over devices of their load by part of the day.
fn profile_of(sample: &Sample, parts: usize) -> Vec<f64> {
    let days: Vec<Vec<f64>> = sample.devices.iter().map(|s| sample.grid.day_means(s, parts, |_| true)).collect();
    (0..parts).map(|part| mean_of(&sorted(days.iter().map(|day| day[part])))).collect()
}

fn weekdays_of(sample: &Sample) -> Vec<f64> {
    let days = sample.devices.iter().map(|s| sample.grid.days_known(s)).max().unwrap_or(0);
    if days < WEEK_DAYS_MIN {
        return Vec::new();
    }
    let mut sums = [(0.0, 0_u32); 7];
    for series in &sample.devices {
        for (step, value) in series.iter().enumerate().filter(|(_, v)| v.is_finite()) {
            let sum = &mut sums[sample.grid.weekday(step)];
            *sum = (sum.0 + value, sum.1 + 1);
        }
    }
    sums.into_iter().map(|(sum, n)| sum / f64::from(n)).collect()
}

/// A day and device; mean height; mean minutes.
fn bursts_of(sample: &Sample, parts: usize) -> (f64, f64, f64) {
    let (mut count, mut height, mut steps, mut known) = (0.0, 0.0, 0.0, 0_usize);
    for series in &sample.devices {
        let day = sample.grid.day_means(series, parts, |_| true);
        let rest: Vec<f64> =
            series.iter().enumerate().map(|(step, v)| v - day[sample.grid.part(step, parts)]).collect();
        known += rest.iter().filter(|v| v.is_finite()).count();
        for burst in bursts(sample.grid, &rest) {
            (count, height, steps) = (count + 1.0, height + burst.height, steps + burst.steps as f64);
        }
    }
    let days = known as f64 * sample.grid.period_s as f64 / 86_400.0;
    (count / days, height / count, steps / count * sample.grid.period_s as f64 / 60.0)
}

fn pairs_of(sample: &Sample) -> f64 {
    let mut all = Vec::new();
    for pool in &sample.pools {
        let members = &sample.devices[pool.clone()];
        let moving: Vec<&Vec<f64>> = members.iter().filter(|s| autocorrelation(s, 1).is_some()).collect();
        for (i, a) in moving.iter().enumerate() {
            all.extend(moving[i + 1..].iter().filter_map(|b| correlation(a, b)));
        }
    }
    mean_of(&all)
}

/// The load of a pool is the mean of its members, at steps where at least half of them are known.
fn pool_peak_of(sample: &Sample) -> f64 {
    let peak = |pool: &std::ops::Range<usize>| {
        let members = &sample.devices[pool.clone()];
        let steps = members.iter().map(Vec::len).max().unwrap_or(0);
        let at = |t: usize| {
            let known = sorted(members.iter().map(|m| m[t]));
            if known.len() * 2 >= members.len() { mean_of(&known) } else { f64::NAN }
        };
        let loads = sorted((0..steps).map(at));
        (quantile(&loads, 0.99) / mean_of(&loads)).max(0.0)
    };
    mean_of(&sorted(sample.pools.iter().filter(|p| !p.is_empty()).map(peak)))
}
