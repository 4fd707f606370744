//! Combinations of models, and the choice among all.

use super::Points;
use crate::ModelKind;

/// Models that a weighted combination is made of.
const BEST: usize = 5;
/// How steeply weights fall with the loss: (lowest loss / loss) to this power.
const STEEP: i32 = 4;
/// A challenger must be better by this share.
const HYSTERESIS: f64 = 0.02;
/// A dear model must be better than a cheap one by this share.
const DEAR: f64 = 0.005;
/// A single model must be better than the weighted mean by this share: the mean of good models errs less than the best of them is
/// known to, on the few errors there are to choose by.
const MEAN: f64 = 0.15;
/// And by this share more while nothing is known, for whoever leads after few rounds was lucky: half of it after
/// [`MEAN_EARLY_ROUNDS`].
const MEAN_EARLY: f64 = 0.25;
const MEAN_EARLY_ROUNDS: f64 = 4.0;

/// Fills in the combinations among `models` from the forecasts of the others.
pub(super) fn combine(models: &[ModelKind], forecasts: &mut [Option<Points>], losses: &[Option<f64>]) {
    let members: Vec<usize> = (0..models.len())
        .filter(|m| !models[*m].is_combination() && forecasts[*m].as_ref().is_some_and(|f| !f.fell_back))
        .collect();
    for (position, kind) in models.iter().enumerate().filter(|(_, kind)| kind.is_combination()) {
        let weights: Vec<(usize, f64)> = match kind {
            ModelKind::WeightedMean => weights(&members, losses),
            _ => members.iter().map(|m| (*m, 1.0)).collect(),
        };
        forecasts[position] = mean(&weights, forecasts).or_else(|| forecasts.iter().flatten().next().cloned());
    }
}

fn weights(members: &[usize], losses: &[Option<f64>]) -> Vec<(usize, f64)> {
    let mut known: Vec<(usize, f64)> = members.iter().filter_map(|m| Some((*m, losses[*m]?.max(1e-9)))).collect();
    if known.is_empty() {
        return members.iter().map(|m| (*m, 1.0)).collect();
    }
    known.sort_by(|a, b| a.1.total_cmp(&b.1));
    known.truncate(BEST);
    let lowest = known[0].1;
    known.into_iter().map(|(m, loss)| (m, (lowest / loss).powi(STEEP))).collect()
}

fn mean(weights: &[(usize, f64)], forecasts: &[Option<Points>]) -> Option<Points> {
    let total: f64 = weights.iter().map(|(_, w)| w).sum();
    let length = forecasts[weights.first()?.0].as_ref()?.values.len();
    let mut sums = vec![0.0_f64; length];
    for (member, weight) in weights {
        let values = &forecasts[*member].as_ref()?.values;
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * f64::from(*value));
    }
    let values = sums.into_iter().map(|s| (s / total) as f32).collect();
    Some(Points { values, spread: None, fell_back: false })
}

/// The model to use: lowest loss, with the advantage of the incumbent and of the cheap ones. `rounds` is how many (decayed) the
/// losses rest on.
pub(super) fn choose(
    models: &[ModelKind],
    forecasts: &[Option<Points>],
    losses: &[Option<f64>],
    incumbent: Option<usize>,
    rounds: f64,
) -> usize {
    let mean = MEAN + MEAN_EARLY * MEAN_EARLY_ROUNDS / (MEAN_EARLY_ROUNDS + rounds);
    let price = |m: usize| {
        let usable = forecasts[m].as_ref().is_some_and(|f| !f.fell_back);
        let loss = losses[m].filter(|_| usable)?;
        let dear = match models[m] {
            ModelKind::WeightedMean => 1.0 - mean,
            model if model.is_dear() => 1.0 + DEAR,
            _ => 1.0,
        };
        let held = if incumbent == Some(m) { 1.0 - HYSTERESIS } else { 1.0 };
        Some(loss * dear * held)
    };
    let best = (0..models.len()).filter_map(|m| Some((m, price(m)?))).min_by(|a, b| a.1.total_cmp(&b.1));
    // Before anything is known: the safest of the cheap ones.
    let first = || models.iter().position(|m| *m == ModelKind::Average);
    best.map(|(m, _)| m).or(incumbent).or_else(first).unwrap_or(0)
}
