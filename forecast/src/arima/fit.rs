//! Parameters of a model of given order.

use super::Order;
use super::differencing::{difference_all, is_constant, weights};
use super::innovations::{Innovations, conditional_squares};
use super::kalman::{Filter, Likelihood};
use super::likelihood::likelihood;
use super::polynomial::{Coefficients, Parameters};
use crate::optimise::minimise;

/// Largest state the exact filter is used for; beyond it (long seasons) a covariance a device would be too much, and the conditional
/// fit differs little.
pub(super) const STATE_MAX: usize = 64;

/// Steps of the optimiser, and the relative gain at which it stops.
const STEPS: usize = 80;
pub(super) const TOLERANCE: f64 = 1e-8;

/// How to estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The conditional sum of squares: microseconds a trial.
    ConditionalSquares,
    /// The exact Gaussian likelihood, started from the conditional fit.
    ExactLikelihood,
}

/// A fitted order.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// What was fitted.
    pub order: Order,
    /// Its parameters.
    pub parameters: Parameters,
    /// Variance of the innovations, in squared units of the series.
    pub variance: f64,
    /// Logarithm of the likelihood: exact, or the conditional one.
    pub log_likelihood: f64,
    /// Innovations it rests on.
    pub count: usize,
    /// Which of the two.
    pub method: Method,
}

impl Fit {
    /// Estimated parameters, the variance included.
    const fn estimated(&self) -> f64 {
        (self.order.parameters() + 1) as f64
    }

    /// Akaike's information criterion.
    pub const fn aic(&self) -> f64 {
        -2.0 * self.log_likelihood + 2.0 * self.estimated()
    }

    /// The same, corrected for few observations (Hurvich & Tsai 1989); infinite with too few.
    pub fn aicc(&self) -> f64 {
        let (n, k) = (self.count as f64, self.estimated());
        if n - k - 1.0 > 0.0 { self.aic() + 2.0 * k * (k + 1.0) / (n - k - 1.0) } else { f64::INFINITY }
    }

    /// Schwarz's criterion.
    pub fn bic(&self) -> f64 {
        -2.0 * self.log_likelihood + self.estimated() * libm::log(self.count as f64)
    }

    /// The model at the end of `values`, ready to forecast.
    pub fn at_end_of(&self, values: &[f64]) -> Option<Running> {
        let coefficients = self.parameters.coefficients(self.order.season);
        let deltas = weights(self.order.differences, self.order.seasonal_differences, self.order.season);
        let exact = self.method == Method::ExactLikelihood && state_size(self.order) <= STATE_MAX;
        let origin = values.iter().copied().find(|v| v.is_finite()).unwrap_or(0.0);
        // Differencing forgets the level; without it the mean does not.
        let origin = if deltas.is_empty() { 0.0 } else { origin };
        let shifted = values.iter().map(|v| v - origin);
        if exact {
            let mut filter = Filter::new(&coefficients, &deltas)?;
            filter.run(shifted, |_, _| ());
            Some(Running { origin, variance: self.variance, at: At::Exact(Box::new(filter)) })
        } else {
            let shifted: Vec<f64> = shifted.collect();
            let model = Innovations::new(&coefficients, &deltas, &shifted);
            Some(Running { origin, variance: self.variance, at: At::Steady(model) })
        }
    }

    /// One-step errors over `values`, each divided by its standard deviation.
    pub fn standard_residuals(&self, values: &[f64]) -> Vec<f64> {
        let differenced =
            difference_all(values, self.order.differences, self.order.seasonal_differences, self.order.season);
        let mut residuals = Vec::new();
        if let Some(mut filter) = Filter::new(&self.parameters.coefficients(self.order.season), &[]) {
            filter.run(differenced.into_iter(), |v, f| residuals.push(v / (f * self.variance).sqrt()));
        }
        residuals
    }
}

/// Size of the filter's state.
pub(super) const fn state_size(order: Order) -> usize {
    let (ar, ma) = (order.ar_reach(), order.ma_reach() + 1);
    order.lost() + if ar > ma { ar } else { ma }
}

/// Estimates the parameters of `order` on `values` (gaps are not finite). `None` where nothing can be estimated: fewer known steps than
/// parameters need, or no variance at all.
pub fn fit(order: Order, values: &[f64], method: Method) -> Option<Fit> {
    fit_within(order, values, method, TOLERANCE)
}

/// The same; the conditional fit stops at another gain.
pub(super) fn fit_within(order: Order, values: &[f64], method: Method, tolerance: f64) -> Option<Fit> {
    let differenced = difference_all(values, order.differences, order.seasonal_differences, order.season);
    let known: Vec<f64> = differenced.iter().copied().filter(|v| v.is_finite()).collect();
    if known.len() < order.parameters() + 3 || known.len() <= order.ar_reach() || is_constant(&known) {
        return None;
    }
    let centre = if order.constant { known.iter().sum::<f64>() / known.len() as f64 } else { 0.0 };
    let scale = (known.iter().map(|v| (v - centre) * (v - centre)).sum::<f64>() / known.len() as f64).sqrt();
    let read = |free: &[f64]| Parameters::from_free(order, free, centre, scale);
    let conditional = conditional_fit(order, &differenced, tolerance, read)?;
    if method == Method::ConditionalSquares || state_size(order) > STATE_MAX {
        let (variance, count) = conditional.1;
        let log_likelihood = -0.5 * count as f64 * (libm::log(std::f64::consts::TAU * variance) + 1.0);
        let method = Method::ConditionalSquares;
        return Some(Fit { order, parameters: read(&conditional.0), variance, log_likelihood, count, method });
    }
    exact_fit(order, values, &conditional.0, read)
}

type Conditional = (Vec<f64>, (f64, usize));

fn conditional_fit(
    order: Order,
    differenced: &[f64],
    tolerance: f64,
    read: impl Fn(&[f64]) -> Parameters,
) -> Option<Conditional> {
    let (mut w, mut e) = (Vec::new(), Vec::new());
    // Errors of the first season only show that nothing was known before it: they count for no order, so that orders compare.
    let from = order.season.min(differenced.len() / 4);
    let mut squares = |free: &[f64]| {
        let (squares, count) =
            conditional_squares(&read(free).coefficients(order.season), differenced, from, &mut w, &mut e);
        (squares / count.max(1) as f64, count)
    };
    let start = vec![0.0; order.parameters()];
    let found = minimise(|free| 0.5 * libm::log(squares(free).0), &start, STEPS, tolerance);
    let (variance, count) = squares(&found.at);
    (variance > 0.0 && count > order.parameters()).then_some((found.at, (variance, count)))
}

/// A series as the exact filter reads it, and the weights of past values in it.
struct Exact<'a> {
    series: std::borrow::Cow<'a, [f64]>,
    deltas: Vec<f64>,
    has_gaps: bool,
}

impl<'a> Exact<'a> {
    fn new(order: Order, values: &'a [f64]) -> Option<Self> {
        // Without gaps the differenced series says all there is, with a small state. A gap would spread to its neighbours there.
        let (plain, seasonal) = (order.differences, order.seasonal_differences);
        let has_gaps = values.iter().any(|v| !v.is_finite());
        if order.lost() == 0 {
            return Some(Self { series: values.into(), deltas: Vec::new(), has_gaps });
        }
        if !has_gaps {
            let series = difference_all(values, plain, seasonal, order.season).into();
            return Some(Self { series, deltas: Vec::new(), has_gaps });
        }
        let origin = values.iter().copied().find(|v| v.is_finite())?;
        let series: Vec<f64> = values.iter().map(|v| v - origin).collect();
        Some(Self { series: series.into(), deltas: weights(plain, seasonal, order.season), has_gaps })
    }

    fn likelihood(&self, coefficients: &Coefficients) -> Option<Likelihood> {
        let found = if self.has_gaps {
            let mut filter = Filter::new(coefficients, &self.deltas)?;
            filter.run(self.series.iter().copied(), |_, _| ())
        } else {
            likelihood(coefficients, &self.series)?
        };
        Some(found).filter(|l| l.squares > 0.0 && l.log().is_finite())
    }
}

/// AICc of a conditional fit by the exact likelihood at its parameters. `None` where the state would be too large.
pub(super) fn exact_criterion(found: &Fit, values: &[f64]) -> Option<f64> {
    if state_size(found.order) > STATE_MAX {
        return None;
    }
    let likelihood = Exact::new(found.order, values)?.likelihood(&found.parameters.coefficients(found.order.season))?;
    let exact = Fit { log_likelihood: likelihood.log(), count: likelihood.count, ..found.clone() };
    // Differencing loses steps: a criterion per step compares orders of the same differences, and these all have them.
    Some(exact.aicc())
}

/// The exact fit of an order that was fitted conditionally, started from there.
pub(super) fn refit(found: &Fit, values: &[f64]) -> Option<Fit> {
    fit(found.order, values, Method::ExactLikelihood)
}

fn exact_fit(order: Order, values: &[f64], start: &[f64], read: impl Fn(&[f64]) -> Parameters) -> Option<Fit> {
    let exact = Exact::new(order, values)?;
    let per_step = |free: &[f64]| {
        let found = exact.likelihood(&read(free).coefficients(order.season));
        found.map_or(f64::NAN, |l| -l.log() / l.count as f64)
    };
    // A conditional fit at the edge of what is stationary is a bad start: the likelihood is flat there.
    let start: Vec<f64> = start.iter().map(|x| x.clamp(-1.5, 1.5)).collect();
    let found = minimise(per_step, &start, STEPS, TOLERANCE);
    let parameters = read(&found.at);
    let likelihood = exact.likelihood(&parameters.coefficients(order.season))?;
    Some(Fit {
        order,
        parameters,
        variance: likelihood.variance(),
        log_likelihood: likelihood.log(),
        count: likelihood.count,
        method: Method::ExactLikelihood,
    })
}

/// A fitted model at its origin: forecasts, and moves on with every value.
#[derive(Debug, Clone)]
pub struct Running {
    origin: f64,
    variance: f64,
    at: At,
}

#[derive(Debug, Clone)]
enum At {
    Exact(Box<Filter>),
    Steady(Innovations),
}

impl Running {
    /// The next `steps` values.
    pub fn points(&self, steps: usize) -> Vec<f64> {
        let mut points = match &self.at {
            At::Exact(filter) => filter.forecast_points(steps),
            At::Steady(model) => model.forecast_points(steps),
        };
        points.iter_mut().for_each(|p| *p += self.origin);
        points
    }

    /// Standard errors of the next `steps` values, those of the parameters left out (as R and statsmodels do).
    pub fn standard_errors(&self, steps: usize) -> Vec<f64> {
        let variances = match &self.at {
            At::Exact(filter) => filter.forecast(steps).into_iter().map(|(_, f)| f).collect(),
            At::Steady(model) => model.variances(steps),
        };
        variances.into_iter().map(|f| (f * self.variance).sqrt()).collect()
    }

    /// Takes the next value in (`None` is a gap), without fitting anew.
    pub fn update(&mut self, value: Option<f64>) {
        let value = value.filter(|v| v.is_finite()).map(|v| v - self.origin);
        match &mut self.at {
            At::Exact(filter) => {
                filter.step(value);
            }
            At::Steady(model) => model.step(value),
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        match &self.at {
            At::Exact(filter) => filter.bytes(),
            At::Steady(model) => model.bytes(),
        }
    }
}
