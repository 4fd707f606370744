//! The document of a sweep, as `sweep.json` holds it.

use crate::arms::Summary;
use serde::Deserialize;
use serde_json::Value;
use slacktide_engine::document::parse_span;
use std::collections::BTreeMap;

/// Everything the page needs.
#[derive(Debug, Clone, Deserialize)]
pub struct Document {
    /// Name of the world.
    pub scenario: String,
    /// Name of the policy.
    pub policy: String,
    /// Devices of the world; where their number is varied, of the world without it.
    pub devices: usize,
    /// First seed.
    pub seed: u64,
    /// Runs of every point.
    pub replications: u32,
    /// `grid`, `lhs` or `sobol`.
    pub design: String,
    /// The varied fields.
    pub varied: Vec<Varied>,
    /// What the reader should know.
    pub remarks: Vec<String>,
    /// What was found, in sentences.
    pub findings: Vec<String>,
    /// All points, in the order of the design.
    pub points: Vec<Point>,
    /// Points on the front.
    pub pareto: Vec<usize>,
    /// Points that chance may keep from it.
    pub near_pareto: Vec<usize>,
    /// The point to take, if any is within the limit.
    pub recommended: Option<Recommended>,
}

/// A varied field.
#[derive(Debug, Clone, Deserialize)]
pub struct Varied {
    /// Its dotted name.
    pub field: String,
    /// `number`, `span`, `percent` or `choice`.
    pub kind: String,
    /// Varied in even steps of the logarithm.
    pub log: bool,
}

/// A point and what its runs measured.
#[derive(Debug, Clone, Deserialize)]
pub struct Point {
    /// By field.
    pub parameters: BTreeMap<String, Value>,
    /// By name.
    pub measures: BTreeMap<String, Summary>,
    /// How its rollouts ended, and how many so.
    pub rollout_states: BTreeMap<String, usize>,
}

/// The point to take.
#[derive(Debug, Clone, Deserialize)]
pub struct Recommended {
    /// Which.
    pub point: usize,
    /// The most overload it might cause, device-minutes.
    pub overload_limit: f64,
    /// Points that do as well, itself among them.
    pub not_worse: Vec<usize>,
}

impl Point {
    /// Its value of a field, as people write it.
    pub(super) fn word(&self, field: &str) -> String {
        match self.parameters.get(field) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "–".to_owned(),
        }
    }
}

impl Varied {
    /// A value on the field's scale: the number, the share in percent, the time in hours; none for a choice.
    pub(super) fn number(&self, point: &Point) -> Option<f64> {
        let value = point.parameters.get(&self.field)?;
        match self.kind.as_str() {
            "number" => value.as_f64(),
            "percent" => value.as_str()?.strip_suffix('%')?.parse().ok(),
            "span" => parse_span(value.as_str()?).ok().map(|span| span.as_secs_f64() / 3600.0),
            _ => None,
        }
    }

    /// Its name with its unit, for an axis.
    pub(super) fn label(&self) -> String {
        match self.kind.as_str() {
            "percent" => format!("{}, %", self.field),
            "span" => format!("{}, h", self.field),
            "number" => with_unit(&self.field),
            _ => self.field.clone(),
        }
    }

    /// Its name over values that are written with their unit where they have one.
    pub(super) fn heading(&self) -> String {
        if self.kind == "number" { with_unit(&self.field) } else { self.field.clone() }
    }
}

/// A field that is a bare number with its unit, which is how its name ends; a few say it in the documentation only.
fn with_unit(field: &str) -> String {
    const ENDS: [(&str, &str); 12] = [
        ("device_load_max", "load score of 100"),
        ("capacity_floor", "%"),
        ("percent", "%"),
        ("percent_max", "%"),
        ("percent_min", "%"),
        ("points", "points"),
        ("quantile", "share of 1"),
        ("rate", "share of 1"),
        ("weight", "share of 1"),
        ("per_minute", "a minute"),
        ("mbit_per_s", "Mbit/s"),
        ("capacity_max", "capacity score"),
    ];
    let unit = ENDS.iter().find(|(end, _)| field.ends_with(end)).map(|(_, unit)| *unit);
    unit.map_or_else(|| field.to_owned(), |unit| format!("{field}, {unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_named_with_its_unit() {
        let said =
            ["plan.device_load_max", "monitor.failure_percent_max", "rate.base_per_minute", "rollback.resumes_max"]
                .map(with_unit);
        let wanted = [
            "plan.device_load_max, load score of 100",
            "monitor.failure_percent_max, %",
            "rate.base_per_minute, a minute",
            "rollback.resumes_max",
        ];
        assert_eq!(said, wanted);
    }
}
