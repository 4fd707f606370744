//! Reads the quantities off the entries of a journal.

use super::Quantity;
use crate::ids::RolloutId;
use crate::journal::entry::{Entry, ForecastEntry, SettledAttempt, TickEntry};
use crate::rollout::AttemptState;
use std::collections::BTreeMap;

/// What has been seen of one rollout, or of all rollouts of a journal together, since it began. Percentiles are by nearest rank.
///
/// ```
/// use slacktide_engine::envelope::Observed;
/// assert!(Observed::of_all().values().is_empty(), "nothing seen, nothing said");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    of: Option<RolloutId>,
    /// Milliseconds from the command to the end of attempts that succeeded, with how many took so long.
    installs_ms: BTreeMap<u64, u64>,
    succeeded: u64,
    failed: u64,
    extremes: BTreeMap<Quantity, f64>,
    has_begun: bool,
}

impl Observed {
    /// Of every rollout of a journal together.
    pub fn of_all() -> Self {
        Self::default()
    }

    /// Of one rollout, among others perhaps.
    pub fn of(rollout: RolloutId) -> Self {
        Self { of: Some(rollout), ..Self::default() }
    }

    fn is_own(&self, rollout: RolloutId) -> bool {
        self.of.is_none_or(|own| own == rollout)
    }

    /// Reads one entry.
    pub fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::Fleet { rollout, .. } if self.is_own(*rollout) => self.has_begun = true,
            Entry::Settled { rollout, attempts } if self.is_own(*rollout) => {
                attempts.iter().for_each(|attempt| self.settled(attempt));
            }
            Entry::Tick(tick) if self.has_begun => self.tick(tick),
            Entry::Forecast(forecast) if self.has_begun => {
                if let Some(error) = mean_error(forecast) {
                    self.worse(Quantity::ForecastRoundMaeMaxPoints, error);
                }
            }
            _ => {}
        }
    }

    fn settled(&mut self, attempt: &SettledAttempt) {
        match attempt.end {
            AttemptState::Succeeded => {
                self.succeeded += 1;
                *self.installs_ms.entry(attempt.took.as_millis()).or_default() += 1;
            }
            AttemptState::Failed | AttemptState::TimedOut => self.failed += 1,
            _ => {}
        }
    }

    fn tick(&mut self, tick: &TickEntry) {
        self.worse(Quantity::TightestPoolPercent, tick.worst_pool_percent);
        self.worse(Quantity::FleetLoadMaxPercent, tick.fleet_load);
        if let Some(capacity) = tick.updated_capacity {
            self.worse(Quantity::UpdatedCapacityMinPoints, capacity);
        }
    }

    fn worse(&mut self, quantity: Quantity, value: f64) {
        let worst = self.extremes.entry(quantity).or_insert(value);
        *worst = if quantity.is_bad_when_low() { worst.min(value) } else { worst.max(value) };
    }

    /// Attempts that succeeded, and attempts that failed or fell silent.
    pub const fn attempts(&self) -> (u64, u64) {
        (self.succeeded, self.failed)
    }

    /// What has been seen; a quantity that nothing was seen of is absent.
    pub fn values(&self) -> BTreeMap<Quantity, f64> {
        let mut values = self.extremes.clone();
        if let (Some(median), Some(high)) = (self.rank_s(0.5), self.rank_s(0.99)) {
            values.insert(Quantity::InstallMedianS, median);
            values.insert(Quantity::InstallNinetyNineS, high);
        }
        let all = self.succeeded + self.failed;
        if all > 0 {
            values.insert(Quantity::FailureSharePercent, self.failed as f64 / all as f64 * 100.0);
        }
        values
    }

    /// A duration that occurred, such that this share of all are no longer.
    fn rank_s(&self, share: f64) -> Option<f64> {
        let at = ((share * self.succeeded as f64).ceil() as u64).max(1);
        let mut below = 0;
        self.installs_ms.iter().find_map(|(ms, n)| {
            below += n;
            (below >= at).then(|| *ms as f64 / 1000.0)
        })
    }
}

/// Mean absolute error of the models that forecast, by how many series each does.
fn mean_error(forecast: &ForecastEntry) -> Option<f64> {
    let pairs =
        forecast.champions.iter().filter_map(|(model, n)| Some((f64::from(*n), *forecast.mae_points.get(model)?)));
    let (weight, sum) = pairs.fold((0.0, 0.0), |(weight, sum), (n, error)| (weight + n, sum + n * error));
    (weight > 0.0).then(|| sum / weight)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ids::{AttemptId, DeviceId};
    use crate::time::Span;

    pub(in crate::envelope) fn settled(rollout: u32, took_s: u64, end: AttemptState) -> Entry {
        let (attempt, device) = (AttemptId(took_s), DeviceId::new("d"));
        let attempts = vec![SettledAttempt { attempt, device, end, took: Span::from_secs(took_s), to: None }];
        Entry::Settled { rollout: RolloutId(rollout), attempts }
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut seen = Observed::of_all();
        (1..=200).rev().for_each(|s| seen.take(&settled(0, s, AttemptState::Succeeded)));
        let values = seen.values();
        assert_eq!((values[&Quantity::InstallMedianS], values[&Quantity::InstallNinetyNineS]), (100.0, 198.0));
        let mut one = Observed::of_all();
        one.take(&settled(0, 7, AttemptState::Succeeded));
        assert_eq!(one.values()[&Quantity::InstallNinetyNineS], 7.0);
    }

    #[test]
    fn another_rollouts_attempts_do_not_count() {
        let mut own = Observed::of(RolloutId(1));
        own.take(&settled(0, 5, AttemptState::Failed));
        assert!(own.values().is_empty());
        own.take(&settled(1, 5, AttemptState::Failed));
        own.take(&settled(1, 6, AttemptState::Canceled));
        own.take(&settled(1, 9, AttemptState::Succeeded));
        assert_eq!(own.attempts(), (1, 1));
        assert_eq!(own.values()[&Quantity::FailureSharePercent], 50.0);
    }
}
