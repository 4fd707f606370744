//! Holds a rollout against what was simulated.

use super::failures::{FALSE_ALARM_RATE, log_e_value};
use super::{Envelope, Observed, Quantity};
use crate::ids::RolloutId;
use crate::journal::Entry;
use std::collections::BTreeMap;
use std::fmt;

/// A median says something from so many installs on.
const MEDIAN_OF_MIN: u64 = 10;

/// A rollout has left what was simulated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Departure {
    /// In what.
    pub quantity: Quantity,
    /// What is seen.
    pub value: f64,
    /// The worst that was simulated, with the margin.
    pub bound: f64,
    /// Attempts that succeeded, and that failed or fell silent.
    pub attempts: (u64, u64),
}

impl fmt::Display for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quantity, value, bound, attempts: (succeeded, failed) } = self;
        let side = if quantity.is_bad_when_low() { "below" } else { "above" };
        write!(f, "{quantity} is {value:.1}, {side} the {bound:.1} that the sign-off allows for")?;
        match quantity {
            Quantity::FailureSharePercent => write!(f, " ({failed} failed, {succeeded} succeeded)"),
            Quantity::InstallMedianS | Quantity::InstallNinetyNineS => write!(f, " ({succeeded} installs)"),
            _ => Ok(()),
        }
    }
}

/// Watches one rollout.
///
/// What is judged only grows worse as a rollout goes on (a most, a least), so that leaving the range of all simulated runs early is no less
/// remarkable than leaving it at the end: of R runs and a reality like them, reality is the worst with probability 1/(R+1), before the
/// margin. Two quantities are no extremes: the median waits for ten installs, the share of failures has a test of its own that may be looked
/// at at any time.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    envelope: Envelope,
    observed: Observed,
    /// What a person has gone on with, by quantity: worse than that is news again.
    accepted: BTreeMap<Quantity, f64>,
    /// Attempts when that was.
    accepted_attempts: (u64, u64),
    is_fresh: bool,
}

impl Guard {
    /// A guard of a rollout that has not begun.
    pub fn new(rollout: RolloutId, envelope: Envelope) -> Self {
        let observed = Observed::of(rollout);
        Self { envelope, observed, accepted: BTreeMap::new(), accepted_attempts: (0, 0), is_fresh: false }
    }

    /// Reads one entry.
    pub fn take(&mut self, entry: &Entry) {
        if matches!(entry, Entry::Settled { .. } | Entry::Tick(_) | Entry::Forecast(_) | Entry::Fleet { .. }) {
            self.observed.take(entry);
            self.is_fresh = true;
        }
    }

    /// The first departure there is, if anything was read since the last look.
    pub fn look(&mut self) -> Option<Departure> {
        if !std::mem::take(&mut self.is_fresh) {
            return None;
        }
        let values = self.observed.values();
        self.envelope.ranges.keys().find_map(|quantity| self.departs(*quantity, *values.get(quantity)?))
    }

    /// A person goes on in spite of what is seen.
    pub fn accept(&mut self) {
        self.accepted = self.observed.values();
        self.accepted_attempts = self.observed.attempts();
    }

    fn bound(&self, quantity: Quantity) -> Option<f64> {
        let range = self.envelope.ranges.get(&quantity)?;
        let accepted = self.accepted.get(&quantity).copied();
        let margin = self.envelope.margin_percent / 100.0;
        Some(if quantity.is_bad_when_low() {
            accepted.map_or(range.low, |value| value.min(range.low)) * (1.0 - margin).max(0.0)
        } else {
            accepted.map_or(range.high, |value| value.max(range.high)) * (1.0 + margin)
        })
    }

    fn departs(&self, quantity: Quantity, value: f64) -> Option<Departure> {
        let bound = self.bound(quantity)?;
        let (succeeded, failed) = self.observed.attempts();
        let attempts = (succeeded, failed);
        let is_over = match quantity {
            Quantity::FailureSharePercent => {
                let since = (succeeded - self.accepted_attempts.0, failed - self.accepted_attempts.1);
                log_e_value(since.0, since.1, bound / 100.0) >= libm::log(1.0 / FALSE_ALARM_RATE)
            }
            Quantity::InstallMedianS => succeeded >= MEDIAN_OF_MIN && value > bound,
            _ if quantity.is_bad_when_low() => value < bound,
            _ => value > bound,
        };
        is_over.then_some(Departure { quantity, value, bound, attempts })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Range;
    use super::super::observed::tests::settled;
    use super::*;
    use crate::rollout::AttemptState::{Failed, Succeeded};

    fn guard(quantity: Quantity, low: f64, high: f64) -> Guard {
        let ranges = BTreeMap::from([(quantity, Range { low, high })]);
        Guard::new(RolloutId(0), Envelope { ranges, margin_percent: 10.0 })
    }

    #[test]
    fn an_install_longer_than_any_simulated_is_told_once_until_it_is_worse() {
        let mut guard = guard(Quantity::InstallNinetyNineS, 10.0, 100.0);
        assert_eq!(guard.look(), None);
        guard.take(&settled(0, 109, Succeeded));
        assert_eq!(guard.look(), None, "within the margin");
        guard.take(&settled(0, 150, Succeeded));
        let departure = guard.look().unwrap();
        assert_eq!((departure.value, departure.bound.round()), (150.0, 110.0));
        let words = "install_p99_s is 150.0, above the 110.0 that the sign-off allows for (2 installs)";
        assert_eq!(departure.to_string(), words);
        assert_eq!(guard.look(), None, "nothing new was read");
        guard.accept();
        guard.take(&settled(0, 160, Succeeded));
        assert_eq!(guard.look(), None, "a person goes on with 150");
        guard.take(&settled(0, 200, Succeeded));
        assert!(guard.look().is_some());
    }

    #[test]
    fn a_median_waits_for_ten() {
        let mut guard = guard(Quantity::InstallMedianS, 1.0, 10.0);
        (0..9).for_each(|_| guard.take(&settled(0, 60, Succeeded)));
        assert_eq!(guard.look(), None);
        guard.take(&settled(0, 60, Succeeded));
        assert_eq!(guard.look().unwrap().quantity, Quantity::InstallMedianS);
    }

    #[test]
    fn failures_are_judged_by_their_number_and_forgotten_once_accepted() {
        let mut guard = guard(Quantity::FailureSharePercent, 0.0, 2.0);
        guard.take(&settled(0, 1, Failed));
        assert_eq!(guard.look(), None, "one may fail anywhere");
        guard.take(&settled(0, 1, Failed));
        guard.take(&settled(0, 1, Failed));
        assert_eq!(guard.look().unwrap().attempts, (0, 3));
        guard.accept();
        guard.take(&settled(0, 1, Succeeded));
        guard.take(&settled(0, 1, Failed));
        assert_eq!(guard.look(), None);
    }

    #[test]
    fn low_capacity_is_the_bad_side() {
        let mut guard = guard(Quantity::UpdatedCapacityMinPoints, 40.0, 80.0);
        let tick = |capacity| {
            Entry::Tick(Box::new(crate::journal::entry::TickEntry {
                fleet_load: 10.0,
                fleet_load_forecast: None,
                updated_capacity: Some(capacity),
                updated_capacity_forecast: None,
                capacity_floor: None,
                worst_pool_percent: 10.0,
                worst_pool_forecast_percent: None,
                worst_pool: 0,
                states: Default::default(),
                pool_peaks_percent: Vec::new(),
                region_load: Vec::new(),
            }))
        };
        guard.take(&tick(5.0));
        assert_eq!(guard.look(), None, "before the rollout has begun");
        let (pools, regions, members) = (Vec::new(), BTreeMap::new(), Vec::new());
        guard.take(&Entry::Fleet { rollout: RolloutId(0), devices: 1, targets: 1, pools, regions, members });
        guard.take(&tick(37.0));
        assert_eq!(guard.look(), None);
        guard.take(&tick(35.0));
        assert!(guard.look().unwrap().to_string().contains("is 35.0, below the 36.0"));
    }
}
