//! Noise: what is left when level and daily curve are taken away. Its distribution is learned apart from its memory, as a generator with a
//! Gaussian copula needs it.

use super::statistics::{SPREAD_MIN, autocorrelation, mean_autocorrelation, moments, quantile, sorted};
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

/// How a correlation of normal variables comes out when both pass through a marginal table: a power series whose coefficients are the
/// squared Hermite coefficients of the table (Mehler's formula).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Passed(Vec<f64>);

impl Passed {
    /// Of a table; of none, correlations stay.
    pub(super) fn new(table: Option<&[f64]>) -> Self {
        let Some(table) = table.and_then(|t| crate::shape::Marginal::new(t.to_vec())) else { return Self(vec![1.0]) };
        let mut sums = [0.0; ORDER];
        for z in (0..SLICES).map(slice) {
            let (mut before, mut now, mut factorial) = (1.0, z, 1.0);
            for (k, sum) in sums.iter_mut().enumerate() {
                let order = (k + 1) as f64;
                factorial *= order;
                *sum += table.at(z) * now / factorial.sqrt();
                (before, now) = (now, z * now - order * before);
            }
        }
        let squares: Vec<f64> = sums.iter().map(|s| (s / f64::from(SLICES)).powi(2)).collect();
        let all: f64 = squares.iter().sum();
        if all > 0.0 { Self(squares.into_iter().map(|s| s / all).collect()) } else { Self(vec![1.0]) }
    }

    /// What becomes of a correlation.
    pub(super) fn at(&self, correlation: f64) -> f64 {
        self.0.iter().rev().fold(0.0, |sum, c| (sum + c) * correlation)
    }

    /// The correlation, 0 to 1, that becomes this one.
    pub(super) fn before(&self, passed: f64) -> f64 {
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if self.at(middle) < passed { low = middle } else { high = middle }
        }
        low
    }
}

/// Hermite polynomials that a table is told in.
const ORDER: usize = 8;
/// Slices of equal probability that integrals over a normal distribution are made of.
const SLICES: i32 = 400;

/// The middle of a slice.
fn slice(i: i32) -> f64 {
    normal_quantile((f64::from(i) + 0.5) / f64::from(SLICES))
}

/// The mixture of two memories whose autocorrelations, passed through the marginal table, are nearest to those of the residuals, beside
/// what is shared.
///
/// Autocorrelations of a series are measured about its own mean, which follows a slow memory: they come out lower than those of the process,
/// by the variance of the mean. The mixture is therefore judged by what would be measured of it.
pub(super) fn memory(residuals: &[Vec<f64>], shared: SharedFit, passed: &Passed) -> MemoryFit {
    let steps = residuals.iter().map(Vec::len).max().unwrap_or(0);
    let known = known_steps(residuals);
    let seen: Vec<(usize, f64)> =
        lags(steps).filter_map(|lag| Some((lag, mean_autocorrelation(residuals, lag)?))).collect();
    let mut best = (f64::INFINITY, MemoryFit { fast_phi: 0.0, slow_phi: 0.0, slow_share: 0.0, within: 1.0 });
    if seen.is_empty() {
        return best.1;
    }
    let longest = (known as f64 / 5.0).max(1.0);
    let slow: Vec<Component> = spaced((longest / 200.0).max(2.0), longest.max(4.0), 24)
        .map(|memory| Component::new(phi_of(memory), &seen, known))
        .collect();
    let shared_part = Component::new(shared.phi, &seen, known);
    for fast_phi in std::iter::once(0.0).chain(spaced(0.3, (longest / 4.0).max(0.4), 22)).map(phi_of) {
        let fast = Component::new(fast_phi, &seen, known);
        for slow in slow.iter().filter(|s| s.phi > fast_phi) {
            for slow_share in (0..=20).map(|i| f64::from(i) / 20.0 * (1.0 - shared.share)) {
                let shares = [1.0 - shared.share - slow_share, slow_share, shared.share];
                let (error, within) = misfit([&fast, slow, &shared_part], shares, &seen, passed);
                if error < best.0 - 1e-12 {
                    best = (error, MemoryFit { fast_phi, slow_phi: slow.phi, slow_share, within });
                }
            }
        }
    }
    best.1
}

/// The share of slow noise of one device, 0 to 1 of what it does not share, where both memories are those of its group.
pub(super) fn slow_share(residual: &[f64], group: MemoryFit, shared: SharedFit, passed: &Passed) -> Option<f64> {
    let known = known_steps(&[residual.to_vec()]);
    let seen: Vec<(usize, f64)> =
        lags(residual.len()).filter_map(|lag| Some((lag, autocorrelation(residual, lag)?.0))).collect();
    let parts = [group.fast_phi, group.slow_phi, shared.phi].map(|phi| Component::new(phi, &seen, known));
    let own = 1.0 - shared.share;
    let error = |share: f64| {
        let shares = [own * (1.0 - share), own * share, shared.share];
        misfit([&parts[0], &parts[1], &parts[2]], shares, &seen, passed).0
    };
    let candidates = (0..=40).map(|i| f64::from(i) / 40.0);
    candidates.min_by(|a, b| error(*a).total_cmp(&error(*b))).filter(|_| !seen.is_empty())
}

fn known_steps(series: &[Vec<f64>]) -> usize {
    series.iter().map(|s| s.iter().filter(|v| v.is_finite()).count()).max().unwrap_or(0).max(2)
}

/// One part of the noise at the lags that are looked at.
struct Component {
    phi: f64,
    powers: Vec<f64>,
    /// Variance of its mean over the series.
    of_mean: f64,
}

impl Component {
    fn new(phi: f64, seen: &[(usize, f64)], known: usize) -> Self {
        let powers = seen.iter().map(|(lag, _)| phi.powf(*lag as f64)).collect();
        Self { phi, powers, of_mean: mean_variance(phi, known) }
    }
}

/// Sum of squares between what would be measured of a mixture and what was, and the share of its variance within a series.
fn misfit(parts: [&Component; 3], shares: [f64; 3], seen: &[(usize, f64)], passed: &Passed) -> (f64, f64) {
    let lost: f64 = parts.iter().zip(shares).map(|(part, share)| share * part.of_mean).sum();
    let off = |i: usize| {
        let process: f64 = parts.iter().zip(shares).map(|(part, share)| share * part.powers[i]).sum();
        (passed.at(process) - lost) / (1.0 - lost).max(0.05) - seen[i].1
    };
    let error = (0..seen.len()).map(|i| off(i).powi(2)).sum();
    (error, (1.0 - lost).clamp(0.5, 1.0))
}

/// The marginal table of residuals in units of their standard deviations: mean 0 and variance 1 as the generator reads it; `None` where
/// there is no spread.
pub(super) fn marginal(units: impl IntoIterator<Item = f64>) -> Option<Vec<f64>> {
    let sorted = sorted(units);
    let place = |i: usize| -3.0 + 6.0 * i as f64 / (TABLE - 1) as f64;
    let mut table: Vec<f64> = (0..TABLE).map(|i| quantile(&sorted, normal_lower(place(i)))).collect();
    let whole = crate::shape::Marginal::new(table.clone())?;
    let values: Vec<f64> = (0..SLICES).map(|i| whole.at(slice(i))).collect();
    let (mean, sd, _) = moments(&values);
    if sd < SPREAD_MIN {
        return None;
    }
    table.iter_mut().for_each(|v| *v = ((*v - mean) / sd).clamp(-100.0, 100.0));
    Some(table)
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
            let fit = memory(&series, SharedFit { share: 0.0, phi: 0.0 }, &Passed::new(None));
            assert!((fit.fast_phi - 0.7).abs() < 0.08 && (fit.slow_phi - 0.995).abs() < 0.003, "{fit:?}");
            assert!((fit.slow_share - 0.4).abs() < 0.08, "{fit:?}");
        }
    }

    #[test]
    fn a_correlation_passes_through_a_table_and_back() {
        let skewed: Vec<f64> = (0..25).map(|i| (f64::from(i) / 4.0 - 3.0).exp()).collect();
        let passed = Passed::new(Some(&skewed));
        // Of lognormal variables: (e^ρ − 1) / (e − 1); the table ends at ±3, which takes some of the tail.
        let exact = |rho: f64| (rho.exp() - 1.0) / (1.0_f64.exp() - 1.0);
        for rho in [0.2, 0.5, 0.8] {
            assert!((passed.at(rho) - exact(rho)).abs() < 0.03, "{} {}", passed.at(rho), exact(rho));
            assert!((passed.before(passed.at(rho)) - rho).abs() < 1e-6);
        }
        assert_eq!(Passed::new(None).at(0.3), 0.3);
    }

    #[test]
    fn a_skewed_marginal_comes_back_with_mean_0_and_variance_1() {
        let skewed = process(5, &[(1.0, 0.0)], 5000).into_iter().map(|z| (0.8 * z).exp());
        let table = marginal(skewed).unwrap();
        assert!(table[TABLE - 1] > 4.0 && table[0] > -1.5, "{table:?}");
        assert!(marginal([3.0; 20]).is_none() && marginal([]).is_none());
    }
}
