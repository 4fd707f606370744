//! How good a model would have been: move the origin, fit on what was known there, forecast, compare.

use crate::{FitError, ModelKind, SeriesView, measure};

/// One origin of a backtest.
#[derive(Debug, Clone, PartialEq)]
pub struct OriginResult {
    /// Steps known at the origin.
    pub origin: usize,
    /// Forecast of the steps after it.
    pub points: Vec<f32>,
    /// What came (gaps are not finite).
    pub actual: Vec<f32>,
}

impl OriginResult {
    /// Mean absolute error at this origin.
    pub fn mae(&self) -> Option<f64> {
        measure::mae(&self.actual, &self.points)
    }
}

/// Fits `kind` at `origins` origins, the last `horizon` steps before the end, the others `stride` steps apart before it, and forecasts
/// `horizon` steps from each. A forecast never sees past its origin. Origins with fewer than `season` known steps are left out.
///
/// # Errors
/// The first [`FitError`] of an origin.
pub fn rolling_origin(
    kind: ModelKind,
    series: SeriesView<'_>,
    season: usize,
    horizon: usize,
    origins: usize,
    stride: usize,
) -> Result<Vec<OriginResult>, FitError> {
    let Some(model) = kind.model() else {
        return Err(FitError::NoFit { model: kind, reason: "it is not fitted to one series".to_owned() });
    };
    let mut results = Vec::new();
    for back in (0..origins).rev() {
        let Some(origin) = series.len().checked_sub(horizon + back * stride) else { continue };
        if origin < season {
            continue;
        }
        let points = model.fit(series.until(origin), &[season])?.forecast(horizon);
        let actual = series.raw()[origin..origin + horizon].to_vec();
        results.push(OriginResult { origin, points, actual });
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn origins_end_one_horizon_before_the_end() {
        let y: Vec<f32> = (0..40).map(|t| t as f32).collect();
        let results = rolling_origin(ModelKind::Naive, SeriesView::new(&y), 8, 4, 3, 4).unwrap();
        assert_eq!(results.iter().map(|r| r.origin).collect::<Vec<_>>(), [28, 32, 36]);
        // The last value held against a line of slope 1: errors 1, 2, 3, 4.
        assert_eq!(results[2].mae(), Some(2.5));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn no_forecast_sees_past_its_origin(y in proptest::collection::vec(0.0f32..100.0, 60..90), other in 0.0f32..100.0) {
            for kind in ModelKind::ALL {
                let honest = rolling_origin(kind, SeriesView::new(&y), 12, 6, 2, 6);
                let mut changed = y.clone();
                let origin = y.len() - 6;
                changed[origin..].fill(other);
                let after = rolling_origin(kind, SeriesView::new(&changed), 12, 6, 2, 6);
                prop_assert_eq!(honest.map(|r| r[1].points.clone()), after.map(|r| r[1].points.clone()), "{}", kind);
            }
        }
    }
}
