//! What to run: a world, a policy, and where load comes from.

use crate::rng::{Purpose, Stream};
use slacktide_engine::document::{format_span, nearest};
use slacktide_engine::ids::{DeviceId, PoolId, RegionId, SiteId};
use slacktide_engine::input::DeviceFacts;
use slacktide_engine::journal::JournalMode;
use slacktide_engine::policy::Policy;
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::functions::nearly_known;
use slacktide_scenarios::recorded::Recording;
use slacktide_scenarios::{PoolGroup, Scenario};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Where load comes from.
#[derive(Debug, Clone)]
pub enum LoadSource {
    /// The scenario's families.
    Synthetic,
    /// Recorded machines.
    Recorded {
        /// What was recorded.
        recording: Arc<Recording>,
        /// Members of a pool.
        pool_size: usize,
        /// Rescale each pool so that the 99th percentile of its demand is this share of its capacity, percent.
        pool_peak_percent: Option<f64>,
    },
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The world.
    pub scenario: Scenario,
    /// The policy.
    pub policy: Policy,
    /// Where load comes from.
    pub load: LoadSource,
    /// The fleet, where it comes from a file.
    pub fleet: Option<Vec<DeviceFacts>>,
    /// Forecasts come from the world itself and are never wrong: perfect foresight of load.
    pub oracle: bool,
    /// A fault that the engine has: for tests of the checks.
    #[cfg(feature = "planted-faults")]
    pub plant: Option<slacktide_engine::planted::Fault>,
    /// How much the journal holds.
    pub journal: JournalMode,
    /// What a replay needs to make this setup again, for the journal's header.
    pub origin: serde_json::Value,
}

/// A setup that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// What the devices report does not fill the policy's slots.
    #[error(
        "{what} of {} does not divide the slot of {} of the policy `{policy}`; {}",
        format_span(*tick), format_span(*slot), cure(*slot, *tick)
    )]
    Slot {
        /// `the recorded period` or `the scenario's tick`.
        what: &'static str,
        /// How often devices report.
        tick: Span,
        /// The slot.
        slot: Span,
        /// Whose slot.
        policy: String,
    },
    /// A file names a device that is not in the world.
    #[error("{}:{line}: column `device_id`: there is no device `{device}`{near}", file.display())]
    Unknown {
        /// The file.
        file: PathBuf,
        /// Line.
        line: u64,
        /// The name.
        device: String,
        /// A name that is like it.
        near: String,
    },
    /// Too little was recorded for any history.
    #[error("{hours} hours are recorded; at least 12 are needed: some to learn from and some to roll out in")]
    TooShort {
        /// Hours.
        hours: i64,
    },
}

impl Setup {
    /// A setup with the scenario's own load and policy choice.
    pub const fn new(scenario: Scenario, policy: Policy) -> Self {
        Self {
            scenario,
            policy,
            load: LoadSource::Synthetic,
            fleet: None,
            oracle: false,
            #[cfg(feature = "planted-faults")]
            plant: None,
            journal: JournalMode::Decisions,
            origin: serde_json::Value::Null,
        }
    }

    /// Brings the scenario's times in line with a recording, whatever the policy.
    ///
    /// # Errors
    /// [`SetupError`] where they cannot be.
    pub fn fit_to_recording(&mut self) -> Result<(), SetupError> {
        let LoadSource::Recorded { recording, .. } = &self.load else { return Ok(()) };
        let period = Span::from_secs(recording.period_s.unsigned_abs());
        let days = crate::load::recorded_days(recording).len() as i64;
        let hours = (recording.steps as i64 * recording.period_s / 3600).min(days * 24);
        if hours < 12 {
            return Err(SetupError::TooShort { hours });
        }
        self.scenario.tick = period;
        self.scenario.start = Instant::from_secs(recording.start_s).floor_to(Span::from_secs(86_400));
        // Half to learn from, so that what is rolled out into was never seen: up to a week.
        let half = Span::from_secs((hours / 2).unsigned_abs() * 3600);
        self.scenario.history = half.min(Span::from_secs(7 * 86_400));
        Ok(())
    }

    /// Do the policy's slots hold whole reports of the devices?
    ///
    /// # Errors
    /// [`SetupError::Slot`] where they do not, with a slot that does.
    pub fn check_slot(&self) -> Result<(), SetupError> {
        let (slot, tick) = (self.policy.plan.slot, self.scenario.tick);
        if tick > Span::ZERO && slot.as_millis().is_multiple_of(tick.as_millis()) {
            return Ok(());
        }
        let what = match self.load {
            LoadSource::Recorded { .. } => "the recorded period",
            LoadSource::Synthetic => "the scenario's tick",
        };
        Err(SetupError::Slot { what, tick, slot, policy: self.policy.name.clone() })
    }

    /// Are the devices that the scenario's files name in this world?
    ///
    /// # Errors
    /// [`SetupError::Unknown`] with file and line of one that is not.
    pub fn check_names(&self) -> Result<(), SetupError> {
        let Some(down) = &self.scenario.failures.down_times else { return Ok(()) };
        let (facts, _) = self.devices(0);
        let known: BTreeSet<&str> = facts.iter().map(|facts| facts.id.as_str()).collect();
        let Some(row) = down.rows.iter().find(|row| !known.contains(row.device.as_str())) else { return Ok(()) };
        let device = row.device.to_string();
        let near = nearest(&device, known.iter().copied())
            .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        Err(SetupError::Unknown { file: down.file.clone(), line: row.line, device, near })
    }

    /// Remarks a reader of results should see.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks = self.remarks_on_load();
        let devices = self.fleet.iter().flatten().filter(|facts| facts.criticality.is_none());
        let groups = self.scenario.pools.iter().filter(|_| self.fleet.is_none()).map(|group| group.function.as_str());
        remarks.extend(nearly_known(devices.map(|facts| facts.function.as_str()).chain(groups), &self.policy));
        remarks
    }

    fn remarks_on_load(&self) -> Vec<String> {
        let LoadSource::Recorded { recording, pool_size, pool_peak_percent } = &self.load else { return Vec::new() };
        let pools = match self.fleet {
            Some(_) => "in the pools that the fleet's file gives them".to_owned(),
            None => format!("in pools of {pool_size}"),
        };
        let mut remarks = vec![format!(
            "load of {} recorded machines ({} metrics) on {} devices {pools}: machines are used again with their days shifted, and where a \
             machine's recording ends another's goes on",
            recording.devices.len(),
            recording.metrics.len(),
            self.scenario.devices
        )];
        if let Some(peak) = pool_peak_percent {
            remarks.push(format!(
                "every pool is rescaled so that the 99th percentile of its demand is {peak} % of its capacity"
            ));
        }
        remarks.extend(recording.remarks());
        remarks.extend(recording.shares_of_one(pool_peak_percent.is_some()));
        remarks
    }

    /// Columns of telemetry.
    pub fn metrics(&self) -> Vec<String> {
        match &self.load {
            LoadSource::Synthetic => Scenario::METRICS.map(str::to_owned).to_vec(),
            LoadSource::Recorded { recording, .. } => recording.metrics.clone(),
        }
    }

    /// The devices under a seed, and the group each belongs to.
    pub(crate) fn devices(&self, seed: u64) -> (Vec<DeviceFacts>, Vec<usize>) {
        if let Some(fleet) = &self.fleet {
            return (fleet.clone(), vec![0; fleet.len()]);
        }
        let groups = &self.scenario.pools;
        let total: f64 = groups.iter().map(|g| g.share).sum();
        let mut facts = Vec::with_capacity(self.scenario.devices);
        let mut group_of = Vec::with_capacity(self.scenario.devices);
        let mut given = 0.0;
        for (g, group) in groups.iter().enumerate() {
            given += group.share;
            let until = (given / total * self.scenario.devices as f64).round() as usize;
            let size = match &self.load {
                LoadSource::Synthetic => group.pool_size,
                LoadSource::Recorded { pool_size, .. } => *pool_size,
            };
            let count = until - facts.len();
            for n in 0..count {
                let mut stream = Stream::new(seed, Purpose::Fleet, facts.len() as u64);
                facts.push(device(group, n, pool_number(n, count, size), &mut stream));
                group_of.push(g);
            }
        }
        (facts, group_of)
    }
}

/// The longest slot a policy may have, and the day that slots divide.
const SLOT_MAX_MS: u64 = 3_600_000;
const DAY_MS: u64 = 86_400_000;

/// What would fit instead: the next longer slot of whole reports, or else the longest there is.
fn cure(slot: Span, tick: Span) -> String {
    let step = tick.as_millis().max(1);
    let fitting = (1..=SLOT_MAX_MS / step).map(|n| n * step).filter(|slot| DAY_MS.is_multiple_of(*slot));
    let fitting: Vec<u64> = fitting.collect();
    match fitting.iter().find(|longer| **longer > slot.as_millis()).or_else(|| fitting.last()) {
        Some(fits) => format!("set `plan.slot`, such as to {}", format_span(Span::from_millis(*fits))),
        None => "no slot would, as slots divide a day and are at most 1h long: bring the load to steps that divide one"
            .to_owned(),
    }
}

/// Pools of nearly equal size, none smaller than half of what was asked for.
fn pool_number(n: usize, count: usize, size: usize) -> usize {
    let pools = ((count as f64 / size.max(1) as f64).round() as usize).max(1);
    n * pools / count
}

fn device(group: &PoolGroup, n: usize, pool: usize, stream: &mut Stream) -> DeviceFacts {
    let region = &group.regions[n % group.regions.len()];
    let site = n / group.regions.len() % group.sites_per_region + 1;
    let between = |(low, high): (f64, f64), u: f64| low + (high - low) * u;
    DeviceFacts {
        id: DeviceId::new(format!("{}-{:05}", group.name, n + 1)),
        pool: PoolId::new(format!("{}-{}", group.name, pool + 1)),
        region: RegionId::new(region.as_str()),
        site: SiteId::new(format!("{region}-{site}")),
        function: group.function.clone(),
        criticality: None,
        version: *pick(&group.versions, stream.uniform()),
        variant: pick(&group.variants, stream.uniform()).clone(),
        weight: between(group.weight, stream.uniform()),
        requirement: between(group.requirement, stream.uniform()),
    }
}

/// The value that a share in [0, 1) of the total falls on. There is always one: scenarios are validated.
fn pick<T>(shares: &[(T, f64)], u: f64) -> &T {
    let mut left = u * shares.iter().map(|(_, share)| share).sum::<f64>();
    for (value, share) in shares {
        left -= share;
        if left < 0.0 {
            return value;
        }
    }
    &shares[shares.len() - 1].0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_would_fit_is_named_where_there_is_one() {
        let minutes = |n: u64| Span::from_secs(60 * n);
        assert_eq!(cure(minutes(15), minutes(60)), "set `plan.slot`, such as to 1h");
        assert_eq!(cure(minutes(15), minutes(10)), "set `plan.slot`, such as to 20m");
        assert_eq!(cure(minutes(60), minutes(16)), "set `plan.slot`, such as to 48m", "none is longer than 1h");
        for tick in [7, 120] {
            assert!(cure(minutes(15), minutes(tick)).starts_with("no slot would"), "{tick}");
        }
    }
}
