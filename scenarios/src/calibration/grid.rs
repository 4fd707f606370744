//! Steps of a recording by the clock: time of day, day, weekday; always UTC.

/// When the steps of a recording are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// First step, Unix seconds.
    pub start_s: i64,
    /// Length of a step, seconds.
    pub period_s: i64,
}

impl Grid {
    fn seconds(self, step: usize) -> i64 {
        self.start_s + step as i64 * self.period_s
    }

    /// Day of a step, counted from the epoch.
    pub fn day(self, step: usize) -> i64 {
        self.seconds(step).div_euclid(86_400)
    }

    /// Weekday of a step, Monday 0.
    pub fn weekday(self, step: usize) -> usize {
        (self.day(step) + 3).rem_euclid(7) as usize
    }

    /// Hour of the day, 0 to 24.
    pub fn hour(self, step: usize) -> f64 {
        self.seconds(step).rem_euclid(86_400) as f64 / 3600.0
    }

    /// Of `parts` equal ones, the part of the day that a step begins in.
    pub fn part(self, step: usize, parts: usize) -> usize {
        (self.seconds(step).rem_euclid(86_400) as usize * parts / 86_400).min(parts - 1)
    }

    /// Steps in a span of seconds, at least one.
    pub fn steps(self, seconds: i64) -> usize {
        (seconds / self.period_s).max(1) as usize
    }

    /// Mean of a series in each part of the day, over the days that `counts` takes; NaN where nothing is known.
    pub fn day_means(self, series: &[f64], parts: usize, counts: impl Fn(i64) -> bool) -> Vec<f64> {
        let mut sums = vec![(0.0, 0_u32); parts];
        for (step, value) in series.iter().enumerate().filter(|(step, v)| v.is_finite() && counts(self.day(*step))) {
            let sum = &mut sums[self.part(step, parts)];
            *sum = (sum.0 + value, sum.1 + 1);
        }
        sums.into_iter().map(|(sum, n)| if n > 0 { sum / f64::from(n) } else { f64::NAN }).collect()
    }

    /// Days of which at least half is known.
    pub fn days_known(self, series: &[f64]) -> usize {
        let half = (86_400 / self.period_s / 2).max(1) as usize;
        let mut counts = std::collections::BTreeMap::<i64, usize>::new();
        for step in (0..series.len()).filter(|step| series[*step].is_finite()) {
            *counts.entry(self.day(step)).or_default() += 1;
        }
        counts.values().filter(|n| **n >= half).count()
    }

    /// Share of a series' variance that the time of day explains, in `parts` of the day, 0 to 1; `None` for constant series.
    pub fn explained_by_day(self, series: &[f64], parts: usize) -> Option<f64> {
        let (mean, sd, n) = super::statistics::moments(series);
        let means = self.day_means(series, parts, |_| true);
        let known = (0..series.len()).filter(|step| series[*step].is_finite());
        let of_day = known.map(|step| (means[self.part(step, parts)] - mean).powi(2)).sum::<f64>();
        (sd > super::statistics::SPREAD_MIN).then(|| of_day / n as f64 / (sd * sd))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_know_their_clock() {
        // 2024-03-04T00:00:00Z, a Monday.
        let grid = Grid { start_s: 1_709_510_400, period_s: 3600 };
        assert_eq!((grid.weekday(0), grid.weekday(24), grid.weekday(24 * 6)), (0, 1, 6));
        assert_eq!((grid.part(25, 24), grid.hour(25), grid.steps(86_400)), (1, 1.0, 24));
        let wave: Vec<f64> = (0..72).map(|t| f64::from(t % 24)).collect();
        assert_eq!(grid.day_means(&wave, 24, |_| true)[5], 5.0);
        assert!((grid.explained_by_day(&wave, 24).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(grid.days_known(&wave[..40]), 2);
    }
}
