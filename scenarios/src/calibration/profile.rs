//! The daily curve of a group, and how strongly and how late each device follows it.
//!
//! A mean over few days holds noise, which would be taken for a curve. The strength of a device is therefore the mean product of its curve
//! over odd days with that over even days: noise is independent between the two, so that it adds nothing on average.

use super::grid::Grid;
use super::statistics::moments;

/// A device whose curve explains less of its variance than this has none.
const SHARE_MIN: f64 = 0.01;
/// A device that is mostly noise is not shifted: its best match would be chance.
const SHIFT_SHARE_MIN: f64 = 0.5;
/// A shift must make the match so much better.
const SHIFT_GAIN_MIN: f64 = 1.1;
const ROUNDS: usize = 4;

/// What devices do over a day.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Daily {
    /// The curve of the group, not below 0; empty where there is none.
    pub(super) curve: Vec<f64>,
    /// Of each device: the factor of the curve.
    pub(super) factors: Vec<f64>,
    /// Of each device: how much later its curve comes, hours.
    pub(super) shifts_hours: Vec<f64>,
    /// Of each device: the curve to take from its load, mean 0.
    pub(super) own: Vec<Vec<f64>>,
}

/// Parts of the day that a curve is told in.
pub(super) const fn parts(grid: Grid) -> usize {
    if grid.period_s <= 1800 { 48 } else { 24 }
}

/// A device's mean day, centred, and the part of it that is no noise, 0 to 1.
pub(super) fn own_curve(grid: Grid, series: &[f64], parts: usize) -> (Vec<f64>, f64) {
    let whole = centred(grid.day_means(series, parts, |_| true));
    let odd = centred(grid.day_means(series, parts, |day| day % 2 != 0));
    let even = centred(grid.day_means(series, parts, |day| day % 2 == 0));
    let (_, sd, _) = moments(series);
    let (signal, all) = (product(&odd, &even), product(&whole, &whole));
    let kept = if all > 0.0 && signal > SHARE_MIN * sd * sd { (signal / all).min(1.0) } else { 0.0 };
    (whole, kept)
}

/// Mean 0; what is unknown lies on the mean.
fn centred(mut curve: Vec<f64>) -> Vec<f64> {
    let (mean, ..) = moments(&curve);
    curve.iter_mut().for_each(|v| *v = if v.is_finite() { *v - mean } else { 0.0 });
    curve
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>() / a.len() as f64
}

/// The curve as it would be `shift` parts later.
fn later(curve: &[f64], shift: usize) -> Vec<f64> {
    (0..curve.len()).map(|i| curve[(i + curve.len() - shift) % curve.len()]).collect()
}

/// Learns the curve of a group; devices may follow it later or earlier only where they `may_shift`.
pub(super) fn daily(grid: Grid, devices: &[Vec<f64>], may_shift: bool) -> Daily {
    let parts = parts(grid);
    let curves: Vec<(Vec<f64>, f64)> = devices.iter().map(|series| own_curve(grid, series, parts)).collect();
    // Taken away so that the variance falls by what is no noise: 2s − s² of the whole.
    let own =
        curves.iter().map(|(curve, kept)| curve.iter().map(|v| v * (1.0 - (1.0 - kept).sqrt())).collect()).collect();
    let mut shifts = vec![0_usize; devices.len()];
    let mut common = vec![0.0; parts];
    for _ in 0..ROUNDS {
        common = vec![0.0; parts];
        for ((curve, kept), shift) in curves.iter().zip(&shifts) {
            let earlier = later(curve, (parts - shift) % parts);
            common.iter_mut().zip(earlier).for_each(|(sum, v)| *sum += kept * v);
        }
        for ((curve, kept), shift) in curves.iter().zip(&mut shifts) {
            if may_shift && *kept >= SHIFT_SHARE_MIN {
                let fits = |s: usize| product(curve, &later(&common, s));
                let best = (0..parts).fold(0, |best, s| if fits(s) > fits(best) { s } else { best });
                // What hardly fits better is chance.
                *shift = if fits(best) > SHIFT_GAIN_MIN * fits(0).max(0.0) { best } else { 0 };
            }
        }
    }
    let size = product(&common, &common).sqrt();
    let strengths: Vec<f64> = curves.iter().map(|(curve, kept)| (kept * product(curve, curve)).sqrt()).collect();
    let mean = strengths.iter().sum::<f64>() / strengths.len().max(1) as f64;
    if size <= 0.0 || mean <= 0.0 {
        let count = devices.len();
        return Daily { curve: Vec::new(), factors: vec![0.0; count], shifts_hours: vec![0.0; count], own };
    }
    let low = common.iter().copied().fold(f64::INFINITY, f64::min);
    let hours = |shift: usize| {
        let hours = shift as f64 * 24.0 / parts as f64;
        if hours > 12.0 { hours - 24.0 } else { hours }
    };
    Daily {
        curve: common.iter().map(|v| (v - low) / size * mean).collect(),
        factors: strengths.iter().map(|s| s / mean).collect(),
        shifts_hours: shifts.into_iter().map(hours).collect(),
        own,
    }
}

/// Days of recorded load that weekends can be told from.
pub(super) const WEEKEND_DAYS_MIN: usize = 14;
/// Days that each weekday can be told from.
pub(super) const WEEKDAYS_DAYS_MIN: usize = 28;

/// Factors of the daily curve by weekday, Monday first, with mean 1 over the week: weekdays and weekend from two weeks on, each day from
/// four; `None` for less, and where there is no curve.
pub(super) fn week(grid: Grid, devices: &[Vec<f64>], daily: &Daily, days: usize) -> Option<[f64; 7]> {
    if daily.curve.is_empty() || days < WEEKEND_DAYS_MIN {
        return None;
    }
    let parts = daily.curve.len();
    let curve_mean = daily.curve.iter().sum::<f64>() / parts as f64;
    let class = |weekday: usize| if days >= WEEKDAYS_DAYS_MIN { weekday } else { usize::from(weekday >= 5) };
    let mut sums = [(0.0, 0.0); 7];
    for (d, series) in devices.iter().enumerate().filter(|(d, _)| daily.factors[*d] > 0.0) {
        let (mean, ..) = moments(series);
        let base = mean - daily.factors[d] * curve_mean;
        for (step, value) in series.iter().enumerate().filter(|(_, v)| v.is_finite()) {
            let curve = daily.at(d, grid.hour(step));
            let sum = &mut sums[class(grid.weekday(step))];
            *sum = (sum.0 + (value - base) * curve, sum.1 + curve * curve);
        }
    }
    let factor = |weekday: usize| {
        let (with, square) = sums[class(weekday)];
        if square > 0.0 { (with / square).clamp(0.0, 5.0) } else { 1.0 }
    };
    let factors: [f64; 7] = std::array::from_fn(factor);
    let mean = factors.iter().sum::<f64>() / 7.0;
    (mean > 0.0).then(|| factors.map(|f| (f / mean).min(5.0)))
}

impl Daily {
    /// Points over its base that a device has at an hour of the day.
    pub(super) fn at(&self, device: usize, hour: f64) -> f64 {
        if self.curve.is_empty() {
            return 0.0;
        }
        self.factors[device] * crate::shape::profile_at(&self.curve, hour - self.shifts_hours[device])
    }

    /// Mean of those over the day.
    pub(super) fn mean(&self, device: usize) -> f64 {
        if self.curve.is_empty() {
            return 0.0;
        }
        self.factors[device] * self.curve.iter().sum::<f64>() / self.curve.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { start_s: 1_709_510_400, period_s: 1800 };

    fn noise(t: usize, d: usize) -> f64 {
        ((t * 7919 + d * 104_729 + t * t * 31) % 1009) as f64 / 504.0 - 1.0
    }

    fn wave(t: usize, late_hours: f64) -> f64 {
        (1.0 + ((t as f64 / 2.0 - 14.0 - late_hours) / 24.0 * std::f64::consts::TAU).cos()) / 2.0
    }

    #[test]
    fn strength_and_delay_of_devices_are_found_and_noise_is_no_curve() {
        let device = |d: usize, height: f64, late: f64| {
            (0..48 * 10).map(|t| 20.0 + height * wave(t, late) + 4.0 * noise(t, d)).collect()
        };
        let devices: Vec<Vec<f64>> =
            vec![device(1, 20.0, 0.0), device(2, 10.0, 0.0), device(3, 20.0, 4.0), device(4, 0.0, 0.0)];
        let daily = daily(GRID, &devices, true);
        let height = |d: usize| (0..48).map(|i| daily.at(d, f64::from(i) / 2.0)).fold(0.0, f64::max);
        assert!((height(0) - 20.0).abs() < 2.0 && (height(1) - 10.0).abs() < 2.0, "{} {}", height(0), height(1));
        assert!((daily.shifts_hours[2] - daily.shifts_hours[0] - 4.0).abs() <= 0.5, "{:?}", daily.shifts_hours);
        assert!(height(3) < 1.5, "{}", height(3));
    }

    #[test]
    fn weekends_are_told_from_two_weeks_on() {
        let series: Vec<f64> = (0..48 * 14)
            .map(|t| 10.0 + 20.0 * wave(t, 0.0) * if GRID.weekday(t) >= 5 { 0.5 } else { 1.0 } + noise(t, 1))
            .collect();
        let devices = [series];
        let daily = daily(GRID, &devices, true);
        let factors = week(GRID, &devices, &daily, 14).unwrap();
        assert!((factors[6] / factors[0] - 0.5).abs() < 0.06, "{factors:?}");
        assert!(week(GRID, &devices, &daily, 13).is_none());
    }
}
