//! Policies against each other on the same worlds: paired differences under common random numbers.

use crate::replicate::{Summary, summarise};
use crate::run::RunResult;
use std::collections::BTreeMap;

pub use crate::replicate::{measures, summaries};

/// One arm of a comparison.
#[derive(Debug, Clone)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// Its runs, in the order of the seeds, the same seeds in every arm.
    pub runs: Vec<RunResult>,
}

/// A paired difference, `a − b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// First arm.
    pub a: String,
    /// Second arm.
    pub b: String,
    /// Which measure.
    pub measure: String,
    /// Mean of the differences seed by seed, and its interval.
    pub summary: Summary,
}

impl Difference {
    /// Does the interval leave open which is larger?
    pub fn is_noise(&self) -> bool {
        self.summary.ci95.is_none_or(|[low, high]| low <= 0.0 && high >= 0.0)
    }
}

/// Difference of two arms in one measure, over the seeds in which both have it.
pub fn difference(a: &Arm, b: &Arm, measure: &str) -> Option<Difference> {
    let pair = |(a, b): (&RunResult, &RunResult)| Some(a.measures.get(measure)? - b.measures.get(measure)?);
    let values: Vec<f64> = a.runs.iter().zip(&b.runs).filter_map(pair).collect();
    let summary = summarise(&values)?;
    Some(Difference { a: a.name.clone(), b: b.name.clone(), measure: measure.to_owned(), summary })
}

/// Arms from best to worst: overload caused first, then time.
pub fn ranking(arms: &[Arm]) -> Vec<String> {
    let key = |arm: &Arm| {
        let all: BTreeMap<String, Summary> = measures(&arm.runs);
        let mean = |name: &str| all.get(name).map_or(f64::INFINITY, |s| s.mean);
        (mean("overload_caused_device_minutes"), mean("makespan_s"))
    };
    let mut order: Vec<(&Arm, (f64, f64))> = arms.iter().map(|arm| (arm, key(arm))).collect();
    order.sort_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    order.into_iter().map(|(arm, _)| arm.name.clone()).collect()
}
