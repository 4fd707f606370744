//! The exact Gaussian likelihood, forecasts and updates, by a Kalman filter.
//!
//! State: the ARMA part in Harvey's form (Harvey 1989, §3.4), started from its stationary covariance, and, where the series is filtered
//! undifferenced, the last observations with a diffuse prior (as `stats::arima` of R does). Gaps are steps without an update. All
//! variances are in units of the innovations' variance, which is estimated last.

use super::polynomial::{Coefficients, autocovariances, non_zero, psi_weights};

/// Prior variance of a state nothing is known of.
const DIFFUSE: f64 = 1e6;
/// An innovation with more variance than this only served to find the diffuse part: it says nothing about the fit.
const DIFFUSE_LEFT: f64 = 1e4;
/// The filter is in its steady state when the innovations' variance has stayed this close to 1.
const STEADY: f64 = 1e-9;

/// A filter at the end of what it has seen.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    /// φ and θ filled up to the size of the ARMA part.
    ar: Vec<f64>,
    shock: Vec<f64>,
    /// Coefficients of past observations in the next one: (position in the state, weight).
    observe: Vec<(usize, f64)>,
    mean: f64,
    size: usize,
    /// Predicted state of the next step, and its covariance by rows.
    state: Vec<f64>,
    covariance: Vec<f64>,
    work: Vec<f64>,
    gain: Vec<f64>,
    /// Steps in a row with an innovation variance of 1.
    steady: usize,
}

/// What a run over a series found.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Likelihood {
    /// Innovations counted.
    pub(super) count: usize,
    /// Σ v² / F.
    pub(super) squares: f64,
    /// Σ ln F.
    pub(super) log_variances: f64,
}

impl Likelihood {
    /// Variance of the innovations that makes the likelihood largest.
    pub(super) fn variance(&self) -> f64 {
        self.squares / self.count.max(1) as f64
    }

    /// Logarithm of the likelihood at that variance.
    pub(super) fn log(&self) -> f64 {
        let n = self.count as f64;
        -0.5 * (n * libm::log(std::f64::consts::TAU * self.variance()) + self.log_variances + n)
    }
}

impl Filter {
    /// A filter before its first observation. `differencing` holds the weights δ with which past observations enter the next one
    /// (empty: the series is differenced already). `None` when the process has no stationary distribution.
    pub(super) fn new(coefficients: &Coefficients, differencing: &[f64]) -> Option<Self> {
        let arma = coefficients.ar.len().max(coefficients.ma.len() + 1);
        let size = arma + differencing.len();
        let mut ar = coefficients.ar.clone();
        ar.resize(arma, 0.0);
        let mut shock = vec![1.0];
        shock.extend_from_slice(&coefficients.ma);
        shock.resize(arma, 0.0);
        let mut observe = vec![(0, 1.0)];
        observe.extend(non_zero(differencing).into_iter().map(|(lag, weight)| (arma + lag - 1, weight)));
        let mut covariance = vec![0.0; size * size];
        stationary_covariance(coefficients, &ar, &shock, size, &mut covariance)?;
        for i in arma..size {
            covariance[i * size + i] = DIFFUSE;
        }
        let work = vec![0.0; size * size];
        let mean = coefficients.mean;
        Some(Self {
            ar,
            shock,
            observe,
            mean,
            size,
            state: vec![0.0; size],
            covariance,
            work,
            gain: vec![0.0; size],
            steady: 0,
        })
    }

    /// What the next observation is expected to be, and the variance of its error.
    pub(super) fn expect(&self) -> (f64, f64) {
        let value: f64 = self.observe.iter().map(|(i, w)| w * self.state[*i]).sum();
        (value + self.mean, self.innovation_variance())
    }

    fn innovation_variance(&self) -> f64 {
        let mut variance = 0.0;
        for (i, a) in &self.observe {
            for (j, b) in &self.observe {
                variance += a * b * self.covariance[i * self.size + j];
            }
        }
        variance
    }

    /// Takes the next observation in (`None` is a gap) and moves one step on. Returns the innovation and its variance.
    pub(super) fn step(&mut self, value: Option<f64>) -> Option<(f64, f64)> {
        let is_steady = self.steady > self.ar.len();
        let Some(value) = value else {
            self.steady = 0;
            self.predict_state();
            self.predict_covariance();
            return None;
        };
        let expected: f64 = self.observe.iter().map(|(i, w)| w * self.state[*i]).sum::<f64>() + self.mean;
        let innovation = value - expected;
        if is_steady {
            for (state, gain) in self.state.iter_mut().zip(&self.gain) {
                *state += gain * innovation;
            }
            self.predict_state();
            return Some((innovation, 1.0));
        }
        let variance = self.innovation_variance().max(f64::MIN_POSITIVE);
        self.steady = if (variance - 1.0).abs() < STEADY { self.steady + 1 } else { 0 };
        for i in 0..self.size {
            let row = &self.covariance[i * self.size..(i + 1) * self.size];
            self.gain[i] = self.observe.iter().map(|(j, w)| w * row[*j]).sum::<f64>() / variance;
        }
        for i in 0..self.size {
            self.state[i] += self.gain[i] * innovation;
            let pull = self.gain[i] * variance;
            for j in 0..self.size {
                self.covariance[i * self.size + j] -= pull * self.gain[j];
            }
        }
        self.predict_state();
        self.predict_covariance();
        Some((innovation, variance))
    }

    /// state ← T · state.
    fn predict_state(&mut self) {
        let arma = self.ar.len();
        // A mean belongs to the observation: the lagged observations carry it too.
        let observed: f64 = self.observe.iter().map(|(i, w)| w * self.state[*i]).sum::<f64>() + self.mean;
        let head = self.state[0];
        for i in 0..arma {
            let next = if i + 1 < arma { self.state[i + 1] } else { 0.0 };
            self.state[i] = self.ar[i] * head + next;
        }
        if self.size > arma {
            self.state.copy_within(arma..self.size - 1, arma + 1);
            self.state[arma] = observed;
        }
    }

    /// covariance ← T · covariance · Tᵀ + R · Rᵀ, row by row and then column by column: T is nearly empty.
    fn predict_covariance(&mut self) {
        let (arma, n) = (self.ar.len(), self.size);
        for i in 0..n {
            let (row, source) = (i * n, &self.covariance);
            let work = &mut self.work[row..row + n];
            if i < arma {
                let phi = self.ar[i];
                let next = if i + 1 < arma { &source[row + n..row + 2 * n] } else { &[] };
                for (j, value) in work.iter_mut().enumerate() {
                    *value = phi * source[j] + next.get(j).copied().unwrap_or(0.0);
                }
            } else if i == arma {
                work.fill(0.0);
                for (k, weight) in &self.observe {
                    let from = &source[k * n..(k + 1) * n];
                    work.iter_mut().zip(from).for_each(|(value, s)| *value += weight * s);
                }
            } else {
                work.copy_from_slice(&source[row - n..row]);
            }
        }
        for i in 0..n {
            let work = &self.work[i * n..(i + 1) * n];
            let row = &mut self.covariance[i * n..(i + 1) * n];
            let head = work[0];
            for j in 0..arma {
                let next = if j + 1 < arma { work[j + 1] } else { 0.0 };
                row[j] = self.ar[j] * head + next;
            }
            if n > arma {
                row[arma] = self.observe.iter().map(|(k, w)| w * work[*k]).sum();
                row[arma + 1..].copy_from_slice(&work[arma..n - 1]);
            }
            if i < arma {
                let shock = self.shock[i];
                row[..arma].iter_mut().zip(&self.shock).for_each(|(value, s)| *value += shock * s);
            }
        }
    }

    /// Runs over a series; values that are not finite are gaps.
    pub(super) fn run(&mut self, values: impl Iterator<Item = f64>, mut each: impl FnMut(f64, f64)) -> Likelihood {
        let mut found = Likelihood::default();
        for value in values {
            let innovation = self.step(value.is_finite().then_some(value));
            if let Some((innovation, variance)) = innovation
                && variance < DIFFUSE_LEFT
            {
                found.count += 1;
                found.squares += innovation * innovation / variance;
                if variance != 1.0 {
                    found.log_variances += libm::log(variance);
                }
                each(innovation, variance);
            }
        }
        found
    }

    /// The next `steps` observations and the variances of their errors, in units of the innovations' variance.
    pub(super) fn forecast(&self, steps: usize) -> Vec<(f64, f64)> {
        let mut ahead = self.clone();
        (0..steps)
            .map(|_| {
                let next = ahead.expect();
                ahead.step(None);
                next
            })
            .collect()
    }

    /// The next `steps` observations only: no covariance is moved.
    pub(super) fn forecast_points(&self, steps: usize) -> Vec<f64> {
        let mut ahead = Self { covariance: Vec::new(), work: Vec::new(), ..self.clone() };
        (0..steps)
            .map(|_| {
                let value = ahead.observe.iter().map(|(i, w)| w * ahead.state[*i]).sum::<f64>() + ahead.mean;
                ahead.predict_state();
                value
            })
            .collect()
    }

    /// Bytes held.
    pub(super) const fn bytes(&self) -> usize {
        (self.ar.len() * 2 + self.size * 2 + self.size * self.size * 2 + self.observe.len() * 2) * 8 + size_of::<Self>()
    }
}

/// Stationary covariance of the ARMA part, upper left in `covariance` (rows of `size`): its first row from autocovariances and ψ
/// weights, the rest from P = T P Tᵀ + R Rᵀ read from the lower right corner upwards.
fn stationary_covariance(
    coefficients: &Coefficients,
    ar: &[f64],
    shock: &[f64],
    size: usize,
    covariance: &mut [f64],
) -> Option<()> {
    let n = ar.len();
    let psi = psi_weights(coefficients, n + 1);
    let gamma = autocovariances(coefficients, &psi, n + 1)?;
    let (lags, shocks) = (non_zero(ar), non_zero(shock));
    let mut first = vec![0.0; n];
    first[0] = gamma[0];
    for (j, value) in first.iter_mut().enumerate().skip(1) {
        let carried: f64 = lags.iter().filter(|(lag, _)| *lag > j).map(|(lag, phi)| phi * gamma[lag - j]).sum();
        let shocked: f64 = shocks.iter().filter(|(lag, _)| *lag > j).map(|(lag, theta)| theta * psi[lag - 1 - j]).sum();
        *value = carried + shocked;
    }
    let at = |i: usize, j: usize| i * size + j;
    for i in (1..n).rev() {
        for j in (1..n).rev() {
            let below = if i + 1 < n && j + 1 < n { covariance[at(i + 1, j + 1)] } else { 0.0 };
            let right = if j + 1 < n { first[j + 1] } else { 0.0 };
            let left = if i + 1 < n { first[i + 1] } else { 0.0 };
            covariance[at(i, j)] =
                ar[i] * ar[j] * gamma[0] + ar[i] * right + ar[j] * left + below + shock[i] * shock[j];
        }
    }
    for (j, value) in first.iter().enumerate() {
        covariance[at(0, j)] = *value;
        covariance[at(j, 0)] = *value;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn coefficients(ar: &[f64], ma: &[f64]) -> Coefficients {
        Coefficients { ar: ar.to_vec(), ma: ma.to_vec(), mean: 0.0 }
    }

    proptest! {
        /// The stationary covariance does not move when the filter only predicts.
        #[test]
        fn the_start_is_stationary(a in -0.9f64..0.9, b in -0.6f64..0.6, c in -0.9f64..0.9, d in -0.9f64..0.9) {
            let model = coefficients(&[a * (1.0 - b), b], &[c, 0.0, d]);
            let mut filter = Filter::new(&model, &[]).unwrap();
            let before = filter.covariance.clone();
            filter.step(None);
            for (x, y) in before.iter().zip(&filter.covariance) {
                prop_assert!((x - y).abs() < 1e-6 * before[0].max(1.0), "{x} {y}");
            }
        }

        /// The likelihood of a short stretch equals that of the multivariate normal distribution, by its Cholesky factor.
        #[test]
        fn the_likelihood_is_that_of_the_joint_distribution(
            values in proptest::collection::vec(-3.0f64..3.0, 3..12), a in -0.9f64..0.9, c in -0.9f64..0.9, gap in 0usize..12,
        ) {
            let model = coefficients(&[a], &[c]);
            let mut values = values;
            if gap < values.len() && values.len() > 3 {
                values[gap] = f64::NAN;
            }
            let found = Filter::new(&model, &[]).unwrap().run(values.iter().copied(), |_, _| ());
            let psi = psi_weights(&model, 14);
            let gamma = autocovariances(&model, &psi, 13).unwrap();
            let known: Vec<usize> = (0..values.len()).filter(|i| values[*i].is_finite()).collect();
            let joint = nalgebra::DMatrix::from_fn(known.len(), known.len(), |i, j| gamma[known[i].abs_diff(known[j])]);
            let y = nalgebra::DVector::from_fn(known.len(), |i, _| values[known[i]]);
            let factor = joint.cholesky().unwrap();
            let squares = y.dot(&factor.solve(&y));
            let log_det = 2.0 * factor.l().diagonal().iter().map(|d| libm::log(*d)).sum::<f64>();
            prop_assert!((found.squares - squares).abs() < 1e-6 * squares.max(1.0));
            prop_assert!((found.log_variances - log_det).abs() < 1e-6);
        }
    }
}
