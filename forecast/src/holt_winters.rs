//! Seasonal exponential smoothing: ETS(A,N,A) and ETS(A,Ad,A) (Holt 1957; Winters 1960; Hyndman, Koehler, Ord & Snyder 2008).
//!
//! The smoothing parameters minimise the squared one-step errors; start values come from the first seasons as in the R package
//! `forecast`; the form is chosen by AICc.

use crate::arima::FAST_STEPS;
use crate::decomposition::{Kind, classical_indices};
use crate::model::Guard;
use crate::model::Warm;
use crate::optimise::minimise;
use crate::{FitError, Fitted, Model, ModelKind, SeriesView};
use serde::{Deserialize, Serialize};

/// Fewest steps for a choice of form to mean anything.
const STEPS_MIN: usize = 12;

/// Additive Holt–Winters.
#[derive(Debug, Clone, Copy)]
pub struct HoltWinters;

/// Smoothing parameters and state.
#[derive(Debug, Clone, PartialEq)]
pub struct Smoothing {
    /// Of the level, 0..1.
    pub alpha: f64,
    /// Of the trend, 0..alpha; `None` without trend.
    pub beta: Option<f64>,
    /// Of the season, 0..1 − alpha.
    pub gamma: f64,
    /// Damping of the trend, 0.8..=0.98; 1 is none.
    pub phi: f64,
    /// Level.
    pub level: f64,
    /// Trend per step.
    pub trend: f64,
    /// Seasonal parts, the next step's first.
    pub season: Vec<f64>,
    /// Which of them is the next step's.
    position: usize,
}

impl Smoothing {
    /// A state before its first observation; `season[0]` is that of the first step.
    pub const fn new(
        (alpha, beta, gamma, phi): (f64, Option<f64>, f64, f64),
        level: f64,
        trend: f64,
        season: Vec<f64>,
    ) -> Self {
        Self { alpha, beta, gamma, phi, level, trend, season, position: 0 }
    }

    /// Expectation `ahead` steps on, 1 is the next.
    pub fn expect(&self, ahead: usize) -> f64 {
        let season = self.season[(self.position + ahead - 1) % self.season.len()];
        let damping = if self.phi < 1.0 {
            self.phi * (1.0 - libm::pow(self.phi, ahead as f64)) / (1.0 - self.phi)
        } else {
            ahead as f64
        };
        self.level + damping * self.trend + season
    }

    /// Takes the next observation in; a gap is what was expected. Returns the error.
    pub fn step(&mut self, value: Option<f64>) -> f64 {
        let error = value.map_or(0.0, |v| v - self.expect(1));
        let carried = self.phi * self.trend;
        self.level += carried + self.alpha * error;
        self.trend = carried + self.beta.unwrap_or(0.0) * error;
        let at = self.position % self.season.len();
        self.season[at] += self.gamma * error;
        self.position = (at + 1) % self.season.len();
        error
    }
}

impl Model for HoltWinters {
    fn kind(&self) -> ModelKind {
        ModelKind::SeasonalEts
    }

    fn fit(&self, series: SeriesView<'_>, seasons: &[usize]) -> Result<Box<dyn Fitted>, FitError> {
        let kind = ModelKind::SeasonalEts;
        let filled = series.filled().ok_or(FitError::NoValue)?;
        let season = seasons.first().copied().unwrap_or(1);
        let needed = (2 * season).max(8);
        if season < 2 || filled.len() < needed {
            return Err(FitError::TooShort { model: kind, needed, given: filled.len() });
        }
        let values: Vec<Option<f64>> = (0..series.len()).map(|t| series.get(t).map(f64::from)).collect();
        let forms = [false, true]
            .into_iter()
            .filter_map(|trended| best_form(&start(&filled, season, trended)?, &values, trended));
        let best = forms.min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, state)) = best else {
            return Err(FitError::NoFit { model: kind, reason: "the series is constant".to_owned() });
        };
        Ok(Box::new(FittedHoltWinters { state, guard: Guard::of(series) }))
    }
}

/// Exponential smoothing without season, ETS(A,N,N) or ETS(A,Ad,N) by AICc, on the newest [`FAST_STEPS`] steps.
#[derive(Debug, Clone, Copy)]
pub struct Smooth;

impl Model for Smooth {
    fn kind(&self) -> ModelKind {
        ModelKind::EtsFast
    }

    fn fit(&self, series: SeriesView<'_>, _seasons: &[usize]) -> Result<Box<dyn Fitted>, FitError> {
        let kind = ModelKind::EtsFast;
        let values = newest(series).ok_or(FitError::NoValue)?;
        if values.len() < STEPS_MIN {
            return Err(FitError::TooShort { model: kind, needed: STEPS_MIN, given: values.len() });
        }
        let Some((_, state)) = [false, true]
            .into_iter()
            .filter_map(|trended| best_form(&level_of(&values), &values, trended))
            .min_by(|a, b| a.0.total_cmp(&b.0))
        else {
            return Err(FitError::NoFit { model: kind, reason: "the series is constant".to_owned() });
        };
        Ok(Box::new(FittedHoltWinters { state, guard: Guard::of(series) }))
    }
}

/// Smoothing parameters of a model without season.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WarmSmoothing {
    alpha: f64,
    beta: Option<f64>,
    phi: f64,
}

impl WarmSmoothing {
    /// The model at the end of `series`.
    pub(crate) fn resume(&self, series: SeriesView<'_>) -> Option<Box<dyn Fitted>> {
        let values = newest(series)?;
        let mut state = Smoothing { alpha: self.alpha, beta: self.beta, phi: self.phi, ..level_of(&values) };
        for value in &values {
            state.step(*value);
        }
        Some(Box::new(FittedHoltWinters { state, guard: Guard::of(series) }))
    }
}

/// The newest steps from the first known one on; `None` when nothing is known of them.
fn newest(series: SeriesView<'_>) -> Option<Vec<Option<f64>>> {
    let values = (series.len().saturating_sub(FAST_STEPS)..series.len()).map(|t| series.get(t).map(f64::from));
    let values: Vec<Option<f64>> = values.skip_while(Option::is_none).collect();
    (!values.is_empty()).then_some(values)
}

/// A state at the mean of the first known values, before the first step.
fn level_of(values: &[Option<f64>]) -> Smoothing {
    let first: Vec<f64> = values.iter().flatten().take(10).copied().collect();
    let level = first.iter().sum::<f64>() / first.len().max(1) as f64;
    Smoothing::new((0.0, None, 0.0, 1.0), level, 0.0, vec![0.0])
}

/// One form fitted, with its AICc; `None` when there is no error to fit to.
fn best_form(start: &Smoothing, values: &[Option<f64>], trended: bool) -> Option<(f64, Smoothing)> {
    let (squares, found) = smooth(start, values, trended);
    let seasonal = if start.season.len() > 1 { 1.0 } else { 0.0 };
    let (n, k) = (values.iter().flatten().count() as f64, 3.0 + seasonal + if trended { 3.0 } else { 0.0 });
    let criterion = n * libm::log(squares / n) + 2.0 * k * n / (n - k - 1.0).max(1.0);
    criterion.is_finite().then_some((criterion, found))
}

/// Level and trend from the first season but one, seasonal parts from the classical decomposition of the first four.
fn start(filled: &[f64], season: usize, trended: bool) -> Option<Smoothing> {
    let first = &filled[..filled.len().min(4 * season)];
    let indices = classical_indices(first, season, Kind::Additive)?;
    let adjusted: Vec<f64> = first.iter().enumerate().map(|(t, v)| v - indices[t % season]).collect();
    let head = &adjusted[..adjusted.len().min(season.max(10))];
    let level = head.iter().sum::<f64>() / head.len() as f64;
    let slope = if trended && adjusted.len() > head.len() {
        let tail = &adjusted[adjusted.len() - head.len()..];
        let later = tail.iter().sum::<f64>() / tail.len() as f64;
        (later - level) / (adjusted.len() - head.len()) as f64
    } else {
        0.0
    };
    let beta = trended.then_some(0.0);
    Some(Smoothing::new((0.0, beta, 0.0, if trended { 0.97 } else { 1.0 }), level, slope, indices))
}

/// Parameters with the smallest squared one-step errors. Returns those and the state at the end.
fn smooth(start: &Smoothing, values: &[Option<f64>], trended: bool) -> (f64, Smoothing) {
    let sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
    let read = |free: &[f64]| {
        let alpha = 0.0001 + 0.9998 * sigmoid(free[0]);
        let mut state = start.clone();
        state.alpha = alpha;
        let (mut rest, seasonal) = (&free[1..], start.season.len() > 1);
        if seasonal {
            state.gamma = (1.0 - alpha) * sigmoid(rest[0]);
            rest = &rest[1..];
        }
        if trended {
            state.beta = Some(alpha * sigmoid(rest[0]));
            state.phi = 0.8 + 0.18 * sigmoid(rest[1]);
        }
        state
    };
    let squares = |free: &[f64]| {
        let mut state = read(free);
        let sum: f64 = values.iter().map(|v| state.step(*v)).map(|e| e * e).sum();
        (sum, state)
    };
    let mut begin = vec![-1.0];
    begin.extend((start.season.len() > 1).then_some(-2.0));
    begin.extend(if trended { &[-3.0, 2.0][..] } else { &[] });
    let found = minimise(|free| libm::log(squares(free).0.max(1e-300)), &begin, 60, 1e-8);
    let (sum, state) = squares(&found.at);
    (if sum > 1e-12 { sum } else { f64::NAN }, state)
}

#[derive(Debug)]
struct FittedHoltWinters {
    state: Smoothing,
    guard: Guard,
}

impl Fitted for FittedHoltWinters {
    fn forecast(&self, steps: usize) -> Vec<f32> {
        let mut points: Vec<f32> = (1..=steps).map(|h| self.state.expect(h) as f32).collect();
        self.guard.apply(&mut points);
        points
    }

    fn update(&mut self, value: Option<f32>) {
        self.state.step(value.filter(|v| v.is_finite()).map(f64::from));
    }

    fn bytes(&self) -> usize {
        self.state.season.len() * 8 + size_of::<Self>()
    }

    fn warm(&self) -> Option<Warm> {
        let Smoothing { alpha, beta, phi, .. } = self.state;
        (self.state.season.len() == 1).then_some(Warm::Smoothing(WarmSmoothing { alpha, beta, phi }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// statsmodels 0.15.0, `ETSModel(error="add", trend="add", damped_trend=True, seasonal="add", seasonal_periods=4)` with the same
    /// parameters and initial states.
    #[test]
    fn known_answers_of_statsmodels() {
        let y = [12.0, 20.0, 15.0, 9.0, 14.0, 22.0, 18.0, 10.0, 15.0, 25.0, 19.0];
        let mut state = Smoothing::new((0.4, Some(0.1), 0.2, 0.9), 14.0, 0.5, vec![-1.0, 6.0, 1.0, -6.0]);
        let squares: f64 = y.iter().map(|v| state.step(Some(*v))).map(|e| e * e).sum();
        let next: Vec<f64> = (1..=5).map(|h| state.expect(h)).collect();
        let known = [12.160_610, 17.209_242, 25.330_254, 20.158_601, 13.171_997];
        assert!((squares - 10.721_396).abs() < 1e-5);
        for (a, b) in next.iter().zip(known) {
            assert!((a - b).abs() < 1e-5, "{next:?}");
        }
    }

    #[test]
    fn a_season_is_followed_and_a_constant_is_refused() {
        let wave = |t: usize| 50.0 + 20.0 * libm::sinf(t as f32 / 24.0 * std::f32::consts::TAU) + (t % 5) as f32 * 0.2;
        let y: Vec<f32> = (0..168).map(wave).collect();
        let mut fitted = HoltWinters.fit(SeriesView::new(&y), &[24]).unwrap();
        fitted.update(Some(wave(168)));
        let worst = fitted.forecast(24).iter().enumerate().map(|(h, p)| (p - wave(169 + h)).abs()).fold(0.0, f32::max);
        assert!(worst < 2.0, "{worst}");
        assert!(matches!(HoltWinters.fit(SeriesView::new(&[4.0; 96]), &[24]), Err(FitError::NoFit { .. })));
        assert!(matches!(HoltWinters.fit(SeriesView::new(&y[..30]), &[24]), Err(FitError::TooShort { .. })));
    }

    /// augurs 0.10.3 chooses between more forms by the same likelihood: on a level with noise and on a damped trend both say the same.
    #[test]
    fn the_form_for_fleets_says_what_augurs_says() {
        let noise = |t: usize| ((t * 7919 + 31) % 101) as f32 / 25.0 - 2.0;
        let level: Vec<f32> = (0..150).map(|t| 30.0 + noise(t)).collect();
        let walk: Vec<f32> = (0..150)
            .scan(50.0, |at, t| {
                *at += noise(t) / 2.0;
                Some(*at)
            })
            .collect();
        for y in [level, walk] {
            let ours = Smooth.fit(SeriesView::new(&y), &[]).unwrap().forecast(12);
            let theirs = crate::classical::Ets.fit(SeriesView::new(&y), &[]).unwrap().forecast(12);
            assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 0.5), "{ours:?} {theirs:?}");
        }
        assert!(matches!(Smooth.fit(SeriesView::new(&[4.0; 96]), &[]), Err(FitError::NoFit { .. })));
    }

    #[test]
    fn a_warm_model_goes_on_where_an_updated_one_stands() {
        let y: Vec<f32> = (0..220).map(|t| 30.0 + ((t * 7919 + 31) % 101) as f32 / 25.0 + t as f32 * 0.05).collect();
        let mut fitted = Smooth.fit(SeriesView::new(&y[..180]), &[]).unwrap();
        let warm = fitted.warm().unwrap();
        y[180..].iter().for_each(|v| fitted.update(Some(*v)));
        let resumed = warm.resume(SeriesView::new(&y), 40).unwrap();
        assert!((fitted.forecast(5)[4] - resumed.forecast(5)[4]).abs() < 0.1);
    }
}
