//! ARIMA and seasonal ARIMA (Box & Jenkins 1970) with automatic choice of order.
//!
//! - [`Order`] says which terms there are, [`fit()`] estimates them by exact Gaussian likelihood (Kalman filter, gaps natural) or by the
//!   conditional sum of squares, [`search()`] chooses the order (Hyndman & Khandakar 2008).
//! - [`Running`] is a model at its origin: it forecasts with standard errors and takes values in without fitting anew.
//! - [`ljung_box`] asks whether the residuals are white.
//!
//! A season too long for a state of its size ([`LONG_SEASON`]) is taken out as a regression on its phases, with ARIMA errors (Hyndman &
//! Athanasopoulos, *Forecasting: principles and practice*, 3rd ed., §12.1).
//!
//! Stationary and invertible by construction: see `polynomial.rs`. Cost on a 168-step series with a season of 24: see `benches/README.md`.

mod diagnostics;
mod differencing;
mod fit;
mod innovations;
mod kalman;
mod likelihood;
mod order;
mod polynomial;
mod search;

pub use diagnostics::{autocorrelations, ljung_box};
pub use differencing::{kpss, plain_differences, seasonal_differences, seasonal_strength};
pub use fit::{Fit, Method, Running, fit};
pub use order::Order;
pub use polynomial::{Coefficients, Parameters};
pub use search::{Effort, FAST_STEPS, search};

use crate::model::Warm;
use crate::{FitError, Fitted, Model, ModelKind, SeriesView};
use serde::{Deserialize, Serialize};

/// Seasons longer than this are regressors, not lags.
pub const LONG_SEASON: usize = 31;
/// A long season that explains less than this is left in.
const STRENGTH_MIN: f64 = 0.3;
/// Fewest steps for a choice of order to mean anything.
const STEPS_MIN: usize = 12;

/// The model of the competition: order and parameters by themselves.
#[derive(Debug, Clone, Copy)]
pub struct Arima {
    /// How much work to do.
    pub effort: Effort,
}

impl Model for Arima {
    fn kind(&self) -> ModelKind {
        match self.effort {
            Effort::Fast => ModelKind::ArimaFast,
            Effort::Full => ModelKind::Arima,
        }
    }

    fn fit(&self, series: SeriesView<'_>, seasons: &[usize]) -> Result<Box<dyn Fitted>, FitError> {
        let kind = self.kind();
        let filled = series.filled().ok_or(FitError::NoValue)?;
        if filled.len() < STEPS_MIN {
            return Err(FitError::TooShort { model: kind, needed: STEPS_MIN, given: filled.len() });
        }
        let values = values_of(series);
        // Before the first known value there is nothing to filter.
        let begin = values.iter().position(|v| v.is_finite()).unwrap_or(0);
        let (values, filled) = (&values[begin..], &filled[begin..]);
        let season = seasons.first().copied().unwrap_or(1);
        let cycle = if season > LONG_SEASON { cycle_of(filled, season) } else { Vec::new() };
        let (values, filled) = (without(values, &cycle), without(filled, &cycle));
        let lagged = if season > LONG_SEASON { 1 } else { season };
        let found = search(&values, &filled, lagged, self.effort);
        let fitted = found.and_then(|fit| FittedArima::new(fit, cycle, &values, series));
        match fitted {
            Some(fitted) => Ok(Box::new(fitted)),
            None => Err(FitError::NoFit { model: kind, reason: "the series is constant or too short".to_owned() }),
        }
    }
}

/// Order, parameters and long season of a fitted model: enough to go on from any later origin, a few microseconds a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WarmArima {
    order: Order,
    parameters: Parameters,
    /// From the step after the origin it was fitted at.
    cycle: Vec<f64>,
}

impl WarmArima {
    /// The model at the end of `series`, `age` steps after it was fitted.
    pub(crate) fn resume(&self, series: SeriesView<'_>, age: usize) -> Option<Box<dyn Fitted>> {
        let mut cycle = self.cycle.clone();
        if !cycle.is_empty() {
            let passed = age % cycle.len();
            cycle.rotate_left(passed);
        }
        let values = without(&values_of(series), &cycle);
        let newest = &values[values.len().saturating_sub(FAST_STEPS.max(2 * self.order.lost()))..];
        let fit = Fit {
            order: self.order,
            parameters: self.parameters.clone(),
            variance: 1.0,
            log_likelihood: f64::NAN,
            count: 0,
            method: Method::ConditionalSquares,
        };
        Some(Box::new(FittedArima::new(fit, cycle, newest, series)?))
    }
}

fn values_of(series: SeriesView<'_>) -> Vec<f64> {
    series.raw().iter().map(|v| f64::from(*v)).collect()
}

/// A series less its long season, whose first value belongs to the step after the end.
fn without(values: &[f64], cycle: &[f64]) -> Vec<f64> {
    if cycle.is_empty() {
        return values.to_vec();
    }
    let shift = cycle.len() - values.len() % cycle.len();
    values.iter().enumerate().map(|(t, v)| v - cycle[(t + shift) % cycle.len()]).collect()
}

/// Mean of each phase less that of all, from the step after the end; nothing where the season explains little.
fn cycle_of(filled: &[f64], season: usize) -> Vec<f64> {
    if seasonal_strength(filled, season).is_none_or(|strength| strength < STRENGTH_MIN) {
        return Vec::new();
    }
    let mean = filled.iter().sum::<f64>() / filled.len() as f64;
    let phase = |h: usize| {
        let same = filled.iter().rev().skip(season - 1 - h).step_by(season);
        let (sum, count) = same.fold((0.0, 0.0), |(s, c), v| (s + v, c + 1.0));
        sum / f64::max(count, 1.0) - mean
    };
    (0..season).map(phase).collect()
}

#[derive(Debug)]
struct FittedArima {
    fit: Fit,
    running: Running,
    /// A long season, added back.
    cycle: Vec<f64>,
    position: usize,
    guard: crate::model::Guard,
}

impl FittedArima {
    /// The fit at the end of `values`, which are `series` without `cycle`.
    fn new(fit: Fit, cycle: Vec<f64>, values: &[f64], series: SeriesView<'_>) -> Option<Self> {
        let running = fit.at_end_of(values)?;
        Some(Self { fit, running, cycle, position: 0, guard: crate::model::Guard::of(series) })
    }

    fn season_at(&self, step: usize) -> f64 {
        if self.cycle.is_empty() { 0.0 } else { self.cycle[step % self.cycle.len()] }
    }
}

impl Fitted for FittedArima {
    fn forecast(&self, steps: usize) -> Vec<f32> {
        let rest = self.running.points(steps).into_iter().enumerate();
        let mut points: Vec<f32> = rest.map(|(h, p)| (p + self.season_at(self.position + h)) as f32).collect();
        self.guard.apply(&mut points);
        points
    }

    fn update(&mut self, value: Option<f32>) {
        let season = self.season_at(self.position);
        self.running.update(value.map(|v| f64::from(v) - season));
        self.position += 1;
    }

    fn bytes(&self) -> usize {
        self.running.bytes() + self.cycle.len() * 8
    }

    fn warm(&self) -> Option<Warm> {
        let mut cycle = self.cycle.clone();
        if !cycle.is_empty() {
            let passed = self.position % cycle.len();
            cycle.rotate_left(passed);
        }
        Some(Warm::Arima(WarmArima { order: self.fit.order, parameters: self.fit.parameters.clone(), cycle }))
    }
}

#[cfg(test)]
mod tests;
