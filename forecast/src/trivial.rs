//! The models that cost nothing, and that a dearer one must beat to earn its place.

use crate::{FitError, Fitted, Model, ModelKind, SeriesView};

/// One of the four trivial models.
#[derive(Debug, Clone, Copy)]
pub struct Trivial(pub(crate) ModelKind);

impl Model for Trivial {
    fn kind(&self) -> ModelKind {
        self.0
    }

    fn fit(&self, series: SeriesView<'_>, seasons: &[usize]) -> Result<Box<dyn Fitted>, FitError> {
        if series.last().is_none() {
            return Err(FitError::NoValue);
        }
        Ok(Box::new(FittedTrivial {
            kind: self.0,
            season: seasons.first().map_or(1, |s| (*s).max(1)),
            values: series.raw().to_vec(),
        }))
    }
}

#[derive(Debug)]
struct FittedTrivial {
    kind: ModelKind,
    season: usize,
    values: Vec<f32>,
}

impl Fitted for FittedTrivial {
    fn forecast(&self, steps: usize) -> Vec<f32> {
        let mut out = vec![0.0; steps];
        // There is a known value: `fit` saw to it.
        forecast_into(self.kind, SeriesView::new(&self.values), self.season, &mut out, &mut Vec::new());
        out
    }

    fn update(&mut self, value: Option<f32>) {
        self.values.push(value.unwrap_or(f32::NAN));
    }

    fn bytes(&self) -> usize {
        self.values.len() * 4 + size_of::<Self>()
    }
}

/// Forecasts `out.len()` steps after the end of `series` without allocating (but for `scratch`, which grows once to a season).
/// Returns false, and leaves `out` alone, when nothing is known or `kind` is no trivial model.
pub fn forecast_into(
    kind: ModelKind,
    series: SeriesView<'_>,
    season: usize,
    out: &mut [f32],
    scratch: &mut Vec<f32>,
) -> bool {
    let Some(last) = series.last() else { return false };
    let season = season.max(1);
    match kind {
        ModelKind::Naive => out.fill(last),
        ModelKind::SeasonalNaive => seasonal_naive(series, season, last, out),
        ModelKind::SeasonalMean => {
            phase_means(series, season, last, scratch);
            for (h, value) in out.iter_mut().enumerate() {
                *value = scratch[h % season];
            }
        }
        ModelKind::Average => {
            phase_means(series, season, last, scratch);
            let level = (last + recent_mean(series, season).unwrap_or(last)) / 3.0;
            for (h, value) in out.iter_mut().enumerate() {
                *value = level + scratch[h % season] / 3.0;
            }
        }
        _ => return false,
    }
    true
}

/// The newest known value of the same phase; where a phase was never seen, the last value.
fn seasonal_naive(series: SeriesView<'_>, season: usize, last: f32, out: &mut [f32]) {
    let n = series.len();
    for (h, value) in out.iter_mut().enumerate() {
        // Steps back from the end to the newest step of the phase of n + h.
        let back = season - h % season;
        let mut step = n.checked_sub(back);
        *value = loop {
            match step {
                None => break last,
                Some(at) => match series.get(at) {
                    Some(known) => break known,
                    None => step = at.checked_sub(season),
                },
            }
        };
    }
}

/// Mean of each phase, `means[h]` for step n + h; phases never seen take the mean of the last season.
fn phase_means(series: SeriesView<'_>, season: usize, last: f32, means: &mut Vec<f32>) {
    means.clear();
    means.resize(season, 0.0);
    let raw = series.raw();
    let fallback = recent_mean(series, season).unwrap_or(last);
    // Walk back season by season, so that every inner loop runs straight over memory.
    let mut counts = vec![0_u16; season];
    let mut end = raw.len();
    while end > 0 {
        let begin = end.saturating_sub(season);
        let shift = season - (end - begin);
        for (i, value) in raw[begin..end].iter().enumerate() {
            if value.is_finite() {
                means[shift + i] += value;
                counts[shift + i] += 1;
            }
        }
        end = begin;
    }
    for (mean, count) in means.iter_mut().zip(counts) {
        *mean = if count == 0 { fallback } else { *mean / f32::from(count) };
    }
}

/// Mean of what is known of the last season.
fn recent_mean(series: SeriesView<'_>, season: usize) -> Option<f32> {
    let raw = series.raw();
    let (mut sum, mut count) = (0.0_f32, 0_u32);
    for value in &raw[raw.len().saturating_sub(season)..] {
        if value.is_finite() {
            sum += value;
            count += 1;
        }
    }
    (count > 0).then(|| sum / count as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast(kind: ModelKind, values: &[f32], season: usize, steps: usize) -> Vec<f32> {
        kind.model().unwrap().fit(SeriesView::new(values), &[season]).unwrap().forecast(steps)
    }

    /// Worked by hand; statsforecast's Naive and SeasonalNaive give the same for the first two.
    #[test]
    fn known_answers() {
        let y = [1.0, 2.0, 3.0, 5.0, 6.0, 7.0];
        assert_eq!(forecast(ModelKind::Naive, &y, 3, 2), [7.0, 7.0]);
        assert_eq!(forecast(ModelKind::SeasonalNaive, &y, 3, 4), [5.0, 6.0, 7.0, 5.0]);
        assert_eq!(forecast(ModelKind::SeasonalMean, &y, 3, 4), [3.0, 4.0, 5.0, 3.0]);
        let average = forecast(ModelKind::Average, &y, 3, 1);
        assert!((average[0] - (7.0 + 6.0 + 3.0) / 3.0).abs() < 1e-5);
    }

    #[test]
    fn a_season_that_does_not_divide_the_length_keeps_its_phase() {
        let y: Vec<f32> = (0..10).map(|t| (t % 4) as f32).collect();
        for kind in [ModelKind::SeasonalNaive, ModelKind::SeasonalMean] {
            assert_eq!(forecast(kind, &y, 4, 4), [2.0, 3.0, 0.0, 1.0], "{kind}");
        }
    }

    #[test]
    fn gaps_fall_back_to_older_seasons_and_short_series_to_the_last_value() {
        let nan = f32::NAN;
        assert_eq!(forecast(ModelKind::SeasonalNaive, &[1.0, 2.0, nan, 4.0], 2, 2), [1.0, 4.0]);
        assert_eq!(forecast(ModelKind::SeasonalNaive, &[3.0], 4, 2), [3.0, 3.0]);
        for kind in ModelKind::ALL {
            let Some(model) = kind.model() else { continue };
            assert_eq!(model.fit(SeriesView::new(&[nan]), &[4]).unwrap_err(), FitError::NoValue, "{kind}");
        }
    }
}
