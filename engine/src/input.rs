//! What may be handed to the engine, each stamped with its moment by [`crate::Engine::handle_input`].
//!
//! Inputs are recorded in a full journal, so they serialise.

use crate::ids::{AttemptId, CommandId, DeviceId, DeviceIndex, PoolId, RegionId, RolloutId, SiteId};
use crate::rollout::AttemptState;
use crate::version::Version;
use serde::{Deserialize, Serialize};

/// One input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "input", rename_all = "kebab-case")]
pub enum Input {
    /// Devices join. They get the next free [`DeviceIndex`]es, in order.
    Enrolled {
        /// Who.
        devices: Vec<DeviceFacts>,
    },
    /// Devices leave for good.
    Removed {
        /// Who.
        devices: Vec<DeviceIndex>,
    },
    /// One reporting tick of some or all devices.
    Telemetry(TelemetryBatch),
    /// Answers to [`crate::Output::Forecast`].
    Forecasts(crate::forecasting::Forecasts),
    /// Devices ask whether there is an update for them.
    Requests {
        /// Who.
        devices: Vec<DeviceIndex>,
    },
    /// An attempt moved on within its course; nothing ended.
    Progress {
        /// Which attempt.
        attempt: AttemptId,
        /// Where it is now.
        state: AttemptState,
    },
    /// What came of a command. Exactly one per command; the engine makes one of silence itself.
    Outcome {
        /// Which command.
        command: CommandId,
        /// What came of it.
        result: CommandResult,
    },
    /// A device states the release it runs, such as when it comes back. While an attempt is under way its outcome says more.
    Statement {
        /// Who.
        device: DeviceIndex,
        /// What it runs.
        version: Version,
    },
    /// A person's word.
    Operator(OperatorAction),
    /// The time asked for by [`crate::Output::Wake`] has come.
    Wake,
}

impl Input {
    /// Is it left out of a `decisions` journal, because the simulator can make it again?
    pub const fn is_bulk(&self) -> bool {
        matches!(
            self,
            Self::Enrolled { .. }
                | Self::Telemetry(_)
                | Self::Forecasts(_)
                | Self::Requests { .. }
                | Self::Progress { .. }
                | Self::Outcome { .. }
                | Self::Statement { .. }
                | Self::Wake
        )
    }
}

/// A device as it is enrolled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// Its name, unique.
    pub id: DeviceId,
    /// The service it belongs to.
    pub pool: PoolId,
    /// Geography.
    pub region: RegionId,
    /// Geography, smaller.
    pub site: SiteId,
    /// What it does: database, web, display…
    pub function: String,
    /// Overrides the criticality of its function, 0–100.
    pub criticality: Option<f64>,
    /// The release it runs.
    pub version: Version,
    /// Its build variant.
    pub variant: String,
    /// Size in its pool's capacity units, > 0.
    pub weight: f64,
    /// Resource requirement of an update, points ≥ 0.
    pub requirement: f64,
}

impl DeviceFacts {
    /// What a filter may ask for.
    pub fn attributes(&self) -> crate::filter::Attributes<'_> {
        crate::filter::Attributes {
            version: &self.version,
            variant: &self.variant,
            function: &self.function,
            pool: self.pool.as_str(),
            region: self.region.as_str(),
            site: self.site.as_str(),
            id: self.id.as_str(),
        }
    }
}

/// One tick of telemetry, column by column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TelemetryBatch {
    /// Who reports: `None` is every enrolled device in index order.
    pub devices: Option<Vec<DeviceIndex>>,
    /// One column a metric, in the engine's metric order, each as long as the devices; percent of capacity.
    /// A missing value is `null` in JSON and NaN here; values outside 0–100 count as missing.
    #[serde(with = "columns")]
    pub columns: Vec<Vec<f32>>,
}

mod columns {
    //! NaN has no JSON number: missing values travel as `null`.
    use serde::{Deserialize, Deserializer, Serializer, ser::SerializeSeq};

    pub(super) fn serialize<S: Serializer>(columns: &[Vec<f32>], serializer: S) -> Result<S::Ok, S::Error> {
        let mut outer = serializer.serialize_seq(Some(columns.len()))?;
        for column in columns {
            let values: Vec<Option<f32>> = column.iter().map(|v| v.is_finite().then_some(*v)).collect();
            outer.serialize_element(&values)?;
        }
        outer.end()
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<f32>>, D::Error> {
        let columns = Vec::<Vec<Option<f32>>>::deserialize(deserializer)?;
        Ok(columns.into_iter().map(|column| column.into_iter().map(|v| v.unwrap_or(f32::NAN)).collect()).collect())
    }
}

/// A sign-off as the engine keeps it. Who hands it in has checked it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SignedOff {
    /// The signed file, as it was checked.
    pub text: String,
    /// What the rollout is held against while it runs.
    pub envelope: crate::envelope::Envelope,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum CommandResult {
    /// Done: the device runs what it was told to.
    Succeeded,
    /// Tried and not done; the device is back on what it ran before.
    Failed {
        /// The device's words.
        reason: String,
    },
    /// The device would not.
    Rejected {
        /// The device's words.
        reason: String,
    },
    /// Nothing to do.
    AlreadyCurrent,
    /// Cancelled before it took the device out.
    Canceled,
    /// No word came in time. Made by the engine only.
    TimedOut,
}

/// A person's word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum OperatorAction {
    /// Make a rollout of this package; it waits for approval. Rollouts are numbered from 0 in the order they are created.
    Create {
        /// What to roll out.
        package: crate::rollout::Package,
        /// Of several rollouts at once the higher goes first, 0–255.
        #[serde(default)]
        priority: u8,
    },
    /// What was simulated and signed for a rollout that has not begun; a later one takes the place of an earlier one.
    SignOff {
        /// For which.
        rollout: RolloutId,
        /// The signed file and what it lets the rollout be held against.
        sign_off: Box<SignedOff>,
    },
    /// Consent.
    Approve {
        /// To which.
        rollout: RolloutId,
    },
    /// Begin.
    Start {
        /// Which.
        rollout: RolloutId,
    },
    /// Hold.
    Pause {
        /// Which.
        rollout: RolloutId,
    },
    /// Go on.
    Resume {
        /// Which.
        rollout: RolloutId,
    },
    /// Stop for good; what is updated stays.
    Abort {
        /// Which.
        rollout: RolloutId,
    },
}
