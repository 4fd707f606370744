//! What global models see of a series: itself, brought to a common scale, and what simple forecasts say.

use crate::SeriesView;

/// Values further from the level than this many scales are brought in: one outlier must not rule a model of all series.
const FAR: f32 = 6.0;

/// Simple forecasts and recent levels of one lead, on the common scale.
pub(super) const LAGS: usize = 11;

/// A history brought to a common scale: level 0, typical movement 1.
#[derive(Debug, Clone)]
pub(super) struct Scaled {
    /// Level and scale it was brought down by.
    pub(super) level: f32,
    pub(super) scale: f32,
    /// Values; gaps are filled straight.
    pub(super) values: Vec<f32>,
    /// Mean by phase, `[h]` for the step `h` after the end.
    phase_means: Vec<f32>,
    season: usize,
    longer: Option<usize>,
    recent: [f32; 4],
}

impl Scaled {
    /// `None` when fewer than a season and a half is known, or nothing moves.
    pub(super) fn new(series: SeriesView<'_>, seasons: &[usize]) -> Option<Self> {
        let season = seasons.first().copied().unwrap_or(1).max(1);
        let raw = series.filled()?;
        if raw.len() < (3 * season / 2).max(6) {
            return None;
        }
        let newest = &raw[raw.len().saturating_sub(season.max(8))..];
        let level = newest.iter().sum::<f64>() / newest.len() as f64;
        let mean = raw.iter().sum::<f64>() / raw.len() as f64;
        let scale = raw.iter().map(|v| (v - mean).abs()).sum::<f64>() / raw.len() as f64;
        if scale < 1e-6 {
            return None;
        }
        let values: Vec<f32> = raw.iter().map(|v| (((v - level) / scale) as f32).clamp(-FAR, FAR)).collect();
        let n = values.len();
        let mean_of = |steps: usize| {
            let newest = &values[n - steps.clamp(1, n)..];
            newest.iter().sum::<f32>() / newest.len() as f32
        };
        let recent = [mean_of(1), mean_of((season / 8).max(2)), mean_of((season / 2).max(4)), mean_of(n)];
        let phase_means = (0..season)
            .map(|h| {
                let same = values.iter().rev().skip(season - 1 - h).step_by(season);
                let (sum, count) = same.fold((0.0, 0.0), |(s, c), v| (s + v, c + 1.0));
                if count > 0.0 { sum / count } else { recent[3] }
            })
            .collect();
        let longer = seasons.iter().copied().find(|s| *s > season && *s <= n);
        Some(Self { level: level as f32, scale: scale as f32, values, phase_means, season, longer, recent })
    }

    /// What the simple forecasts say of the step `lead` after the end (0 is the next), and the recent levels.
    pub(super) fn lags(&self, lead: usize) -> [f32; LAGS] {
        let n = self.values.len();
        // The newest known step of the same phase, `cycles` further back.
        let same_phase = |season: usize, cycles: usize| {
            let back = (lead / season + 1 + cycles) * season - lead;
            n.checked_sub(back).map(|at| self.values[at])
        };
        let phase = self.phase_means[lead % self.season];
        let yesterday = same_phase(self.season, 0).unwrap_or(phase);
        let before = same_phase(self.season, 1).unwrap_or(phase);
        let week = self.longer.and_then(|season| same_phase(season, 0)).unwrap_or(phase);
        let now = self.phase_means[self.season - 1];
        let beside = 0.5
            * (self.phase_means[(lead + 1) % self.season] + self.phase_means[(lead + self.season - 1) % self.season]);
        let [last, short, half, all] = self.recent;
        [last, short, half, all, yesterday, before, week, phase, beside, now, 1.0]
    }

    /// Back to the unit of the series.
    pub(super) fn unscaled(&self, value: f32) -> f32 {
        value * self.scale + self.level
    }

    /// A value of the series on the common scale.
    pub(super) fn scaled(&self, value: f32) -> f32 {
        ((value - self.level) / self.scale).clamp(-FAR, FAR)
    }

    /// The mean of the phase of a step counted back from the end (0 is the last).
    pub(super) fn phase_mean_back(&self, back: usize) -> f32 {
        self.phase_means[self.season - 1 - back % self.season]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lags_point_at_the_same_phase() {
        // Value = day · 10 + hour, four hours a day, three days.
        let y: Vec<f32> = (0..12).map(|t| (t / 4 * 10 + t % 4) as f32).collect();
        let scaled = Scaled::new(SeriesView::new(&y), &[4]).unwrap();
        let raw = |v: f32| scaled.unscaled(v);
        for lead in [0, 3, 4, 7] {
            let lags = scaled.lags(lead);
            let hour = (lead % 4) as f32;
            assert!((raw(lags[4]) - (20.0 + hour)).abs() < 1e-3, "{lead} {lags:?}");
            assert!((raw(lags[5]) - (10.0 + hour)).abs() < 1e-3);
            assert!((raw(lags[7]) - (10.0 + hour)).abs() < 1e-3, "the mean of 0, 10 and 20");
        }
        assert!((raw(scaled.lags(0)[0]) - 23.0).abs() < 1e-3);
        assert!(Scaled::new(SeriesView::new(&[3.0; 40]), &[4]).is_none());
    }
}
