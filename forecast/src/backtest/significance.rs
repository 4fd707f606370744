//! Is a difference between two models more than chance?

use crate::special::student_two_sided;

/// Fewest differences a test may rest on.
const COUNT_MIN: usize = 8;

/// A test of equal accuracy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Test {
    /// The statistic; negative when the first model's losses are lower.
    pub statistic: f64,
    /// Two-sided probability of one as far from 0 if both were equally good.
    pub p: f64,
    /// Differences it rests on.
    pub count: usize,
}

/// Diebold & Mariano 1995 with the correction of Harvey, Leybourne & Newbold 1997, on loss differences in the order of their origins;
/// `overlap` is how many successive origins share a forecast span (1 when none do). The long-run variance sums the autocovariances of the
/// overlap; where that sum is not positive, Bartlett weights are used. `None` with fewer than 8 differences or no difference at all.
pub fn diebold_mariano(differences: &[f64], overlap: usize) -> Option<Test> {
    let count = differences.len();
    let (n, h) = (count as f64, overlap.clamp(1, count.max(2) / 2));
    if count < COUNT_MIN {
        return None;
    }
    let mean = differences.iter().sum::<f64>() / n;
    let covariance = |lag: usize| {
        let pairs = differences[lag..].iter().zip(differences);
        pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n
    };
    let long_run = |weight: &dyn Fn(usize) -> f64| {
        covariance(0) + 2.0 * (1..h).map(|lag| weight(lag) * covariance(lag)).sum::<f64>()
    };
    let mut variance = long_run(&|_| 1.0);
    if variance <= 0.0 {
        variance = long_run(&|lag| 1.0 - lag as f64 / h as f64);
    }
    if variance <= 1e-24 {
        return None;
    }
    let h = h as f64;
    let correction = ((n + 1.0 - 2.0 * h + h * (h - 1.0) / n) / n).max(0.0).sqrt();
    let statistic = mean / (variance / n).sqrt() * correction;
    Some(Test { statistic, p: student_two_sided(statistic, n - 1.0), count })
}

/// Holm 1979: probabilities corrected for their number, in the order given.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut corrected = vec![0.0; p.len()];
    let mut highest = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        highest = highest.max(((p.len() - rank) as f64 * p[index]).min(1.0));
        corrected[index] = highest;
    }
    corrected
}

/// Mean ranks of models over blocks (1 is best, ties share), `losses[block][model]`.
pub fn mean_ranks(losses: &[Vec<f64>]) -> Vec<f64> {
    let models = losses.first().map_or(0, Vec::len);
    let mut sums = vec![0.0; models];
    for block in losses {
        for (model, sum) in sums.iter_mut().enumerate() {
            let lower = block.iter().filter(|v| **v < block[model]).count() as f64;
            let equal = block.iter().filter(|v| **v == block[model]).count() as f64;
            *sum += lower + (equal + 1.0) / 2.0;
        }
    }
    sums.iter().map(|s| s / losses.len().max(1) as f64).collect()
}

/// The Nemenyi critical difference of mean ranks at 5 % (Demšar 2006); `None` for fewer than 2 models or blocks, or more than 20 models.
pub fn critical_difference(models: usize, blocks: usize) -> Option<f64> {
    /// Studentised range at 5 % over √2, for 2 to 20 models.
    const RANGE: [f64; 19] = [
        1.960, 2.344, 2.569, 2.728, 2.850, 2.948, 3.031, 3.102, 3.164, 3.219, 3.268, 3.313, 3.354, 3.391, 3.426, 3.458,
        3.489, 3.517, 3.544,
    ];
    let range = RANGE.get(models.checked_sub(2)?)?;
    let k = models as f64;
    (blocks >= 2).then(|| range * (k * (k + 1.0) / (6.0 * blocks as f64)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By R's `forecast::dm.test` formula, worked in numpy 2.4.6 and scipy 1.17.1.
    #[test]
    fn known_answers() {
        let d = [0.5, -0.2, 0.4, 0.9, -0.1, 0.3, 0.8, 0.2, -0.4, 0.6];
        let one = diebold_mariano(&d, 1).unwrap();
        let three = diebold_mariano(&d, 3).unwrap();
        assert!((one.statistic - 2.208_963_1).abs() < 1e-6 && (one.p - 0.054_537_42).abs() < 1e-6, "{one:?}");
        assert!((three.statistic - 3.707_486_3).abs() < 1e-6 && (three.p - 0.004_863_865).abs() < 1e-6, "{three:?}");
        assert_eq!(diebold_mariano(&d[..7], 1), None);
        assert_eq!(diebold_mariano(&[0.0; 20], 1), None);
    }

    #[test]
    fn holm_corrects_in_steps_and_keeps_the_order() {
        let corrected = holm(&[0.01, 0.04, 0.03]);
        for (a, b) in corrected.iter().zip([0.03, 0.06, 0.06]) {
            assert!((a - b).abs() < 1e-12, "{corrected:?}");
        }
    }

    #[test]
    fn ranks_share_ties_and_the_critical_difference_is_demsars() {
        assert_eq!(mean_ranks(&[vec![1.0, 2.0, 2.0], vec![3.0, 1.0, 2.0]]), [2.0, 1.75, 2.25]);
        // Demšar's example: 4 models, 14 data sets, 1.25.
        assert!((critical_difference(4, 14).unwrap() - 1.25).abs() < 0.01);
        assert_eq!(critical_difference(1, 14), None);
    }
}
