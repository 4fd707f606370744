//! A policy: what an operator intends, valid by construction.
//!
//! The file shape is in [`fragment`]; [`library`] holds the named ones. A [`Policy`] can only be made through
//! [`Policy::from_toml`], [`library::named`] or [`Policy::default`], all of which validate.

pub mod fragment;
pub mod library;
pub mod priority;
mod settled;
mod written;

use crate::time::Span;
use crate::window::{Calendar, Zone};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All thresholds of one rollout. Every default is explained in `docs/defaults.md`.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name in reports.
    pub name: String,
    /// What it imitates or is for, one line.
    pub summary: String,
    /// How devices are scored.
    pub scores: Scores,
    /// Who goes first.
    pub priority: Priority,
    /// How batches are made.
    pub plan: PlanRules,
    /// Steps of the rollout, cumulative shares, the last 100 %.
    pub waves: Vec<Wave>,
    /// How many devices may be told to go a minute; `None` is unlimited.
    pub rate: Option<RateRules>,
    /// When devices may be out.
    pub calendar: Calendar,
    /// What is particular to a region, by its name; regions not named have [`RegionRules::default`].
    pub regions: BTreeMap<String, RegionRules>,
    /// When to stop.
    pub monitor: MonitorRules,
    /// What to take back.
    pub rollback: RollbackRules,
    /// How to forecast.
    pub forecast: ForecastRules,
    /// How often and how long to try.
    pub attempts: AttemptRules,
}

/// How devices are scored.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Quantile of the window's peak utilisation that is the load score, 0.5..1 (default 0.90).
    pub load_quantile: f64,
    /// Weight of each metric's utilisation in the score, 0..=1, by metric name; metrics not named weigh 1.
    pub metric_weights: Vec<(String, f64)>,
    /// The metric whose load moves to the others when a device goes out (default `cpu`).
    pub demand_metric: String,
    /// Criticality 0–100 of a device's function, by function name.
    pub criticality: Vec<(String, f64)>,
    /// Criticality of functions not named (default 50).
    pub criticality_default: f64,
}

/// Which of the two formulae orders the devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PriorityFormula {
    /// `w_crit·(1 − criticality/100) + w_cap·capacity/100`: critical, busy devices go last.
    SpareFirst,
    /// `w_crit·criticality/100 + w_cap·(1 − load/100)`: critical devices go first.
    Literal,
}

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Priority {
    /// The formula.
    pub formula: PriorityFormula,
    /// `w_crit` ≥ 0 (default 0.5).
    pub criticality_weight: f64,
    /// `w_cap` ≥ 0 (default 0.5).
    pub capacity_weight: f64,
}

/// What the load and demand rules believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// The forecast for each window.
    Forecast,
    /// The load now, held for the whole horizon.
    Current,
    /// Nothing: the rules are off.
    Ignore,
}

/// A limit on how many of a set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CountLimit {
    /// No limit.
    Unlimited,
    /// This many.
    Count(u32),
    /// This share of the set in percent, rounded down, but at least one.
    Percent(f64),
}

impl CountLimit {
    /// The limit for a set of `members`; `None` is unlimited.
    pub fn of(self, members: u32) -> Option<u32> {
        match self {
            Self::Unlimited => None,
            Self::Count(count) => Some(count),
            Self::Percent(percent) => Some(((f64::from(members) * percent / 100.0).floor() as u32).max(1)),
        }
    }
}

/// How batches are made.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanRules {
    /// Slot length, a divisor of a day, ≥ 1 min (default 15 min).
    pub slot: Span,
    /// How far ahead a plan reaches, 1 h to 24 h (default 24 h).
    pub horizon: Span,
    /// What the load and demand rules believe (default forecast).
    pub basis: Basis,
    /// Quantile of a pool's demand that must still be served, 0.5..1 (default 0.90).
    pub demand_quantile: f64,
    /// A plan counts on no less demand than any season of the history saw within so much of the same time of it, up to 6 h (default
    /// 30 min); `None` counts on the quantile alone.
    pub demand_seen_within: Option<Span>,
    /// Utilisation of the weight left in a pool that its demand may reach, percent (default 90).
    pub load_limit_percent: f64,
    /// Weight kept free beside that, percent of the pool (default 0).
    pub pool_reserve_percent: f64,
    /// Smaller pools are exempt from the pool rule (default 2).
    pub pool_members_min: u32,
    /// Most members of a pool out at once (default 25 %).
    pub pool_out_max: CountLimit,
    /// Most devices of a region out at once (default unlimited).
    pub region_out_max: CountLimit,
    /// Σ requirement of a batch (default unlimited).
    pub batch_requirement_max: Option<f64>,
    /// Σ capacity score of a batch (default unlimited).
    pub batch_capacity_max: Option<f64>,
    /// Devices in a batch (default unlimited).
    pub batch_devices_max: CountLimit,
    /// Highest load score of a device in its window (default 70); `None` switches the rule off.
    pub device_load_max: Option<f64>,
    /// A device that is never so calm may go in windows whose score is this far above its lowest, points (default 5).
    pub device_load_tolerance_points: f64,
    /// Oldest telemetry to plan on (default 15 min); `None` switches the rule off.
    pub telemetry_age_max: Option<Span>,
    /// A rollout with devices ready that got none of them out for this long goes first, whatever its priority (default 6 h).
    pub patience: Span,
    /// First guess of how long a device is out, until durations are known (default 30 min).
    pub duration_expected: Span,
    /// Quantile of known durations that a window must cover (default 0.95).
    pub duration_quantile: f64,
}

/// What is particular to a region.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RegionRules {
    /// The zone that local windows are read in; UTC where there is none.
    pub zone: Option<Zone>,
    /// The share of its link that updates may use, Mbit/s above 0; `None` is unlimited.
    pub link_mbit_per_s: Option<f64>,
    /// Most of its devices out at once, in place of [`PlanRules::region_out_max`].
    pub out_max: Option<CountLimit>,
}

impl RegionRules {
    /// Bytes that updates may download over its link in `span`; `None` is unlimited.
    pub fn link_bytes(&self, span: Span) -> Option<f64> {
        self.link_mbit_per_s.map(|mbit| mbit * 1e6 / 8.0 * span.as_secs_f64())
    }
}

impl Policy {
    /// The rules of a region, those of one not named too.
    pub fn region(&self, name: &str) -> RegionRules {
        self.regions.get(name).cloned().unwrap_or_default()
    }
}

/// A step of a rollout.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wave {
    /// Cumulative share of the target devices in percent, in (0, 100].
    pub share_percent: f64,
    /// At least so many devices in this and the waves before, as far as a tenth of the targets goes (default 10 in the first wave).
    pub devices_min: u32,
    /// Watched for this long before the next wave opens, counted from when it is done: four fifths of those that can be reached are
    /// through, and who comes later goes on beside the next wave.
    pub soak: Span,
    /// Opens this long after the rollout began, whatever became of the waves before; `None` waits for them.
    pub opens_after: Option<Span>,
    /// Its devices get their turn one after the other, evenly over this time from its opening; zero lets all of them go at once.
    pub spread: Span,
    /// The next wave opens once this share of its own devices is updated, percent; `None`: once its devices have come to an end.
    pub success_percent_min: Option<f64>,
    /// More of its own devices than this share failed, percent: stop; `None` leaves that to [`MonitorRules::failure_percent_max`].
    pub failure_percent_max: Option<f64>,
}

impl Wave {
    /// Canaries, unless the policy says otherwise: with fewer, the bad-release test has too little to go by for a quick word.
    pub const CANARIES_MIN: u32 = 10;
    /// No wave is made larger than this share of the targets for the sake of [`Wave::devices_min`].
    const GROWN_SHARE_MAX: f64 = 0.1;

    /// Devices in this and the waves before, of `targets`.
    pub fn end(&self, targets: usize) -> usize {
        let share = self.share_percent / 100.0 * targets as f64;
        let grown = f64::from(self.devices_min).min(Self::GROWN_SHARE_MAX * targets as f64);
        (share.max(grown).ceil() as usize).clamp(1, targets.max(1))
    }
}

/// A rate that grows with success: how many devices may be told to go a minute, of all rollouts together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateRules {
    /// To begin with, devices a minute, 0.001 to 100 000.
    pub base_per_minute: f64,
    /// What the rate is multiplied by at each increase, 1 to 10 (default 1: it stays).
    pub increment_factor: f64,
    /// Increases whenever so many more devices are updated; `None` does not ask for that.
    pub increase_every_succeeded: Option<u32>,
    /// Increases whenever so many more devices were told to go; `None` does not ask for that.
    pub increase_every_notified: Option<u32>,
    /// Never faster than this, devices a minute (default 1000).
    pub max_per_minute: f64,
}

/// When to stop.
#[derive(Debug, Clone, PartialEq)]
pub struct MonitorRules {
    /// Aggregate capacity score of the updated devices below which to stop (default 10); `None` switches it off.
    pub capacity_floor: Option<f64>,
    /// Devices updated before the floor means anything (default 5).
    pub floor_devices_min: u32,
    /// Watch the pool rule while a batch is out (default true).
    pub watch_pools: bool,
    /// Share of a pool's remaining weight that demand may reach before the watch acts, percent (default 95).
    pub critical_load_percent: f64,
    /// How far ahead the watch looks (default 30 min); zero looks at now only.
    pub lookahead: Span,
    /// Correct the forecast by how demand has been leaving it since (default true).
    pub nowcast: bool,
    /// Failed devices, percent of those settled, at which to stop (default 5).
    pub failure_percent_max: f64,
    /// …but not before this many have failed (default 3).
    pub failure_count_min: u32,
    /// …nor before this many have come to an end (default 0).
    pub failure_settled_min: u32,
    /// After too many failures end the rollout instead of pausing it (default false). What is updated stays.
    pub failures_abort: bool,
    /// Promised rate of false alarms of the bad-release test over a whole rollout (default 0.01); `None` switches it off.
    pub false_alarm_rate: Option<f64>,
    /// Rise of load in points that a release may bring (default 1).
    pub regression_tolerance_points: f64,
}

/// What to take back when a stop falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RollbackScope {
    /// Nothing.
    None,
    /// The batches not yet soaked.
    Batch,
    /// Every device of the rollout.
    All,
}

/// What to take back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RollbackRules {
    /// On a capacity breach, now or forecast (default batch).
    pub on_capacity: RollbackScope,
    /// On a bad release (default all).
    pub on_bad_release: RollbackScope,
    /// On too many failures (default all).
    pub on_failures: RollbackScope,
    /// After a capacity stop, go on by itself once this long has passed (default 1 h); `None` waits for an operator.
    pub resume_after: Option<Span>,
    /// Capacity stops before the engine waits for an operator (default 24).
    pub resumes_max: u32,
    /// Devices whose rollback the budgets hold for this long are given up (default 24 h).
    pub hold_max: Span,
}

/// How to forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastRules {
    /// Models that compete for each series.
    pub models: Vec<slacktide_forecast::ModelKind>,
    /// Time between forecasts (default 1 h).
    pub every: Span,
    /// How much history is kept and fitted, 1 d to 28 d (default 7 d).
    pub history: Span,
    /// The season (default 24 h).
    pub season: Span,
    /// Dear models compete only while a fleet has at most this many series (default 32).
    pub dear_series_max: usize,
    /// Seed of what is drawn by chance: the training of networks (default 1).
    pub seed: u64,
}

/// How often and how long to try.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttemptRules {
    /// Tries per device (default 2).
    pub attempts_max: u32,
    /// Pause between tries (default 1 h).
    pub retry_pause: Span,
    /// An attempt without an outcome for this long has failed (default 2 h).
    pub timeout: Span,
    /// The rollout ends after this long, whoever still waits (default 7 d).
    pub rollout_timeout: Span,
}
