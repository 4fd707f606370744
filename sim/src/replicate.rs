//! Many runs in parallel, and what they say together.

use crate::run::{RunResult, run};
use crate::setup::Setup;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// A mean with its 95 % confidence interval (Student's t).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Mean.
    pub mean: f64,
    /// 95 % confidence interval of the mean; `None` for a single value, which does not say how far values spread.
    pub ci95: Option<[f64; 2]>,
}

impl Summary {
    /// Half of the interval's width.
    pub fn half_width(&self) -> Option<f64> {
        self.ci95.map(|[low, high]| (high - low) / 2.0)
    }
}

/// 97.5 % points of Student's t for 1 to 30 degrees of freedom (R 4: `qt(0.975, 1:30)`).
const T_975: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// Summarises values of independent replications; `None` without any.
///
/// ```
/// let summary = slacktide_sim::summarise(&[1.0, 2.0, 3.0]).unwrap();
/// assert!((summary.mean - 2.0).abs() < 1e-12 && (summary.ci95.unwrap()[1] - 4.484).abs() < 1e-2);
/// assert_eq!(slacktide_sim::summarise(&[1.0]).unwrap().ci95, None);
/// ```
pub fn summarise(values: &[f64]) -> Option<Summary> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    match values.len() {
        0 => None,
        1 => Some(Summary { mean, ci95: None }),
        count => {
            let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
            let half = T_975.get(count - 2).copied().unwrap_or(1.96 + 2.4 / (n - 1.0)) * (variance / n).sqrt();
            Some(Summary { mean, ci95: Some([mean - half, mean + half]) })
        }
    }
}

/// Runs `replications` seeds from `seed` on in parallel. Results come in the order of the seeds, whatever the number of threads. `done` is
/// handed each run as it ends, journal and all; it is the last to see the journal, so that memory is bounded by the runs in flight.
pub fn replicate(
    setup: &Setup,
    seed: u64,
    replications: u32,
    done: &(dyn Fn(&mut RunResult) + Sync),
) -> Vec<RunResult> {
    let one = |i: u32| {
        let mut result = run(setup, seed.wrapping_add(u64::from(i)), &|_| {});
        done(&mut result);
        result.journal = Vec::new();
        result
    };
    (0..replications).into_par_iter().map(one).collect()
}

/// Summaries of all measures over some runs. A measure that only some runs have is summarised over those.
pub fn measures(runs: &[RunResult]) -> BTreeMap<String, Summary> {
    summaries(runs.iter().map(|run| &run.measures))
}

/// [`measures`], of the measures alone.
pub fn summaries<'a>(runs: impl IntoIterator<Item = &'a BTreeMap<String, f64>>) -> BTreeMap<String, Summary> {
    let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, value) in runs.into_iter().flatten() {
        values.entry(name).or_default().push(*value);
    }
    values.into_iter().filter_map(|(name, values)| summarise(&values).map(|s| (name.to_owned(), s))).collect()
}
