//! Statistics of series with gaps (NaN), used alike for what was recorded and for what was generated.

/// Mean and standard deviation of what is known, and how much that is; zeros where nothing is.
pub fn moments(series: &[f64]) -> (f64, f64, usize) {
    let known = series.iter().filter(|v| v.is_finite());
    let (sum, count) = known.clone().fold((0.0, 0_usize), |(sum, n), v| (sum + v, n + 1));
    if count == 0 {
        return (0.0, 0.0, 0);
    }
    let mean = sum / count as f64;
    let variance = known.map(|v| (v - mean) * (v - mean)).sum::<f64>() / count as f64;
    (mean, variance.sqrt(), count)
}

/// What is known, sorted.
pub fn sorted(series: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut known: Vec<f64> = series.into_iter().filter(|v| v.is_finite()).collect();
    known.sort_unstable_by(f64::total_cmp);
    known
}

/// Quantile of sorted values, by straight lines between them; NaN of none.
pub fn quantile(sorted: &[f64], p: f64) -> f64 {
    between(sorted, p.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64)
}

/// The value at a place between the first (0) and the last (n − 1), by straight lines; at the nearer end for places beyond, NaN of none.
pub fn between(sorted: &[f64], place: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = place.clamp(0.0, last as f64);
    let low = (place as usize).min(last);
    sorted[low] + (place - low as f64) * (sorted[(low + 1).min(last)] - sorted[low])
}

/// Pairs of values a lag apart that an autocorrelation is made of, at least.
const PAIRS_MIN: usize = 8;
/// Spread below which a series is constant.
pub const SPREAD_MIN: f64 = 1e-6;

/// Autocorrelation at a lag in steps, over pairs of which both are known, and their number; `None` for constant series and too few pairs.
pub fn autocorrelation(series: &[f64], lag: usize) -> Option<(f64, usize)> {
    let (mean, sd, _) = moments(series);
    if sd < SPREAD_MIN || lag >= series.len() {
        return None;
    }
    let pairs = series.iter().zip(&series[lag..]).filter(|(a, b)| a.is_finite() && b.is_finite());
    let (sum, count) = pairs.fold((0.0, 0), |(sum, n), (a, b)| (sum + (a - mean) * (b - mean), n + 1));
    (count >= PAIRS_MIN).then(|| (sum / count as f64 / (sd * sd), count))
}

/// The same, averaged over series with the number of pairs as weights.
pub fn mean_autocorrelation(series: &[Vec<f64>], lag: usize) -> Option<f64> {
    let found = series.iter().filter_map(|s| autocorrelation(s, lag));
    let (sum, weight) = found.fold((0.0, 0.0), |(sum, w), (value, n)| (sum + value * n as f64, w + n as f64));
    (weight > 0.0).then(|| sum / weight)
}

/// Largest distance between the distribution functions of two sorted samples (Kolmogorov–Smirnov); NaN when one is empty.
pub fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> f64 {
    if a.is_empty() || b.is_empty() {
        return f64::NAN;
    }
    let (mut i, mut j, mut distance) = (0, 0, 0.0_f64);
    while i < a.len() && j < b.len() {
        let value = a[i].min(b[j]);
        i += a[i..].iter().take_while(|v| **v <= value).count();
        j += b[j..].iter().take_while(|v| **v <= value).count();
        distance = distance.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    distance
}

/// Correlation of two lists, over what both know; `None` when one is constant there.
pub fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let pairs: Vec<(f64, f64)> =
        a.iter().copied().zip(b.iter().copied()).filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    let (mean_a, sd_a, n) = moments(&pairs.iter().map(|p| p.0).collect::<Vec<_>>());
    let (mean_b, sd_b, _) = moments(&pairs.iter().map(|p| p.1).collect::<Vec<_>>());
    let product = pairs.iter().map(|(x, y)| (x - mean_a) * (y - mean_b)).sum::<f64>();
    (n > 2 && sd_a > SPREAD_MIN && sd_b > SPREAD_MIN).then(|| product / n as f64 / sd_a / sd_b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_quantiles_and_distances_are_those_of_the_books() {
        let (mean, sd, n) = moments(&[1.0, f64::NAN, 3.0, 5.0]);
        assert_eq!((mean, n), (3.0, 3));
        assert!((sd - (8.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(quantile(&[0.0, 10.0, 20.0], 0.25), 5.0);
        assert!(quantile(&[], 0.5).is_nan());
        assert_eq!(kolmogorov_smirnov(&[1.0, 2.0, 3.0, 4.0], &[3.0, 4.0, 5.0, 6.0]), 0.5);
        assert_eq!(kolmogorov_smirnov(&[1.0, 1.0], &[1.0]), 0.0);
        assert!((correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn autocorrelation_passes_over_gaps() {
        let mut wave: Vec<f64> = (0..400).map(|t| (f64::from(t) / 20.0 * std::f64::consts::TAU).cos()).collect();
        wave[7] = f64::NAN;
        assert!((autocorrelation(&wave, 20).unwrap().0 - 1.0).abs() < 0.01);
        assert!((autocorrelation(&wave, 10).unwrap().0 + 1.0).abs() < 0.01);
        assert!(autocorrelation(&[2.0; 50], 1).is_none() && autocorrelation(&wave, 400).is_none());
    }
}
