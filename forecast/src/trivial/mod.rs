//! The models that cost nothing, and that a dearer one must beat to earn its place.

mod errors;

pub(crate) use errors::{TrivialErrors, bound};

use crate::measure::{LANES, all_known};
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
        if self.upto.is_multiple_of(season) {
            self.add_seasons(&raw[self.upto..], season);
        }
        // The rest of a season, so that the inner loop runs straight over memory.
        while self.upto < raw.len() {
            let phase = self.upto % season;
            let end = (self.upto - phase + season).min(raw.len());
            self.sums[phase..].iter_mut().zip(&raw[self.upto..end]).for_each(|(sum, value)| *sum += value);
            self.upto = end;
        }
    }

    /// Adds as many whole seasons as there are, some phases of all of them at a time.
    fn add_seasons(&mut self, raw: &[f32], season: usize) {
        let whole = &raw[..raw.len() / season * season];
        let (chunks, rest) = self.sums.as_chunks_mut::<LANES>();
        for (c, sums) in chunks.iter_mut().enumerate() {
            let mut lanes = *sums;
            for values in whole.chunks_exact(season) {
                let values = &values[c * LANES..(c + 1) * LANES];
                lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane += value);
            }
            *sums = lanes;
        }
        let done = chunks.len() * LANES;
        for values in whole.chunks_exact(season) {
            rest.iter_mut().zip(&values[done..]).for_each(|(sum, value)| *sum += value);
        }
        self.upto += whole.len();
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
    /// Level of [`ModelKind::Average`] without its season, once it is known.
    level: Option<f32>,
    /// Phases whose means are in the room.
    learned: usize,
}

impl<'v, 'r> Trivials<'v, 'r> {
    /// Of a series with a season of `season` steps (at least 1).
    pub fn new(view: SeriesView<'v>, season: usize, room: &'r mut Room) -> Self {
        Self { view, season: season.max(1), last: view.last(), room, level: None, learned: 0 }
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
                self.learn(last, out.len());
                for chunk in out.chunks_mut(self.season) {
                    chunk.copy_from_slice(&self.room.means[..chunk.len()]);
                }
            }
            ModelKind::Average => {
                let level = self.learn(last, out.len());
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

    /// Mean absolute error of each trivial model against what came, every forecast brought into 0 to `cap` first, in one pass over
    /// memory: the same numbers as forecast by forecast. `None` where the history or what came has a gap, or is shorter than a season.
    pub(crate) fn errors(&mut self, actual: &[f32], cap: Option<f32>) -> Option<TrivialErrors> {
        let (raw, season) = (self.view.raw(), self.season);
        // Sums run in lanes, and go on from season to season only where lanes do.
        if actual.is_empty() || actual.len() > season && !season.is_multiple_of(LANES) {
            return None;
        }
        let newest = &raw[raw.len().checked_sub(season)?..];
        let last = self.last?;
        let level = self.learn(last, actual.len());
        let mut sums = errors::ErrorSums::new(last, level, cap.unwrap_or(f32::MAX));
        for actual in actual.chunks(season) {
            sums.add(actual, newest, &self.room.means);
        }
        // A gap is bound to a number; what the seasonal forecast is then, the long way knows.
        let sums = sums.finish().filter(|_| all_known(&newest[..actual.len().min(season)]))?;
        Some(TrivialErrors(sums.map(|sum| sum / actual.len() as f32)))
    }

    /// Means of the phases that the next `steps` steps are of into the room. Returns the level beside them.
    fn learn(&mut self, last: f32, steps: usize) -> f32 {
        let steps = steps.min(self.season);
        if let Some(level) = self.level
            && self.learned >= steps
        {
            return level;
        }
        let recent = recent_mean(self.view, self.season).unwrap_or(last);
        phase_means(self.view.raw(), self.season, steps, recent, self.room);
        self.learned = steps;
        *self.level.insert((last + recent) / 3.0)
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

/// Mean of each phase, `means[h]` for step n + h, h < `steps` ≤ `season`; phases never seen take `fallback`.
fn phase_means(raw: &[f32], season: usize, steps: usize, fallback: f32, room: &mut Room) {
    room.sum_up(raw, season);
    // Phases before that of step n have been seen once more than the others.
    let (whole, begun) = (raw.len() / season, raw.len() % season);
    let (more, fewer) = room.sums.split_at(begun);
    let fewer = &fewer[..steps.min(fewer.len())];
    room.means.clear();
    room.means.extend(fewer.iter().map(|sum| sum / whole as f32));
    room.means.extend(more[..steps - fewer.len()].iter().map(|sum| sum / (whole + 1) as f32));
    if !all_known(&room.means) {
        known_phase_means(raw, season, fallback, room);
    }
}

/// [`phase_means`] of a series with gaps, or shorter than a season.
fn known_phase_means(raw: &[f32], season: usize, fallback: f32, room: &mut Room) {
    let Room { means, counts, .. } = room;
    means.clear();
    means.resize(season, 0.0);
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

    /// All at once or one after the other: the same errors, to the last digit.
    #[test]
    fn errors_in_one_pass_are_those_of_each_forecast() {
        let series: Vec<f32> = (0..200).map(|t| ((t * 37) % 113) as f32 - 4.0).collect();
        let mut gappy = series.clone();
        gappy[60] = f32::NAN;
        for (values, season, known, ahead) in [
            (&series, 24, 100, 1),
            (&series, 24, 100, 24),
            (&series, 24, 101, 53),
            (&series, 7, 100, 5),
            (&series, 24, 24, 60),
            (&gappy, 24, 120, 30),
        ] {
            let (mut room, mut other) = (Room::default(), Room::default());
            let view = SeriesView::new(&values[..known]);
            let actual = &values[known..known + ahead];
            let errors = Trivials::new(view, season, &mut room).errors(actual, Some(100.0)).unwrap();
            for kind in [ModelKind::Naive, ModelKind::SeasonalNaive, ModelKind::SeasonalMean, ModelKind::Average] {
                let mut points = vec![0.0; ahead];
                Trivials::new(view, season, &mut other).forecast(kind, &mut points);
                points.iter_mut().for_each(|point| *point = bound(*point, 100.0));
                assert_eq!(
                    errors.of(kind),
                    crate::measure::mae_single(actual, &points),
                    "{kind} {season} {known} {ahead}"
                );
            }
            assert_eq!(errors.of(ModelKind::Arima), None);
        }
        // What the quick way does not know is left to the other.
        let mut room = Room::default();
        let errors = |values: &[f32], season, known: usize, room: &mut Room| {
            Trivials::new(SeriesView::new(&values[..known]), season, room).errors(&values[known..], None)
        };
        assert_eq!(errors(&series, 7, 100, &mut room), None, "lanes do not go on over a season of seven");
        assert_eq!(errors(&series, 24, 20, &mut room), None, "less than a season");
        assert_eq!(errors(&gappy, 24, 50, &mut room), None, "a gap in what came");
        assert_eq!(errors(&gappy, 24, 70, &mut room), None, "a gap in the newest season");
        assert_eq!(errors(&series, 24, 200, &mut room), None, "nothing came");
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
