//! Exponential smoothing and seasonal-trend decomposition, by the augurs library.

use crate::{FitError, Fitted, Model, ModelKind, SeriesView};
use augurs::ets::AutoETS;
use augurs::ets::trend::AutoETSTrendModel;
use augurs::mstl::MSTLModel;
use augurs::{Fit, Predict};

/// Fewest steps for a choice of form by AICc to mean anything.
const STEPS_MIN: usize = 12;

/// AutoETS without season (Hyndman & Khandakar 2008; augurs-ets follows the R package `forecast`).
#[derive(Debug, Clone, Copy)]
pub struct Ets;

/// MSTL (Bandara, Hyndman & Bergmeir 2021) with one season and an ETS trend.
#[derive(Debug, Clone, Copy)]
pub struct Mstl;

impl Model for Ets {
    fn kind(&self) -> ModelKind {
        ModelKind::Ets
    }

    fn fit(&self, series: SeriesView<'_>, season: usize) -> Result<Box<dyn Fitted>, FitError> {
        let values = checked(ModelKind::Ets, series, STEPS_MIN)?;
        let fitted = AutoETS::non_seasonal().fit(&values).map_err(|e| no_fit(ModelKind::Ets, &e))?;
        wrap(ModelKind::Ets, series, season, move |steps| fitted.predict(steps, None).ok().map(|f| f.point))
    }
}

impl Model for Mstl {
    fn kind(&self) -> ModelKind {
        ModelKind::Mstl
    }

    fn fit(&self, series: SeriesView<'_>, season: usize) -> Result<Box<dyn Fitted>, FitError> {
        let needed = (2 * season).max(STEPS_MIN);
        let values = checked(ModelKind::Mstl, series, needed)?;
        let trend = AutoETSTrendModel::from(AutoETS::non_seasonal());
        let model = MSTLModel::new(vec![season.max(2)], trend);
        let fitted = model.fit(&values).map_err(|e| no_fit(ModelKind::Mstl, &e))?;
        wrap(ModelKind::Mstl, series, season, move |steps| fitted.predict(steps, None).ok().map(|f| f.point))
    }
}

fn checked(model: ModelKind, series: SeriesView<'_>, needed: usize) -> Result<Vec<f64>, FitError> {
    let values = series.filled().ok_or(FitError::NoValue)?;
    if values.len() < needed {
        return Err(FitError::TooShort { model, needed, given: values.len() });
    }
    // A constant has no variance to choose a form by: the libraries divide by it.
    let first = values[0];
    if values.iter().all(|v| (v - first).abs() < 1e-9) {
        return Err(FitError::NoFit { model, reason: "the series is constant".to_owned() });
    }
    Ok(values)
}

fn no_fit(model: ModelKind, error: &dyn std::error::Error) -> FitError {
    FitError::NoFit { model, reason: error.to_string() }
}

/// Steps forecast once at fitting, for as far as anybody asks; a longer question holds the last.
const REACH: usize = 1344;

fn wrap(
    kind: ModelKind,
    series: SeriesView<'_>,
    season: usize,
    predict: impl Fn(usize) -> Option<Vec<f64>>,
) -> Result<Box<dyn Fitted>, FitError> {
    let reach = (2 * season.max(1)).clamp(192, REACH);
    let points = predict(reach).filter(|p| p.len() == reach && p.iter().all(|v| v.is_finite()));
    let Some(points) = points else {
        return Err(FitError::NoFit { model: kind, reason: "its forecast is not finite".to_owned() });
    };
    let last = series.last().ok_or(FitError::NoValue)?;
    let points = points.into_iter().map(|v| v as f32).collect();
    Ok(Box::new(FittedClassical { points, position: 0, correction: 0.0, last }))
}

/// The forecast made at the fit; updates move along it and keep half of the newest error, so that a level shift is followed until
/// the next fit.
#[derive(Debug)]
struct FittedClassical {
    points: Vec<f32>,
    position: usize,
    correction: f32,
    last: f32,
}

impl Fitted for FittedClassical {
    fn forecast(&self, steps: usize) -> Vec<f32> {
        let end = self.points.last().copied().unwrap_or(self.last);
        (self.position..self.position + steps)
            .map(|i| self.points.get(i).copied().unwrap_or(end) + self.correction)
            .collect()
    }

    fn update(&mut self, value: Option<f32>) {
        if let (Some(value), Some(expected)) = (value.filter(|v| v.is_finite()), self.points.get(self.position)) {
            self.correction += 0.5 * (value - (expected + self.correction));
            self.last = value;
        }
        self.position += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize) -> Vec<f32> {
        (0..n)
            .map(|t| 50.0 + 20.0 * libm::sinf(t as f32 / 24.0 * std::f32::consts::TAU) + (t % 7) as f32 * 0.3)
            .collect()
    }

    #[test]
    fn mstl_follows_a_daily_curve_and_ets_a_level() {
        let y = wave(24 * 7);
        let truth = wave(24 * 8);
        let points = Mstl.fit(SeriesView::new(&y), 24).unwrap().forecast(24);
        let error: f32 = points.iter().zip(&truth[24 * 7..]).map(|(a, b)| (a - b).abs()).sum::<f32>() / 24.0;
        assert!(error < 1.5, "{error}");
        let flat: Vec<f32> = (0..60).map(|t| 10.0 + (t % 2) as f32).collect();
        let points = Ets.fit(SeriesView::new(&flat), 24).unwrap().forecast(5);
        assert!(points.iter().all(|p| (p - 10.5).abs() < 0.6), "{points:?}");
    }

    #[test]
    fn constant_short_and_empty_series_are_typed_errors() {
        assert!(matches!(Ets.fit(SeriesView::new(&[4.0; 50]), 24), Err(FitError::NoFit { .. })));
        assert!(matches!(Mstl.fit(SeriesView::new(&wave(30)), 24), Err(FitError::TooShort { needed: 48, .. })));
        assert!(matches!(Ets.fit(SeriesView::new(&[]), 24), Err(FitError::NoValue)));
    }

    #[test]
    fn an_update_moves_the_origin_and_follows_a_shift() {
        let mut fitted = Mstl.fit(SeriesView::new(&wave(24 * 7)), 24).unwrap();
        let before = fitted.forecast(3);
        fitted.update(Some(before[0] + 10.0));
        let after = fitted.forecast(2);
        assert!((after[0] - (before[1] + 5.0)).abs() < 1e-3);
    }
}
