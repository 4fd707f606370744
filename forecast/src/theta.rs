//! The Theta method: a short-term level and a long-term line, weighted (Assimakopoulos & Nikolopoulos 2000), in the four forms of
//! Fiorucci, Pellegrini, Louzada, Petropoulos & Koehler 2016: standard or optimised weight, fixed or dynamic line. The form with the
//! smallest one-step error is taken; a season that the autocorrelation shows is taken out before.

use crate::arima::autocorrelations;
use crate::decomposition::{Kind, classical_indices};
use crate::model::Guard;
use crate::optimise::minimise;
use crate::{FitError, Fitted, Model, ModelKind, SeriesView};

const STEPS_MIN: usize = 8;
/// The first one-step errors only show where the start was.
const BURN: usize = 3;

/// Theta, form and parameters by one-step error.
#[derive(Debug, Clone, Copy)]
pub struct Theta;

impl Model for Theta {
    fn kind(&self) -> ModelKind {
        ModelKind::Theta
    }

    fn fit(&self, series: SeriesView<'_>, seasons: &[usize]) -> Result<Box<dyn Fitted>, FitError> {
        let values = series.filled().ok_or(FitError::NoValue)?;
        if values.len() < STEPS_MIN {
            return Err(FitError::TooShort { model: ModelKind::Theta, needed: STEPS_MIN, given: values.len() });
        }
        let season = seasons.first().copied().unwrap_or(1);
        let (kind, indices) = season_of(&values, season);
        let adjusted: Vec<f64> =
            values.iter().enumerate().map(|(t, v)| without(kind, *v, indices[t % indices.len()])).collect();
        let (form, state) = fit_forms(&adjusted);
        Ok(Box::new(FittedTheta { kind, indices, form, state, guard: Guard::of(series) }))
    }
}

/// Seasonal indices, multiplicative where that has a meaning; none where the autocorrelation at the season is within noise (the 90 %
/// test of the M4 benchmarks).
fn season_of(values: &[f64], season: usize) -> (Kind, Vec<f64>) {
    let none = (Kind::Additive, vec![0.0]);
    if season < 2 || values.len() < 2 * season {
        return none;
    }
    let r = autocorrelations(values, season);
    let noise = 1.0 + 2.0 * r[..season - 1].iter().map(|r| r * r).sum::<f64>();
    if r[season - 1].abs() <= 1.645 * (noise / values.len() as f64).sqrt() {
        return none;
    }
    let try_kind = |kind| classical_indices(values, season, kind).map(|indices| (kind, indices));
    try_kind(Kind::Multiplicative).or_else(|| try_kind(Kind::Additive)).unwrap_or(none)
}

fn without(kind: Kind, value: f64, index: f64) -> f64 {
    if kind == Kind::Additive { value - index } else { value / index }
}

fn with(kind: Kind, value: f64, index: f64) -> f64 {
    if kind == Kind::Additive { value + index } else { value * index }
}

/// Parameters of one form.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Form {
    start: f64,
    alpha: f64,
    theta: f64,
    dynamic: bool,
    /// Intercept and slope of the least-squares line, for the fixed forms.
    line: (f64, f64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct State {
    steps: f64,
    level: f64,
    mean: f64,
    intercept: f64,
    slope: f64,
}

impl Form {
    const fn begin(&self) -> State {
        State { steps: 0.0, level: self.start, mean: 0.0, intercept: 0.0, slope: 0.0 }
    }

    /// Expectation of the next step.
    fn expect(&self, state: &State) -> f64 {
        let (a, b) = if self.dynamic { (state.intercept, state.slope) } else { self.line };
        let faded = libm::pow(1.0 - self.alpha, state.steps);
        let line = faded * a + (1.0 - faded * (1.0 - self.alpha)) / self.alpha * b;
        state.level + (1.0 - 1.0 / self.theta) * line
    }

    fn step(&self, state: &mut State, value: f64) {
        let t = state.steps + 1.0;
        state.level += self.alpha * (value - state.level);
        let mean = (state.steps * state.mean + value) / t;
        // The least-squares line over the steps so far, carried along.
        state.slope =
            if t > 1.0 { ((t - 2.0) * state.slope + 6.0 * (value - state.mean) / t) / (t + 1.0) } else { 0.0 };
        state.intercept = mean - (t + 1.0) / 2.0 * state.slope;
        state.mean = mean;
        state.steps = t;
    }

    fn error(&self, values: &[f64]) -> f64 {
        let mut state = self.begin();
        let mut squares = 0.0;
        for (t, value) in values.iter().enumerate() {
            if t >= BURN {
                let error = value - self.expect(&state);
                squares += error * error;
            }
            self.step(&mut state, *value);
        }
        squares / (values.len() - BURN) as f64
    }
}

fn fit_forms(values: &[f64]) -> (Form, State) {
    let line = least_squares(values);
    let scale = (values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64).sqrt().max(1e-9);
    let mut best: Option<(f64, Form)> = None;
    for (dynamic, optimised) in [(false, false), (false, true), (true, false), (true, true)] {
        let read = |free: &[f64]| Form {
            start: values[0] / 2.0 + free[0] * scale,
            alpha: 0.01 + 0.98 * sigmoid(free[1]),
            theta: if optimised { 1.0 + libm::exp(free[2].clamp(-8.0, 8.0)) } else { 2.0 },
            dynamic,
            line,
        };
        let start: &[f64] = if optimised { &[0.0, 0.0, 0.0] } else { &[0.0, 0.0] };
        let found = minimise(|free| libm::log(read(free).error(values).max(1e-300)), start, 60, 1e-8);
        let form = read(&found.at);
        let error = form.error(values);
        if best.is_none_or(|(lowest, _)| error < lowest) {
            best = Some((error, form));
        }
    }
    let form = best.map_or(Form { start: values[0], alpha: 0.5, theta: 2.0, dynamic: false, line }, |(_, form)| form);
    let mut state = form.begin();
    values.iter().for_each(|v| form.step(&mut state, *v));
    (form, state)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// Intercept and slope of the line through (1, y₁), (2, y₂)…
fn least_squares(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let middle = (n + 1.0) / 2.0;
    let covariance: f64 = values.iter().enumerate().map(|(t, v)| (t as f64 + 1.0 - middle) * (v - mean)).sum();
    let slope = covariance * 12.0 / (n * (n * n - 1.0));
    (mean - slope * middle, slope)
}

#[derive(Debug)]
struct FittedTheta {
    kind: Kind,
    indices: Vec<f64>,
    form: Form,
    state: State,
    guard: Guard,
}

impl FittedTheta {
    fn index(&self, state: &State) -> f64 {
        self.indices[state.steps as usize % self.indices.len()]
    }
}

impl Fitted for FittedTheta {
    fn forecast(&self, steps: usize) -> Vec<f32> {
        let mut state = self.state;
        let mut points: Vec<f32> = (0..steps)
            .map(|_| {
                let (expected, index) = (self.form.expect(&state), self.index(&state));
                self.form.step(&mut state, expected);
                with(self.kind, expected, index) as f32
            })
            .collect();
        self.guard.apply(&mut points);
        points
    }

    fn update(&mut self, value: Option<f32>) {
        let index = self.index(&self.state);
        let known = value.filter(|v| v.is_finite()).map(|v| without(self.kind, f64::from(v), index));
        let value = known.unwrap_or_else(|| self.form.expect(&self.state));
        self.form.step(&mut self.state, value);
    }

    fn bytes(&self) -> usize {
        self.indices.len() * 8 + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known_series::{AIR_PASSENGERS, NILE};

    fn next(values: &[f64], season: usize) -> Vec<f32> {
        let y: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        Theta.fit(SeriesView::new(&y), &[season]).unwrap().forecast(3)
    }

    fn near(found: &[f32], known: &[f32], share: f32) {
        for (a, b) in found.iter().zip(known) {
            assert!((a / b - 1.0).abs() < share, "{found:?} {known:?}");
        }
    }

    /// statsforecast 2.1.1, `AutoTheta` (it weighs errors of three steps, we of one: the same form within 1 %).
    #[test]
    fn known_answers_of_statsforecast() {
        near(&next(&AIR_PASSENGERS, 12), &[442.943, 432.231, 495.308], 0.01);
        near(&next(&NILE, 1), &[799.195, 796.481, 793.768], 0.01);
    }

    #[test]
    fn a_line_goes_on_and_a_gap_is_what_was_expected() {
        let line: Vec<f32> = (0..60).map(|t| 10.0 + t as f32 * 0.5).collect();
        let mut fitted = Theta.fit(SeriesView::new(&line), &[]).unwrap();
        let points = fitted.forecast(4);
        assert!(points.iter().enumerate().all(|(h, p)| (p - (40.0 + h as f32 * 0.5)).abs() < 0.3), "{points:?}");
        fitted.update(None);
        assert!((fitted.forecast(1)[0] - points[1]).abs() < 1e-3);
    }
}
