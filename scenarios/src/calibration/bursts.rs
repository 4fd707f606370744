//! Bursts: short stretches far above the rest of a device's noise.

use super::grid::Grid;
use super::statistics::{quantile, sorted};

/// A burst rises this many robust standard deviations over the median somewhere, and at least so many points …
const RISE: f64 = 5.0;
const RISE_POINTS: f64 = 5.0;
/// … and lasts while the load is above so much of that.
const HOLD: f64 = 0.5;
/// What lasts longer is no burst, seconds.
const LONGEST_S: i64 = 6 * 3600;

/// No more than this is added for what is not seen.
const SEEN_MIN: f64 = 0.5;

/// A burst of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// First step.
    pub from: usize,
    /// Steps.
    pub steps: usize,
    /// Mean height over the median, points.
    pub height: f64,
    /// The height it had to rise above to be called one, points.
    pub rise: f64,
}

/// Bursts of a series from which level and daily curve are taken, in order.
pub fn bursts(grid: Grid, residuals: &[f64]) -> Vec<Burst> {
    let known = sorted(residuals.iter().copied());
    let median = quantile(&known, 0.5);
    let spread = quantile(&sorted(known.iter().map(|v| (v - median).abs())), 0.5) * 1.4826;
    let rise = (RISE * spread).max(RISE_POINTS);
    found(residuals, median, rise, grid.steps(LONGEST_S))
}

fn found(residuals: &[f64], median: f64, rise: f64, longest: usize) -> Vec<Burst> {
    let mut bursts = Vec::new();
    let mut step = 0;
    while step < residuals.len() {
        let run = residuals[step..].iter().take_while(|v| **v - median > HOLD * rise);
        let (steps, sum, peak) =
            run.fold((0, 0.0, 0.0_f64), |(n, sum, peak), v| (n + 1, sum + v - median, peak.max(v - median)));
        if steps > 0 && peak > rise && steps <= longest {
            bursts.push(Burst { from: step, steps, height: sum / steps as f64, rise });
        }
        step += steps.max(1);
    }
    bursts
}

/// Bursts of a group in the words of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BurstFit {
    pub(super) rate_per_day: f64,
    /// Median height, points.
    pub(super) height: f64,
    /// Standard deviation of the logarithm of heights.
    pub(super) sigma: f64,
    pub(super) duration_s: f64,
    /// Of each device: its rate, as a factor.
    pub(super) factors: Vec<f64>,
}

/// Learns the bursts of a group, and takes them out of its residuals.
pub(super) fn take_bursts(grid: Grid, residuals: &mut [Vec<f64>]) -> BurstFit {
    let all: Vec<Vec<Burst>> = residuals.iter().map(|r| bursts(grid, r)).collect();
    let days = |r: &Vec<f64>| r.iter().filter(|v| v.is_finite()).count() as f64 * grid.period_s as f64 / 86_400.0;
    let rates: Vec<f64> =
        all.iter().zip(residuals.iter()).map(|(found, r)| found.len() as f64 / days(r).max(1e-9)).collect();
    let rate = rates.iter().sum::<f64>() / rates.len().max(1) as f64;
    let heights = sorted(all.iter().flatten().map(|b| b.height));
    let count = heights.len().max(1) as f64;
    let logs: Vec<f64> = heights.iter().map(|h| h.ln()).collect();
    let sigma = super::statistics::moments(&logs).1.min(3.0);
    let seen = seen(&heights, sigma, all.iter().flatten().map(|b| b.rise).sum::<f64>() / count);
    let mean_steps = all.iter().flatten().map(|b| b.steps as f64).sum::<f64>() / count;
    for (found, series) in all.iter().zip(residuals.iter_mut()) {
        found.iter().for_each(|b| series[b.from..b.from + b.steps].fill(f64::NAN));
    }
    BurstFit {
        rate_per_day: (rate / seen).min(100.0),
        height: if heights.is_empty() { 0.0 } else { quantile(&heights, 0.5).min(100.0) },
        sigma,
        // A length drawn from an exponential distribution is rounded up to steps: half a step on average.
        duration_s: ((mean_steps - 0.5).max(0.5) * grid.period_s as f64).clamp(60.0, 86_400.0),
        factors: rates.iter().map(|r| if rate > 0.0 { (r / rate).min(1000.0) } else { 1.0 }).collect(),
    }
}

/// Share of bursts of such lognormal heights that would be called bursts. The others lie among the noise, where nobody can count them: there
/// must be so many more than are seen. Noise of about a fifth of the rise helps a burst over it.
fn seen(heights: &[f64], sigma: f64, rise: f64) -> f64 {
    let median = quantile(heights, 0.5);
    if heights.is_empty() || sigma <= 0.0 {
        return 1.0;
    }
    let share = slacktide_forecast::special::normal_lower((median / (0.8 * rise)).ln() / sigma);
    share.clamp(SEEN_MIN, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_found_and_taken_out() {
        let grid = Grid { start_s: 0, period_s: 300 };
        let mut series: Vec<f64> = (0..288 * 4).map(|t| f64::from((t * 7919) % 101) / 50.0 - 1.0).collect();
        series[100..103].fill(20.0);
        series[500..506].fill(30.0);
        series[700..900].fill(40.0);
        let found = bursts(grid, &series);
        assert_eq!(
            found.iter().map(|b| (b.from, b.steps)).collect::<Vec<_>>(),
            [(100, 3), (500, 6)],
            "what lasts is none"
        );
        let mut residuals = vec![series];
        let fit = take_bursts(grid, &mut residuals);
        assert_eq!((fit.rate_per_day, fit.duration_s), (0.5, 4.0 * 300.0));
        assert!(
            fit.height > 19.0 && fit.factors == [1.0] && residuals[0][101].is_nan() && residuals[0][103].is_finite()
        );
    }

    #[test]
    fn a_calm_or_unknown_series_has_none() {
        let grid = Grid { start_s: 0, period_s: 300 };
        assert!(
            bursts(grid, &[5.0; 50]).is_empty()
                && bursts(grid, &[f64::NAN; 9]).is_empty()
                && bursts(grid, &[]).is_empty()
        );
    }
}
