//! The shape of the file. What is written here is what people read: names in full, times in UTC, numbers with their units in the name.

use super::limits::Limit;
use serde::{Deserialize, Serialize};
use slacktide_engine::time::Instant;
use std::collections::BTreeMap;

/// What a sign-off calls itself.
pub const SCHEMA: &str = "slacktide/sign-off/1";

/// A sign-off with everything in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: String,
    /// `slacktide 0.1.0`: another version may simulate another course.
    pub program: String,
    /// When it was made.
    #[serde(with = "moment")]
    pub made_at: Instant,
    /// Good up to and including this second.
    #[serde(with = "moment")]
    pub valid_until: Instant,
    /// Who ran the simulations, `operator/ROLE/NAME`; one of the signers.
    pub made_by: String,
    /// A live rollout may be worse than the worst simulated run by this share of it, percent, before it is paused.
    pub guard_margin_percent: f64,
    /// The policy it holds for.
    pub policy: Policy,
    /// The package it holds for.
    pub package: Package,
    /// The fleet it holds for.
    pub fleet: Fleet,
    /// Random worlds under the policy.
    pub chaos: Chaos,
    /// What was run, and what came of it.
    pub evidence: Vec<Evidence>,
    /// What was asked of it.
    pub limits: Vec<Limit>,
    /// What the simulations showed of things that can be seen live too, by name.
    pub envelope: BTreeMap<String, Envelope>,
    /// Who consents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<Signer>,
}

/// A policy, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// SHA-256 of the text.
    pub sha256: String,
    /// Every field spelled out, as `Policy::to_toml` writes it.
    pub text: String,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The version it brings.
    pub version: String,
    /// SHA-256 of the archive.
    pub sha256: String,
}

/// A fleet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// How many devices.
    pub devices: u64,
    /// [`super::fleet_fingerprint`].
    pub fingerprint: String,
}

/// Random worlds, every promise checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chaos {
    /// Seed of all draws.
    pub seed: u64,
    /// Worlds 0, 1, … so many.
    pub worlds: u64,
    /// Worlds in which a promise broke.
    pub broken: u64,
}

/// One scenario, run many times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Its name in the library, or the path it was read from.
    pub scenario: String,
    /// SHA-256 of its whole text.
    pub scenario_sha256: String,
    /// Run i has seed `first_seed + i`.
    pub first_seed: u64,
    /// How many runs.
    pub replications: u32,
    /// Hash of each run's journal, in the order of the seeds.
    pub journals: Vec<String>,
    /// By name.
    pub measures: BTreeMap<String, Measure>,
    /// Runs that should have shown a measure and did not, by its name: a bad release that was never stopped has no delay to its stop.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, u32>,
}

/// A mean with its 95 % interval; `[mean, low, high]` in the file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "(f64, f64, f64)", into = "(f64, f64, f64)")]
pub struct Measure {
    /// Mean over the runs.
    pub mean: f64,
    /// Low end.
    pub low: f64,
    /// High end.
    pub high: f64,
}

impl From<(f64, f64, f64)> for Measure {
    fn from((mean, low, high): (f64, f64, f64)) -> Self {
        Self { mean, low, high }
    }
}

impl From<Measure> for (f64, f64, f64) {
    fn from(measure: Measure) -> Self {
        (measure.mean, measure.low, measure.high)
    }
}

/// The range of a quantity over all runs; `[low, mean, high]` in the file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "(f64, f64, f64)", into = "(f64, f64, f64)")]
pub struct Envelope {
    /// Least of any run.
    pub low: f64,
    /// Mean of all runs.
    pub mean: f64,
    /// Most of any run.
    pub high: f64,
}

impl From<(f64, f64, f64)> for Envelope {
    fn from((low, mean, high): (f64, f64, f64)) -> Self {
        Self { low, mean, high }
    }
}

impl From<Envelope> for (f64, f64, f64) {
    fn from(envelope: Envelope) -> Self {
        (envelope.low, envelope.mean, envelope.high)
    }
}

/// Who consents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signer {
    /// As in the certificate: `operator/ROLE/NAME`.
    pub identity: String,
    /// ECDSA P-256 with SHA-256 over the document without signers: r and s, 64 bytes in base64.
    pub signature: String,
    /// The certificate, PEM.
    pub certificate: String,
}

/// Moments as RFC 3339 text in UTC, to the second.
mod moment {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use slacktide_engine::time::Instant;

    pub(super) fn serialize<S: Serializer>(at: &Instant, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(at)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Instant, D::Error> {
        let text = String::deserialize(from)?;
        let at =
            text.parse::<jiff::Timestamp>().map_err(|e| D::Error::custom(format!("`{text}` is no moment: {e}")))?;
        Ok(Instant::from_secs(at.as_second()))
    }
}
