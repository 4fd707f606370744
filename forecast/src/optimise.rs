//! A small minimiser: BFGS with numeric gradients (Nocedal & Wright 2006, §6.1; the step rules are those of R's `optim`).
//!
//! A handful of parameters, tens of microseconds a call: nothing is allocated per step, and there is no clock in it.

/// Width of a difference, relative to the parameters' scale of about 1.
const DIFFERENCE: f64 = 1e-4;
/// A step must gain this share of what the slope promises.
const ARMIJO: f64 = 1e-4;

/// What a search ended with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Minimum {
    pub(crate) at: Vec<f64>,
    pub(crate) value: f64,
}

/// Minimises `f` from `start`, in at most `steps` steps, until a step gains less than `tolerance`, relative to the value.
/// Where `f` is not finite counts as very high.
pub(crate) fn minimise(mut f: impl FnMut(&[f64]) -> f64, start: &[f64], steps: usize, tolerance: f64) -> Minimum {
    let n = start.len();
    let mut high = |x: &[f64]| {
        let value = f(x);
        if value.is_finite() { value } else { f64::MAX / 4.0 }
    };
    let mut at = start.to_vec();
    let mut value = high(&at);
    if n == 0 {
        return Minimum { at, value };
    }
    let mut inverse = identity(n);
    let mut gradient = vec![0.0; n];
    slope(&mut high, &mut at, &mut gradient);
    let mut fresh = true;
    for _ in 0..steps {
        let direction: Vec<f64> =
            (0..n).map(|i| -(0..n).map(|j| inverse[i * n + j] * gradient[j]).sum::<f64>()).collect();
        let promise: f64 = direction.iter().zip(&gradient).map(|(d, g)| d * g).sum();
        let taken = if promise < 0.0 { search(&mut high, &at, value, &direction, promise) } else { None };
        let Some((next, lower)) = taken else {
            // A curvature learned wrongly: once more from the steepest descent, then it is the minimum.
            if fresh {
                break;
            }
            inverse = identity(n);
            fresh = true;
            continue;
        };
        let gain = value - lower;
        let moved: Vec<f64> = next.iter().zip(&at).map(|(a, b)| a - b).collect();
        at = next;
        value = lower;
        let before = gradient.clone();
        slope(&mut high, &mut at, &mut gradient);
        let turned: Vec<f64> = gradient.iter().zip(&before).map(|(a, b)| a - b).collect();
        learn(&mut inverse, &moved, &turned);
        if gain <= tolerance * (value.abs() + tolerance) {
            if fresh {
                break;
            }
            inverse = identity(n);
            fresh = true;
        } else {
            fresh = false;
        }
    }
    Minimum { at, value }
}

fn identity(n: usize) -> Vec<f64> {
    (0..n * n).map(|i| if i % (n + 1) == 0 { 1.0 } else { 0.0 }).collect()
}

fn slope(f: &mut impl FnMut(&[f64]) -> f64, at: &mut [f64], gradient: &mut [f64]) {
    for i in 0..at.len() {
        let middle = at[i];
        at[i] = middle + DIFFERENCE;
        let above = f(at);
        at[i] = middle - DIFFERENCE;
        let below = f(at);
        at[i] = middle;
        gradient[i] = (above - below) / (2.0 * DIFFERENCE);
    }
}

/// Halving steps along a direction until one gains enough. The first is at most 1 long: parameters are of that size.
fn search(
    f: &mut impl FnMut(&[f64]) -> f64,
    at: &[f64],
    value: f64,
    direction: &[f64],
    promise: f64,
) -> Option<(Vec<f64>, f64)> {
    let length = direction.iter().map(|d| d * d).sum::<f64>().sqrt();
    let mut step = if length > 1.0 { 1.0 / length } else { 1.0 };
    for _ in 0..30 {
        let next: Vec<f64> = at.iter().zip(direction).map(|(a, d)| a + step * d).collect();
        let lower = f(&next);
        if lower <= value + ARMIJO * step * promise && lower < value {
            return Some((next, lower));
        }
        step *= 0.4;
    }
    None
}

/// The BFGS update of the inverse curvature.
fn learn(inverse: &mut [f64], moved: &[f64], turned: &[f64]) {
    let n = moved.len();
    let curvature: f64 = moved.iter().zip(turned).map(|(m, t)| m * t).sum();
    if curvature <= 1e-12 {
        return;
    }
    let product: Vec<f64> = (0..n).map(|i| (0..n).map(|j| inverse[i * n + j] * turned[j]).sum()).collect();
    let weight = 1.0 + turned.iter().zip(&product).map(|(t, p)| t * p).sum::<f64>() / curvature;
    for i in 0..n {
        for j in 0..n {
            inverse[i * n + j] +=
                (weight * moved[i] * moved[j] - product[i] * moved[j] - moved[i] * product[j]) / curvature;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_valley_of_rosenbrock_is_walked_to_its_end() {
        let f = |x: &[f64]| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2);
        let minimum = minimise(f, &[-1.2, 1.0], 300, 1e-14);
        assert!((minimum.at[0] - 1.0).abs() < 1e-3 && (minimum.at[1] - 1.0).abs() < 1e-3, "{minimum:?}");
    }

    #[test]
    fn nothing_to_move_and_nothing_finite_end_at_once() {
        assert_eq!(minimise(|_| 3.0, &[], 10, 1e-8), Minimum { at: vec![], value: 3.0 });
        assert_eq!(minimise(|_| f64::NAN, &[0.5], 10, 1e-8).at, [0.5]);
    }
}
