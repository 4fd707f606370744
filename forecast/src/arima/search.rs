//! The order, chosen by itself: the stepwise search of Hyndman & Khandakar 2008 ("Automatic time series forecasting", algorithm of
//! `forecast::auto.arima`).

use super::Order;
use super::differencing::{difference, is_constant, plain_differences, seasonal_differences};
use super::fit::{Fit, Method, exact_criterion, fit_within, refit};
use std::collections::BTreeSet;

/// Roots nearer to the unit circle than this make a model fragile: it is not taken.
const ROOT_MARGIN: f64 = 1.01;
/// Orders judged by exact likelihood.
const FINALISTS: usize = 4;
/// Models tried at most.
const TRIALS_MAX: usize = 94;
/// Relative gain of the criterion at which fits of a fast search and of a whole one stop.
const TOLERANCE_FAST: f64 = 1e-5;
const TOLERANCE_FULL: f64 = super::fit::TOLERANCE;

/// Newest steps that a fast search looks at: order and parameters of what is left of a load without its season show in a few days.
pub const FAST_STEPS: usize = 192;

/// How much work a search may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// For fleets: small orders, conditional sum of squares only, on the newest [`FAST_STEPS`] steps.
    Fast,
    /// The whole search, the winner refitted by exact likelihood.
    Full,
}

#[derive(Clone, Copy)]
struct Limits {
    plain: usize,
    seasonal: usize,
    trials: usize,
}

impl Effort {
    const fn tolerance(self) -> f64 {
        match self {
            Self::Fast => TOLERANCE_FAST,
            Self::Full => TOLERANCE_FULL,
        }
    }

    const fn limits(self) -> Limits {
        match self {
            Self::Fast => Limits { plain: 2, seasonal: 1, trials: 12 },
            Self::Full => Limits { plain: 5, seasonal: 2, trials: TRIALS_MAX },
        }
    }
}

/// Chooses an order for `values` (gaps are not finite) and fits it. `filled` is the same without gaps, for the tests that need it.
/// `season` 1 is no season. `None` when not even a mean can be fitted: constant or too short.
pub fn search(values: &[f64], filled: &[f64], season: usize, effort: Effort) -> Option<Fit> {
    let newest = if effort == Effort::Fast { values.len().saturating_sub(FAST_STEPS.max(3 * season)) } else { 0 };
    let (values, filled) = (&values[newest..], &filled[newest..]);
    if is_constant(filled) {
        return None;
    }
    let seasonal = season > 1 && filled.len() > 2 * season;
    let season = if seasonal { season } else { 1 };
    let seasonal_d = if seasonal { seasonal_differences(filled, season) } else { 0 };
    let rest = if seasonal_d > 0 { difference(filled, season) } else { filled.to_vec() };
    let plain_d = plain_differences(&rest).min(2 - seasonal_d);
    let base = Order::new(0, plain_d, 0).seasonal(0, seasonal_d, 0, season);
    let mut trials = Trials { values, effort, limits: effort.limits(), tried: BTreeSet::new(), ranked: Vec::new() };
    trials.begin(base, seasonal, plain_d + seasonal_d <= 1);
    trials.climb(seasonal, plain_d + seasonal_d <= 1);
    trials.ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    if effort == Effort::Fast {
        return trials.ranked.into_iter().next().map(|(_, fit)| fit);
    }
    // The conditional criterion only orders the field: the best few meet again by exact likelihood, as they are, and the winner is
    // fitted by it.
    let mut finalists: Vec<(f64, &Fit)> = trials
        .ranked
        .iter()
        .take(FINALISTS)
        .map(|(_, fit)| (exact_criterion(fit, values).unwrap_or(f64::INFINITY), fit))
        .collect();
    finalists.sort_by(|a, b| a.0.total_cmp(&b.0));
    let exact = |(_, candidate): &(f64, &Fit)| {
        let found = refit(candidate, values)?;
        (found.parameters.roots_beyond(1.001) && found.aicc().is_finite()).then_some(found)
    };
    finalists.iter().find_map(exact).or_else(|| trials.ranked.first().map(|(_, fit)| fit.clone()))
}

struct Trials<'a> {
    values: &'a [f64],
    effort: Effort,
    limits: Limits,
    tried: BTreeSet<Order>,
    /// Criterion and fit of all that came out.
    ranked: Vec<(f64, Fit)>,
}

impl Trials<'_> {
    fn best(&self) -> Option<(f64, Order)> {
        self.ranked.iter().min_by(|a, b| a.0.total_cmp(&b.0)).map(|(criterion, fit)| (*criterion, fit.order))
    }

    /// Fits one order unless it was tried or is out of bounds. Did it become the best?
    fn attempt(&mut self, order: Order) -> bool {
        let inside = order.ar <= self.limits.plain
            && order.ma <= self.limits.plain
            && order.seasonal_ar <= self.limits.seasonal
            && order.seasonal_ma <= self.limits.seasonal
            && order.ar + order.ma + order.seasonal_ar + order.seasonal_ma <= 5;
        if !inside || self.tried.len() >= self.limits.trials || !self.tried.insert(order) {
            return false;
        }
        let Some(found) = fit_within(order, self.values, Method::ConditionalSquares, self.effort.tolerance()) else {
            return false;
        };
        if !found.parameters.roots_beyond(ROOT_MARGIN) {
            return false;
        }
        let criterion = self.criterion(&found);
        let better = self.best().is_none_or(|(best, _)| criterion < best);
        if criterion.is_finite() {
            self.ranked.push((criterion, found));
        }
        better && criterion.is_finite()
    }

    /// AICc as if every order had seen as many steps: a high seasonal lag loses the first ones to its start.
    fn criterion(&self, found: &Fit) -> f64 {
        let steps = self.values.len() - found.order.lost();
        let steps = steps - found.order.season.min(steps / 4);
        let (n, k) = (steps as f64, (found.order.parameters() + 1) as f64);
        if n - k - 1.0 <= 0.0 {
            return f64::INFINITY;
        }
        n * libm::log(found.variance) + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0)
    }

    fn begin(&mut self, base: Order, seasonal: bool, constant: bool) {
        let s = usize::from(seasonal);
        for (ar, ma, sar, sma) in [(2, 2, s, s), (0, 0, 0, 0), (1, 0, s, 0), (0, 1, 0, s)] {
            let order = Order { ar, ma, seasonal_ar: sar, seasonal_ma: sma, constant, ..base };
            self.attempt(order);
        }
        if constant {
            self.attempt(base);
        }
    }

    /// Moves to a better neighbour until there is none.
    fn climb(&mut self, seasonal: bool, constant: bool) {
        while let Some((_, at)) = self.best() {
            if !neighbours(at, seasonal, constant).into_iter().any(|order| self.attempt(order)) {
                break;
            }
        }
    }
}

/// One term more or less of one or two kinds, with and without the constant.
fn neighbours(at: Order, seasonal: bool, constant: bool) -> Vec<Order> {
    let mut out = Vec::new();
    let moved = |ar: i32, ma: i32, sar: i32, sma: i32| -> Option<Order> {
        Some(Order {
            ar: at.ar.checked_add_signed(ar as isize)?,
            ma: at.ma.checked_add_signed(ma as isize)?,
            seasonal_ar: at.seasonal_ar.checked_add_signed(sar as isize)?,
            seasonal_ma: at.seasonal_ma.checked_add_signed(sma as isize)?,
            ..at
        })
    };
    if seasonal {
        for (sar, sma) in [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)] {
            out.extend(moved(0, 0, sar, sma));
        }
    }
    for (ar, ma) in [(-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (-1, 1), (1, -1), (1, 1)] {
        out.extend(moved(ar, ma, 0, 0));
    }
    if constant {
        out.push(at.with_constant(!at.constant));
    }
    out
}
