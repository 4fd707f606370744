//! Exponential smoothing without season, by the augurs library.

use crate::model::Guard;
use crate::{FitError, Fitted, Model, ModelKind, SeriesView};
use augurs::ets::AutoETS;
use augurs::{Fit, Predict};

/// Fewest steps for a choice of form by AICc to mean anything.
const STEPS_MIN: usize = 12;

/// AutoETS without season (Hyndman & Khandakar 2008; augurs-ets follows the R package `forecast`).
#[derive(Debug, Clone, Copy)]
pub struct Ets;

impl Model for Ets {
    fn kind(&self) -> ModelKind {
        ModelKind::Ets
    }

    fn fit(&self, series: SeriesView<'_>, seasons: &[usize]) -> Result<Box<dyn Fitted>, FitError> {
        let values = series.filled().ok_or(FitError::NoValue)?;
        if values.len() < STEPS_MIN {
            return Err(FitError::TooShort { model: ModelKind::Ets, needed: STEPS_MIN, given: values.len() });
        }
        let trend = Trend::fit(&values, seasons).map_err(|reason| FitError::NoFit { model: ModelKind::Ets, reason })?;
        Ok(Box::new(FittedEts { trend, guard: Guard::of(series) }))
    }
}

/// Steps forecast once at fitting, for as far as anybody asks; a longer question holds the last.
const REACH: std::ops::RangeInclusive<usize> = 192..=1344;

/// The forecast made at the fit; updates move along it and keep half of the newest error, so that a level shift is followed until
/// the next fit.
#[derive(Debug)]
pub(crate) struct Trend {
    points: Vec<f64>,
    position: usize,
    correction: f64,
}

impl Trend {
    /// Fits to values without gaps.
    ///
    /// # Errors
    /// The library's words, or that the series is constant.
    pub(crate) fn fit(values: &[f64], seasons: &[usize]) -> Result<Self, String> {
        // A constant has no variance to choose a form by: the library divides by it.
        let first = values.first().copied().unwrap_or(0.0);
        if values.iter().all(|v| (v - first).abs() < 1e-9) {
            return Err("the series is constant".to_owned());
        }
        let fitted = AutoETS::non_seasonal().fit(values).map_err(|e| e.to_string())?;
        let longest = seasons.iter().copied().max().unwrap_or(1);
        let reach = (2 * longest).clamp(*REACH.start(), *REACH.end());
        let points = fitted.predict(reach, None).map_err(|e| e.to_string())?.point;
        if points.len() != reach || points.iter().any(|v| !v.is_finite()) {
            return Err("its forecast is not finite".to_owned());
        }
        Ok(Self { points, position: 0, correction: 0.0 })
    }

    fn at(&self, step: usize) -> f64 {
        self.points.get(step).or_else(|| self.points.last()).copied().unwrap_or(0.0) + self.correction
    }

    pub(crate) fn points(&self, steps: usize) -> Vec<f64> {
        (self.position..self.position + steps).map(|step| self.at(step)).collect()
    }

    pub(crate) fn update(&mut self, value: Option<f64>) {
        if let Some(value) = value {
            self.correction += 0.5 * (value - self.at(self.position));
        }
        self.position += 1;
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.points.len() * 8 + size_of::<Self>()
    }
}

#[derive(Debug)]
struct FittedEts {
    trend: Trend,
    guard: Guard,
}

impl Fitted for FittedEts {
    fn forecast(&self, steps: usize) -> Vec<f32> {
        let mut points: Vec<f32> = self.trend.points(steps).into_iter().map(|p| p as f32).collect();
        self.guard.apply(&mut points);
        points
    }

    fn update(&mut self, value: Option<f32>) {
        self.trend.update(value.filter(|v| v.is_finite()).map(f64::from));
    }

    fn bytes(&self) -> usize {
        self.trend.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_found_and_an_update_follows_a_shift() {
        let flat: Vec<f32> = (0..60).map(|t| 10.0 + (t % 2) as f32).collect();
        let mut fitted = Ets.fit(SeriesView::new(&flat), &[24]).unwrap();
        let before = fitted.forecast(5);
        assert!(before.iter().all(|p| (p - 10.5).abs() < 0.6), "{before:?}");
        fitted.update(Some(before[0] + 0.4));
        assert!((fitted.forecast(1)[0] - (before[1] + 0.2)).abs() < 1e-3);
    }

    #[test]
    fn constant_short_and_empty_series_are_typed_errors() {
        assert!(matches!(Ets.fit(SeriesView::new(&[4.0; 50]), &[24]), Err(FitError::NoFit { .. })));
        assert!(matches!(Ets.fit(SeriesView::new(&[1.0, 2.0]), &[24]), Err(FitError::TooShort { needed: 12, .. })));
        assert!(matches!(Ets.fit(SeriesView::new(&[]), &[24]), Err(FitError::NoValue)));
    }
}
