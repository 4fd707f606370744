//! Criticality, load and capacity scores, 0–100 each.
//!
//! *Load score* of a device for a window: the `load_quantile` of the **peak** over the window and over the metrics (see
//! [`slacktide_forecast::panel`], which calibrates the peak itself: the maximum of pointwise quantiles would be too low).
//! *Capacity score* = 100 − load score. The *aggregate capacity score* of a set is the weighted mean of its capacity scores, so
//! that it does not grow merely because the set does; its *spare capacity* is Σ weight × capacity score / 100.

use crate::input::DeviceFacts;
use crate::policy::Scores;

/// Standing importance of what a device does: its own override, else its function's score, else the policy's default.
pub fn criticality(facts: &DeviceFacts, scores: &Scores) -> f64 {
    let by_function = || scores.criticality.iter().find(|(name, _)| *name == facts.function).map(|(_, score)| *score);
    facts.criticality.or_else(by_function).unwrap_or(scores.criticality_default)
}

/// Capacity score of a load score; a load that is not a number counts as full.
///
/// ```
/// assert_eq!(slacktide_engine::score::capacity(30.0), 70.0);
/// assert_eq!(slacktide_engine::score::capacity(f64::NAN), 0.0);
/// ```
pub fn capacity(load: f64) -> f64 {
    if load.is_nan() { 0.0 } else { 100.0 - load.clamp(0.0, 100.0) }
}

/// Aggregate capacity score of a set of `(weight, capacity score)`; `None` for an empty set.
///
/// ```
/// use slacktide_engine::score::aggregate;
/// assert_eq!(aggregate([(1.0, 20.0), (3.0, 60.0)]), Some(50.0));
/// assert_eq!(aggregate([]), None);
/// ```
pub fn aggregate(set: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    let (weight, sum) = set.into_iter().fold((0.0, 0.0), |(w, s), (weight, score)| (w + weight, s + weight * score));
    (weight > 0.0).then(|| sum / weight)
}
