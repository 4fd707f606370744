//! Metrics beside the first: their level, what they follow the first metric with, a daily curve of their own, and noise.

use super::grid::Grid;
use super::noise::{SharedFit, marginal, memory, scores};
use super::profile::{own_curve, parts};
use super::statistics::{SPREAD_MIN, moments};
use super::write::rounded;
use crate::fragment::FollowerFragment;

const FACTOR_MAX: f64 = 10.0;
/// A curve that keeps less of itself from odd to even days is noise.
const CURVE_KEPT_MIN: f64 = 0.2;

/// Learns a metric of a group; `None` where nothing of it is known.
pub(super) fn follower(grid: Grid, first: &[Vec<f64>], metric: &[Vec<f64>]) -> Option<FollowerFragment> {
    let known: Vec<usize> = (0..metric.len()).filter(|d| moments(&metric[*d]).2 > 1).collect();
    if known.is_empty() {
        return None;
    }
    let factor = slope(&known, first, metric);
    let mut rest: Vec<Vec<f64>> =
        known.iter().map(|d| metric[*d].iter().zip(&first[*d]).map(|(y, x)| y - factor * x).collect()).collect();
    let means: Vec<f64> = rest.iter().map(|r| moments(r).0).collect();
    let (level, spread, _) = moments(&means);
    let profile = curve(grid, &rest);
    for (series, mean) in rest.iter_mut().zip(&means) {
        for (step, value) in series.iter_mut().enumerate() {
            *value -= mean + profile.as_deref().map_or(0.0, |p| crate::shape::profile_at(p, grid.hour(step)));
        }
    }
    let sizes: Vec<f64> = rest.iter().map(|r| moments(r).1).collect();
    let size = (sizes.iter().map(|s| s * s).sum::<f64>() / sizes.len() as f64).sqrt();
    let fit = memory(&scores(&rest), SharedFit { share: 0.0, phi: 0.0 });
    let units =
        rest.iter().zip(&sizes).filter(|(_, s)| **s > SPREAD_MIN).flat_map(|(r, s)| r.iter().map(move |v| v / s));
    let size = (size / fit.within.sqrt()).min(100.0);
    Some(FollowerFragment {
        level_percent: Some(rounded(level.clamp(-1000.0, 1000.0))),
        spread_percent: Some(rounded(spread.min(100.0))),
        cpu_factor: Some(rounded(factor)),
        profile: profile.map(|p| p.into_iter().map(|v| rounded(v.clamp(-100.0, 100.0))).collect()),
        noise_percent: Some(rounded(size * (1.0 - fit.slow_share).max(0.0).sqrt())),
        noise_correlation: Some(super::write::correlation(fit.fast_phi)),
        slow_noise_percent: Some(rounded(size * fit.slow_share.sqrt())),
        slow_noise_correlation: Some(super::write::correlation(fit.slow_phi)),
        marginal: marginal(units).map(|table| table.into_iter().map(rounded).collect()),
    })
}

/// Points of the metric for a point of the first one: least squares about each device's own means.
fn slope(known: &[usize], first: &[Vec<f64>], metric: &[Vec<f64>]) -> f64 {
    let (mut with, mut square) = (0.0, 0.0);
    for d in known {
        let pairs: Vec<(f64, f64)> = first[*d]
            .iter()
            .copied()
            .zip(metric[*d].iter().copied())
            .filter(|(x, y)| x.is_finite() && y.is_finite())
            .collect();
        let count = pairs.len().max(1) as f64;
        let (x, y) = pairs.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0, y + p.1));
        let (x, y) = (x / count, y / count);
        with += pairs.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>();
        square += pairs.iter().map(|p| (p.0 - x) * (p.0 - x)).sum::<f64>();
    }
    if square > SPREAD_MIN { (with / square).clamp(-FACTOR_MAX, FACTOR_MAX) } else { 0.0 }
}

/// The mean of the devices' curves, as far as it is no noise.
fn curve(grid: Grid, rest: &[Vec<f64>]) -> Option<Vec<f64>> {
    let parts = parts(grid);
    let mut sum = vec![0.0; parts];
    let (mut kept_sum, mut size) = (0.0, 0.0);
    for series in rest {
        let (own, kept) = own_curve(grid, series, parts);
        let square = own.iter().map(|v| v * v).sum::<f64>();
        (kept_sum, size) = (kept_sum + kept * square, size + square);
        sum.iter_mut().zip(&own).for_each(|(s, v)| *s += kept.sqrt() * v / rest.len() as f64);
    }
    (size > 0.0 && kept_sum / size >= CURVE_KEPT_MIN).then_some(sum)
}
