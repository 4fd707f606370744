//! Seasons taken out and put back: MSTL (Bandara, Hyndman & Bergmeir 2021) by the stlrs library, and the classical decomposition.

use crate::arima::{Effort, Running, search};
use crate::classical::Trend;
use crate::model::Guard;
use crate::{FitError, Fitted, Model, ModelKind, SeriesView};
use stlrs::MstlParams;

/// Fewest steps for a model of what is left to mean anything.
const STEPS_MIN: usize = 12;

/// What forecasts the seasonally adjusted series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// Exponential smoothing (augurs).
    Ets,
    /// ARIMA without season, order by AICc.
    Arima,
}

/// MSTL with all seasons that the series holds at least twice; each season goes on as its last cycle.
#[derive(Debug, Clone, Copy)]
pub struct Mstl {
    /// What forecasts the rest.
    pub rest: Rest,
}

/// A series in parts: value = Σ cycles + adjusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Parts {
    /// Last cycle of every season, from the step after the end.
    pub cycles: Vec<Vec<f64>>,
    /// What is left: trend and remainder.
    pub adjusted: Vec<f64>,
}

/// Takes out the seasons that `values` holds at least twice, shortest first.
pub fn decompose(values: &[f64], seasons: &[usize]) -> Parts {
    let mut kept: Vec<usize> = seasons.iter().copied().filter(|s| *s >= 2 && values.len() >= 2 * s).collect();
    kept.sort_unstable();
    kept.dedup();
    let plain = || Parts { cycles: Vec::new(), adjusted: values.to_vec() };
    if kept.is_empty() || values.len() < STEPS_MIN {
        return plain();
    }
    let Ok(fit) = MstlParams::new().fit(values, &kept) else { return plain() };
    let adjusted: Vec<f64> = fit.trend().iter().zip(fit.remainder()).map(|(t, r)| t + r).collect();
    if adjusted.iter().any(|v| !v.is_finite()) {
        return plain();
    }
    let cycles = kept.iter().zip(fit.seasonal()).map(|(s, component)| component[component.len() - s..].to_vec());
    Parts { cycles: cycles.collect(), adjusted }
}

impl Model for Mstl {
    fn kind(&self) -> ModelKind {
        match self.rest {
            Rest::Ets => ModelKind::Mstl,
            Rest::Arima => ModelKind::MstlArima,
        }
    }

    fn fit(&self, series: SeriesView<'_>, seasons: &[usize]) -> Result<Box<dyn Fitted>, FitError> {
        let kind = self.kind();
        let values = series.filled().ok_or(FitError::NoValue)?;
        if values.len() < STEPS_MIN {
            return Err(FitError::TooShort { model: kind, needed: STEPS_MIN, given: values.len() });
        }
        let parts = decompose(&values, seasons);
        let no_fit = |reason: String| FitError::NoFit { model: kind, reason };
        let rest = match self.rest {
            Rest::Arima => {
                // Gaps stay gaps for the filter.
                let known: Vec<f64> = parts
                    .adjusted
                    .iter()
                    .zip(series.raw())
                    .map(|(a, raw)| if raw.is_finite() { *a } else { f64::NAN })
                    .collect();
                let running = search(&known, &parts.adjusted, 1, Effort::Full).and_then(|fit| fit.at_end_of(&known));
                FittedRest::Arima(
                    running.ok_or_else(|| no_fit("nothing is left to model: the series is constant".to_owned()))?,
                )
            }
            Rest::Ets => FittedRest::Ets(Trend::fit(&parts.adjusted, seasons).map_err(no_fit)?),
        };
        Ok(Box::new(FittedMstl { cycles: parts.cycles, position: 0, rest, guard: Guard::of(series) }))
    }
}

#[derive(Debug)]
struct FittedMstl {
    cycles: Vec<Vec<f64>>,
    position: usize,
    rest: FittedRest,
    guard: Guard,
}

#[derive(Debug)]
enum FittedRest {
    Arima(Running),
    Ets(Trend),
}

impl FittedMstl {
    fn season_at(&self, step: usize) -> f64 {
        self.cycles.iter().map(|cycle| cycle[step % cycle.len()]).sum()
    }
}

impl Fitted for FittedMstl {
    fn forecast(&self, steps: usize) -> Vec<f32> {
        let rest = match &self.rest {
            FittedRest::Arima(running) => running.points(steps),
            FittedRest::Ets(trend) => trend.points(steps),
        };
        let mut points: Vec<f32> =
            rest.iter().enumerate().map(|(h, r)| (r + self.season_at(self.position + h)) as f32).collect();
        self.guard.apply(&mut points);
        points
    }

    fn update(&mut self, value: Option<f32>) {
        let season = self.season_at(self.position);
        let adjusted = value.filter(|v| v.is_finite()).map(|v| f64::from(v) - season);
        match &mut self.rest {
            FittedRest::Arima(running) => running.update(adjusted),
            FittedRest::Ets(trend) => trend.update(adjusted),
        }
        self.position += 1;
    }

    fn bytes(&self) -> usize {
        let rest = match &self.rest {
            FittedRest::Arima(running) => running.bytes(),
            FittedRest::Ets(trend) => trend.bytes(),
        };
        rest + self.cycles.iter().map(|c| c.len() * 8).sum::<usize>()
    }
}

/// How a season is taken out by moving averages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Additive,
    Multiplicative,
}

/// Seasonal indices of the classical decomposition (moving averages; as `stats::decompose` of R), one a phase from step 0, their mean 0
/// or 1. `None` with less than two seasons, or where a multiplicative season has no meaning (values or indices not well above 0).
pub(crate) fn classical_indices(values: &[f64], season: usize, kind: Kind) -> Option<Vec<f64>> {
    if season < 2 || values.len() < 2 * season {
        return None;
    }
    if kind == Kind::Multiplicative && values.iter().any(|v| *v <= 0.0) {
        return None;
    }
    let half = season / 2;
    let average = |t: usize| {
        let inner: f64 = values[t + 1 - half..t + half].iter().sum();
        if season.is_multiple_of(2) {
            (inner + 0.5 * (values[t - half] + values[t + half])) / season as f64
        } else {
            (inner + values[t - half] + values[t + half]) / season as f64
        }
    };
    let mut sums = vec![(0.0, 0_u32); season];
    for t in half..values.len() - half {
        let trend = average(t);
        let part = if kind == Kind::Additive { values[t] - trend } else { values[t] / trend };
        let entry = &mut sums[t % season];
        *entry = (entry.0 + part, entry.1 + 1);
    }
    let means: Vec<f64> = sums.iter().map(|(sum, n)| sum / f64::from((*n).max(1))).collect();
    let middle = means.iter().sum::<f64>() / season as f64;
    let indices: Vec<f64> =
        means.iter().map(|m| if kind == Kind::Additive { m - middle } else { m / middle }).collect();
    let sound = indices.iter().all(|i| i.is_finite() && (kind == Kind::Additive || *i > 0.01));
    sound.then_some(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(t: usize) -> f32 {
        let angle = |period: f32| t as f32 / period * std::f32::consts::TAU;
        50.0 + 20.0 * libm::sinf(angle(24.0)) + 8.0 * libm::cosf(angle(168.0))
    }

    #[test]
    fn two_seasons_come_apart_and_go_on() {
        let y: Vec<f32> = (0..168 * 3).map(wave).collect();
        for rest in [Rest::Arima, Rest::Ets] {
            let mut fitted = Mstl { rest }.fit(SeriesView::new(&y), &[24, 168]).unwrap();
            let worst = |points: &[f32], from: usize| {
                points.iter().enumerate().map(|(h, p)| (p - wave(from + h)).abs()).fold(0.0, f32::max)
            };
            assert!(worst(&fitted.forecast(48), y.len()) < 1.5, "{rest:?} {:?}", fitted.forecast(4));
            for t in y.len()..y.len() + 30 {
                fitted.update(Some(wave(t)));
            }
            assert!(worst(&fitted.forecast(48), y.len() + 30) < 1.5, "{rest:?}");
        }
    }

    /// `stats::decompose` by hand on 1 2 3 2 3 4: period 3, averages 2, 7/3, 8/3, 3 at steps 1–4.
    #[test]
    fn classical_indices_by_hand() {
        let indices = classical_indices(&[1.0, 2.0, 3.0, 2.0, 3.0, 4.0], 3, Kind::Additive).unwrap();
        let raw = [2.0 - 8.0 / 3.0, 0.0, 3.0 - 7.0 / 3.0];
        for (a, b) in indices.iter().zip(raw) {
            assert!((a - b).abs() < 1e-12, "{indices:?}");
        }
        assert_eq!(classical_indices(&[1.0, 0.0, 2.0, 1.0], 2, Kind::Multiplicative), None);
    }
}
