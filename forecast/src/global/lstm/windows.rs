//! Windows of histories, as the network sees them.

use super::super::TrainingSeries;
use super::super::features::{LAGS, Scaled};
use super::network::{Batch, INPUTS, LEAD_INPUTS};
use crate::SeriesView;

/// Steps of history the scale and the simple forecasts are made from, in main seasons.
const SEASONS_SEEN: usize = 7;

/// What windows of one network look like, in steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) seasons: Vec<usize>,
    /// Steps the encoder reads, each the mean of `coarse` steps of the series.
    pub(super) length: usize,
    /// Steps of the series in one of the encoder's; leads are learned as far apart.
    pub(super) coarse: usize,
    pub(super) horizon: usize,
}

/// An origin of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) series: usize,
    pub(super) origin: usize,
}

impl Shape {
    /// The encoder reads two main seasons, in at most 24 steps each; the lags carry what lies further back.
    pub(super) fn new(seasons: &[usize], horizon: usize) -> Self {
        let season = seasons.first().copied().unwrap_or(1).max(1);
        let coarse = (season / 24).max(1);
        Self { seasons: seasons.to_vec(), length: (2 * season / coarse).clamp(24, 96), coarse, horizon }
    }

    pub(super) fn season(&self) -> usize {
        self.seasons.first().copied().unwrap_or(1).max(1)
    }

    /// All windows of `series` whose whole horizon is known, oldest origins first; `stride` apart within a series.
    pub(super) fn windows(&self, series: &[TrainingSeries<'_>], stride: usize) -> Vec<Window> {
        let first = (3 * self.season() / 2).max(self.length * self.coarse / 2).max(8);
        let mut windows: Vec<Window> = Vec::new();
        for (index, s) in series.iter().enumerate() {
            let Some(last) = s.values.len().checked_sub(self.horizon) else { continue };
            let origins = (first..=last).rev().step_by(stride);
            windows.extend(origins.map(|origin| Window { series: index, origin }));
        }
        windows.sort_by_key(|w| (series[w.series].first_step + w.origin as i64, w.series));
        windows
    }

    /// Windows as the network reads them; those of which too little is known are left out.
    pub(super) fn batch<'w>(&self, windows: impl Iterator<Item = &'w Window>, series: &[TrainingSeries<'_>]) -> Batch {
        let mut seen = Vec::new();
        let mut targets = Vec::new();
        for window in windows {
            let s = &series[window.series];
            let context = (SEASONS_SEEN * self.season()).max(self.length * self.coarse);
            let begin = window.origin.saturating_sub(context);
            let known = SeriesView::new(&s.values[begin..window.origin]);
            let Some(scaled) = Scaled::new(known, &self.seasons) else { continue };
            let leads = self.learned_leads();
            targets
                .extend(leads.map(|lead| s.values.get(window.origin + lead).map_or(f32::NAN, |v| scaled.scaled(*v))));
            seen.push((scaled, known, s.first_step + window.origin as i64));
        }
        let mut batch = self.read(&seen, self.learned_leads());
        batch.targets = targets;
        batch
    }

    /// Leads that windows teach.
    fn learned_leads(&self) -> impl Iterator<Item = usize> + Clone + use<> {
        // From the middle of each coarse step on.
        ((self.coarse / 2).min(self.horizon.saturating_sub(1))..self.horizon).step_by(self.coarse)
    }

    /// Histories that end at their steps, without what came.
    pub(super) fn read(
        &self,
        seen: &[(Scaled, SeriesView<'_>, i64)],
        leads: impl Iterator<Item = usize> + Clone,
    ) -> Batch {
        let mut batch = Batch { size: seen.len(), ..Batch::default() };
        for t in 0..self.length {
            let back = self.length - 1 - t;
            for (scaled, raw, end) in seen {
                let (value, beside, known) = self.coarse_step(scaled, *raw, back * self.coarse);
                let waves = self.waves(*end - 1 - (back * self.coarse + self.coarse / 2) as i64);
                batch.inputs.extend([value, beside, known]);
                batch.inputs.extend(waves);
            }
        }
        for (scaled, _, end) in seen {
            let movement = scaled.scale / (scaled.level.abs() + scaled.scale);
            let daily = self.daily(scaled);
            for lead in leads.clone() {
                batch.leads.extend(self.waves(*end + lead as i64));
                batch.leads.extend([(lead as f32 / self.horizon as f32).min(2.0), movement, daily]);
                batch.leads.extend(scaled.lags(lead));
            }
        }
        debug_assert_eq!(batch.inputs.len(), self.length * seen.len() * INPUTS);
        debug_assert_eq!(batch.leads.len(), leads.count() * seen.len() * LEAD_INPUTS);
        batch
    }

    /// Mean value, mean distance from the phase's mean, and known share of the coarse step that ends `back` steps before the end.
    fn coarse_step(&self, scaled: &Scaled, raw: SeriesView<'_>, back: usize) -> (f32, f32, f32) {
        let (mut value, mut beside, mut known, mut count) = (0.0, 0.0, 0.0, 0.0);
        for back in back..back + self.coarse {
            let Some(at) = scaled.values.len().checked_sub(back + 1) else { break };
            value += scaled.values[at];
            beside += scaled.values[at] - scaled.phase_mean_back(back);
            known += f32::from(u8::from(raw.get(at).is_some()));
            count += 1.0;
        }
        if count > 0.0 { (value / count, beside / count, known / count) } else { (0.0, 0.0, 0.0) }
    }

    /// Sine and cosine of the place in the two longest-known seasons; zeros for one that is not given.
    fn waves(&self, step: i64) -> [f32; 4] {
        let mut waves = [0.0; 4];
        for (pair, season) in waves.chunks_exact_mut(2).zip(&self.seasons) {
            let place = step.rem_euclid((*season).max(1) as i64) as f32 / *season as f32;
            pair[0] = libm::sinf(place * std::f32::consts::TAU);
            pair[1] = libm::cosf(place * std::f32::consts::TAU);
        }
        waves
    }

    /// Mean absolute phase mean: how much of the movement is the season's.
    fn daily(&self, scaled: &Scaled) -> f32 {
        let season = self.season();
        (0..season).map(|back| scaled.phase_mean_back(back).abs()).sum::<f32>() / season as f32
    }

    /// What the plain average says of a target of a batch.
    pub(super) fn plain(batch: &Batch, target: usize) -> f32 {
        let lags = &batch.leads[(target + 1) * LEAD_INPUTS - LAGS..(target + 1) * LEAD_INPUTS];
        (lags[0] + lags[7]) / 3.0
    }
}
