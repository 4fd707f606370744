//! How often to difference, and differencing itself.

use stlrs::StlParams;

/// Level-stationarity is rejected above this statistic, at 5 % (Kwiatkowski, Phillips, Schmidt & Shin 1992, table 1).
const KPSS_CRITICAL: f64 = 0.463;
/// A seasonal strength above this asks for a seasonal difference (Wang, Smith & Hyndman 2006; `forecast::nsdiffs` of R).
const STRENGTH: f64 = 0.64;

/// Differences at `lag`; a gap on either side is a gap.
pub(super) fn difference(values: &[f64], lag: usize) -> Vec<f64> {
    (lag..values.len()).map(|t| values[t] - values[t - lag]).collect()
}

/// Differences `plain` times at lag 1 after `seasonal` times at lag `season`.
pub(super) fn difference_all(values: &[f64], plain: usize, seasonal: usize, season: usize) -> Vec<f64> {
    let mut out = values.to_vec();
    for _ in 0..seasonal {
        out = difference(&out, season);
    }
    for _ in 0..plain {
        out = difference(&out, 1);
    }
    out
}

/// Weights δ of past values in the next one: (1 − B)ᵈ(1 − Bˢ)ᴰ = 1 − Σ δᵢ Bⁱ.
pub(super) fn weights(plain: usize, seasonal: usize, season: usize) -> Vec<f64> {
    let mut polynomial = vec![1.0];
    for lag in std::iter::repeat_n(1, plain).chain(std::iter::repeat_n(season, seasonal)) {
        let mut next = polynomial.clone();
        next.resize(polynomial.len() + lag, 0.0);
        for (i, c) in polynomial.iter().enumerate() {
            next[i + lag] -= c;
        }
        polynomial = next;
    }
    polynomial.iter().skip(1).map(|c| -c).collect()
}

/// Plain differences until the rest is level-stationary by the KPSS test, 0..=2. Needs values without gaps.
pub fn plain_differences(values: &[f64]) -> usize {
    let mut rest = values.to_vec();
    for differences in 0..2 {
        if rest.len() < 8 || is_constant(&rest) || kpss(&rest) < KPSS_CRITICAL {
            return differences;
        }
        rest = difference(&rest, 1);
    }
    2
}

/// The KPSS statistic for level stationarity, with ⌊3√n / 13⌋ Bartlett lags (as `urca::ur.kpss(lags = "short")` of R).
pub fn kpss(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let residuals: Vec<f64> = values.iter().map(|v| v - mean).collect();
    let mut sum = 0.0;
    let squares: f64 = residuals
        .iter()
        .map(|r| {
            sum += r;
            sum * sum
        })
        .sum();
    let lags = (3.0 * n.sqrt() / 13.0) as usize;
    let mut variance = residuals.iter().map(|r| r * r).sum::<f64>() / n;
    for lag in 1..=lags {
        let covariance: f64 = residuals[lag..].iter().zip(&residuals).map(|(a, b)| a * b).sum::<f64>() / n;
        variance += 2.0 * (1.0 - lag as f64 / (lags + 1) as f64) * covariance;
    }
    if variance > 0.0 { squares / (n * n * variance) } else { 0.0 }
}

/// Does the season deserve a difference of its own? By its strength in an STL decomposition.
pub fn seasonal_differences(values: &[f64], season: usize) -> usize {
    usize::from(seasonal_strength(values, season).is_some_and(|strength| strength > STRENGTH))
}

/// Strength of the season, 0..=1: `max(0, 1 − var(remainder) / var(season + remainder))`. `None` with less than two seasons.
pub fn seasonal_strength(values: &[f64], season: usize) -> Option<f64> {
    if season < 2 || values.len() < 2 * season + 1 || is_constant(values) {
        return None;
    }
    let fit = StlParams::new().fit(values, season).ok()?;
    Some(fit.seasonal_strength().clamp(0.0, 1.0))
}

/// Do all values lie within rounding of each other?
pub(super) fn is_constant(values: &[f64]) -> bool {
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    high - low <= 1e-9 * high.abs().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_the_polynomial_multiplied_out() {
        assert_eq!(weights(1, 0, 1), [1.0]);
        assert_eq!(weights(2, 0, 1), [2.0, -1.0]);
        assert_eq!(weights(1, 1, 4), [1.0, 0.0, 0.0, 1.0, -1.0]);
        assert_eq!(weights(0, 0, 12), [0.0; 0]);
    }

    #[test]
    fn differencing_undoes_a_line_and_a_season() {
        let line: Vec<f64> = (0..40).map(|t| 3.0 * t as f64 + [0.0, 5.0, 1.0, 2.0][t % 4]).collect();
        assert!(difference_all(&line, 1, 1, 4).iter().all(|v| v.abs() < 1e-9));
        assert_eq!(plain_differences(&(0..40).map(f64::from).collect::<Vec<_>>()), 1);
        assert_eq!(plain_differences(&[4.0; 40]), 0);
        assert_eq!(seasonal_differences(&line, 4), 1);
    }
}
