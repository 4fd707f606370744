//! How good a forecast was. Pairs in which either side is not finite are left out; with no pair left the answer is `None`.
//!
//! Definitions follow Hyndman & Koehler 2006 ("Another look at measures of forecast accuracy") and Gneiting & Raftery 2007.

fn pairs<'a>(actual: &'a [f32], forecast: &'a [f32]) -> impl Iterator<Item = (f64, f64)> + 'a {
    let both = |(a, f): (&f32, &f32)| (a.is_finite() && f.is_finite()).then(|| (f64::from(*a), f64::from(*f)));
    actual.iter().zip(forecast).filter_map(both)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Partial sums that the processor can add side by side; their order is fixed, so a sum is the same on every machine.
pub(crate) const LANES: usize = 8;

/// Sum of a term of each value.
fn sum_of(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let chunks = values.chunks_exact(LANES);
    let tail: f32 = chunks.remainder().iter().map(|value| term(*value)).sum();
    chunks.for_each(|chunk| lanes.iter_mut().zip(chunk).for_each(|(lane, value)| *lane += term(*value)));
    lanes.iter().sum::<f32>() + tail
}

/// Is every value finite? Without leaving early, so that several are looked at at once.
pub(crate) fn all_known(values: &[f32]) -> bool {
    // Nothing times 0 is 0 but what is finite.
    sum_of(values, |value| value * 0.0) == 0.0
}

/// Sum and number of the finite values.
pub(crate) fn sum_known(values: &[f32]) -> (f32, usize) {
    let sum = sum_of(values, |value| value);
    if sum.is_finite() {
        return (sum, values.len());
    }
    let known = values.iter().filter(|v| v.is_finite());
    known.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1))
}

/// Mean absolute error where both are finite, in single precision: for the inner loops of live selection.
pub(crate) fn mae_single(actual: &[f32], forecast: &[f32]) -> Option<f32> {
    let length = actual.len().min(forecast.len());
    let (actual, forecast) = (&actual[..length], &forecast[..length]);
    let mut lanes = [0.0_f32; LANES];
    let (a, f) = (actual.chunks_exact(LANES), forecast.chunks_exact(LANES));
    let tail: f32 = a.remainder().iter().zip(f.remainder()).map(|(a, f)| (a - f).abs()).sum();
    for (a, f) in a.zip(f) {
        for (lane, (a, f)) in lanes.iter_mut().zip(a.iter().zip(f)) {
            *lane += (a - f).abs();
        }
    }
    let sum = lanes.iter().sum::<f32>() + tail;
    if sum.is_finite() {
        return (length > 0).then(|| sum / length as f32);
    }
    mae(actual, forecast).map(|mae| mae as f32)
}

/// Mean absolute error, in the unit of the series.
pub fn mae(actual: &[f32], forecast: &[f32]) -> Option<f64> {
    mean(pairs(actual, forecast).map(|(a, f)| (a - f).abs()))
}

/// Root mean squared error, in the unit of the series.
pub fn rmse(actual: &[f32], forecast: &[f32]) -> Option<f64> {
    mean(pairs(actual, forecast).map(|(a, f)| (a - f) * (a - f))).map(f64::sqrt)
}

/// Symmetric mean absolute percentage error, 0–200: `200·|a − f| / (|a| + |f|)`; a pair of zeros counts 0.
pub fn smape(actual: &[f32], forecast: &[f32]) -> Option<f64> {
    let term = |(a, f): (f64, f64)| {
        let size = a.abs() + f.abs();
        if size == 0.0 { 0.0 } else { 200.0 * (a - f).abs() / size }
    };
    mean(pairs(actual, forecast).map(term))
}

/// Mean absolute scaled error: the error over the mean absolute difference of values one `season` apart in `history`.
/// `None` too when the history shows no such difference (it would divide by zero).
pub fn mase(actual: &[f32], forecast: &[f32], history: &[f32], season: usize) -> Option<f64> {
    let scale = seasonal_scale(history, season)?;
    if scale > 0.0 { Some(mae(actual, forecast)? / scale) } else { None }
}

/// Mean absolute difference of values one `season` apart: what errors are scaled by.
pub fn seasonal_scale(history: &[f32], season: usize) -> Option<f64> {
    mae(history.get(season..)?, history)
}

/// Mean pinball (quantile) loss of a forecast of the `level` quantile, 0 < level < 1.
pub fn pinball(actual: &[f32], forecast: &[f32], level: f64) -> Option<f64> {
    mean(pairs(actual, forecast).map(|(a, f)| if a >= f { level * (a - f) } else { (1.0 - level) * (f - a) }))
}

/// Share of values within `lower..=upper`, 0..=1.
pub fn coverage(actual: &[f32], lower: &[f32], upper: &[f32]) -> Option<f64> {
    let inside = |((a, l), u): ((&f32, &f32), &f32)| {
        (a.is_finite() && l.is_finite() && u.is_finite()).then(|| f64::from(u8::from(a >= l && a <= u)))
    };
    mean(actual.iter().zip(lower).zip(upper).filter_map(inside))
}

/// Winkler (interval) score of a central interval of nominal coverage `level`: its width, and `2/(1 − level)` times the distance by
/// which a value lies outside.
pub fn winkler(actual: &[f32], lower: &[f32], upper: &[f32], level: f64) -> Option<f64> {
    let penalty = 2.0 / (1.0 - level);
    let term = |((a, l), u): ((&f32, &f32), &f32)| {
        let (a, l, u) = (f64::from(*a), f64::from(*l), f64::from(*u));
        let outside = (l - a).max(a - u).max(0.0);
        (u - l + penalty * outside).is_finite().then_some(u - l + penalty * outside)
    };
    mean(actual.iter().zip(lower).zip(upper).filter_map(term))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTUAL: [f32; 4] = [10.0, 20.0, 30.0, 40.0];
    const FORECAST: [f32; 4] = [12.0, 18.0, 33.0, 36.0];

    fn close(a: Option<f64>, b: f64) {
        assert!(a.is_some_and(|a| (a - b).abs() < 1e-9), "{a:?} {b}");
    }

    /// By hand; `utilsforecast.losses` (mae, rmse, smape/200, mase, quantile_loss) defines them alike.
    #[test]
    fn known_answers() {
        close(mae(&ACTUAL, &FORECAST), 2.75);
        close(rmse(&ACTUAL, &FORECAST), (33.0_f64 / 4.0).sqrt());
        close(smape(&ACTUAL, &FORECAST), 50.0 * (2.0 / 22.0 + 2.0 / 38.0 + 3.0 / 63.0 + 4.0 / 76.0));
        close(mase(&ACTUAL, &FORECAST, &[1.0, 2.0, 4.0, 3.0], 1), 2.75 / (4.0 / 3.0));
        close(pinball(&ACTUAL, &FORECAST, 0.9), (0.1 * 2.0 + 0.9 * 2.0 + 0.1 * 3.0 + 0.9 * 4.0) / 4.0);
        close(coverage(&ACTUAL, &[9.0, 21.0, 29.0, 39.0], &[11.0, 22.0, 30.0, 41.0]), 0.75);
        close(winkler(&[5.0], &[6.0], &[8.0], 0.8), 2.0 + 10.0);
    }

    #[test]
    fn a_gap_is_seen_wherever_it_is() {
        for length in 0..40 {
            let mut values: Vec<f32> = (0..length).map(|v| v as f32 - 7.0).collect();
            assert!(all_known(&values));
            for at in 0..length {
                for gap in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let before = std::mem::replace(&mut values[at], gap);
                    assert!(!all_known(&values), "{at} of {length}");
                    values[at] = before;
                }
            }
        }
    }

    #[test]
    fn gaps_are_left_out_and_nothing_divides_by_zero() {
        close(mae(&[1.0, f32::NAN], &[2.0, 2.0]), 1.0);
        assert_eq!(mae(&[f32::NAN], &[1.0]), None);
        close(smape(&[0.0], &[0.0]), 0.0);
        assert_eq!(mase(&ACTUAL, &FORECAST, &[3.0; 9], 1), None);
        assert_eq!(mase(&ACTUAL, &FORECAST, &[3.0], 4), None);
    }
}
