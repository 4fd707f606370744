//! What a journal shows of a run, live or simulated: the quantities that a running rollout can be held against.

use slacktide_engine::journal::entry::{Entry, ForecastEntry, Line};
use slacktide_engine::rollout::AttemptState;
use std::collections::BTreeMap;

/// The quantities, which are measures too. Percentiles are by nearest rank; `…_max_…` and the tightest pool are the most of any tick.
pub(crate) const OBSERVED: [&str; 7] = [
    "failure_share_percent",
    "fleet_load_max_percent",
    "forecast_round_mae_max_points",
    "install_p50_s",
    "install_p99_s",
    "tightest_pool_percent",
    "updated_capacity_min_points",
];

#[derive(Debug, Default)]
struct Seen {
    /// From the command to the end, of attempts that succeeded.
    installs_s: Vec<f64>,
    failed: u64,
    highest: BTreeMap<&'static str, f64>,
    capacity_min: Option<f64>,
    has_begun: bool,
}

/// Reads a journal from the moment the rollout began. A quantity that nothing was seen of is absent.
pub(crate) fn observe<'a>(journal: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, f64> {
    let mut seen = Seen::default();
    // A line of the journal's own making that cannot be read does not occur; it would show as something missing.
    for line in journal.into_iter().filter_map(|line| serde_json::from_str::<Line>(line).ok()) {
        seen.take(line.entry);
    }
    seen.finish()
}

impl Seen {
    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Fleet { .. } => self.has_begun = true,
            Entry::Settled { attempts, .. } => {
                for attempt in attempts {
                    match attempt.end {
                        AttemptState::Succeeded => self.installs_s.push(attempt.took.as_secs_f64()),
                        AttemptState::Failed | AttemptState::TimedOut => self.failed += 1,
                        _ => {}
                    }
                }
            }
            Entry::Tick(tick) if self.has_begun => {
                self.raise("tightest_pool_percent", tick.worst_pool_percent);
                self.raise("fleet_load_max_percent", tick.fleet_load);
                if let Some(capacity) = tick.updated_capacity {
                    self.capacity_min = Some(self.capacity_min.map_or(capacity, |least| least.min(capacity)));
                }
            }
            Entry::Forecast(forecast) if self.has_begun => {
                if let Some(error) = mean_error(&forecast) {
                    self.raise("forecast_round_mae_max_points", error);
                }
            }
            _ => {}
        }
    }

    fn raise(&mut self, name: &'static str, value: f64) {
        let most = self.highest.entry(name).or_insert(value);
        *most = most.max(value);
    }

    fn finish(mut self) -> BTreeMap<String, f64> {
        self.installs_s.sort_by(f64::total_cmp);
        let mut values = self.highest;
        if !self.installs_s.is_empty() {
            values.insert("install_p50_s", rank(&self.installs_s, 0.5));
            values.insert("install_p99_s", rank(&self.installs_s, 0.99));
        }
        let settled = self.installs_s.len() as u64 + self.failed;
        if settled > 0 {
            values.insert("failure_share_percent", self.failed as f64 / settled as f64 * 100.0);
        }
        if let Some(least) = self.capacity_min {
            values.insert("updated_capacity_min_points", least);
        }
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Mean absolute error of the models that forecast, by how many series each does.
fn mean_error(forecast: &ForecastEntry) -> Option<f64> {
    let pairs =
        forecast.champions.iter().filter_map(|(model, n)| Some((f64::from(*n), *forecast.mae_points.get(model)?)));
    let (weight, sum) = pairs.fold((0.0, 0.0), |(weight, sum), (n, error)| (weight + n, sum + n * error));
    (weight > 0.0).then(|| sum / weight)
}

fn rank(sorted: &[f64], share: f64) -> f64 {
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted[at.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!((rank(&values, 0.5), rank(&values, 0.99), rank(&values[..1], 0.99)), (100.0, 198.0, 1.0));
    }

    #[test]
    fn a_run_shows_what_there_is_to_see() {
        let scenario = slacktide_scenarios::library::named("first-rollout").unwrap();
        let policy = scenario.policy().unwrap();
        let run = slacktide_sim::run(&slacktide_sim::Setup::new(scenario, policy), 1, &|_| {});
        let seen = observe(run.journal.iter().map(String::as_str));
        assert!(seen.keys().all(|name| OBSERVED.contains(&name.as_str())), "{seen:?}");
        assert!(seen["install_p50_s"] > 60.0 && seen["install_p99_s"] >= seen["install_p50_s"], "{seen:?}");
        assert!(seen["tightest_pool_percent"] > seen["fleet_load_max_percent"] * 0.5, "{seen:?}");
        assert!(observe([]).is_empty());
    }
}
