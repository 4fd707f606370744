//! Measures with what they mean.

use crate::html::{Cell, Page};
use crate::tables::Tables;
use crate::text::number;
use slacktide_engine::time::Span;

/// Name, unit, and what it says.
const MEANINGS: [(&str, &str, &str); 20] = [
    ("updated_devices", "devices", "run what was meant for them at the end"),
    ("failed_devices", "devices", "could not be updated"),
    ("rolled_back_devices", "devices", "were taken back to what they ran before"),
    ("makespan_s", "s", "from the beginning of the first rollout to the end of the last"),
    ("overload_device_minutes", "device-minutes", "that devices spent over their limit, for whatever reason"),
    ("overload_caused_device_minutes", "device-minutes", "of those, what would not have been without the rollout"),
    ("unserved_demand_percent", "%", "of all demand found nobody with room for it"),
    ("patch_latency_device_hours", "device-hours", "that devices waited for the new release, added up"),
    ("exposed_devices", "devices", "ran a bad release at some time"),
    ("false_stops", "stops", "for a release that was good"),
    ("critical_pool_minutes", "pool-minutes", "in which a pool was past its critical load"),
    ("critical_after_s", "s", "from the rollout to the first time that a pool was past its critical load"),
    ("bytes_moved", "bytes", "downloaded by devices"),
    ("planner_gap_percent", "%", "by which plans were longer than the shortest that could be, on average"),
    ("stop_delay_s", "s", "from the first device on a bad release to the stop"),
    ("forecast_mae_points", "points", "by which forecasts of devices were off, on average"),
    ("batches", "batches", "went out"),
    ("pauses", "pauses", "of the rollout"),
    ("worst_pool_percent", "%", "the most of its members in service that any pool used while the rollout ran"),
    ("least_updated_capacity", "%", "the least capacity that the updated devices had left together"),
];

/// The section: what the driver measured of the world, and what the journal tells by itself.
pub(super) fn section(page: &mut Page, tables: &Tables) {
    page.section("Measures");
    if tables.measures.is_empty() {
        page.note(if tables.is_live() {
            "A real fleet: what it would have carried without the rollout is not known, and so neither are overload that the rollout caused, demand that nobody served, nor false stops. What the journal tells by itself follows."
        } else {
            "The journal ends before the measures of its world. What it tells by itself follows."
        });
    }
    let mut values = tables.course();
    let measured = tables.measures.iter().map(|(name, value)| (name.as_str(), *value));
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    for (name, value) in measured {
        values.remove(name);
        rows.push(row(name, value));
    }
    rows.extend(values.into_iter().map(|(name, value)| row(name, value)));
    page.table(&["measure", "value", "unit", "what it says"], &rows);
}

/// The unit of a measure, and what it says.
pub(super) fn meaning(name: &str) -> (&'static str, &'static str) {
    let found = MEANINGS.into_iter().find(|(known, _, _)| *known == name);
    found.map_or(("", ""), |(_, unit, means)| (unit, means))
}

fn row(name: &str, value: f64) -> Vec<Cell> {
    let (unit, means) = meaning(name);
    let unit = readable(unit, value).map_or_else(|| unit.to_owned(), |said| format!("{unit} ({said})"));
    vec![name.into(), Cell::number(number(value)), unit.into(), Cell::quiet(means)]
}

/// A number of many seconds or bytes, as people say it.
fn readable(unit: &str, value: f64) -> Option<String> {
    match unit {
        "s" if value >= 60.0 => Some(Span::from_secs(value as u64).to_string()),
        "bytes" => [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)]
            .into_iter()
            .find(|(_, size)| value >= *size)
            .map(|(name, size)| format!("{} {name}", number(value / size))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_seconds_and_bytes_are_said_as_people_do() {
        let said = [("s", 47_694.0), ("s", 59.0), ("bytes", 2e9), ("bytes", 20.0), ("devices", 2e9)]
            .map(|(unit, value)| readable(unit, value).unwrap_or_default());
        assert_eq!(said, ["13h 14m", "", "2 GB", "", ""]);
    }
}
