//! The steady state of the filter: past values and past errors, nothing else.
//!
//! Fits by the conditional sum of squares (Box & Jenkins 1970, §7.1: errors before the first step are 0), and keeps fitted models of
//! whole fleets: a step costs as many multiplications as there are terms, a device less than a kilobyte for a daily season of hours.

use super::polynomial::{Coefficients, non_zero};

/// Sum of the squared one-step errors of a differenced series from step `from` on, and how many. A gap takes the expectation, with no
/// error.
/// `values` and `errors` are scratch space.
pub(super) fn conditional_squares(
    coefficients: &Coefficients,
    series: &[f64],
    from: usize,
    values: &mut Vec<f64>,
    errors: &mut Vec<f64>,
) -> (f64, usize) {
    let (ar, ma) = (non_zero(&coefficients.ar), non_zero(&coefficients.ma));
    let start = coefficients.ar.len().min(series.len());
    values.clear();
    errors.clear();
    values.extend(series[..start].iter().map(|v| if v.is_finite() { v - coefficients.mean } else { 0.0 }));
    errors.resize(start, 0.0);
    let (mut squares, mut count) = (0.0, 0);
    for (t, raw) in series.iter().enumerate().skip(start) {
        let mut expected: f64 = ar.iter().map(|(lag, phi)| phi * values[t - lag]).sum();
        for (lag, theta) in &ma {
            if let Some(at) = t.checked_sub(*lag) {
                expected += theta * errors[at];
            }
        }
        let value = raw - coefficients.mean;
        if value.is_finite() {
            values.push(value);
            errors.push(value - expected);
            if t >= from {
                squares += (value - expected) * (value - expected);
                count += 1;
            }
        } else {
            values.push(expected);
            errors.push(0.0);
        }
    }
    (squares, count)
}

/// A fitted model in its steady state, on the undifferenced series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Innovations {
    /// Weights of past values: autoregression and differencing multiplied out.
    ar: Vec<(usize, f64)>,
    ma: Vec<(usize, f64)>,
    constant: f64,
    /// Newest values and errors, newest last, as many as the highest lags.
    values: Vec<f64>,
    errors: Vec<f64>,
}

impl Innovations {
    /// Runs the model over `series` (gaps are not finite; the first values are taken as they are). `differencing` holds the weights δ.
    pub(super) fn new(coefficients: &Coefficients, differencing: &[f64], series: &[f64]) -> Self {
        let ar_sum: f64 = coefficients.ar.iter().sum();
        let ar = combined(&coefficients.ar, differencing);
        let reach = ar.last().map_or(0, |(lag, _)| *lag);
        let errors_kept = coefficients.ma.len();
        let first = series.iter().copied().find(|v| v.is_finite()).unwrap_or(0.0);
        let mut model = Self {
            ar,
            ma: non_zero(&coefficients.ma),
            constant: coefficients.mean * (1.0 - ar_sum),
            values: vec![first; reach],
            errors: vec![0.0; errors_kept],
        };
        for (t, value) in series.iter().enumerate() {
            if t < reach {
                // Still filling: nothing is expected yet.
                let last = model.values.last().copied().unwrap_or(first);
                push(&mut model.values, if value.is_finite() { *value } else { last });
            } else {
                model.step(value.is_finite().then_some(*value));
            }
        }
        model
    }

    fn expected(&self, values: &[f64], errors: &[f64]) -> f64 {
        let carried: f64 = self.ar.iter().map(|(lag, phi)| phi * values[values.len() - lag]).sum();
        let shocked: f64 = self.ma.iter().map(|(lag, theta)| theta * errors[errors.len() - lag]).sum();
        self.constant + carried + shocked
    }

    /// Takes the next value in; a gap takes the expectation, with no error.
    pub(super) fn step(&mut self, value: Option<f64>) {
        let expected = self.expected(&self.values, &self.errors);
        let value = value.unwrap_or(expected);
        push(&mut self.values, value);
        push(&mut self.errors, value - expected);
    }

    /// The next `steps` values.
    pub(super) fn forecast_points(&self, steps: usize) -> Vec<f64> {
        let mut values = self.values.clone();
        let mut errors = self.errors.clone();
        let mut points = Vec::with_capacity(steps);
        for _ in 0..steps {
            let expected = self.expected(&values, &errors);
            points.push(expected);
            values.push(expected);
            errors.push(0.0);
        }
        points
    }

    /// Variances of the errors of the next `steps` values in units of the innovations' variance: Σ ψ².
    pub(super) fn variances(&self, steps: usize) -> Vec<f64> {
        let mut psi: Vec<f64> = Vec::with_capacity(steps);
        let mut sum = 0.0;
        let mut variances = Vec::with_capacity(steps);
        for k in 0..steps {
            let shock = if k == 0 { 1.0 } else { self.ma.iter().find(|(lag, _)| *lag == k).map_or(0.0, |(_, c)| *c) };
            let carried: f64 = self.ar.iter().filter(|(lag, _)| *lag <= k).map(|(lag, phi)| phi * psi[k - lag]).sum();
            psi.push(shock + carried);
            sum += psi[k] * psi[k];
            variances.push(sum);
        }
        variances
    }

    /// Bytes held.
    pub(super) const fn bytes(&self) -> usize {
        (self.values.len() + self.errors.len() + 2 * (self.ar.len() + self.ma.len())) * 8 + size_of::<Self>()
    }
}

fn push(values: &mut [f64], value: f64) {
    if let Some(last) = values.len().checked_sub(1) {
        values.copy_within(1.., 0);
        values[last] = value;
    }
}

/// φ(B)(1 − Σ δ Bⁱ) = 1 − Σ aᵢ Bⁱ.
fn combined(ar: &[f64], differencing: &[f64]) -> Vec<(usize, f64)> {
    let mut product = vec![0.0; ar.len() + differencing.len()];
    for (i, phi) in ar.iter().enumerate() {
        product[i] += phi;
        for (j, delta) in differencing.iter().enumerate() {
            product[i + j + 1] -= phi * delta;
        }
    }
    for (j, delta) in differencing.iter().enumerate() {
        product[j] += delta;
    }
    non_zero(&product)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: (1,1,0) with φ = ½ on 1, 3 goes on 4, 4.5, 4.75; variances 1, 1 + 1.5², 1 + 1.5² + 1.75².
    #[test]
    fn differenced_autoregression_by_hand() {
        let model = Coefficients { ar: vec![0.5], ma: vec![], mean: 0.0 };
        let mut fitted = Innovations::new(&model, &[1.0], &[1.0, 3.0]);
        assert_eq!(fitted.forecast_points(3), [4.0, 4.5, 4.75]);
        assert_eq!(fitted.variances(3), [1.0, 3.25, 6.3125]);
        fitted.step(None);
        assert_eq!(fitted.forecast_points(2), [4.5, 4.75]);
        fitted.step(Some(6.0));
        assert_eq!(fitted.forecast_points(1), [7.0]);
    }
}
