//! A linear model of all series together: lags and calendar as regressors, one set of weights a lead, ridge penalty (Hoerl & Kennard
//! 1970), fitted towards the median by iterated weights (Schlossmacher 1973), for absolute errors are what forecasts are judged by.

use super::features::{LAGS, Scaled};
use super::{TrainError, TrainingSeries};
use crate::SeriesView;
use nalgebra::{SMatrix, SVector};
use serde::{Deserialize, Serialize};

/// Fewest examples to train on.
const EXAMPLES_MIN: usize = 60;
/// Most examples: beyond, origins are taken further apart.
const EXAMPLES_MAX: usize = 6_000;
/// Ridge penalty as a share of the examples.
const PENALTY: f64 = 0.01;
/// Rounds of reweighting, and the error below which an example weighs no more.
const ROUNDS: usize = 4;
const CLOSE: f64 = 0.05;

type Weights = SVector<f64, LAGS>;
type Written = Vec<[f64; LAGS]>;

/// A trained model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ridge {
    /// By lead.
    weights: Written,
    season: usize,
    pub(super) until: i64,
}

impl Ridge {
    pub(super) fn train(series: &[TrainingSeries<'_>], seasons: &[usize], horizon: usize) -> Result<Self, TrainError> {
        let season = seasons.first().copied().unwrap_or(1).max(1);
        let examples = examples(series, seasons, season, horizon);
        if examples.len() < EXAMPLES_MIN {
            return Err(TrainError::TooLittle { found: examples.len(), needed: EXAMPLES_MIN });
        }
        let until = series.iter().map(|s| s.first_step + s.values.len() as i64).max().unwrap_or(0);
        let weights = (0..horizon).map(|lead| fit_lead(&examples, lead).into()).collect();
        Ok(Self { weights, season, until })
    }

    pub(super) const fn is_due(&self, step: i64) -> bool {
        step - self.until >= (self.season as i64 + 3) / 4
    }

    /// Points; a longer question than was trained for takes the weights of the last lead of the same phase.
    pub(super) fn forecast(&self, series: SeriesView<'_>, seasons: &[usize], steps: usize) -> Option<Vec<f32>> {
        let scaled = Scaled::new(series, seasons)?;
        let point = |lead: usize| {
            let weights = self.weights.get(lead).or_else(|| self.weights.last())?;
            let lags = scaled.lags(lead);
            let value: f64 = weights.iter().zip(lags).map(|(w, x)| w * f64::from(x)).sum();
            Some(scaled.unscaled(value as f32))
        };
        (0..steps).map(point).collect()
    }
}

/// A history and what came after it, on the common scale.
struct Example {
    scaled: Scaled,
    /// Gaps are not finite.
    came: Vec<f32>,
}

fn examples(series: &[TrainingSeries<'_>], seasons: &[usize], season: usize, horizon: usize) -> Vec<Example> {
    let first = (2 * season).max(8);
    let usable = |s: &TrainingSeries<'_>| s.values.len().saturating_sub(horizon.min(season)).saturating_sub(first);
    let total: usize = series.iter().map(usable).sum();
    let stride = total.div_ceil(EXAMPLES_MAX).max((season / 8).max(1));
    // As long a history as forecasts are made from.
    let context = 7 * season.max(24);
    let mut examples = Vec::new();
    for s in series {
        // From the end backwards: the newest examples are always in.
        let mut origin = s.values.len().saturating_sub((horizon / 4).max(1));
        while origin >= first {
            let known = SeriesView::new(&s.values[origin.saturating_sub(context)..origin]);
            if let Some(scaled) = Scaled::new(known, seasons) {
                let came = s.values[origin..(origin + horizon).min(s.values.len())].iter().map(|v| scaled.scaled(*v));
                let came = came.collect();
                examples.push(Example { scaled, came });
            }
            let Some(next) = origin.checked_sub(stride) else { break };
            origin = next;
        }
    }
    examples
}

fn fit_lead(examples: &[Example], lead: usize) -> Weights {
    let known: Vec<(Weights, f64)> = examples
        .iter()
        .filter_map(|example| {
            let came = example.came.get(lead).copied().filter(|v| v.is_finite())?;
            Some((Weights::from_iterator(example.scaled.lags(lead).iter().map(|x| f64::from(*x))), f64::from(came)))
        })
        .collect();
    // What the penalty draws towards: the phase's mean, moved by how far the last value is from its own.
    let mut start = Weights::zeros();
    start[7] = 0.6;
    start[0] = 0.2;
    let mut weights = start;
    let penalty = PENALTY * known.len() as f64 + 1.0;
    for round in 0..ROUNDS {
        let mut system = SMatrix::<f64, LAGS, LAGS>::identity() * penalty;
        let mut right = start * penalty;
        for (x, y) in &known {
            let error = (y - weights.dot(x)).abs();
            let weight = if round == 0 { 1.0 } else { 1.0 / error.max(CLOSE) };
            for i in 0..LAGS {
                let pulled = x[i] * weight;
                right[i] += pulled * y;
                for j in 0..=i {
                    system[(i, j)] += pulled * x[j];
                }
            }
        }
        // Only the lower half was summed; Cholesky reads no other.
        match system.cholesky() {
            Some(factor) => weights = factor.solve(&right),
            None => break,
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_learns_what_the_series_share_and_says_when_there_is_too_little() {
        let wave =
            |t: usize, k: usize| 50.0 + (10 + k) as f32 * libm::sinf((t + k) as f32 / 24.0 * std::f32::consts::TAU);
        let data: Vec<Vec<f32>> = (0..6).map(|k| (0..192).map(|t| wave(t, k)).collect()).collect();
        let series: Vec<TrainingSeries<'_>> =
            data.iter().map(|v| TrainingSeries { values: &v[..168], first_step: 0 }).collect();
        let ridge = Ridge::train(&series, &[24], 24).unwrap();
        let points = ridge.forecast(SeriesView::new(&data[2][..168]), &[24], 24).unwrap();
        let worst = points.iter().zip(&data[2][168..]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1.0, "{worst}");
        let short = [TrainingSeries { values: &data[0][..60], first_step: 0 }];
        assert!(matches!(Ridge::train(&short, &[24], 24), Err(TrainError::TooLittle { .. })));
    }
}
