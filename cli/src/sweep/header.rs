//! What a sweep is, as the first line of its runs says it: enough to tell whether two folders belong together, and to judge without the
//! world at hand.

use super::Args;
use super::points::{Points, word};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use slacktide_engine::input::DeviceFacts;
use slacktide_scenarios::recorded::Recording;
use slacktide_sim::LoadSource;
use slacktide_sim::sweep::{Axis, Kind, Shard, Unit, Values};

/// The schema of `runs.jsonl`.
pub(super) const SCHEMA: &str = "slacktide/sweep-runs/1";

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) schema: String,
    /// Which share of the work the file is for.
    pub(super) shard: Shard,
    /// Most overload a recommended point may cause, where given. Changes no run.
    pub(super) overload_max: Option<f64>,
    pub(super) sweep: Sweep,
}

/// What makes the runs what they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sweep {
    /// Version of the program: another one may run otherwise.
    pub(super) program: String,
    pub(super) scenario: String,
    pub(super) scenario_text: String,
    pub(super) devices: usize,
    /// Fingerprints of what was recorded and of the fleet's file, where they are used.
    pub(super) traces: Option<String>,
    pub(super) fleet: Option<String>,
    pub(super) policy: String,
    pub(super) policy_text: String,
    pub(super) varied: Vec<Varied>,
    pub(super) design: String,
    /// Points left out because they repeat an earlier one.
    pub(super) repeated: usize,
    /// By point: a value for each varied field.
    pub(super) points: Vec<Vec<Value>>,
    pub(super) seed: u64,
    pub(super) replications: u32,
    pub(super) remarks: Vec<String>,
}

/// A varied field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Varied {
    pub(super) field: String,
    /// `number`, `span`, `percent` or `choice`.
    pub(super) kind: String,
    /// Even steps of the logarithm?
    pub(super) log: bool,
}

impl Varied {
    fn new(axis: &Axis) -> Self {
        let (kind, log) = match &axis.values {
            Values::Range { kind: Kind::Number, log, .. } => ("number", *log),
            Values::Range { kind: Kind::Span, log, .. } => ("span", *log),
            Values::Range { kind: Kind::Percent, log, .. } => ("percent", *log),
            Values::Choices(values) if values.iter().all(Value::is_number) => ("number", false),
            Values::Choices(_) => ("choice", false),
        };
        Self { field: axis.field.clone(), kind: kind.to_owned(), log }
    }
}

impl Header {
    pub(super) fn new(args: &Args, points: &Points) -> Self {
        let base = &points.base;
        let recording = match &base.load {
            LoadSource::Recorded { recording, pool_size, pool_peak_percent } => {
                Some(format!("{} in pools of {pool_size}, peaks {pool_peak_percent:?}", recording_print(recording)))
            }
            LoadSource::Synthetic => None,
        };
        Self {
            schema: SCHEMA.to_owned(),
            shard: args.shard.unwrap_or(Shard::WHOLE),
            overload_max: args.overload_max,
            sweep: Sweep {
                program: env!("CARGO_PKG_VERSION").to_owned(),
                scenario: base.scenario.name.clone(),
                scenario_text: base.scenario.text.clone(),
                devices: base.scenario.devices,
                traces: recording,
                fleet: base.fleet.as_deref().map(fleet_print),
                policy: base.policy.name.clone(),
                policy_text: base.policy.to_toml(),
                varied: points.axes.iter().map(Varied::new).collect(),
                design: points.design.name().to_owned(),
                repeated: points.plan.repeated,
                points: points.plan.points.clone(),
                seed: args.world.seed,
                replications: args.replications,
                remarks: base.remarks(),
            },
        }
    }

    /// Runs of the whole sweep.
    pub(super) fn units(&self) -> usize {
        self.sweep.points.len() * self.sweep.replications as usize
    }

    /// Units of this share, in order.
    pub(super) fn own_units(&self) -> impl Iterator<Item = Unit> {
        let all = Unit::all(self.sweep.points.len(), self.sweep.replications);
        let shard = self.shard;
        all.enumerate().filter(move |(place, _)| shard.has(*place)).map(|(_, unit)| unit)
    }

    /// The seed of a unit.
    pub(super) const fn seed(&self, unit: Unit) -> u64 {
        self.sweep.seed.wrapping_add(unit.replication as u64)
    }

    /// The replication that has a seed.
    pub(super) fn replication(&self, seed: u64) -> Option<u32> {
        let number = u32::try_from(seed.wrapping_sub(self.sweep.seed)).ok()?;
        (number < self.sweep.replications).then_some(number)
    }

    /// The values of a point, by field.
    pub(super) fn parameters(&self, point: usize) -> Value {
        let pairs = self.sweep.varied.iter().zip(&self.sweep.points[point]);
        Value::Object(pairs.map(|(varied, value)| (varied.field.clone(), value.clone())).collect())
    }

    /// `a = 1, b = 2h`.
    pub(super) fn words(&self, point: usize) -> String {
        let pairs = self.sweep.varied.iter().zip(&self.sweep.points[point]);
        pairs.map(|(varied, value)| format!("{} = {}", varied.field, word(value))).collect::<Vec<_>>().join(", ")
    }

    /// What another sweep has otherwise: the first thing that differs, in words. Shares and limits do not count.
    pub(super) fn differs_from(&self, earlier: &Self) -> Option<String> {
        let (now, before) = (json!(self.sweep), json!(earlier.sweep));
        let name = now.as_object()?.keys().find(|key| now[*key] != before[*key])?.as_str();
        let short = |value: &Value| Some(word(value)).filter(|text| text.chars().count() <= 60);
        Some(match (name, &before[name], &now[name]) {
            ("scenario_text" | "policy_text", Value::String(before), Value::String(now)) => {
                let what = if name == "policy_text" { "the policy" } else { "the scenario" };
                let gone = before.lines().find(|line| !now.lines().any(|l| l == *line)).unwrap_or("");
                let come = now.lines().find(|line| !before.lines().any(|l| l == *line)).unwrap_or("");
                format!("{what} had `{}` and has `{}`", gone.trim(), come.trim())
            }
            ("varied", ..) => {
                let all =
                    |header: &Self| header.sweep.varied.iter().map(|v| v.field.as_str()).collect::<Vec<_>>().join(", ");
                format!("it varied {} and now {}", all(earlier), all(self))
            }
            ("points", ..) => format!(
                "it had {} points, the first {}, and now {}, the first {}",
                earlier.sweep.points.len(),
                earlier.words(0),
                self.sweep.points.len(),
                self.words(0)
            ),
            (name, before, now) => match (short(before), short(now)) {
                (Some(before), Some(now)) => format!("{name} was {before} and is {now}"),
                _ => format!("{name} is another"),
            },
        })
    }
}

/// FNV-1a, 64 bits: tells files apart that differ by mistake, which is all that is asked of it.
struct Print(u64);

impl Print {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

fn recording_print(recording: &Recording) -> String {
    let mut print = Print::new();
    print.take(format!("{:?} {:?}", recording.metrics, recording.devices).as_bytes());
    recording.columns.iter().flatten().for_each(|value| print.take(&value.to_bits().to_le_bytes()));
    format!(
        "{} machines, {} steps of {} s from {} ({:016x})",
        recording.devices.len(),
        recording.steps,
        recording.period_s,
        recording.start_s,
        print.0
    )
}

fn fleet_print(fleet: &[DeviceFacts]) -> String {
    let mut print = Print::new();
    print.take(json!(fleet).to_string().as_bytes());
    format!("{} devices ({:016x})", fleet.len(), print.0)
}
