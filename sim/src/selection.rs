//! Which of several arms may be the best, the smaller mean being the better.
//!
//! Multiple comparisons with the best (Hsu 1984, Annals of Statistics 12(3)) in the form of Edwards & Hsu (1983), Journal of the American
//! Statistical Association 78(384), by which comparisons with every arm as the control give those with the unknown best. The comparisons are paired t bounds with
//! Bonferroni's share of the error each, as Clark & Yang (1986) do under common random numbers: valid for any correlation of the arms
//! and any variances, given differences that are nearly normal.

use crate::compare::Arm;
use crate::replicate::Summary;
use slacktide_forecast::special::student_quantile;

/// How the interval of an arm came about, for documents.
pub const METHOD: &str =
    "multiple comparisons with the best (Hsu 1984; Edwards & Hsu 1983) from paired differences, Bonferroni";

/// What is known of the best arm in one measure.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The measure; less is better.
    pub measure: String,
    /// Probability, at least, that the best arm is in the subset and all intervals hold at once.
    pub confidence: f64,
    /// Arms that may be the best, in their order given.
    pub subset: Vec<String>,
    /// By arm: its mean less the smallest of the other arms' means. Below 0 throughout (or 0 at the upper end) is the best; at or above 0
    /// throughout is not the best, or ties with it.
    pub intervals: Vec<(String, Summary)>,
}

/// Judges arms in a measure over the seeds in which all have it; `None` with fewer than two arms or such seeds. `confidence` lies
/// between 0.5 and 1. The error is shared among `comparisons`, or among those that are needed where they are more: whoever tells more
/// pairs apart beside this asks for the same level here, so that the two never contradict each other.
pub fn select(arms: &[&Arm], measure: &str, confidence: f64, comparisons: usize) -> Option<Selection> {
    let seeds = arms.iter().map(|arm| arm.runs.len()).min()?;
    let row = |seed: usize| arms.iter().map(|arm| arm.runs[seed].measures.get(measure).copied()).collect();
    let rows: Vec<Vec<f64>> = (0..seeds).filter_map(row).collect();
    if arms.len() < 2 || rows.len() < 2 {
        return None;
    }
    let (subset, intervals) = judge(&rows, confidence, comparisons);
    let name = |i: usize| arms[i].name.clone();
    Some(Selection {
        measure: measure.to_owned(),
        confidence,
        subset: subset.into_iter().map(name).collect(),
        intervals: intervals.into_iter().enumerate().map(|(i, interval)| (name(i), interval)).collect(),
    })
}

/// The subset and the intervals from a value an arm in each row.
fn judge(rows: &[Vec<f64>], confidence: f64, comparisons: usize) -> (Vec<usize>, Vec<Summary>) {
    let (n, arms) = (rows.len() as f64, rows[0].len());
    let quantile = student_quantile(1.0 - (1.0 - confidence) / comparisons.max(arms - 1) as f64, n - 1.0);
    let mean = |i: usize, j: usize| rows.iter().map(|row| row[i] - row[j]).sum::<f64>() / n;
    // Mean difference i − j, and what chance may have added to it.
    let mut differences = vec![vec![(0.0, 0.0); arms]; arms];
    for i in 0..arms {
        for j in 0..arms {
            let mean = mean(i, j);
            let squares: f64 = rows.iter().map(|row| (row[i] - row[j] - mean) * (row[i] - row[j] - mean)).sum();
            differences[i][j] = (mean, quantile * (squares / (n - 1.0) / n).sqrt());
        }
    }
    let others = |i: usize| (0..arms).filter(move |j| *j != i);
    let may_be_best = |i: &usize| others(*i).all(|j| differences[*i][j].0 - differences[*i][j].1 <= 0.0);
    let subset: Vec<usize> = (0..arms).filter(may_be_best).collect();
    let interval = |i: usize| {
        let middle = others(i).map(|j| differences[i][j].0).fold(f64::NEG_INFINITY, f64::max);
        let over = others(i).filter(|j| subset.contains(j)).map(|j| differences[i][j].0 + differences[i][j].1);
        let under = others(i).map(|j| differences[i][j].0 - differences[i][j].1).fold(f64::NEG_INFINITY, f64::max);
        let low = if subset.contains(&i) { under.min(0.0) } else { 0.0 };
        Summary { mean: middle, ci95: Some([low, over.fold(0.0, f64::max)]) }
    };
    let intervals = (0..arms).map(interval).collect();
    (subset, intervals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Stream};
    use rand_distr::{Distribution, StandardNormal};

    /// Rows of arms that share most of their chance, with a spread of their own each.
    fn draw(means: &[f64], spreads: &[f64], rows: usize, index: u64) -> Vec<Vec<f64>> {
        let mut stream = Stream::new(11, Purpose::Noise, index);
        let mut normal = || -> f64 { StandardNormal.sample(&mut stream) };
        let mut row = || {
            let common = 5.0 * normal();
            means.iter().zip(spreads).map(|(mean, spread)| mean + common + spread * normal()).collect()
        };
        (0..rows).map(|_| row()).collect()
    }

    /// Over many draws the best is in the subset, and all intervals hold, at least as often as promised: with all means equal, where
    /// chance misleads most, with unequal spreads, and with few rows. 2000 draws: three standard errors are 1.5 %.
    #[test]
    fn the_promise_is_kept() {
        const DRAWS: u64 = 2000;
        for (means, spreads, rows) in [
            (vec![0.0; 4], vec![1.0; 4], 5),
            (vec![0.0; 4], vec![0.2, 1.0, 3.0, 1.0], 10),
            (vec![0.0, 0.4, 0.8, 2.0, 5.0], vec![1.0; 5], 10),
            (vec![0.0, 0.3], vec![1.0; 2], 20),
        ] {
            let (mut kept, mut held) = (0, 0);
            for draw_number in 0..DRAWS {
                let (subset, intervals) = judge(&draw(&means, &spreads, rows, draw_number), 0.95, 0);
                kept += u64::from(subset.contains(&0));
                let truth = |i: usize| {
                    let others = means.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, m)| *m);
                    means[i] - others.fold(f64::INFINITY, f64::min)
                };
                let holds =
                    |(i, s): (usize, &Summary)| s.ci95.is_some_and(|[low, high]| low <= truth(i) && truth(i) <= high);
                held += u64::from(intervals.iter().enumerate().all(holds));
            }
            let share = |count: u64| count as f64 / DRAWS as f64;
            assert!(share(kept) >= 0.935 && share(held) >= 0.935, "{means:?}: {} {}", share(kept), share(held));
        }
    }

    #[test]
    fn a_clear_best_stands_alone() {
        let (subset, intervals) = judge(&draw(&[0.0, 3.0, 9.0], &[0.5; 3], 12, 1), 0.95, 0);
        assert_eq!(subset, [0]);
        let ([low, none], [zero, high]) = (intervals[0].ci95.unwrap(), intervals[2].ci95.unwrap());
        assert!(low < -1.0 && none == 0.0 && zero == 0.0 && high > 8.0, "{intervals:?}");
    }

    /// By hand: two arms, differences 1, 2, 3; t(0.95, 2) = 2.919986, standard error 1/√3.
    #[test]
    fn two_arms_are_a_one_sided_paired_test() {
        let (subset, intervals) = judge(&[vec![0.0, 1.0], vec![0.0, 2.0], vec![0.0, 3.0]], 0.95, 1);
        let reach = 2.919_985_58 / 3.0_f64.sqrt();
        assert_eq!(subset, [0]);
        let ([low, _], [_, high]) = (intervals[0].ci95.unwrap(), intervals[1].ci95.unwrap());
        assert!((high - (2.0 + reach)).abs() < 1e-6 && (low + 2.0 + reach).abs() < 1e-6);
        let (both, _) = judge(&[vec![1.0, 1.0], vec![2.0, 2.0]], 0.95, 1);
        assert_eq!(both, [0, 1], "arms that are alike may both be the best");
    }
}
