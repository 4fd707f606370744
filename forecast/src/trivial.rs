//! The models that cost nothing, and that a dearer one must beat to earn its place.

use crate::measure::all_known;
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
        Trivials::new(SeriesView::new(&self.values), self.season, &mut Room::default()).forecast(self.kind, &mut out);
        out
    }

    fn update(&mut self, value: Option<f32>) {
        self.values.push(value.unwrap_or(f32::NAN));
    }

    fn bytes(&self) -> usize {
        self.values.len() * 4 + size_of::<Self>()
    }
}

/// Room that [`Trivials`] of one series work in. From an origin to a later one only the values between are added; whoever goes on to
/// another series calls [`Room::begin`] first.
#[derive(Debug, Default)]
pub struct Room {
    /// Sum of the values of each phase, counted from the first value of the series, up to `upto`.
    sums: Vec<f32>,
    upto: usize,
    means: Vec<f32>,
    counts: Vec<u16>,
}

impl Room {
    /// Forgets the series; nothing is allocated anew for the next.
    pub fn begin(&mut self) {
        self.sums.clear();
        self.upto = 0;
    }

    /// Sums up a series as far as it is known.
    fn sum_up(&mut self, raw: &[f32], season: usize) {
        if self.sums.len() != season || self.upto > raw.len() {
            self.begin();
            self.sums.resize(season, 0.0);
        }
        // Season by season, so that the inner loop runs straight over memory.
        while self.upto < raw.len() {
            let phase = self.upto % season;
            let end = (self.upto - phase + season).min(raw.len());
            self.sums[phase..].iter_mut().zip(&raw[self.upto..end]).for_each(|(sum, value)| *sum += value);
            self.upto = end;
        }
    }
}

/// The trivial forecasts of one series from the end of what is known of it. What they have in common is worked out once, when it is
/// first needed.
#[derive(Debug)]
pub struct Trivials<'v, 'r> {
    view: SeriesView<'v>,
    season: usize,
    /// The newest known value; `None` when nothing is known.
    last: Option<f32>,
    room: &'r mut Room,
    /// Level of [`ModelKind::Average`] without its season, once the means of the phases are in the room.
    level: Option<f32>,
}

impl<'v, 'r> Trivials<'v, 'r> {
    /// Of a series with a season of `season` steps (at least 1).
    pub fn new(view: SeriesView<'v>, season: usize, room: &'r mut Room) -> Self {
        Self { view, season: season.max(1), last: view.last(), room, level: None }
    }

    /// The series.
    pub const fn view(&self) -> SeriesView<'v> {
        self.view
    }

    /// Is nothing known?
    pub const fn is_unknown(&self) -> bool {
        self.last.is_none()
    }

    /// Forecasts `out.len()` steps. Returns false, and leaves `out` alone, when nothing is known or `kind` is no trivial model.
    pub fn forecast(&mut self, kind: ModelKind, out: &mut [f32]) -> bool {
        let Some(last) = self.last else { return false };
        match kind {
            ModelKind::Naive => out.fill(last),
            ModelKind::SeasonalNaive => seasonal_naive(self.view, self.season, last, out),
            ModelKind::SeasonalMean => {
                self.learn(last);
                for chunk in out.chunks_mut(self.season) {
                    chunk.copy_from_slice(&self.room.means[..chunk.len()]);
                }
            }
            ModelKind::Average => {
                let level = self.learn(last);
                for chunk in out.chunks_mut(self.season) {
                    for (value, mean) in chunk.iter_mut().zip(&self.room.means) {
                        *value = level + mean / 3.0;
                    }
                }
            }
            _ => return false,
        }
        true
    }

    /// Means of the phases into the room. Returns the level beside them.
    fn learn(&mut self, last: f32) -> f32 {
        if let Some(level) = self.level {
            return level;
        }
        let recent = recent_mean(self.view, self.season).unwrap_or(last);
        phase_means(self.view.raw(), self.season, recent, self.room);
        let level = (last + recent) / 3.0;
        self.level = Some(level);
        level
    }
}

/// The newest known value of the same phase; where a phase was never seen, the last value.
fn seasonal_naive(series: SeriesView<'_>, season: usize, last: f32, out: &mut [f32]) {
    let n = series.len();
    let newest = &series.raw()[n.saturating_sub(season)..];
    if newest.len() == season && all_known(newest) {
        out.chunks_mut(season).for_each(|chunk| chunk.copy_from_slice(&newest[..chunk.len()]));
        return;
    }
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

/// Mean of each phase, `means[h]` for step n + h; phases never seen take `fallback`.
fn phase_means(raw: &[f32], season: usize, fallback: f32, room: &mut Room) {
    room.sum_up(raw, season);
    // Phases before that of step n have been seen once more than the others.
    let (whole, begun) = (raw.len() / season, raw.len() % season);
    let (more, fewer) = room.sums.split_at(begun);
    room.means.clear();
    room.means.extend(fewer.iter().map(|sum| sum / whole as f32));
    room.means.extend(more.iter().map(|sum| sum / (whole + 1) as f32));
    if !all_known(&room.means) {
        known_phase_means(raw, season, fallback, room);
    }
}

/// [`phase_means`] of a series with gaps, or shorter than a season.
fn known_phase_means(raw: &[f32], season: usize, fallback: f32, room: &mut Room) {
    let Room { means, counts, .. } = room;
    means.fill(0.0);
    counts.clear();
    counts.resize(season, 0);
    let begun = raw.len() % season;
    for (t, value) in raw.iter().enumerate().filter(|(_, value)| value.is_finite()) {
        let h = (t % season + season - begun) % season;
        means[h] += value;
        counts[h] += 1;
    }
    for (mean, count) in means.iter_mut().zip(counts) {
        *mean = if *count == 0 { fallback } else { *mean / f32::from(*count) };
    }
}

/// Mean of what is known of the last season.
fn recent_mean(series: SeriesView<'_>, season: usize) -> Option<f32> {
    let raw = series.raw();
    let (sum, count) = crate::measure::sum_known(&raw[raw.len().saturating_sub(season)..]);
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

    /// Whatever a room has summed up before, the means are those of the series alone.
    #[test]
    fn a_room_goes_on_from_origin_to_origin_and_begins_anew() {
        let series: Vec<f32> = (0..50).map(|t| ((t * 7) % 11) as f32).collect();
        let mut gappy = series.clone();
        gappy[20] = f32::NAN;
        let mut room = Room::default();
        for values in [&series, &gappy] {
            room.begin();
            for known in [3, 17, 17, 21, 50, 30, 49] {
                let view = SeriesView::new(&values[..known]);
                for kind in [ModelKind::SeasonalMean, ModelKind::Average] {
                    let mut out = vec![0.0; 15];
                    assert!(Trivials::new(view, 7, &mut room).forecast(kind, &mut out));
                    assert_eq!(out, forecast(kind, &values[..known], 7, 15), "{kind} {known}");
                }
            }
        }
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
