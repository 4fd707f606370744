//! The models of one device or pool in competition, with a calibrated upper bound: what the planner uses.
//!
//! A *panel* is a few series of equal length (a device's metrics, weighted; or one pool's demand). [`advance`] moves it to a new
//! origin: it scores the models on what has become known, picks a champion per series (live selection with hysteresis), forecasts,
//! and bounds the forecast from above by the champion's own past errors (split conformal, by lead time).
//!
//! The bound is of the *peak* over a window ([`Band::WindowPeak`]), because the maximum of pointwise quantiles is not the quantile of
//! the maximum, or of all steps of a window together ([`Band::Simultaneous`]).

mod scoring;
mod state;

pub use state::PanelState;

use crate::global::Shared;
use crate::trivial::{Room, Trivials, bound};
use crate::{ModelKind, SeriesView};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::sync::Arc;

/// Lead times share their errors within a bucket: `[0, 4) [4, 16) [16, 48) [48, …)` steps.
pub(crate) const BUCKET_STARTS: [usize; 4] = [0, 4, 16, 48];

/// Fewest past windows a bound may rest on; with fewer it is the highest value seen.
const SCORES_MIN: usize = 5;

/// How a panel is forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct PanelConfig {
    /// Models that compete. Empty means [`ModelKind::Naive`].
    pub models: Vec<ModelKind>,
    /// Season in steps.
    pub season: usize,
    /// Steps to forecast.
    pub horizon: usize,
    /// Window in steps over which the bound must hold, ≥ 1.
    pub window: usize,
    /// Probability with which it must hold, 0.5..1.
    pub level: f32,
    /// What it bounds.
    pub band: Band,
    /// Nothing can be higher (100 for percentages).
    pub cap: Option<f32>,
    /// Weight of past origins in a model's loss, per origin.
    pub decay: f32,
    /// A challenger becomes champion when its loss is lower by this share.
    pub hysteresis: f32,
    /// Steps after which a dear model is fitted anew, ≥ 1; until then what was fitted goes on. It is scored once in four times as long,
    /// at most once a season.
    pub refit_every: usize,
    /// Past origins scored when a panel is new.
    pub origins_first: usize,
    /// The global models in force. They compete at origins after their training only.
    pub shared: Option<Arc<Shared>>,
}

impl Default for PanelConfig {
    fn default() -> Self {
        Self {
            models: vec![ModelKind::Naive, ModelKind::SeasonalNaive, ModelKind::SeasonalMean, ModelKind::Average],
            season: 96,
            horizon: 96,
            window: 1,
            level: 0.9,
            band: Band::WindowPeak,
            cap: Some(100.0),
            decay: 0.9,
            hysteresis: 0.03,
            refit_every: 6,
            origins_first: 8,
            shared: None,
        }
    }
}

/// What the upper bound bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Band {
    /// `upper[h]`: the highest value of any series in the steps `h..h + window`.
    WindowPeak,
    /// `upper[h]`: the value of step `h` of the first series; all steps of a window stay under theirs *together*.
    Simultaneous,
}

/// Why a bound rests on less than it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fallback {
    /// Nothing is known: the bound is the cap (or 0 without one), the points too.
    NoHistory,
    /// Too few past windows: the bound is the highest value ever seen, or the forecast where that is higher.
    ShortHistory,
}

/// The champion of each series of a panel.
pub type Champions = SmallVec<[ModelKind; 4]>;

/// Mean absolute error of each model that was scored.
pub type ModelErrors = SmallVec<[(ModelKind, f32); 6]>;

/// A forecast of a panel from one origin.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PanelForecast {
    /// Champion's forecast, by series, then step.
    pub points: Vec<Vec<f32>>,
    /// The upper bound, `horizon` long. Windows that run past the horizon use the part inside.
    pub upper: Vec<f32>,
    /// Champion, by series.
    pub champions: Champions,
    /// Champions that changed at this origin.
    pub champions_changed: u32,
    /// Forecasts made anew before their time, because reality had left them behind.
    pub refitted: u32,
    /// Mean absolute error of each model at the origins scored now, over the series.
    pub last_mae: ModelErrors,
    /// Windows whose bound was made before they were known, and that are known now.
    pub windows_scored: u32,
    /// How many of them stayed under it.
    pub windows_covered: u32,
    /// Why the bound rests on less than it should.
    pub fallback: Option<Fallback>,
}

/// Moves a panel to the origin at the end of `series`.
///
/// `series` holds all history, oldest first, every series of the same length; `first_step` is the number of their first step on a
/// scale that goes on from call to call (so the origin is `first_step + len`). `state` is what the call before returned, or the
/// default. Pure and deterministic; every number returned is finite.
pub fn advance(
    config: &PanelConfig,
    state: &PanelState,
    series: &[SeriesView<'_>],
    first_step: i64,
) -> (PanelState, PanelForecast) {
    let mut next = PanelState::default();
    let forecast = advance_into(config, state, series, first_step, &mut PanelRoom::default(), &mut next);
    (next, forecast)
}

/// Room that [`advance_into`] works in: of no meaning between calls, but no longer allocated then.
#[derive(Debug, Default)]
pub struct PanelRoom {
    /// By series.
    trivials: Vec<Room>,
    points: Vec<f32>,
    champions: Vec<Vec<f32>>,
    highest: Vec<f32>,
    peaks: Vec<f32>,
    truth: Vec<f32>,
    over: Vec<f32>,
    scores: Vec<f32>,
    spare: Vec<Vec<f32>>,
    spare_upper: Vec<f32>,
}

impl PanelRoom {
    /// Takes back the points and the bound of a forecast that nobody needs any more.
    pub fn reuse(&mut self, points: Vec<Vec<f32>>, upper: Vec<f32>) {
        self.spare = points;
        self.spare_upper = upper;
    }
}

/// [`advance`], in room that is used again, and with the new state in place of `next`, whatever that was: for whole fleets.
pub fn advance_into(
    config: &PanelConfig,
    state: &PanelState,
    series: &[SeriesView<'_>],
    first_step: i64,
    room: &mut PanelRoom,
    next: &mut PanelState,
) -> PanelForecast {
    next.become_like(state);
    let config = sound(config);
    let config = config.as_ref();
    let length = series.iter().map(SeriesView::len).min().unwrap_or(0);
    let series: SmallVec<[SeriesView<'_>; 8]> = series.iter().map(|s| s.until(length)).collect();
    if series.iter().all(|s| s.last().is_none()) {
        return no_history(config, series.len());
    }
    next.fit_to(series.len(), config.models.len());
    let origin = first_step + length as i64;
    room.trivials.resize_with(series.len().max(room.trivials.len()), Room::default);
    room.trivials.iter_mut().for_each(Room::begin);
    let mut forecast = PanelForecast::default();
    (forecast.windows_scored, forecast.windows_covered) = next.score_held(config, &series, first_step);
    let origins = scoring::origins_due(config, state, length, first_step);
    forecast.last_mae = scoring::score(config, next, &series, &origins, first_step, room);
    forecast.champions_changed = next.choose_champions(config);
    next.origin = Some(origin);
    forecast.points = std::mem::take(&mut room.spare);
    forecast.points.resize_with(series.len(), Vec::new);
    for (s, view) in series.iter().enumerate() {
        let mut points = std::mem::take(&mut forecast.points[s]);
        points.clear();
        points.resize(config.horizon, 0.0);
        forecast.refitted += u32::from(next.drop_drifted(s, *view, origin));
        let mut known = Trivials::new(*view, config.season, &mut room.trivials[s]);
        let used = forecast_of(config, next, s, &mut known, first_step, &mut points);
        bound_values(&mut points, config.cap);
        forecast.points[s] = points;
        forecast.champions.push(used);
    }
    (forecast.upper, forecast.fallback) = upper(config, next, &series, &forecast.points, room);
    next.hold(config, origin, &forecast.upper);
    forecast
}

/// Brings a configuration into its ranges.
fn sound(config: &PanelConfig) -> Cow<'_, PanelConfig> {
    let level = if config.level.is_finite() { config.level.clamp(0.5, 0.999) } else { 0.9 };
    let horizon = config.horizon.max(1);
    let window = config.window.clamp(1, horizon);
    let is_sound = !config.models.is_empty()
        && config.season > 0
        && config.refit_every > 0
        && (config.horizon, config.window, config.level) == (horizon, window, level);
    if is_sound {
        return Cow::Borrowed(config);
    }
    let models = if config.models.is_empty() { vec![ModelKind::Naive] } else { config.models.clone() };
    Cow::Owned(PanelConfig {
        models,
        season: config.season.max(1),
        horizon,
        refit_every: config.refit_every.max(1),
        window,
        level,
        ..config.clone()
    })
}

fn no_history(config: &PanelConfig, series: usize) -> PanelForecast {
    let value = config.cap.unwrap_or(0.0);
    PanelForecast {
        points: vec![vec![value; config.horizon]; series],
        upper: vec![value; config.horizon],
        champions: SmallVec::from_elem(config.models[0], series),
        fallback: Some(Fallback::NoHistory),
        ..PanelForecast::default()
    }
}

/// The champion's forecast from the end of `view`. A dear champion's fit is kept for [`PanelConfig::refit_every`] steps and goes
/// on meanwhile (`PanelState::kept_forecast`).
fn forecast_of(
    config: &PanelConfig,
    state: &mut PanelState,
    s: usize,
    known: &mut Trivials<'_, '_>,
    first_step: i64,
    out: &mut [f32],
) -> ModelKind {
    let champion = config.models[state.champion(s)];
    let view = known.view();
    let origin = first_step + view.len() as i64;
    if let Some(model) = state.kept_forecast(s, champion, view, origin, out) {
        return model;
    }
    if champion.is_costly()
        && let Some(made) = forecast_to_keep(config, champion, view, out.len())
    {
        out.copy_from_slice(&made.points[..out.len()]);
        state.keep_forecast(s, champion, origin, config.refit_every, made);
        return champion;
    }
    forecast_with(config, state, s, champion, known, first_step, out)
}

/// A dear model's forecast, as far as it may be asked for before it is too old.
fn forecast_to_keep(config: &PanelConfig, kind: ModelKind, view: SeriesView<'_>, steps: usize) -> Option<state::Made> {
    let fitted = kind.model()?.fit(view, &[config.season]).ok()?;
    let points = fitted.forecast(steps + config.refit_every);
    points.iter().all(|p| p.is_finite()).then(|| state::Made { points, warm: fitted.warm() })
}

/// Forecasts with `kind`; where it cannot be fitted (too short, constant), with the last value. Returns the model used.
fn forecast_with(
    config: &PanelConfig,
    state: &PanelState,
    s: usize,
    kind: ModelKind,
    known: &mut Trivials<'_, '_>,
    first_step: i64,
    out: &mut [f32],
) -> ModelKind {
    if known.forecast(kind, out) {
        return kind;
    }
    let (view, season) = (known.view(), config.season);
    let points = if kind.is_global() {
        let trained = config.shared.as_ref().and_then(|shared| shared.get(kind));
        trained.and_then(|t| t.forecast(view, first_step, &[season], out.len())).map(|(points, _)| points)
    } else if kind.is_combination() {
        combined(config, state, s, kind, known, out.len())
    } else {
        kind.model().and_then(|model| model.fit(view, &[season]).ok()).map(|fitted| fitted.forecast(out.len()))
    };
    if let Some(points) = points.filter(|p| p.len() == out.len() && p.iter().all(|v| v.is_finite())) {
        out.copy_from_slice(&points);
        return kind;
    }
    let fallback = if kind.is_global() || kind.is_combination() { ModelKind::Average } else { ModelKind::Naive };
    known.forecast(fallback, out);
    fallback
}

/// The mean of the competing models that cost nothing, plain or weighted by their past accuracy.
fn combined(
    config: &PanelConfig,
    state: &PanelState,
    s: usize,
    kind: ModelKind,
    known: &mut Trivials<'_, '_>,
    steps: usize,
) -> Option<Vec<f32>> {
    let members: Vec<(usize, ModelKind)> =
        config.models.iter().copied().enumerate().filter(|(_, m)| !m.is_dear()).collect();
    let losses: Vec<Option<f32>> = members.iter().map(|(m, _)| state.loss(s, *m)).collect();
    let lowest = losses.iter().flatten().copied().reduce(f32::min);
    let (mut sums, mut total) = (vec![0.0; steps], 0.0);
    let mut points = vec![0.0; steps];
    for ((_, model), loss) in members.into_iter().zip(losses) {
        let weight = match (kind, loss, lowest) {
            (ModelKind::WeightedMean, Some(loss), Some(lowest)) => ((lowest + 1e-6) / (loss + 1e-6)).powi(4),
            (ModelKind::WeightedMean, None, Some(_)) => 0.0,
            _ => 1.0,
        };
        known.forecast(model, &mut points);
        sums.iter_mut().zip(&points).for_each(|(sum, p)| *sum += weight * p);
        total += weight;
    }
    (total > 0.0).then(|| sums.into_iter().map(|sum| sum / total).collect())
}

/// Loads and demands are never negative, and a percentage is at most its cap. All values are finite.
fn bound_values(values: &mut [f32], cap: Option<f32>) {
    let cap = cap.unwrap_or(f32::MAX);
    values.iter_mut().for_each(|value| *value = bound(*value, cap));
}

/// Highest value over the series and the steps `h..h + window`, for each `h`, into `peaks`; `highest` is room.
fn window_peaks(points: &[Vec<f32>], window: usize, highest: &mut Vec<f32>, peaks: &mut Vec<f32>) {
    let higher = |peak: &mut f32, value: &f32| *peak = if *peak >= *value { *peak } else { *value };
    highest.clear();
    highest.extend_from_slice(points.first().map_or(&[], Vec::as_slice));
    for series in points.iter().skip(1) {
        highest.iter_mut().zip(series).for_each(|(peak, value)| higher(peak, value));
    }
    peaks.clone_from(highest);
    for step in 1..window.min(highest.len()) {
        peaks.iter_mut().zip(&highest[step..]).for_each(|(peak, value)| higher(peak, value));
    }
}

fn upper(
    config: &PanelConfig,
    state: &PanelState,
    series: &[SeriesView<'_>],
    points: &[Vec<f32>],
    room: &mut PanelRoom,
) -> (Vec<f32>, Option<Fallback>) {
    let mut upper = std::mem::take(&mut room.spare_upper);
    match config.band {
        Band::WindowPeak => window_peaks(points, config.window, &mut room.highest, &mut upper),
        Band::Simultaneous => {
            upper.clear();
            upper.extend_from_slice(points.first().map_or(&[], Vec::as_slice));
        }
    }
    let fallback = match state.offsets(state.level(config.level), SCORES_MIN) {
        Some(offsets) => {
            for (bucket, offset) in offsets.into_iter().enumerate() {
                let end = BUCKET_STARTS.get(bucket + 1).map_or(upper.len(), |end| (*end).min(upper.len()));
                let begin = BUCKET_STARTS[bucket].min(end);
                upper[begin..end].iter_mut().for_each(|value| *value += offset);
            }
            None
        }
        None => {
            let highest = series.iter().flat_map(SeriesView::known).fold(0.0, f32::max);
            upper.iter_mut().for_each(|value| *value = value.max(highest));
            Some(Fallback::ShortHistory)
        }
    };
    bound_values(&mut upper, config.cap);
    (upper, fallback)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A daily curve of `days` days of 96 steps, with noise of a simple congruential generator.
    fn curve(days: usize, amplitude: f32, noise: f32, seed: u32) -> Vec<f32> {
        let mut state = u64::from(seed) * 7919 + 1;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 24) as f32
        };
        let day = |t: usize| libm::sinf(t as f32 / 96.0 * std::f32::consts::TAU);
        (0..days * 96)
            .map(|t| (40.0 + amplitude * day(t) + noise * (uniform() + uniform() - 1.0)).clamp(0.0, 100.0))
            .collect()
    }

    fn walk(steps: usize, seed: u32) -> Vec<f32> {
        let noise = curve(steps.div_ceil(96), 0.0, 4.0, seed);
        let mut level = 50.0;
        noise
            .iter()
            .take(steps)
            .map(|n| {
                level = (level + n - 40.0_f32).clamp(5.0, 95.0);
                level
            })
            .collect()
    }

    fn first(series: &[f32], config: &PanelConfig) -> PanelForecast {
        advance(config, &PanelState::default(), &[SeriesView::new(series)], 0).1
    }

    #[test]
    fn the_champion_of_a_daily_curve_knows_the_day_and_that_of_a_walk_the_last_value() {
        let daily = first(&curve(7, 25.0, 6.0, 1), &PanelConfig::default());
        assert_eq!(daily.champions.as_slice(), [ModelKind::SeasonalMean]);
        let walk = first(&walk(672, 3), &PanelConfig { horizon: 8, ..PanelConfig::default() });
        assert_eq!(walk.champions.as_slice(), [ModelKind::Naive]);
    }

    #[test]
    fn nothing_known_and_little_known_are_said() {
        let config = PanelConfig::default();
        let nothing = first(&[f32::NAN; 50], &config);
        assert_eq!((nothing.fallback, nothing.upper[0]), (Some(Fallback::NoHistory), 100.0));
        let little = first(&[20.0, 60.0, 30.0], &config);
        assert_eq!((little.fallback, little.upper[0]), (Some(Fallback::ShortHistory), 60.0));
        assert_eq!(first(&[], &config).fallback, Some(Fallback::NoHistory));
    }

    /// The promise of the bound, out of sample: over many series the share of windows under it is near its level.
    #[test]
    fn bounds_cover_what_they_say() {
        for band in [Band::WindowPeak, Band::Simultaneous] {
            let config = PanelConfig { band, window: 3, level: 0.9, ..PanelConfig::default() };
            let (mut scored, mut covered) = (0, 0);
            for seed in 0..60 {
                let series = curve(12, 20.0, 12.0, seed);
                let mut state = PanelState::default();
                for known in (672..series.len()).step_by(4) {
                    let forecast;
                    (state, forecast) =
                        advance(&config, &state, &[SeriesView::new(&series[known - 672..known])], known as i64 - 672);
                    scored += forecast.windows_scored;
                    covered += forecast.windows_covered;
                }
            }
            let share = f64::from(covered) / f64::from(scored);
            assert!(scored > 2000 && (0.87..=0.96).contains(&share), "{band:?}: {covered} of {scored} = {share}");
        }
    }

    /// A dear champion is scored at few origins; what stands in the list before it must not widen its bound meanwhile. A level that
    /// wanders is what it knows better than a mean of days, and a day what it knows better than the last value.
    #[test]
    fn a_dear_champions_bound_rests_on_its_own_errors() {
        let (mut series, mut level) = (curve(14, 25.0, 2.0, 5), 0.0);
        for (value, step) in series.iter_mut().zip(curve(14, 0.0, 1.0, 6)) {
            level = 0.99 * level + step - 40.0;
            *value += level;
        }
        let models = vec![ModelKind::Naive, ModelKind::SeasonalMean, ModelKind::MstlArima];
        for window in [2, 20] {
            let config =
                PanelConfig { band: Band::Simultaneous, window, models: models.clone(), ..PanelConfig::default() };
            let (mut state, mut widest, mut dear, mut rounds) = (PanelState::default(), 0.0_f32, 0, 0);
            for known in (672..series.len()).step_by(4) {
                let forecast;
                (state, forecast) =
                    advance(&config, &state, &[SeriesView::new(&series[known - 672..known])], known as i64 - 672);
                (dear, rounds) =
                    (dear + u32::from(forecast.champions.as_slice() == [ModelKind::MstlArima]), rounds + 1);
                let over = forecast.upper.iter().zip(&forecast.points[0]).map(|(upper, point)| upper - point);
                widest = over.fold(widest, f32::max);
            }
            assert!(4 * dear > rounds, "window {window}: champion in {dear} of {rounds}");
            assert!(widest < 15.0, "window {window}: {widest} points, where the last value errs by 50");
        }
    }

    /// Load jumps by 30 points for good: the bound must hold again soon, and a kept forecast must not outlive the jump.
    #[test]
    fn a_jump_is_followed_and_a_kept_forecast_is_made_anew() {
        let mut series = curve(10, 15.0, 4.0, 9);
        let jump = 800;
        series[jump..].iter_mut().for_each(|v| *v = (*v + 30.0).min(100.0));
        let config =
            PanelConfig { models: vec![ModelKind::ArimaFast], horizon: 16, refit_every: 96, ..PanelConfig::default() };
        let (mut state, mut refitted_at, mut late) = (PanelState::default(), Vec::new(), Vec::new());
        for known in (760..series.len() - 16).step_by(4) {
            let view = SeriesView::new(&series[known - 672..known]);
            let forecast;
            (state, forecast) = advance(&config, &state, &[view], known as i64 - 672);
            if forecast.refitted > 0 {
                refitted_at.push(known);
            }
            if known > jump + 24 {
                late.push((0..16).filter(|h| series[known + h] <= forecast.upper[*h]).count() as f32 / 16.0);
            }
        }
        assert!(refitted_at.first().is_some_and(|at| (jump..jump + 12).contains(at)), "{refitted_at:?}");
        let share = late.iter().sum::<f32>() / late.len() as f32;
        assert!(share > 0.8, "{share}");
    }

    #[test]
    fn a_window_peak_is_above_the_highest_point_of_its_window() {
        let config = PanelConfig { window: 4, ..PanelConfig::default() };
        let forecast = first(&curve(7, 25.0, 10.0, 5), &config);
        for h in 0..92 {
            let highest = forecast.points[0][h..h + 4].iter().copied().fold(0.0, f32::max);
            assert!(forecast.upper[h] >= highest, "{h}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_number_is_finite_and_within_its_bounds(
            values in proptest::collection::vec(prop_oneof![4 => 0.0f32..100.0, 1 => Just(f32::NAN)], 0..300),
            window in 1usize..6, horizon in 1usize..40, season in 1usize..30, steps in 1usize..9,
        ) {
            let config = PanelConfig { window, horizon, season, ..PanelConfig::default() };
            let mut state = PanelState::default();
            for known in (0..=values.len()).step_by(steps.max(values.len() / 4 + 1)) {
                let (next, forecast) = advance(&config, &state, &[SeriesView::new(&values[..known])], 0);
                state = next;
                let all = forecast.points.iter().flatten().chain(&forecast.upper);
                prop_assert!(all.clone().all(|v| (0.0..=100.0).contains(v)));
                prop_assert_eq!((forecast.upper.len(), forecast.points[0].len()), (horizon, horizon));
                prop_assert!(forecast.windows_covered <= forecast.windows_scored);
            }
        }
    }
}
