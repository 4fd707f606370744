//! ARIMA and seasonal ARIMA (Box & Jenkins 1970) with automatic choice of order.
//!
//! - [`Order`] says which terms there are, [`fit()`] estimates them by exact Gaussian likelihood (Kalman filter, gaps natural) or by the
//!   conditional sum of squares, [`search()`] chooses the order (Hyndman & Khandakar 2008).
//! - [`Running`] is a model at its origin: it forecasts with standard errors and takes values in without fitting anew.
//! - [`ljung_box`] asks whether the residuals are white.
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
pub use search::{Effort, search};

use crate::{FitError, Fitted, Model, ModelKind, SeriesView};

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
        let values: Vec<f64> = series.raw().iter().map(|v| f64::from(*v)).collect();
        // Before the first known value there is nothing to filter.
        let begin = values.iter().position(|v| v.is_finite()).unwrap_or(0);
        let (values, filled) = (&values[begin..], &filled[begin..]);
        let season = seasons.first().copied().unwrap_or(1);
        let running = search(values, filled, season, self.effort).and_then(|fit| fit.at_end_of(values));
        let Some(running) = running else {
            return Err(FitError::NoFit { model: kind, reason: "the series is constant or too short".to_owned() });
        };
        Ok(Box::new(FittedArima { running, guard: crate::model::Guard::of(series) }))
    }
}

#[derive(Debug)]
struct FittedArima {
    running: Running,
    guard: crate::model::Guard,
}

impl Fitted for FittedArima {
    fn forecast(&self, steps: usize) -> Vec<f32> {
        let mut points: Vec<f32> = self.running.points(steps).into_iter().map(|p| p as f32).collect();
        self.guard.apply(&mut points);
        points
    }

    fn update(&mut self, value: Option<f32>) {
        self.running.update(value.map(f64::from));
    }

    fn bytes(&self) -> usize {
        self.running.bytes()
    }
}

#[cfg(test)]
mod tests;
