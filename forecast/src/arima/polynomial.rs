//! From free numbers to stationary and invertible polynomials, and what follows from them.
//!
//! An autoregressive polynomial is stationary exactly when its partial autocorrelations lie in (−1, 1). The optimiser moves freely;
//! `tanh` brings its numbers there and the Durbin–Levinson recursion makes coefficients of them (Barndorff-Nielsen & Schou 1973;
//! Monahan 1984; Jones 1980). The same, with the sign turned, keeps moving averages invertible.

use super::Order;
use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

/// Coefficients of a model with its seasonal polynomials multiplied out: wₜ = Σ φᵢ wₜ₋ᵢ + eₜ + Σ θⱼ eₜ₋ⱼ.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Coefficients {
    /// φ₁…, dense.
    pub ar: Vec<f64>,
    /// θ₁…, dense.
    pub ma: Vec<f64>,
    /// Mean of the differenced series; 0 without a constant.
    pub mean: f64,
}

/// Parameters by group, as people write them down.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Parameters {
    /// φ of the plain part.
    pub ar: Vec<f64>,
    /// θ of the plain part.
    pub ma: Vec<f64>,
    /// Φ of the seasonal part.
    pub seasonal_ar: Vec<f64>,
    /// Θ of the seasonal part.
    pub seasonal_ma: Vec<f64>,
    /// Mean of the differenced series; 0 without a constant.
    pub mean: f64,
}

impl Parameters {
    /// Reads the optimiser's free numbers: groups in the order of the fields. `centre` and `scale` turn the last into the mean.
    pub(super) fn from_free(order: Order, free: &[f64], centre: f64, scale: f64) -> Self {
        let (ar, rest) = free.split_at(order.ar);
        let (ma, rest) = rest.split_at(order.ma);
        let (seasonal_ar, rest) = rest.split_at(order.seasonal_ar);
        let (seasonal_ma, rest) = rest.split_at(order.seasonal_ma);
        let negative = |free: &[f64]| stationary(free).iter().map(|c| -c).collect();
        Self {
            ar: stationary(ar),
            ma: negative(ma),
            seasonal_ar: stationary(seasonal_ar),
            seasonal_ma: negative(seasonal_ma),
            mean: rest.first().map_or(0.0, |x| centre + scale * x),
        }
    }

    /// Multiplies the seasonal polynomials out.
    pub fn coefficients(&self, season: usize) -> Coefficients {
        let negated = |v: &[f64]| v.iter().map(|c| -c).collect::<Vec<_>>();
        let ar = multiply(&negated(&self.ar), &negated(&self.seasonal_ar), season);
        let ma = multiply(&self.ma, &self.seasonal_ma, season);
        Coefficients { ar: negated(&ar), ma, mean: self.mean }
    }

    /// Are all roots at least `margin` (a little over 1) away from the origin? Closer ones make forecasts explode.
    pub fn roots_beyond(&self, margin: f64) -> bool {
        let scaled = |v: &[f64], sign: f64| {
            let mut power = 1.0;
            let scaled = v.iter().map(|c| {
                power *= margin;
                sign * c * power
            });
            is_stationary(&scaled.collect::<Vec<_>>())
        };
        scaled(&self.ar, 1.0)
            && scaled(&self.seasonal_ar, 1.0)
            && scaled(&self.ma, -1.0)
            && scaled(&self.seasonal_ma, -1.0)
    }
}

/// (1 + Σ aᵢ Bⁱ)(1 + Σ bⱼ Bˢʲ) without its leading 1.
fn multiply(a: &[f64], b: &[f64], season: usize) -> Vec<f64> {
    let mut product = vec![0.0; a.len() + b.len() * season + 1];
    product[0] = 1.0;
    product[1..=a.len()].copy_from_slice(a);
    for (j, seasonal) in b.iter().enumerate() {
        let at = (j + 1) * season;
        product[at] += seasonal;
        for (i, plain) in a.iter().enumerate() {
            product[at + i + 1] += seasonal * plain;
        }
    }
    product.remove(0);
    product
}

/// Stationary coefficients from free numbers, by way of partial autocorrelations.
fn stationary(free: &[f64]) -> Vec<f64> {
    let mut phi: Vec<f64> = Vec::with_capacity(free.len());
    for x in free {
        let partial = libm::tanh(*x);
        let before = phi.clone();
        for (k, value) in phi.iter_mut().enumerate() {
            *value -= partial * before[before.len() - 1 - k];
        }
        phi.push(partial);
    }
    phi
}

/// Does the polynomial 1 − Σ φᵢ Bⁱ have all its roots outside the unit circle? The recursion above run backwards.
fn is_stationary(phi: &[f64]) -> bool {
    let mut phi = phi.to_vec();
    while let Some(partial) = phi.pop() {
        let rest = 1.0 - partial * partial;
        if rest <= 0.0 || !rest.is_finite() {
            return false;
        }
        let before = phi.clone();
        for (k, value) in phi.iter_mut().enumerate() {
            *value = (before[k] + partial * before[before.len() - 1 - k]) / rest;
        }
    }
    true
}

/// First `count` weights ψ of the infinite moving average, ψ₀ = 1.
pub(super) fn psi_weights(coefficients: &Coefficients, count: usize) -> Vec<f64> {
    let mut psi = vec![0.0; count];
    if let Some(first) = psi.first_mut() {
        *first = 1.0;
    }
    let lags: Vec<(usize, f64)> = non_zero(&coefficients.ar);
    for k in 1..count {
        let shock = coefficients.ma.get(k - 1).copied().unwrap_or(0.0);
        let carried: f64 = lags.iter().take_while(|(lag, _)| *lag <= k).map(|(lag, phi)| phi * psi[k - lag]).sum();
        psi[k] = shock + carried;
    }
    psi
}

/// The coefficients that are not zero, each with its lag (from 1).
pub(super) fn non_zero(coefficients: &[f64]) -> Vec<(usize, f64)> {
    coefficients.iter().enumerate().filter(|(_, c)| **c != 0.0).map(|(i, c)| (i + 1, *c)).collect()
}

/// Autocovariances γ₀…γ₍count₋₁₎ in units of the innovations' variance, by the Yule–Walker equations of an ARMA process
/// (Brockwell & Davis 1991, §3.3). `None` when they have no solution.
pub(super) fn autocovariances(coefficients: &Coefficients, psi: &[f64], count: usize) -> Option<Vec<f64>> {
    let (p, q) = (coefficients.ar.len(), coefficients.ma.len());
    let theta = |j: usize| if j == 0 { 1.0 } else { coefficients.ma[j - 1] };
    let right = |k: usize| (k..=q).map(|j| theta(j) * psi[j - k]).sum::<f64>();
    let mut system = DMatrix::zeros(p + 1, p + 1);
    for k in 0..=p {
        system[(k, k)] += 1.0;
        for (i, phi) in non_zero(&coefficients.ar) {
            system[(k, k.abs_diff(i))] -= phi;
        }
    }
    let right_side = DVector::from_fn(p + 1, |k, _| right(k));
    let mut gamma: Vec<f64> = system.lu().solve(&right_side)?.iter().copied().collect();
    let lags = non_zero(&coefficients.ar);
    for k in p + 1..count {
        let carried: f64 = lags.iter().map(|(lag, phi)| phi * gamma[k - lag]).sum();
        gamma.push(carried + if k <= q { right(k) } else { 0.0 });
    }
    gamma.truncate(count);
    (gamma[0] > 0.0 && gamma.iter().all(|g| g.is_finite())).then_some(gamma)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn seasonal_polynomials_multiply_out() {
        let parameters =
            Parameters { ar: vec![0.5], seasonal_ar: vec![0.3], ma: vec![-0.4], seasonal_ma: vec![-0.5], mean: 0.0 };
        let c = parameters.coefficients(4);
        assert_eq!(c.ar, [0.5, 0.0, 0.0, 0.3, -0.15]);
        assert_eq!(c.ma, [-0.4, 0.0, 0.0, -0.5, 0.2]);
    }

    /// By hand: an AR(1) has γₖ = φᵏ / (1 − φ²); an MA(1) has γ₀ = 1 + θ², γ₁ = θ.
    #[test]
    fn autocovariances_of_the_textbook() {
        let ar = Coefficients { ar: vec![0.5], ..Coefficients::default() };
        let gamma = autocovariances(&ar, &psi_weights(&ar, 4), 4).unwrap();
        for (k, value) in gamma.iter().enumerate() {
            assert!((value - libm::pow(0.5, k as f64) / 0.75).abs() < 1e-12);
        }
        let ma = Coefficients { ma: vec![0.4], ..Coefficients::default() };
        let gamma = autocovariances(&ma, &psi_weights(&ma, 3), 3).unwrap();
        assert!((gamma[0] - 1.16).abs() < 1e-12 && (gamma[1] - 0.4).abs() < 1e-12 && gamma[2].abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn every_free_vector_is_stationary_and_its_weights_die_out(free in proptest::collection::vec(-0.9f64..0.9, 1..5)) {
            let phi = stationary(&free);
            prop_assert!(is_stationary(&phi));
            let c = Coefficients { ar: phi, ..Coefficients::default() };
            let psi = psi_weights(&c, 20_000);
            prop_assert!(psi[19_999].abs() < 1e-3);
            let gamma = autocovariances(&c, &psi, 6).unwrap();
            // An independent way: γ₀ = Σ ψ².
            let sum: f64 = psi.iter().map(|w| w * w).sum();
            prop_assert!((gamma[0] / sum - 1.0).abs() < 1e-4, "{} {}", gamma[0], sum);
        }
    }
}
