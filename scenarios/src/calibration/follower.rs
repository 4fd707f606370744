//! Metrics beside the first: their level, what they follow the first metric with, a daily curve, noise and bursts of their own.

use super::bursts::take_bursts;
use super::grid::Grid;
use super::noise::{Passed, SharedFit, marginal, memory};
use super::profile::daily;
use super::statistics::{SPREAD_MIN, moments};
use super::write::{correlation, duration, rounded};
use crate::fragment::FollowerFragment;

const FACTOR_MAX: f64 = 10.0;
const ALONE: SharedFit = SharedFit { share: 0.0, phi: 0.0 };

/// A metric of a group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FollowerFit {
    /// In the words of a scenario.
    pub(super) fragment: FollowerFragment,
    /// Of each device: points added to the level, factor of the curve, factor of the noise.
    pub(super) devices: Vec<[f64; 3]>,
}

/// Learns a metric of a group; `None` where nothing of it is known.
pub(super) fn follower(grid: Grid, first: &[Vec<f64>], metric: &[Vec<f64>]) -> Option<FollowerFit> {
    let known: Vec<usize> = (0..metric.len()).filter(|d| moments(&metric[*d]).2 > 1).collect();
    if known.is_empty() {
        return None;
    }
    let factor = slope(&known, first, metric);
    let mut rest: Vec<Vec<f64>> =
        known.iter().map(|d| metric[*d].iter().zip(&first[*d]).map(|(y, x)| y - factor * x).collect()).collect();
    let of_day = daily(grid, &rest, false);
    let means: Vec<f64> = rest.iter().map(|r| moments(r).0).collect();
    for (d, series) in rest.iter_mut().enumerate() {
        for (step, value) in series.iter_mut().enumerate() {
            *value -= means[d] + crate::shape::profile_at(&of_day.own[d], grid.hour(step));
        }
    }
    let bursts = take_bursts(grid, &mut rest);
    let sizes: Vec<(f64, f64)> = rest.iter().map(|r| moments(r)).map(|(mean, sd, _)| (mean, sd)).collect();
    let levels: Vec<f64> = (0..rest.len()).map(|d| means[d] + sizes[d].0 - of_day.mean(d)).collect();
    let (level, spread, _) = moments(&levels);
    let size = (sizes.iter().map(|(_, s)| s * s).sum::<f64>() / sizes.len() as f64).sqrt();
    let moving = || rest.iter().zip(&sizes).filter(|(_, (_, s))| *s > SPREAD_MIN);
    let table = marginal(moving().flat_map(|(r, (mean, s))| r.iter().map(move |v| (v - mean) / s)));
    let fit = memory(&moving().map(|(r, _)| r.clone()).collect::<Vec<_>>(), ALONE, &Passed::new(table.as_deref()));
    let size_of_process = (size / fit.within.sqrt()).min(100.0);
    let mut devices = vec![[0.0, 1.0, 1.0]; metric.len()];
    for (i, d) in known.iter().enumerate() {
        devices[*d] = [levels[i] - level, of_day.factors[i], if size > SPREAD_MIN { sizes[i].1 / size } else { 1.0 }];
    }
    let fragment = FollowerFragment {
        level_percent: Some(rounded(level.clamp(-1000.0, 1000.0))),
        spread_percent: Some(rounded(spread.min(100.0))),
        cpu_factor: Some(rounded(factor)),
        profile: (!of_day.curve.is_empty())
            .then(|| of_day.curve.iter().map(|v| rounded(v.clamp(-100.0, 100.0))).collect()),
        noise_percent: Some(rounded(size_of_process * (1.0 - fit.slow_share).max(0.0).sqrt())),
        noise_correlation: Some(correlation(fit.fast_phi)),
        slow_noise_percent: Some(rounded(size_of_process * fit.slow_share.sqrt())),
        slow_noise_correlation: Some(correlation(fit.slow_phi)),
        marginal: table.map(|table| table.into_iter().map(rounded).collect()),
        burst_rate_per_day: Some(rounded(bursts.rate_per_day)),
        burst_percent: Some(rounded(bursts.height)),
        burst_sigma: Some(rounded(bursts.sigma)),
        burst_duration: Some(duration(bursts.duration_s)),
    };
    Some(FollowerFit { fragment, devices })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_that_follows_is_found_with_its_level() {
        let grid = Grid { start_s: 0, period_s: 300 };
        let noise = |t: usize, d: usize| {
            let mixed = ((t * 64 + d) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 / f64::from(1 << 23) - 1.0
        };
        let first: Vec<Vec<f64>> = (0..4).map(|d| (0..900).map(|t| 30.0 + 5.0 * noise(t, d)).collect()).collect();
        let metric: Vec<Vec<f64>> = first
            .iter()
            .enumerate()
            .map(|(d, x)| {
                x.iter().enumerate().map(|(t, x)| 10.0 + d as f64 + 0.5 * x + 2.0 * noise(t, d + 50)).collect()
            })
            .collect();
        let fit = follower(grid, &first, &metric).unwrap();
        assert!((fit.fragment.cpu_factor.unwrap() - 0.5).abs() < 0.03, "{:?}", fit.fragment);
        assert!((fit.fragment.level_percent.unwrap() - 11.5).abs() < 1.0);
        // Three days of noise may leave a little of a curve, which lies over the level.
        let curve = fit.fragment.profile.clone().unwrap_or_else(|| vec![0.0]);
        let mean = |d: usize| fit.devices[d][0] + fit.devices[d][1] * curve.iter().sum::<f64>() / curve.len() as f64;
        assert!((mean(3) - mean(0) - 3.0).abs() < 0.3, "{:?}", fit.devices);
        assert!(follower(grid, &first, &[vec![f64::NAN; 900]]).is_none());
    }
}
