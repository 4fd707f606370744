//! What a journal says, one entry a line.
//!
//! A line is `{"n":…,"at":…,"prev":"…","entry":{"kind":…}}`; see [`super::chain`] for how lines hang together. Fields are only
//! ever added, under `#[serde(default)]`; a change of meaning raises [`JOURNAL_VERSION`].

use crate::ids::{AttemptId, CommandId, DeviceId, PlanNumber, RolloutId, WaveIndex};
use crate::input::Input;
use crate::plan::MoveReason;
use crate::rollout::{AttemptState, Cause, HoldReason, RolloutState};
use crate::time::{Instant, Span};
use crate::version::Version;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of the entries below.
pub const JOURNAL_VERSION: u32 = 1;

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Counts from 0.
    pub n: u64,
    /// When.
    pub at: Instant,
    /// Hash of the line before, as hex; of the first line, 64 zeros.
    pub prev: String,
    /// What.
    pub entry: Entry,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Entry {
    /// Always the first: what is needed to replay.
    Header(Box<Header>),
    /// An input, as it was handed in. In a `decisions` journal telemetry, forecasts, requests and progress are left out.
    Input {
        /// The input.
        input: Box<Input>,
    },
    /// The fleet when a rollout began.
    Fleet {
        /// Which rollout.
        rollout: RolloutId,
        /// Devices enrolled.
        devices: u32,
        /// Devices the rollout is for.
        targets: u32,
        /// The pools, in the order of [`TickEntry::pool_peaks_percent`].
        pools: Vec<PoolFacts>,
        /// Device counts by region.
        regions: BTreeMap<String, u32>,
        /// The devices it is for, so that what follows can be told by pool and by region; empty for more than 200,000.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        members: Vec<MemberFacts>,
    },
    /// A rollout changed state.
    Rollout {
        /// Which.
        rollout: RolloutId,
        /// From.
        from: RolloutState,
        /// To.
        to: RolloutState,
        /// Why, where there is a why.
        cause: Option<Cause>,
        /// The same for people.
        detail: String,
    },
    /// A wave opened.
    WaveOpened {
        /// Of which rollout.
        rollout: RolloutId,
        /// Which, from 0.
        wave: WaveIndex,
        /// How many there are.
        waves: u16,
        /// Devices in it.
        devices: u32,
    },
    /// A plan was made, checked, and is now in force.
    Plan(Box<PlanEntry>),
    /// A plan broke a rule and was not obeyed.
    PlanRefused {
        /// Its number.
        number: PlanNumber,
        /// What the checker found.
        violations: Vec<String>,
    },
    /// A batch was told to go. Device *i* has command `first_command + i` and attempt `first_attempt + i`.
    Batch {
        /// Of which rollout.
        rollout: RolloutId,
        /// Batches of the rollout so far, from 1.
        batch: u32,
        /// The plan it comes from.
        plan: PlanNumber,
        /// The wave of its devices.
        wave: WaveIndex,
        /// Its devices, in order.
        devices: Vec<DeviceId>,
        /// Σ requirement, points.
        requirement: f64,
        /// Σ capacity score.
        capacity: f64,
        /// Id of the first command.
        first_command: CommandId,
        /// Id of the first attempt.
        first_attempt: AttemptId,
        /// Expected end, at an upper quantile.
        until: Instant,
    },
    /// Attempts came to their end.
    Settled {
        /// Of which rollout.
        rollout: RolloutId,
        /// Each of them.
        attempts: Vec<SettledAttempt>,
    },
    /// A rollback was ordered. Device *i* has command `first_command + i`.
    Rollback {
        /// Of which rollout.
        rollout: RolloutId,
        /// Its devices, lowest remaining capacity first.
        devices: Vec<DeviceId>,
        /// What capacity score each has left; 0 for a device that is down.
        remaining: Vec<f64>,
        /// Devices whose attempt was cancelled before it began.
        canceled: Vec<DeviceId>,
        /// Devices that had to wait for capacity before they could be taken back.
        deferred: u32,
        /// Why, by rule.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        held: Vec<HeldDevices>,
        /// Id of the first command.
        first_command: CommandId,
    },
    /// The state of the fleet at a telemetry tick.
    Tick(Box<TickEntry>),
    /// New forecasts came into force.
    Forecast(Box<ForecastEntry>),
    /// The watch said something new.
    Verdict(Box<VerdictEntry>),
    /// A device states that it runs another release than was believed; it is believed.
    Stated {
        /// Who.
        device: DeviceId,
        /// What was believed.
        believed: Version,
        /// What it runs.
        runs: Version,
    },
    /// An input made no sense and changed nothing.
    Ignored {
        /// What and why.
        reason: String,
    },
    /// What the driver measured of the world, at the end. A live controller writes what it can know.
    Measures {
        /// By name.
        measures: BTreeMap<String, f64>,
        /// Broken promises; empty is good.
        invariant_violations: Vec<String>,
    },
    /// Always the last of a journal that was closed properly.
    End {
        /// Binds the entry to its place; see [`super::chain`].
        seal: String,
    },
}

/// What is needed to replay, and for people to know what they look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`JOURNAL_VERSION`].
    pub version: u32,
    /// `slacktide 0.1.0`.
    pub program: String,
    /// `decisions` or `full`.
    pub mode: JournalMode,
    /// Root of all chance; 0 where there is none.
    pub seed: u64,
    /// The scenario's or installation's name.
    pub world_name: String,
    /// The policy's name.
    pub policy_name: String,
    /// The policy as TOML text.
    pub policy: String,
    /// What the driver needs to make the same world again; `null` live.
    pub world: serde_json::Value,
    /// The metrics of telemetry, in column order.
    pub metrics: Vec<String>,
    /// Plain remarks a reader should see (rescaled load, repeated recordings…).
    #[serde(default)]
    pub remarks: Vec<String>,
}

/// How much a journal holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JournalMode {
    /// Decisions and outcomes; the world is made again for a replay.
    Decisions,
    /// Every input too.
    Full,
}

/// A pool when the rollout began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolFacts {
    /// Its name.
    pub name: String,
    /// Members.
    pub members: u32,
    /// Σ weight.
    pub weight: f64,
}

/// Where a device belongs: its name, the position of its pool and the position of its region in the order of their names. Written as
/// `["web-7", 2, 0]`, since there is one for every device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFacts(pub DeviceId, pub u32, pub u32);

/// A plan in figures. The devices of a batch are named when it is told to go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanEntry {
    /// Its number.
    pub number: PlanNumber,
    /// The plan it replaced.
    pub parent: Option<PlanNumber>,
    /// Why it was made.
    pub reason: String,
    /// Its batches.
    pub batches: Vec<BatchFacts>,
    /// Devices waiting, by reason.
    pub waiting: BTreeMap<String, u32>,
    /// Devices that the parent had elsewhere, by why they moved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub moved: BTreeMap<String, u32>,
    /// Each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<MoveFacts>,
    /// Length.
    pub makespan: Span,
    /// Shortest possible.
    pub lower_bound: Span,
}

/// A device that the plan before had elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MoveFacts {
    /// Which.
    pub device: DeviceId,
    /// Where it would have started.
    pub from: Instant,
    /// Where it starts now; `null` when it has no place any more.
    pub to: Option<Instant>,
    /// Why it did not stay, with the numbers.
    pub why: MoveReason,
}

/// A batch in figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchFacts {
    /// When it goes.
    pub start: Instant,
    /// How many devices.
    pub devices: u32,
    /// Σ requirement, points.
    pub requirement: f64,
    /// Σ capacity score.
    pub capacity: f64,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettledAttempt {
    /// Which.
    pub attempt: AttemptId,
    /// Whose.
    pub device: DeviceId,
    /// The end state.
    pub end: AttemptState,
    /// From the command to the end.
    pub took: Span,
    /// The version it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Version>,
}

/// Devices whose rollback a rule holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldDevices {
    /// How many.
    pub devices: u32,
    /// The rule, with the numbers of the first of them.
    pub reason: HoldReason,
}

/// The fleet at a tick. Written every telemetry tick while a rollout is active, else once a slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TickEntry {
    /// Weighted mean load of the devices in service, 0–100, of the demand metric.
    pub fleet_load: f64,
    /// The forecast of the same made for this moment: point and upper quantile; absent before the first forecast.
    pub fleet_load_forecast: Option<(f64, f64)>,
    /// Aggregate capacity score of the devices updated so far (100 − load, weighted), when there are any.
    pub updated_capacity: Option<f64>,
    /// The same, lowest forecast over the lookahead.
    pub updated_capacity_forecast: Option<f64>,
    /// The floor it is held against, when switched on.
    pub capacity_floor: Option<f64>,
    /// Demand as a share of the weight in service in the tightest pool, percent.
    pub worst_pool_percent: f64,
    /// The same, forecast over the lookahead.
    pub worst_pool_forecast_percent: Option<f64>,
    /// Which pool that is (position in [`Entry::Fleet`]).
    pub worst_pool: u32,
    /// Devices of the rollout by state.
    pub states: StateCounts,
    /// On the first tick of a slot while a rollout is active: the highest demand of every pool since the last such tick, whole percent of its
    /// members in service; empty with more than 20,000 pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pool_peaks_percent: Vec<u16>,
    /// On the first tick of a slot while a rollout is active: the weighted mean load of the devices in service of every region, in the order of their names, 0–100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub region_load: Vec<f64>,
}

/// Devices of the rollout by state; they add up to the targets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateCounts {
    /// Not begun.
    pub waiting: u32,
    /// Told to go, still serving (downloading, checking).
    pub staging: u32,
    /// Out of service for the update.
    pub out: u32,
    /// On the new release.
    pub updated: u32,
    /// Being taken back.
    pub rolling_back: u32,
    /// Taken back.
    pub rolled_back: u32,
    /// Ended without the new release and without a rollback (failed, timed out, rejected, removed…).
    pub failed: u32,
}

/// What a round of forecasts looked like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForecastEntry {
    /// Last moment whose data it may use.
    pub origin: Instant,
    /// Series forecast.
    pub series: u32,
    /// Series by the model that forecasts them.
    pub champions: BTreeMap<String, u32>,
    /// Champions that changed in this round.
    pub changed: u32,
    /// Mean absolute error of the last round's forecasts, in points, by model (equal weight per series).
    pub mae_points: BTreeMap<String, f64>,
    /// Share of past windows whose peak stayed at or under its load score, percent; the promise is `load_quantile`.
    pub peak_coverage_percent: Option<f64>,
    /// Share of past windows whose pool demand stayed at or under its upper quantile, percent.
    pub demand_coverage_percent: Option<f64>,
    /// Forecasts made anew before their time, because reality had left them behind.
    #[serde(default)]
    pub refitted: u32,
    /// What training said of models that are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What the watch said, with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerdictEntry {
    /// On which rollout.
    pub rollout: RolloutId,
    /// `good`, `bad` or `inconclusive`.
    pub verdict: Verdict,
    /// About what.
    pub cause: Cause,
    /// The figure that was judged.
    pub value: f64,
    /// What it was held against.
    pub threshold: f64,
    /// The evidence for people.
    pub evidence: String,
    /// What the bad-release test saw, when it spoke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseEvidence>,
}

/// What the bad-release test saw; see [`crate::risk::bad_release`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReleaseEvidence {
    /// Natural logarithm of the e-value.
    pub log_e_value: f64,
    /// Natural logarithm of one over the promised rate of false alarms.
    pub log_threshold: f64,
    /// By how much updated devices carry more than their pool-mates, points.
    pub rise_points: Option<f64>,
    /// Interval of that rise, points, at one less the promised rate of false alarms, at all times at once.
    pub rise_interval: Option<(f64, f64)>,
    /// Updated devices that say so.
    pub devices: u32,
    /// Pools they are in.
    pub pools: u32,
    /// How long the test had watched.
    pub watched: Span,
    /// Where several rollouts have updated devices: who is worse, hypothesis by hypothesis.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blame: Vec<BlameFacts>,
}

/// One hypothesis on who is worse; see [`crate::risk::blame`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BlameFacts {
    /// These rollouts are; nobody is where it is empty.
    pub rollouts: Vec<RolloutId>,
    /// How likely that is, 0–1.
    pub posterior: f64,
    /// By how much, points.
    pub effect_points: f64,
    /// Standard error of that, points.
    pub standard_error: f64,
}

impl BlameFacts {
    /// For people.
    pub fn words(&self) -> String {
        match self.rollouts.as_slice() {
            [] => "no rollout is worse".to_owned(),
            [one] => format!("rollout {} alone is worse", one.0 + 1),
            all => format!("all {} rollouts are worse", all.len()),
        }
    }
}

impl From<&crate::risk::Evidence> for ReleaseEvidence {
    fn from(evidence: &crate::risk::Evidence) -> Self {
        Self {
            log_e_value: evidence.log_e,
            log_threshold: evidence.log_threshold,
            rise_points: evidence.rise.map(|rise| rise.points),
            rise_interval: evidence.rise.map(|rise| (rise.interval[0], rise.interval[1])),
            devices: evidence.devices,
            pools: evidence.pools,
            watched: evidence.watched,
            blame: Vec::new(),
        }
    }
}

/// Three verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Go on.
    Good,
    /// Stop.
    Bad,
    /// Hold.
    Inconclusive,
}

impl Verdict {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Inconclusive => "not enough is known",
        }
    }
}
