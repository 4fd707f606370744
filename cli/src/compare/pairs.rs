//! Which arms are held against each other, and whether a difference is more than chance.

use slacktide_forecast::backtest::significance::holm;
use slacktide_forecast::special::student_two_sided;
use slacktide_sim::RunResult;
use slacktide_sim::compare::{Arm, Difference, difference};

/// The forecaster that knows what comes.
pub(super) const ORACLE: &str = "oracle";
/// The two that people come to compare.
pub(super) const QUESTION: (&str, &str) = ("arima", "lstm");
/// Corrected probability under which a difference is called one.
const SIGNIFICANT: f64 = 0.05;

/// A difference and what chance has to say on it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    /// The difference.
    pub(super) difference: Difference,
    /// Probability of so large a mean difference by chance (paired t-test); `None` with fewer than two runs.
    pub(super) p: Option<f64>,
    /// The same, corrected for the pairs of this measure (Holm).
    pub(super) p_corrected: Option<f64>,
}

impl Verdict {
    /// More than chance?
    pub(super) fn is_different(&self) -> bool {
        self.p_corrected.is_some_and(|p| p < SIGNIFICANT)
    }
}

/// The first arm against each other one. Among forecasters also the perfect one against each of the rest, and the two that people
/// come to compare.
pub(super) fn verdicts(arms: &[Arm], measures: &[&str], forecasters: bool) -> Vec<Verdict> {
    let place = |name: &str| arms.iter().position(|a| a.name == name).filter(|_| forecasters);
    let mut pairs: Vec<(usize, usize)> = (1..arms.len()).map(|other| (0, other)).collect();
    if let Some(oracle) = place(ORACLE).filter(|oracle| *oracle > 0) {
        pairs.extend((1..arms.len()).filter(|other| *other != oracle).map(|other| (oracle, other)));
    }
    let question = place(QUESTION.0).zip(place(QUESTION.1));
    pairs.extend(question.filter(|(a, b)| *a > 0 && *b > 0));
    let of_pair = |(a, b): (usize, usize)| measures.iter().filter_map(move |m| difference(&arms[a], &arms[b], m));
    let found = pairs.into_iter().flat_map(of_pair);
    let mut verdicts: Vec<Verdict> =
        found.map(|difference| Verdict { p: p_of(arms, &difference), p_corrected: None, difference }).collect();
    for measure in measures {
        let mut family: Vec<&mut Verdict> =
            verdicts.iter_mut().filter(|v| v.difference.measure == *measure && v.p.is_some()).collect();
        let corrected = holm(&family.iter().filter_map(|v| v.p).collect::<Vec<_>>());
        family.iter_mut().zip(corrected).for_each(|(verdict, p)| verdict.p_corrected = Some(p));
    }
    verdicts
}

fn p_of(arms: &[Arm], difference: &Difference) -> Option<f64> {
    let runs = |name: &str| arms.iter().find(|a| a.name == name).map(|a| &a.runs);
    let value = |run: &RunResult| run.measures.get(&difference.measure).copied();
    let pairs = runs(&difference.a)?.iter().zip(runs(&difference.b)?);
    paired_p(&pairs.filter_map(|(a, b)| Some(value(a)? - value(b)?)).collect::<Vec<_>>())
}

/// Two-sided probability of the paired t-test that the mean of the differences is 0.
fn paired_p(differences: &[f64]) -> Option<f64> {
    let n = differences.len() as f64;
    if differences.len() < 2 {
        return None;
    }
    let mean = differences.iter().sum::<f64>() / n;
    let variance = differences.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / (n - 1.0);
    Some(match (variance > 0.0, mean == 0.0) {
        (true, _) => student_two_sided(mean / (variance / n).sqrt(), n - 1.0),
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
}
