//! Rolling origins: what every model would have said, against what came.

use super::{
    BUCKET_STARTS, Band, ModelErrors, PanelConfig, PanelRoom, PanelState, bound_values, forecast_with, window_peaks,
};
use crate::measure::mae_single;
use crate::trivial::Trivials;
use crate::{ModelKind, SeriesView, Warm};
use smallvec::SmallVec;
use std::collections::BTreeMap;

/// An origin to score, as a number of known steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    known: usize,
    /// Dear models are scored at few origins.
    dear: bool,
}

type Origins = SmallVec<[Origin; 8]>;

/// A new panel is scored at a few origins spread over its history. Later the newest forecast is scored by what has come since, and the
/// models once more over a whole horizon, as of an origin that lies that far back.
pub(super) fn origins_due(config: &PanelConfig, state: &PanelState, length: usize, first_step: i64) -> Origins {
    let context = config.season.min(length / 2).max(4);
    let usable = |known: usize| known >= context && known + config.window <= length;
    let mut origins = Origins::new();
    match state.origin {
        None => {
            let count = config.origins_first.max(1);
            let stride = (length.saturating_sub(context) / count).clamp(1, config.horizon);
            for back in (1..=count).rev() {
                let known = length.saturating_sub(back * stride);
                origins.push(Origin { known, dear: back <= 2 });
            }
        }
        Some(newest) => {
            let newest = (newest - first_step).max(0) as usize;
            let far = length.saturating_sub(config.horizon);
            // Dear models go over a whole horizon now and then.
            let every = (4 * config.refit_every).min(config.season) as i64;
            let before = (newest as i64 + first_step).div_euclid(every);
            let dear = (length as i64 + first_step).div_euclid(every) != before;
            if far < newest {
                origins.push(Origin { known: far, dear });
            }
            origins.push(Origin { known: newest, dear: dear && far >= newest });
        }
    }
    origins.retain(|origin| usable(origin.known));
    origins.dedup();
    origins
}

/// Scores all models at the origins. Returns each model's mean absolute error over series and origins.
pub(super) fn score(
    config: &PanelConfig,
    state: &mut PanelState,
    series: &[SeriesView<'_>],
    origins: &[Origin],
    first_step: i64,
    room: &mut PanelRoom,
) -> ModelErrors {
    let mut totals: SmallVec<[(f32, u32); 8]> = SmallVec::from_elem((0.0, 0), config.models.len());
    room.champions.resize_with(series.len(), Vec::new);
    let mut fits = Fits::new();
    for origin in origins {
        let ahead = series.first().map_or(0, |s| s.len() - origin.known).min(config.horizon);
        let PanelRoom { trivials, points, champions, .. } = &mut *room;
        points.clear();
        points.resize(ahead, 0.0);
        champions.iter_mut().for_each(Vec::clear);
        // A first champion stands there by its place in the list alone: its errors say nothing of whoever will have won.
        let chosen = (0..series.len()).all(|s| state.loss(s, state.champion(s)).is_some());
        for (s, view) in series.iter().enumerate() {
            let mut known = Trivials::new(view.until(origin.known), config.season, &mut trivials[s]);
            if known.is_unknown() {
                continue;
            }
            let actual = &view.raw()[origin.known..];
            let errors = known.errors(&actual[..ahead.min(actual.len())], config.cap);
            for (m, model) in
                config.models.iter().enumerate().filter(|(_, model)| takes_part(config, **model, *origin, first_step))
            {
                // The champion before this origin's verdict: nobody is judged by what chose him. Where it is dear and not scored here,
                // nothing is learned of the bound: another model's errors are not its own.
                let is_champion = state.champion(s) == m;
                let error = errors.and_then(|errors| errors.of(*model));
                if error.is_none() || is_champion {
                    if !gone_on(config, *model, known.view(), (&mut fits, (m, s)), points) {
                        forecast_with(config, state, s, *model, &mut known, first_step, points);
                    }
                    bound_values(points, config.cap);
                }
                if let Some(mae) = error.or_else(|| mae_single(actual, points)) {
                    state.add_loss(s, m, mae, config.decay);
                    totals[m] = (totals[m].0 + mae, totals[m].1 + 1);
                }
                if is_champion {
                    champions[s].clone_from(points);
                }
            }
        }
        if chosen && ahead > 0 && room.champions.iter().all(|p| p.len() == ahead) {
            conform(config, state, series, origin.known, room);
        }
        state.choose_champions(config);
    }
    let mean = |(model, (sum, count)): (&ModelKind, (f32, u32))| (count > 0).then(|| (*model, sum / count as f32));
    config.models.iter().zip(totals).filter_map(mean).collect()
}

/// Is a model scored at this origin?
fn takes_part(config: &PanelConfig, model: ModelKind, origin: Origin, first_step: i64) -> bool {
    // Nobody is judged on what it was trained on.
    let trained = config.shared.as_ref().and_then(|shared| shared.get(model));
    let is_new = trained.is_some_and(|t| t.trained_until() <= first_step + origin.known as i64);
    (origin.dear || !model.is_costly() && model != ModelKind::Lstm) && (is_new || !model.is_global())
}

/// Dear models as they were fitted, and at which origin, by position of the model and of the series. Nothing where none takes part.
type Fits = BTreeMap<(usize, usize), (usize, Warm)>;

/// Forecasts with a dear model as the live system does: fitted at one origin, it goes on to those that follow within
/// [`PanelConfig::refit_every`] steps. False where it has no such form.
fn gone_on(
    config: &PanelConfig,
    model: ModelKind,
    known: SeriesView<'_>,
    (fits, key): (&mut Fits, (usize, usize)),
    out: &mut [f32],
) -> bool {
    if !model.is_costly() {
        return false;
    }
    let age = |from: usize| known.len().checked_sub(from).filter(|age| *age <= config.refit_every);
    let resumed = fits.get(&key).and_then(|(from, warm)| warm.resume(known, age(*from)?));
    let fitted = resumed.or_else(|| {
        let fitted = model.model()?.fit(known, &[config.season]).ok()?;
        if let Some(warm) = fitted.warm() {
            fits.insert(key, (known.len(), warm));
        }
        Some(fitted)
    });
    let Some(points) = fitted.map(|f| f.forecast(out.len())).filter(|p| p.iter().all(|v| v.is_finite())) else {
        return false;
    };
    out.copy_from_slice(&points);
    true
}

/// Adds the conformity scores of all windows after an origin: how far reality went over the forecast.
fn conform(
    config: &PanelConfig,
    state: &mut PanelState,
    series: &[SeriesView<'_>],
    origin: usize,
    room: &mut PanelRoom,
) {
    let PanelRoom { champions: points, highest, peaks, truth, over, scores, .. } = room;
    let ahead = points.first().map_or(0, Vec::len);
    let window = config.window;
    if ahead < window {
        return;
    }
    let known = |value: f32| if value.is_finite() { value } else { f32::NAN };
    truth.clear();
    truth.resize(ahead, f32::NAN);
    match config.band {
        Band::WindowPeak => {
            window_peaks(points, window, highest, peaks);
            for s in series {
                truth.iter_mut().zip(&s.raw()[origin..]).for_each(|(peak, value)| *peak = higher(*peak, known(*value)));
            }
        }
        Band::Simultaneous => {
            let values = series[0].raw()[origin..].iter().zip(&points[0]);
            truth.iter_mut().zip(values).for_each(|(over, (value, point))| *over = known(*value) - point);
        }
    }
    highest_known(truth, window, over);
    if config.band == Band::WindowPeak {
        over.iter_mut().zip(peaks).for_each(|(over, peak)| *over -= *peak);
    }
    // Half overlapping windows: neighbours say nearly the same.
    let stride = window.div_ceil(2);
    for (bucket, start) in BUCKET_STARTS.into_iter().enumerate() {
        let begin = start.next_multiple_of(stride);
        let end = BUCKET_STARTS.get(bucket + 1).map_or(usize::MAX, |end| *end).min(ahead - window + 1);
        scores.clear();
        // A window of which nothing is known has no score.
        scores.extend((begin..end).step_by(stride).map(|h| over[h]).filter(|score| score.is_finite()));
        state.add_scores(bucket, scores);
    }
}

/// The higher of two values of which each may be NaN: a form that the processor does for several at once.
fn higher(a: f32, b: f32) -> f32 {
    // No comparison with NaN holds.
    let b = if b.is_nan() { a } else { b };
    if a > b { a } else { b }
}

/// Highest known value of the steps `h..h + window`, for each `h`, into `peaks`; NaN where none is known.
fn highest_known(values: &[f32], window: usize, peaks: &mut Vec<f32>) {
    peaks.clear();
    peaks.extend_from_slice(values);
    for step in 1..window.min(values.len()) {
        peaks.iter_mut().zip(&values[step..]).for_each(|(peak, value)| *peak = higher(*peak, *value));
    }
}
