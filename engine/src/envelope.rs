//! The envelope: what a simulation showed of things that can be seen live too, and whether a live rollout is still inside.
//!
//! [`Observed`] reads journal entries, live or simulated, so that both are measured by one rule. [`Guard`] holds a rollout that runs against
//! the ranges that were signed off. Pure: entries in, a [`Departure`] out; what follows of it is the engine's to decide.

mod failures;
mod guard;
mod observed;

pub use guard::{Departure, Guard};
pub use observed::Observed;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Something that a journal shows of a rollout from the moment it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Attempts that failed or fell silent, of all that succeeded, failed or fell silent, percent.
    FailureSharePercent,
    /// Mean load of devices in service, most of any tick, percent.
    FleetLoadMaxPercent,
    /// Error of the models that forecast, by their series, worst round, points.
    ForecastRoundMaeMaxPoints,
    /// From the command to the end, of attempts that succeeded: median by nearest rank, seconds.
    #[serde(rename = "install_p50_s")]
    InstallMedianS,
    /// The same, 99th percentile.
    #[serde(rename = "install_p99_s")]
    InstallNinetyNineS,
    /// Demand as a share of what is in service in the tightest pool, most of any tick, percent.
    TightestPoolPercent,
    /// Capacity score of the updated devices, least of any tick, points.
    UpdatedCapacityMinPoints,
}

impl Quantity {
    /// Every quantity, by name.
    pub const ALL: [Self; 7] = [
        Self::FailureSharePercent,
        Self::FleetLoadMaxPercent,
        Self::ForecastRoundMaeMaxPoints,
        Self::InstallMedianS,
        Self::InstallNinetyNineS,
        Self::TightestPoolPercent,
        Self::UpdatedCapacityMinPoints,
    ];

    /// Its name, with its unit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailureSharePercent => "failure_share_percent",
            Self::FleetLoadMaxPercent => "fleet_load_max_percent",
            Self::ForecastRoundMaeMaxPoints => "forecast_round_mae_max_points",
            Self::InstallMedianS => "install_p50_s",
            Self::InstallNinetyNineS => "install_p99_s",
            Self::TightestPoolPercent => "tightest_pool_percent",
            Self::UpdatedCapacityMinPoints => "updated_capacity_min_points",
        }
    }

    /// The quantity of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|quantity| quantity.name() == name)
    }

    /// Is it bad when it is low? Of all others more is worse.
    pub const fn is_bad_when_low(self) -> bool {
        matches!(self, Self::UpdatedCapacityMinPoints)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Least and most of a quantity over all simulated runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Least of any run.
    pub low: f64,
    /// Most of any run.
    pub high: f64,
}

/// What a rollout is held against.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// A quantity that is missing is not watched.
    pub ranges: BTreeMap<Quantity, Range>,
    /// Reality may be worse than the worst run by this share of it, percent, 0 or more.
    pub margin_percent: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_documents() {
        for quantity in Quantity::ALL {
            assert_eq!(serde_json::to_value(quantity).unwrap(), quantity.name());
            assert_eq!(Quantity::named(quantity.name()), Some(quantity));
        }
        assert_eq!(Quantity::named("makespan_s"), None);
    }
}
