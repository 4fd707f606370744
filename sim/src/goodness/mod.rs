//! How well a learned generator fits: the load that the production generator makes of it, against what was recorded, in the same statistics.

mod judge;
mod statistics;
#[cfg(test)]
mod tests;

pub use judge::{Judged, Verdict, judge};
pub use statistics::{LAG_HOURS, QUANTILES, Statistics};

use crate::load::Load;
use crate::setup::Setup;
use slacktide_engine::document::InputError;
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::Scenario;
use slacktide_scenarios::calibration::{Calibrated, CalibrationError, Grid, Options, calibrate, pools};
use slacktide_scenarios::recorded::Recording;
use std::ops::Range;

/// Worlds that are generated: as many chances to be like the recording, which is one draw itself.
const WORLDS: u64 = 5;
/// Whole days that each half needs to be held against the other.
const HALF_DAYS_MIN: usize = 2;

/// Load of some devices, and the pools they are in.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When the steps are.
    pub grid: Grid,
    /// Load of each device; NaN is missing.
    pub devices: Vec<Vec<f64>>,
    /// Positions of the members of each pool.
    pub pools: Vec<Range<usize>>,
}

/// Recorded and generated load of one metric, and what is said of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Goodness {
    /// Which metric.
    pub metric: String,
    /// Of what was recorded.
    pub recorded: Statistics,
    /// Of what was generated, over several worlds.
    pub fitted: Statistics,
    /// Statistic by statistic.
    pub judged: Vec<Judged>,
}

/// The generator learned from the first half, held against the second, which it has not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// Whole days of a half.
    pub days: usize,
    /// The generator against the second half.
    pub fitted: Vec<Judged>,
    /// The first half itself against the second: how alike two halves of the same load are.
    pub halves: Vec<Judged>,
}

/// What was recorded of one metric, devices in the order in which the scenario stands for them.
pub fn recorded(recording: &Recording, calibrated: &Calibrated, metric: usize) -> Sample {
    let series = |d: &usize| recording.series(metric, *d).iter().map(|v| f64::from(*v)).collect();
    Sample {
        grid: Grid { start_s: recording.start_s, period_s: recording.period_s },
        devices: calibrated.order.iter().map(series).collect(),
        pools: pool_ranges(calibrated),
    }
}

fn pool_ranges(calibrated: &Calibrated) -> Vec<Range<usize>> {
    let mut first = 0;
    let mut ranges = Vec::new();
    for (size, pool_size) in calibrated.group_sizes.iter().zip(&calibrated.pool_sizes) {
        ranges.extend(pools(*size, *pool_size).into_iter().map(|r| r.start + first..r.end + first));
        first += size;
    }
    ranges
}

/// Load that the scenario's generator makes at the times of a recording, as many devices as were learned from, with gaps where the
/// recording has them; one sample for each of cpu, memory, network and disk. Several worlds stand side by side in each.
///
/// # Errors
/// A scenario whose policy does not read.
pub fn generated(recording: &Recording, calibrated: &Calibrated, seed: u64) -> Result<[Sample; 4], InputError> {
    let mut scenario: Scenario = calibrated.scenario.clone();
    let count = calibrated.order.len();
    scenario.devices = count;
    scenario.start = Instant::from_secs(recording.start_s);
    let setup = Setup::new(scenario.clone(), scenario.policy()?);
    let grid = Grid { start_s: recording.start_s, period_s: recording.period_s };
    let ranges = pool_ranges(calibrated);
    let worlds = WORLDS as usize;
    let all = || Sample {
        grid,
        devices: vec![vec![f64::NAN; recording.steps]; count * worlds],
        pools: (0..worlds).flat_map(|w| ranges.iter().map(move |r| r.start + w * count..r.end + w * count)).collect(),
    };
    let mut samples = [all(), all(), all(), all()];
    let resolutions = calibrated.metrics.map(|metric| metric.and_then(|m| resolution(&recording.columns[m])));
    let period = Span::from_secs(recording.period_s.unsigned_abs());
    for world in 0..worlds {
        let seed = seed + world as u64;
        let (facts, group_of) = setup.devices(seed);
        let mut load = Load::new(&setup, &facts, &group_of, seed);
        let mut columns = vec![vec![0.0_f32; count]; Scenario::METRICS.len()];
        for step in 0..recording.steps {
            load.fill(step as u64, setup.scenario.start + period.times(step), &mut columns);
            for (metric, sample) in samples.iter_mut().enumerate() {
                let column = calibrated.metrics[metric].or(calibrated.metrics[0]).unwrap_or(0);
                for (d, value) in columns[metric].iter().enumerate() {
                    if recording.series(column, calibrated.order[d])[step].is_finite() {
                        let value = f64::from(*value);
                        let reported = resolutions[metric].map_or(value, |unit| (value / unit).round() * unit);
                        sample.devices[world * count + d][step] = reported;
                    }
                }
            }
        }
    }
    Ok(samples)
}

/// The unit that values are recorded in, where it is coarse: generated load is rounded to it before it is compared, as a meter would.
fn resolution(values: &[f32]) -> Option<f64> {
    let known = || values.iter().filter(|v| v.is_finite()).map(|v| f64::from(*v));
    [1.0, 0.5, 0.1].into_iter().find(|unit| known().all(|v| (v / unit - (v / unit).round()).abs() < 1e-3))
}

/// Every metric that was recorded, judged.
///
/// # Errors
/// A scenario whose policy does not read.
pub fn goodness(recording: &Recording, calibrated: &Calibrated, generated: &[Sample; 4]) -> Vec<Goodness> {
    let roles = Scenario::METRICS.into_iter().zip(calibrated.metrics).zip(generated);
    roles
        .filter_map(|((name, column), sample)| {
            let recorded = Statistics::of(&recorded(recording, calibrated, column?));
            let fitted = Statistics::of(sample);
            Some(Goodness { metric: name.to_owned(), judged: judge(&recorded, &fitted), recorded, fitted })
        })
        .collect()
}

/// The first metric of the second half against the generator of the first half, and against the first half; `None` where the recording is
/// too short to be halved.
///
/// # Errors
/// What the first half cannot be learned from.
pub fn held_out(recording: &Recording, options: &Options, seed: u64) -> Result<Option<HeldOut>, CalibrationError> {
    let per_day = (86_400 / recording.period_s).max(1) as usize;
    let half = recording.steps / 2 / per_day * per_day;
    let (first, second) = (recording.between(0..half), recording.between(half..recording.steps));
    let days = |r: &Recording| {
        let grid = Grid { start_s: r.start_s, period_s: r.period_s };
        (0..r.devices.len())
            .map(|d| grid.days_known(&r.series(0, d).iter().map(|v| f64::from(*v)).collect::<Vec<_>>()))
            .max()
            .unwrap_or(0)
    };
    let days = days(&first).min(days(&second));
    if days < HALF_DAYS_MIN {
        return Ok(None);
    }
    let calibrated = calibrate(&first, options)?;
    let samples = generated(&second, &calibrated, seed).map_err(CalibrationError::Unreadable)?;
    let metric = calibrated.metrics[0].unwrap_or(0);
    let later = Statistics::of(&recorded(&second, &calibrated, metric));
    let earlier = Statistics::of(&recorded(&first, &calibrated, metric));
    Ok(Some(HeldOut { days, fitted: judge(&later, &Statistics::of(&samples[0])), halves: judge(&later, &earlier) }))
}
