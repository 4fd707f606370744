//! What was asked of the results, and whether they gave it: judged on the unfavourable end of each scenario's 95 % interval.

use super::document::{Evidence, Measure};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which side of the bound is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The bound or less.
    AtMost,
    /// The bound or more.
    AtLeast,
}

impl Bound {
    /// `<=` or `>=`.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
        }
    }

    /// The end of an interval that is worse.
    pub const fn unfavourable(self, measure: &Measure) -> f64 {
        match self {
            Self::AtMost => measure.high,
            Self::AtLeast => measure.low,
        }
    }

    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::AtMost => value <= bound,
            Self::AtLeast => value >= bound,
        }
    }
}

/// A limit as it is asked for, such as `makespan_s<=86400`.
#[derive(Debug, Clone, PartialEq)]
pub struct Demand {
    /// Of which measure.
    pub measure: String,
    /// Which side is good.
    pub kind: Bound,
    /// The bound, in the measure's unit.
    pub bound: f64,
}

impl FromStr for Demand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let cut = |sign: &str, kind| text.split_once(sign).map(|(measure, bound)| (measure.trim(), kind, bound.trim()));
        let (measure, kind, bound) = cut("<=", Bound::AtMost)
            .or_else(|| cut(">=", Bound::AtLeast))
            .ok_or("write MEASURE<=BOUND or MEASURE>=BOUND, such as makespan_s<=86400")?;
        let name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if measure.is_empty() || !measure.bytes().all(name) {
            return Err(format!("`{measure}` is no name of a measure, such as makespan_s"));
        }
        let number = bound.parse::<f64>().ok().filter(|b| b.is_finite());
        let bound = number.ok_or_else(|| format!("`{bound}` is no finite number"))?;
        Ok(Self { measure: measure.to_owned(), kind, bound })
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.measure, self.kind.sign(), self.bound)
    }
}

/// A limit with what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Of which measure.
    pub measure: String,
    /// Which side of the bound is good.
    pub kind: Bound,
    /// The bound, in the measure's unit.
    pub bound: f64,
    /// The unfavourable end of the 95 % interval in the scenario where that is worst; absent where no run shows the measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfavourable: Option<f64>,
    /// That scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_in: Option<String>,
    /// Runs that should have shown the measure and did not; one is enough for the limit not to be met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs_without: Option<u32>,
    /// Whether the results gave what was asked.
    pub met: bool,
}

impl Limit {
    /// Holds results against a demand. A scenario in which nothing of the kind can happen says nothing; where none says anything, the
    /// limit is not met.
    pub fn judge(demand: &Demand, evidence: &[Evidence]) -> Self {
        let mut limit = Self {
            measure: demand.measure.clone(),
            kind: demand.kind,
            bound: demand.bound,
            unfavourable: None,
            worst_in: None,
            runs_without: None,
            met: false,
        };
        for each in evidence {
            if let Some(runs) = each.missing.get(&demand.measure) {
                limit.runs_without = Some(limit.runs_without.unwrap_or(0).saturating_add(*runs));
            }
            let Some(measure) = each.measures.get(&demand.measure) else { continue };
            let value = demand.kind.unfavourable(measure);
            let is_worse = limit.unfavourable.is_none_or(|worst| match demand.kind {
                Bound::AtMost => value > worst,
                Bound::AtLeast => value < worst,
            });
            if is_worse {
                limit.unfavourable = Some(value);
                limit.worst_in = Some(each.scenario.clone());
            }
        }
        let is_within = limit.unfavourable.is_some_and(|value| demand.kind.holds(value, demand.bound));
        limit.met = is_within && limit.runs_without.is_none();
        limit
    }

    /// What was asked.
    pub fn demand(&self) -> Demand {
        Demand { measure: self.measure.clone(), kind: self.kind, bound: self.bound }
    }
}

impl fmt::Display for Limit {
    /// `makespan_s <= 86400: 91200 in busy-evening, not met`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}: ", self.measure, self.kind.sign(), self.bound)?;
        match (self.unfavourable, &self.worst_in) {
            (Some(value), Some(scenario)) => write!(f, "{value} in {scenario}")?,
            _ => write!(f, "no run shows it")?,
        }
        if let Some(runs) = self.runs_without {
            write!(f, ", {runs} runs that should show it do not")?;
        }
        write!(f, "{}", if self.met { ", met" } else { ", not met" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn evidence(scenario: &str, measure: &str, (mean, low, high): (f64, f64, f64)) -> Evidence {
        Evidence {
            scenario: scenario.to_owned(),
            scenario_sha256: String::new(),
            first_seed: 1,
            replications: 3,
            journals: Vec::new(),
            measures: BTreeMap::from([(measure.to_owned(), Measure { mean, low, high })]),
            missing: BTreeMap::new(),
        }
    }

    #[test]
    fn demands_read_back_and_mistakes_are_told() {
        for text in ["makespan_s<=900", "tightest_pool_percent<=87.5", "updated_devices>=10"] {
            assert_eq!(text.parse::<Demand>().unwrap().to_string(), text);
        }
        assert_eq!(" makespan_s <= 1e3 ".parse::<Demand>().unwrap().to_string(), "makespan_s<=1000");
        for text in
            ["", "makespan_s", "makespan_s<3", "<=3", "makespan_s<=", "makespan_s<=nan", "a b<=1", "makespan_s<=inf"]
        {
            assert!(text.parse::<Demand>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_worst_scenario_and_the_worse_end_count() {
        let both = [evidence("calm", "makespan_s", (5.0, 4.0, 6.0)), evidence("busy", "makespan_s", (7.0, 5.0, 9.0))];
        let judge = |text: &str| Limit::judge(&text.parse().unwrap(), &both);
        let most = judge("makespan_s<=8");
        assert_eq!((most.met, most.unfavourable, most.worst_in.as_deref()), (false, Some(9.0), Some("busy")));
        assert!(judge("makespan_s<=9").met);
        let least = judge("makespan_s>=4.5");
        assert_eq!((least.met, least.unfavourable, least.worst_in.as_deref()), (false, Some(4.0), Some("calm")));
        assert!(judge("makespan_s>=4").met);
        assert!(!judge("stop_delay_s<=1e9").met, "what no run shows is not known to be good");
    }

    #[test]
    fn a_run_without_its_measure_is_no_good_run() {
        let mut bad = evidence("bad-release", "stop_delay_s", (60.0, 50.0, 70.0));
        bad.missing.insert("stop_delay_s".to_owned(), 1);
        let limit = Limit::judge(&"stop_delay_s<=900".parse().unwrap(), &[bad]);
        assert_eq!((limit.met, limit.runs_without), (false, Some(1)));
        assert!(limit.to_string().ends_with("1 runs that should show it do not, not met"), "{limit}");
    }
}
