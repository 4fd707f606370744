//! Which arms are held against each other, and whether a difference is more than chance.
//!
//! One level rules intervals, verdicts and the statements on the best arm ([`super::best`]): the error is shared evenly among the pairs
//! (Bonferroni). A step-down correction (Holm) finds a little more, but has no intervals to go with it: an interval without 0 would stand
//! beside a verdict of noise.

use slacktide_forecast::special::{student_quantile, student_two_sided};
use slacktide_sim::compare::{Arm, Difference};
use slacktide_sim::{RunResult, Summary};

/// The forecaster that knows what comes.
pub(super) const ORACLE: &str = "oracle";
/// The two that people come to compare.
pub(super) const QUESTION: (&str, &str) = ("arima", "lstm");
/// All intervals of a measure hold at once with this probability at least.
const CONFIDENCE: f64 = 0.95;

/// A difference and what chance has to say on it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    /// The difference; its interval is one that holds together with those of all pairs of this measure.
    pub(super) difference: Difference,
    /// Probability of so large a mean difference by chance (paired t-test); `None` with fewer than two runs.
    pub(super) p: Option<f64>,
    /// The same, corrected for the number of pairs (Bonferroni).
    pub(super) p_corrected: Option<f64>,
}

impl Verdict {
    /// More than chance? Just where the interval leaves 0 out.
    pub(super) fn is_different(&self) -> bool {
        !self.difference.is_noise()
    }

    /// Was it nothing in every run?
    pub(super) fn is_nothing(&self) -> bool {
        self.difference.summary.ci95 == Some([0.0, 0.0])
    }
}

/// The first arm against each other one. Among forecasters also the perfect one against each of the rest, and the two that people
/// come to compare.
pub(super) fn pairs(arms: &[Arm], forecasters: bool) -> Vec<(usize, usize)> {
    let place = |name: &str| arms.iter().position(|a| a.name == name).filter(|_| forecasters);
    let mut pairs: Vec<(usize, usize)> = (1..arms.len()).map(|other| (0, other)).collect();
    if let Some(oracle) = place(ORACLE).filter(|oracle| *oracle > 0) {
        pairs.extend((1..arms.len()).filter(|other| *other != oracle).map(|other| (oracle, other)));
    }
    let question = place(QUESTION.0).zip(place(QUESTION.1));
    pairs.extend(question.filter(|(a, b)| *a > 0 && *b > 0));
    pairs
}

/// All pairs in all measures.
pub(super) fn verdicts(arms: &[Arm], measures: &[&str], forecasters: bool) -> Vec<Verdict> {
    let pairs = pairs(arms, forecasters);
    let of_pair = |(a, b): &(usize, usize)| {
        let (a, b) = (&arms[*a], &arms[*b]);
        measures.iter().filter_map(|measure| verdict(a, b, measure, pairs.len())).collect::<Vec<_>>()
    };
    pairs.iter().flat_map(of_pair).collect()
}

/// One pair in one measure, over the seeds in which both arms have it; `comparisons` share the error.
fn verdict(a: &Arm, b: &Arm, measure: &str, comparisons: usize) -> Option<Verdict> {
    let value = |run: &RunResult| run.measures.get(measure).copied();
    let pair = |(a, b): (&RunResult, &RunResult)| Some(value(a)? - value(b)?);
    let differences: Vec<f64> = a.runs.iter().zip(&b.runs).filter_map(pair).collect();
    let summary = simultaneous(&differences, comparisons)?;
    let p = paired_p(&differences);
    Some(Verdict {
        difference: Difference { a: a.name.clone(), b: b.name.clone(), measure: measure.to_owned(), summary },
        p,
        p_corrected: p.map(|p| (p * comparisons as f64).min(1.0)),
    })
}

/// The mean of paired differences with an interval that holds together with those of so many comparisons.
fn simultaneous(differences: &[f64], comparisons: usize) -> Option<Summary> {
    let n = differences.len() as f64;
    if differences.is_empty() {
        return None;
    }
    let mean = differences.iter().sum::<f64>() / n;
    let half = standard_error(differences, mean).map(|error| {
        let each = (1.0 - CONFIDENCE) / comparisons.max(1) as f64;
        student_quantile(1.0 - each / 2.0, n - 1.0) * error
    });
    Some(Summary { mean, ci95: half.map(|half| [mean - half, mean + half]) })
}

fn standard_error(values: &[f64], mean: f64) -> Option<f64> {
    let n = values.len() as f64;
    let squares = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>();
    (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt())
}

/// Two-sided probability of the paired t-test that the mean of the differences is 0.
fn paired_p(differences: &[f64]) -> Option<f64> {
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let error = standard_error(differences, mean)?;
    Some(match (error > 0.0, mean == 0.0) {
        (true, _) => student_two_sided(mean / error, n - 1.0),
        // Always the same difference: none at all, or one that chance never gives.
        (false, true) => 1.0,
        (false, false) => 0.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: t = 1.814575 with 5 degrees of freedom; p by the closed form of Student's distribution for an odd number of them.
    #[test]
    fn the_paired_test_is_students() {
        let p = paired_p(&[0.5, -0.2, 0.4, 0.9, -0.1, 0.3]).unwrap();
        assert!((p - 0.129309).abs() < 1e-5, "{p}");
        assert_eq!((paired_p(&[0.0; 4]), paired_p(&[2.0; 4]), paired_p(&[1.0])), (Some(1.0), Some(0.0), None));
    }

    /// An interval leaves 0 out just where the corrected probability is below 5 %, for any number of pairs.
    #[test]
    fn interval_and_probability_say_the_same() {
        let differences = [3.1, 4.0, 2.2, 3.9, 5.3];
        let p = paired_p(&differences).unwrap();
        let mut seen = [false; 2];
        for comparisons in 1..200 {
            let [low, _] = simultaneous(&differences, comparisons).unwrap().ci95.unwrap();
            let is_different = p * (comparisons as f64) < 0.05;
            assert_eq!(low > 0.0, is_different, "{comparisons} pairs: {low}, {p}");
            seen[usize::from(is_different)] = true;
        }
        assert_eq!(seen, [true; 2]);
        assert_eq!(simultaneous(&[2.0], 1).map(|s| s.ci95), Some(None), "one run has no interval");
    }
}
