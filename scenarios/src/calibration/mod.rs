//! Learns a generator of synthetic load from recorded load: a scenario whose families have a [`crate::shape::Shape`].
//!
//! Devices are put into a few groups that are alike (`groups`). Of each group are learned the daily curve and the week (`profile`),
//! bursts, the distribution and the memory of what is left (`noise`), what devices of a pool have in common beyond the time of day
//! (`correlation`), and the other metrics (`follower`). Pure: a recording in, a scenario out, nothing drawn by chance.

mod bursts;
mod correlation;
mod follower;
mod grid;
mod groups;
mod noise;
mod profile;
pub mod statistics;
#[cfg(test)]
mod tests;
mod write;

pub use bursts::{Burst, bursts};
pub use grid::Grid;

use crate::Scenario;
use crate::recorded::{Recording, SHARES_OF_ONE};
use bursts::BurstFit;
use follower::FollowerFit;
use noise::{MemoryFit, Passed, SharedFit};
use profile::Daily;
use slacktide_engine::document::InputError;
use statistics::moments;
use std::fmt;

/// Values of a device that anything can be learned from, at least.
pub const VALUES_MIN: usize = 12;
/// Members of a pool at most, where the group has more.
const POOL_SIZE_MAX: usize = 20;
/// Spread of a metric that is as good as constant, points.
const NOISE_FLOOR: f64 = 1e-3;

/// What to learn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Name of the scenario.
    pub name: String,
    /// Groups at most; `None`: by the number of devices.
    pub groups: Option<usize>,
    /// Devices of the scenario; `None`: as many as were recorded.
    pub devices: Option<usize>,
}

/// Why nothing could be learned.
#[derive(Debug, Clone, PartialEq)]
pub enum CalibrationError {
    /// No device has [`VALUES_MIN`] values.
    TooShort {
        /// The most that one has.
        values: usize,
    },
    /// Steps that no scenario can have.
    Period {
        /// Seconds.
        period_s: i64,
    },
    /// The scenario cannot be written.
    Unwritable {
        /// Why.
        problem: String,
    },
    /// The scenario does not read.
    Unreadable(InputError),
}

impl fmt::Display for CalibrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { values } => {
                write!(
                    f,
                    "no device has more than {values} known values of the first metric; at least {VALUES_MIN} are needed"
                )
            }
            Self::Period { period_s } => write!(
                f,
                "steps of {period_s} s cannot be the tick of a scenario: they must divide 15 minutes, or divide a day and be no longer than an hour; choose longer ones with --every, such as --every 15m"
            ),
            Self::Unwritable { problem } => write!(f, "the scenario cannot be written: {problem}"),
            Self::Unreadable(error) => write!(f, "the scenario that was learned is not valid: {error}"),
        }
    }
}

impl std::error::Error for CalibrationError {}

/// A group of devices and what was learned of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    name: String,
    devices: Vec<usize>,
    pool_size: usize,
    daily: Daily,
    week: Option<[f64; 7]>,
    /// Base and own level of each device, percent.
    levels: Vec<f64>,
    noise_percent: f64,
    noise_factors: Vec<f64>,
    marginal: Option<Vec<f64>>,
    memory: MemoryFit,
    shared: SharedFit,
    bursts: BurstFit,
    floor_percent: f64,
    /// Share of slow noise in what a device does not share.
    slow_shares: Vec<f64>,
    others: [Option<FollowerFit>; 3],
}

/// What was learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibrated {
    /// The scenario, valid.
    pub scenario: Scenario,
    /// Recorded devices that were used, in the order in which the scenario's devices stand for them: group by group.
    pub order: Vec<usize>,
    /// How many of them each group has.
    pub group_sizes: Vec<usize>,
    /// Members of a pool in each group, at most.
    pub pool_sizes: Vec<usize>,
    /// The recorded column of cpu, memory, network and disk.
    pub metrics: [Option<usize>; 4],
    /// What the reader should know.
    pub remarks: Vec<String>,
}

/// The recorded column that each of the scenario's metrics is: cpu, or else the first; the others by their names.
fn roles(recording: &Recording) -> [Option<usize>; 4] {
    let named = |name: &str| recording.metrics.iter().position(|m| m.eq_ignore_ascii_case(name));
    let first = named("cpu").unwrap_or(0);
    let other = |name| named(name).filter(|m| *m != first);
    [Some(first), other("memory"), other("network"), other("disk")]
}

/// Learns a scenario from recorded load.
///
/// # Errors
/// [`CalibrationError`] when there is too little, or its steps are no tick.
pub fn calibrate(recording: &Recording, options: &Options) -> Result<Calibrated, CalibrationError> {
    let grid = Grid { start_s: recording.start_s, period_s: recording.period_s };
    let metrics = roles(recording);
    let column = |metric: usize, device: usize| {
        recording.series(metric, device).iter().map(|v| f64::from(*v)).collect::<Vec<f64>>()
    };
    let counts: Vec<usize> =
        (0..recording.devices.len()).map(|d| moments(&column(metrics[0].unwrap_or(0), d)).2).collect();
    let used: Vec<usize> = (0..counts.len()).filter(|d| counts[*d] >= VALUES_MIN).collect();
    if used.is_empty() {
        return Err(CalibrationError::TooShort { values: counts.into_iter().max().unwrap_or(0) });
    }
    let series: [Option<Vec<Vec<f64>>>; 4] =
        metrics.map(|metric| metric.map(|metric| used.iter().map(|d| column(metric, *d)).collect()));
    let [first, others @ ..] = series;
    let first = first.unwrap_or_default();
    let features: Vec<[f64; groups::FEATURES]> = first.iter().map(|s| features(grid, s)).collect();
    let of = groups::groups(&features, options.groups.unwrap_or_else(|| groups::count_for(used.len())));
    let count = of.iter().max().map_or(0, |g| g + 1);
    let groups: Vec<Group> = (0..count)
        .map(|g| {
            let members: Vec<usize> = (0..used.len()).filter(|d| of[*d] == g).collect();
            let pick = |all: &Vec<Vec<f64>>| members.iter().map(|d| all[*d].clone()).collect::<Vec<_>>();
            let others = [0, 1, 2].map(|m| others[m].as_ref().map(&pick));
            let name = if count == 1 { "load".to_owned() } else { format!("load-{}", g + 1) };
            group(name, grid, members.iter().map(|d| used[*d]).collect(), &pick(&first), &others)
        })
        .collect();
    let remarks = remarks(recording, &metrics, &used, grid, &first, &groups);
    let devices = options.devices.unwrap_or(used.len()).max(1);
    let fragment = write::fragment(&options.name, devices, recording.period_s, &groups)?;
    let text = write::text(&fragment, &remarks)?;
    Ok(Calibrated {
        scenario: Scenario::from_toml(&options.name, &text).map_err(CalibrationError::Unreadable)?,
        order: groups.iter().flat_map(|g| g.devices.iter().copied()).collect(),
        group_sizes: groups.iter().map(|g| g.devices.len()).collect(),
        pool_sizes: groups.iter().map(|g| g.pool_size).collect(),
        metrics,
        remarks,
    })
}

/// Level, noise on a logarithmic scale, daily strength, and autocorrelation at an hour of a device.
fn features(grid: Grid, series: &[f64]) -> [f64; groups::FEATURES] {
    let (mean, sd, _) = moments(series);
    let (curve, kept) = profile::own_curve(grid, series, profile::parts(grid));
    let strength = kept * moments(&curve).1.powi(2) / (sd * sd).max(1e-12);
    let memory = statistics::autocorrelation(series, grid.steps(3600)).map_or(0.0, |(value, _)| value);
    [mean, (sd + 0.1).ln(), strength.clamp(0.0, 1.0).sqrt(), memory]
}

fn group(
    name: String,
    grid: Grid,
    devices: Vec<usize>,
    first: &[Vec<f64>],
    others: &[Option<Vec<Vec<f64>>>; 3],
) -> Group {
    let days = first.iter().map(|s| grid.days_known(s)).max().unwrap_or(0);
    let daily = profile::daily(grid, first, true);
    let week = profile::week(grid, first, &daily, days);
    let means: Vec<f64> = first.iter().map(|s| moments(s).0).collect();
    let mut residuals: Vec<Vec<f64>> =
        (0..first.len()).map(|d| residual(grid, &first[d], means[d], &daily, week, d)).collect();
    let bursts = bursts::take_bursts(grid, &mut residuals);
    let rest: Vec<(f64, f64)> = residuals.iter().map(|r| moments(r)).map(|(mean, sd, _)| (mean, sd)).collect();
    // Without bursts the mean is lower; the generator adds them again.
    let levels = (0..first.len()).map(|d| means[d] + rest[d].0 - daily.mean(d)).collect();
    let pool_size = pool_size(first.len());
    let moving = |d: usize| rest[d].1 > NOISE_FLOOR;
    let scaled: Vec<Vec<f64>> = residuals
        .iter()
        .zip(&rest)
        .map(|(r, (mean, sd))| r.iter().map(|v| (v - mean) / sd.max(NOISE_FLOOR)).collect())
        .collect();
    let moving_only: Vec<Vec<f64>> = (0..scaled.len()).filter(|d| moving(*d)).map(|d| scaled[d].clone()).collect();
    let marginal = noise::marginal(moving_only.iter().flatten().copied());
    let passed = Passed::new(marginal.as_deref());
    let pools: Vec<Vec<&Vec<f64>>> = pools(first.len(), pool_size)
        .into_iter()
        .map(|members| members.filter(|d| moving(*d)).map(|d| &scaled[d]).collect())
        .collect();
    let shared = correlation::shared(&pools, &passed);
    let memory = noise::memory(&moving_only, shared, &passed);
    let usual = if shared.share < 1.0 { memory.slow_share / (1.0 - shared.share) } else { 0.0 };
    let slow_share = |r: &Vec<f64>| noise::slow_share(r, memory, shared, &passed).unwrap_or(usual);
    let size = (rest.iter().map(|(_, sd)| sd * sd).sum::<f64>() / rest.len().max(1) as f64).sqrt();
    let low = first.iter().flatten().copied().filter(|v| v.is_finite()).fold(100.0, f64::min);
    Group {
        name,
        pool_size,
        slow_shares: scaled.iter().map(slow_share).collect(),
        marginal,
        noise_percent: (size / memory.within.sqrt()).min(50.0),
        noise_factors: rest.iter().map(|(_, sd)| if size > NOISE_FLOOR { sd / size } else { 1.0 }).collect(),
        others: [0, 1, 2].map(|m| others[m].as_ref().and_then(|metric| follower::follower(grid, first, metric))),
        devices,
        daily,
        week,
        levels,
        memory,
        shared,
        bursts,
        floor_percent: low.clamp(0.0, 100.0),
    }
}

/// What level, daily curve and week leave of a device's load.
fn residual(grid: Grid, series: &[f64], mean: f64, daily: &Daily, week: Option<[f64; 7]>, d: usize) -> Vec<f64> {
    let one = |(step, value): (usize, &f64)| {
        let hour = grid.hour(step);
        let own = crate::shape::profile_at(&daily.own[d], hour);
        let of_week = week.map_or(0.0, |week| (week[grid.weekday(step)] - 1.0) * daily.at(d, hour));
        value - mean - own - of_week
    };
    series.iter().enumerate().map(one).collect()
}

fn pool_size(devices: usize) -> usize {
    let pools = devices.div_ceil(POOL_SIZE_MAX).max(1);
    devices.div_ceil(pools).max(1)
}

/// Members of the pools that so many devices of a group make, as the simulator deals them out.
pub fn pools(devices: usize, pool_size: usize) -> Vec<std::ops::Range<usize>> {
    let count = ((devices as f64 / pool_size.max(1) as f64).round() as usize).max(1);
    let first = |pool: usize| (pool * devices).div_ceil(count);
    (0..count).map(|pool| first(pool)..first(pool + 1)).collect()
}

fn remarks(
    recording: &Recording,
    metrics: &[Option<usize>; 4],
    used: &[usize],
    grid: Grid,
    first: &[Vec<f64>],
    groups: &[Group],
) -> Vec<String> {
    let days = first.iter().map(|s| grid.days_known(s)).max().unwrap_or(0);
    let mut remarks = vec![format!(
        "learned from {} devices over {days} days, steps of {} s, in {} groups",
        used.len(),
        grid.period_s,
        groups.len()
    )];
    let left_out = recording.devices.len() - used.len();
    if left_out > 0 {
        remarks.push(format!("{left_out} devices have fewer than {VALUES_MIN} values and were left out"));
    }
    let demand = &recording.metrics[metrics[0].unwrap_or(0)];
    if demand != "cpu" {
        remarks.push(format!("the column `{demand}` is taken as cpu: the load that moves when a device is out"));
    }
    let unused: Vec<&str> = recording
        .metrics
        .iter()
        .enumerate()
        .filter(|(i, _)| !metrics.contains(&Some(*i)))
        .map(|(_, m)| m.as_str())
        .collect();
    if !unused.is_empty() {
        remarks.push(format!("not used, as a scenario has no such metric: {}", unused.join(", ")));
    }
    let absent: Vec<&str> = ["memory", "network", "disk"]
        .into_iter()
        .zip(&metrics[1..])
        .filter(|(_, m)| m.is_none())
        .map(|(n, _)| n)
        .collect();
    if !absent.is_empty() {
        remarks.push(format!("not recorded, so the defaults stand: {}", absent.join(", ")));
    }
    if days < 2 {
        remarks.push("less than two whole days are known: no daily curve can be told from noise".to_owned());
    } else if groups.iter().all(|g| g.daily.curve.is_empty()) {
        remarks.push("no daily curve stands out from the noise".to_owned());
    }
    if days < profile::WEEKEND_DAYS_MIN {
        remarks.push(format!(
            "{days} days are known: {} are needed to tell weekends from weekdays, so all days are alike",
            profile::WEEKEND_DAYS_MIN
        ));
    } else if days < profile::WEEKDAYS_DAYS_MIN {
        remarks.push(format!(
            "{days} days are known: weekdays are alike, and so are both days of the weekend ({} days would tell more)",
            profile::WEEKDAYS_DAYS_MIN
        ));
    }
    let high = first.iter().flatten().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    if high <= 1.0 {
        remarks.push(format!("{SHARES_OF_ONE}, calibrate again with --scale 100"));
    }
    remarks
}
