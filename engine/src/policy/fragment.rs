//! The file shape of a policy, the way from it to a valid policy is in `settled`; the way back in `written`.
//!
//! Every key is optional; what is left out has the default named in [`super`]'s types. `"unlimited"` and `"off"` switch a limit off.

use super::{Basis, PriorityFormula, RollbackScope};
use crate::document::Whole;
use schemars::JsonSchema;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A number, or a word that switches the limit off (`"off"`, `"unlimited"`), or a share such as `"25%"`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum NumberOrWord {
    /// A number.
    Number(f64),
    /// A word.
    Word(String),
}

impl fmt::Display for NumberOrWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => word.fmt(f),
        }
    }
}

// By hand: the derived reader loses place and kind of what it does not take.
impl<'de> Deserialize<'de> for NumberOrWord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = NumberOrWord;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a word")
            }
            fn visit_i64<E: Error>(self, number: i64) -> Result<NumberOrWord, E> {
                Ok(NumberOrWord::Number(number as f64))
            }
            fn visit_u64<E: Error>(self, number: u64) -> Result<NumberOrWord, E> {
                Ok(NumberOrWord::Number(number as f64))
            }
            fn visit_f64<E: Error>(self, number: f64) -> Result<NumberOrWord, E> {
                Ok(NumberOrWord::Number(number))
            }
            fn visit_str<E: Error>(self, word: &str) -> Result<NumberOrWord, E> {
                Ok(NumberOrWord::Word(word.to_owned()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            $($(#[$field_doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)+
        }
    };
}

section! {
    /// `[scores]`
    ScoresFragment {
        /// Quantile of the window's peak that is the load score, 0.5–0.999.
        load_quantile: f64,
        /// Weight of each metric in the score, 0–1.
        metric_weights: BTreeMap<String, f64>,
        /// The metric whose load moves to the others when a device goes out.
        demand_metric: String,
        /// Criticality 0–100 by function.
        criticality: BTreeMap<String, f64>,
        /// Criticality of functions not named.
        criticality_default: f64,
    }
}
section! {
    /// `[priority]`
    PriorityFragment {
        /// `spare-first` or `literal`.
        formula: PriorityFormula,
        /// Weight of criticality, ≥ 0.
        criticality_weight: f64,
        /// Weight of capacity, ≥ 0.
        capacity_weight: f64,
    }
}
section! {
    /// `[plan]`
    PlanFragment {
        /// Slot length; divides a day.
        slot: String,
        /// How far a plan reaches, 1h to 24h.
        horizon: String,
        /// `forecast`, `current` or `ignore`.
        basis: Basis,
        /// Quantile of a pool's demand that must be served, 0.5–0.999.
        demand_quantile: f64,
        /// Nor is less demand counted on than any day of the history saw within so much of the same time of day, 1s to 6h, or "off".
        demand_seen_within: String,
        /// Utilisation of the weight left in a pool that demand may reach, percent.
        load_limit_percent: f64,
        /// Weight kept free beside that, percent of the pool.
        pool_reserve_percent: f64,
        /// Smaller pools are exempt from the pool rule.
        pool_members_min: Whole,
        /// Most members of a pool out at once: a number, "25%" or "unlimited".
        pool_out_max: NumberOrWord,
        /// Most devices of a region out at once.
        region_out_max: NumberOrWord,
        /// Σ requirement of a batch, or "unlimited".
        batch_requirement_max: NumberOrWord,
        /// Σ capacity score of a batch, or "unlimited".
        batch_capacity_max: NumberOrWord,
        /// Devices in a batch: a number, "5%" of the targets, or "unlimited".
        batch_devices_max: NumberOrWord,
        /// Highest load score of a device in its window, or "off".
        device_load_max: NumberOrWord,
        /// A device that is never so calm goes in windows at most this far above its lowest score, points 0–100.
        device_load_tolerance_points: f64,
        /// Oldest telemetry to plan on, or "off".
        telemetry_age_max: String,
        /// A rollout that got nothing out for this long goes first, whatever its priority.
        patience: String,
        /// First guess of how long a device is out.
        duration_expected: String,
        /// Quantile of known durations a window must cover.
        duration_quantile: f64,
    }
}
section! {
    /// `[[waves]]`
    WaveFragment {
        /// Cumulative share of the targets, percent; the last is 100.
        share_percent: f64,
        /// At least so many devices by the end of this wave, as far as a tenth of the targets goes.
        devices_min: Whole,
        /// Watched for this long before the next wave opens, counted from when four fifths of those that can be reached are through.
        soak: String,
        /// Opens this long after the rollout began, whatever became of the waves before, up to 90d.
        opens_after: String,
        /// Its devices get their turn evenly over this time from its opening, up to 90d.
        spread: String,
        /// The next wave opens once this share of its own devices is updated, percent above 0, or "off".
        success_percent_min: NumberOrWord,
        /// More failed devices of its own than this share stop the rollout, percent, or "off".
        failure_percent_max: NumberOrWord,
    }
}
section! {
    /// `[rate]`: how many devices may be told to go, of all rollouts together.
    RateFragment {
        /// Devices a minute to begin with, 0.001–100000, or "unlimited".
        base_per_minute: NumberOrWord,
        /// What the rate is multiplied by at each increase, 1–10.
        increment_factor: f64,
        /// Increases whenever so many more devices are updated, or "off".
        increase_every_succeeded: NumberOrWord,
        /// Increases whenever so many more devices were told to go, or "off".
        increase_every_notified: NumberOrWord,
        /// Never more devices a minute, 0.001–100000.
        max_per_minute: f64,
    }
}
section! {
    /// `[[windows]]` (weekly), and `[[blackouts]]` (weekly, or once with RFC 3339 moments).
    WindowFragment {
        /// mon … sun; none means every day.
        days: Vec<String>,
        /// `HH:MM`, or a moment for a blackout that happens once.
        from: String,
        /// `HH:MM`, or a moment.
        to: String,
        /// IANA time zone (default UTC), or "local": the zone of each device's region.
        zone: String,
    }
}
section! {
    /// `[regions.NAME]`
    RegionFragment {
        /// IANA time zone that windows in "local" time are read in (default UTC).
        zone: String,
        /// Share of its link that updates may use, Mbit/s, or "unlimited".
        link_mbit_per_s: NumberOrWord,
        /// Most of its devices out at once, instead of `plan.region_out_max`.
        out_max: NumberOrWord,
    }
}
section! {
    /// `[monitor]`
    MonitorFragment {
        /// Aggregate capacity score of updated devices below which to stop, or "off".
        capacity_floor: NumberOrWord,
        /// Devices updated before the floor means anything.
        floor_devices_min: Whole,
        /// Watch the pool rule while a batch is out.
        watch_pools: bool,
        /// Use of a pool's remaining weight at which the watch acts, percent.
        critical_load_percent: f64,
        /// How far ahead the watch looks.
        lookahead: String,
        /// Correct the forecast by how demand has been leaving it since.
        nowcast: bool,
        /// Failed devices at which to stop, percent of those settled.
        failure_percent_max: f64,
        /// Failures before that share means anything.
        failure_count_min: Whole,
        /// Devices that must have come to an end before that share means anything.
        failure_settled_min: Whole,
        /// End the rollout after too many failures, instead of pausing it.
        failures_abort: bool,
        /// Promised rate of false alarms of the bad-release test, or "off".
        false_alarm_rate: NumberOrWord,
        /// Rise of load that a release may bring, points.
        regression_tolerance_points: f64,
    }
}
section! {
    /// `[rollback]`
    RollbackFragment {
        /// `none`, `batch` or `all`.
        on_capacity: RollbackScope,
        /// `none`, `batch` or `all`.
        on_bad_release: RollbackScope,
        /// `none`, `batch` or `all`.
        on_failures: RollbackScope,
        /// After a capacity stop go on by itself after this long, or "off".
        resume_after: String,
        /// Capacity stops before the engine waits for an operator.
        resumes_max: Whole,
        /// Devices whose rollback is held for this long are given up.
        hold_max: String,
    }
}
section! {
    /// `[forecast]`
    ForecastFragment {
        /// Models that compete.
        models: Vec<String>,
        /// Time between forecasts.
        every: String,
        /// History kept and fitted, 1d to 28d.
        history: String,
        /// The season.
        season: String,
        /// Dear models compete only while there are at most this many series.
        dear_series_max: Whole,
        /// Seed of what is drawn by chance: the training of networks.
        seed: Whole,
    }
}
section! {
    /// `[attempts]`
    AttemptFragment {
        /// Tries per device.
        attempts_max: Whole,
        /// Pause between tries.
        retry_pause: String,
        /// An attempt silent for this long has failed.
        timeout: String,
        /// The rollout ends after this long.
        rollout_timeout: String,
    }
}
section! {
    /// A whole policy file.
    PolicyFragment {
        /// Its name.
        name: String,
        /// What it is for, one line.
        summary: String,
        /// How devices are scored.
        scores: ScoresFragment,
        /// Who goes first.
        priority: PriorityFragment,
        /// How batches are made.
        plan: PlanFragment,
        /// Steps of the rollout.
        waves: Vec<WaveFragment>,
        /// How many devices may be told to go a minute.
        rate: RateFragment,
        /// Maintenance windows.
        windows: Vec<WindowFragment>,
        /// Spans in which nothing may be out.
        blackouts: Vec<WindowFragment>,
        /// What is particular to a region, by its name.
        regions: BTreeMap<String, RegionFragment>,
        /// When to stop.
        monitor: MonitorFragment,
        /// What to take back.
        rollback: RollbackFragment,
        /// How to forecast.
        forecast: ForecastFragment,
        /// How often and how long to try.
        attempts: AttemptFragment,
    }
}
