//! Noise: what is left when level and daily curve are taken away. Its distribution is learned apart from its memory, as a generator with a
//! Gaussian copula needs it.

use super::statistics::{SPREAD_MIN, mean_autocorrelation, moments, normal_scores, quantile, sorted};
use slacktide_forecast::special::{normal_lower, normal_quantile};

/// Values of a marginal table, for −3 to 3 in quarters.
const TABLE: usize = 25;
/// Lags in steps that memory is fitted to, as far as a third of the series.
const LAGS: [usize; 20] = [1, 2, 3, 4, 6, 8, 12, 18, 24, 36, 48, 72, 96, 144, 192, 288, 384, 576, 864, 1152];

/// Two memories and the shares of the variance they have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MemoryFit {
    pub(super) fast_phi: f64,
    pub(super) slow_phi: f64,
    pub(super) slow_share: f64,
    /// Share of the variance of a process that the variance within a series of this length is.
    pub(super) within: f64,
}

/// Part of the variance that devices of a pool share, and its memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SharedFit {
    pub(super) share: f64,
    pub(super) phi: f64,
}

/// Lags for series of a length.
pub(super) fn lags(steps: usize) -> impl Iterator<Item = usize> {
    LAGS.into_iter().filter(move |lag| *lag <= (steps / 3).max(1))
}

/// Variance of the mean of `steps` values of a first-order autoregression of variance 1.
fn mean_variance(phi: f64, steps: usize) -> f64 {
    let n = steps.max(1) as f64;
    let sum = n * (1.0 + phi) / (1.0 - phi) - 2.0 * phi * (1.0 - phi.powf(n)) / (1.0 - phi).powi(2);
    (sum / n / n).clamp(0.0, 1.0)
}

/// Memory that lasts so many steps: the lag at which correlation is 1/e.
fn phi_of(steps: f64) -> f64 {
    if steps <= 0.0 { 0.0 } else { (-1.0 / steps).exp() }
}

/// Places evenly spaced in their logarithms.
fn spaced(from: f64, to: f64, count: usize) -> impl Iterator<Item = f64> + Clone {
    (0..count).map(move |i| from * (to / from).powf(i as f64 / (count - 1) as f64))
}

/// The mixture of two memories whose autocorrelations are nearest to those of the scores, beside what is shared.
///
/// Autocorrelations of a series are measured about its own mean, which follows a slow memory: they come out lower than those of the process,
/// by the variance of the mean. The mixture is therefore judged by what would be measured of it.
pub(super) fn memory(scores: &[Vec<f64>], shared: SharedFit) -> MemoryFit {
    let steps = scores.iter().map(Vec::len).max().unwrap_or(0);
    let known = scores.iter().map(|s| s.iter().filter(|v| v.is_finite()).count()).max().unwrap_or(0).max(2);
    let seen: Vec<(usize, f64)> =
        lags(steps).filter_map(|lag| Some((lag, mean_autocorrelation(scores, lag)?))).collect();
    let alone = MemoryFit { fast_phi: 0.0, slow_phi: 0.0, slow_share: 0.0, within: 1.0 };
    if seen.is_empty() {
        return alone;
    }
    let own = 1.0 - shared.share;
    let shared_variance = shared.share * mean_variance(shared.phi, known);
    let powers = |phi: f64| seen.iter().map(|(lag, _)| phi.powf(*lag as f64)).collect::<Vec<f64>>();
    let shared_part: Vec<f64> = powers(shared.phi).iter().map(|p| shared.share * p).collect();
    let longest = (known as f64 / 5.0).max(1.0);
    let slow: Vec<(f64, Vec<f64>, f64)> = spaced((longest / 200.0).max(2.0), longest.max(4.0), 32)
        .map(phi_of)
        .map(|phi| (phi, powers(phi), mean_variance(phi, known)))
        .collect();
    let fast = std::iter::once(0.0).chain(spaced(0.3, (longest / 4.0).max(0.4), 28)).map(phi_of);
    let mut best = (f64::INFINITY, alone);
    for fast_phi in fast {
        let (fast_powers, fast_variance) = (powers(fast_phi), mean_variance(fast_phi, known));
        for (slow_phi, slow_powers, slow_variance) in slow.iter().filter(|(phi, ..)| *phi > fast_phi) {
            for slow_share in (0..=40).map(|i| f64::from(i) / 40.0 * own) {
                let fast_share = own - slow_share;
                let lost = fast_share * fast_variance + slow_share * slow_variance + shared_variance;
                let off = |i: usize| {
                    let process = fast_share * fast_powers[i] + slow_share * slow_powers[i] + shared_part[i];
                    (process - lost) / (1.0 - lost).max(0.05) - seen[i].1
                };
                let error: f64 = (0..seen.len()).map(|i| off(i).powi(2)).sum();
                if error < best.0 - 1e-12 {
                    let within = (1.0 - lost).clamp(0.5, 1.0);
                    best = (error, MemoryFit { fast_phi, slow_phi: *slow_phi, slow_share, within });
                }
            }
        }
    }
    best.1
}

/// The marginal table of residuals in units of their standard deviations: mean 0 and variance 1 as the generator reads it; `None` where
/// there is no spread.
pub(super) fn marginal(units: impl IntoIterator<Item = f64>) -> Option<Vec<f64>> {
    let sorted = sorted(units);
    let place = |i: usize| -3.0 + 6.0 * i as f64 / (TABLE - 1) as f64;
    let mut table: Vec<f64> = (0..TABLE).map(|i| quantile(&sorted, normal_lower(place(i)))).collect();
    let whole = crate::shape::Marginal::new(table.clone())?;
    // The middle of 400 slices of equal probability.
    let values: Vec<f64> = (0..400).map(|i| whole.at(normal_quantile((f64::from(i) + 0.5) / 400.0))).collect();
    let (mean, sd, _) = moments(&values);
    if sd < SPREAD_MIN {
        return None;
    }
    table.iter_mut().for_each(|v| *v = ((*v - mean) / sd).clamp(-100.0, 100.0));
    Some(table)
}

/// Normal scores of residuals, device by device.
pub(super) fn scores(residuals: &[Vec<f64>]) -> Vec<Vec<f64>> {
    residuals.iter().filter(|r| moments(r).1 > SPREAD_MIN).map(|r| normal_scores(r)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise that is nearly normal, from a plain congruential generator.
    struct Draws(u64);
    impl Draws {
        fn next(&mut self) -> f64 {
            let mut one = || {
                self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.0 >> 11) as f64 / (1_u64 << 53) as f64
            };
            (0..12).map(|_| one()).sum::<f64>() - 6.0
        }
    }

    fn process(seed: u64, parts: &[(f64, f64)], steps: usize) -> Vec<f64> {
        let mut draws = Draws(seed);
        let mut states: Vec<f64> = parts.iter().map(|_| draws.next()).collect();
        (0..steps)
            .map(|_| {
                parts
                    .iter()
                    .zip(&mut states)
                    .map(|((share, phi), state)| {
                        *state = phi * *state + (1.0 - phi * phi).sqrt() * draws.next();
                        share.sqrt() * *state
                    })
                    .sum()
            })
            .collect()
    }

    #[test]
    fn two_memories_are_told_apart() {
        for seed in [1, 2, 3] {
            let series: Vec<Vec<f64>> =
                (0..20).map(|d| process(seed * 1000 + d, &[(0.6, 0.7), (0.4, 0.995)], 2880)).collect();
            let fit = memory(&scores(&series), SharedFit { share: 0.0, phi: 0.0 });
            assert!((fit.fast_phi - 0.7).abs() < 0.08 && (fit.slow_phi - 0.995).abs() < 0.003, "{fit:?}");
            assert!((fit.slow_share - 0.4).abs() < 0.08, "{fit:?}");
        }
    }

    #[test]
    fn a_skewed_marginal_comes_back_with_mean_0_and_variance_1() {
        let skewed = process(5, &[(1.0, 0.0)], 5000).into_iter().map(|z| (0.8 * z).exp());
        let table = marginal(skewed).unwrap();
        assert!(table[TABLE - 1] > 4.0 && table[0] > -1.5, "{table:?}");
        assert!(marginal([3.0; 20]).is_none() && marginal([]).is_none());
    }
}
