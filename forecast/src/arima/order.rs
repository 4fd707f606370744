//! Which terms a model has.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Order of a seasonal ARIMA model, (p, d, q)(P, D, Q)ₛ, and whether it has a constant (Box & Jenkins 1970).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Order {
    /// Autoregressive terms, 0..=5.
    pub ar: usize,
    /// Plain differences, 0..=2.
    pub differences: usize,
    /// Moving-average terms, 0..=5.
    pub ma: usize,
    /// Seasonal autoregressive terms, 0..=2.
    pub seasonal_ar: usize,
    /// Seasonal differences, 0..=1.
    pub seasonal_differences: usize,
    /// Seasonal moving-average terms, 0..=2.
    pub seasonal_ma: usize,
    /// Season in steps; 1 is no season.
    pub season: usize,
    /// A mean (no difference) or a drift (one difference of either kind).
    pub constant: bool,
}

impl Order {
    /// A model without season: (p, d, q).
    pub const fn new(ar: usize, differences: usize, ma: usize) -> Self {
        Self {
            ar,
            differences,
            ma,
            seasonal_ar: 0,
            seasonal_differences: 0,
            seasonal_ma: 0,
            season: 1,
            constant: false,
        }
    }

    /// The same with seasonal terms (P, D, Q) of `season` steps.
    #[must_use]
    pub const fn seasonal(mut self, ar: usize, differences: usize, ma: usize, season: usize) -> Self {
        (self.seasonal_ar, self.seasonal_differences, self.seasonal_ma, self.season) = (ar, differences, ma, season);
        self
    }

    /// The same with or without a constant.
    #[must_use]
    pub const fn with_constant(mut self, constant: bool) -> Self {
        self.constant = constant;
        self
    }

    /// Parameters to estimate, the variance of the innovations not counted.
    pub const fn parameters(self) -> usize {
        self.ar + self.ma + self.seasonal_ar + self.seasonal_ma + self.constant as usize
    }

    /// Steps that differencing uses up.
    pub const fn lost(self) -> usize {
        self.differences + self.seasonal_differences * self.season
    }

    /// Highest lag of the autoregressive polynomial.
    pub const fn ar_reach(self) -> usize {
        self.ar + self.seasonal_ar * self.season
    }

    /// Highest lag of the moving-average polynomial.
    pub const fn ma_reach(self) -> usize {
        self.ma + self.seasonal_ma * self.season
    }
}

impl fmt::Display for Order {
    /// The usual way: `(0,1,1)(0,1,1)12 with constant`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({},{},{})", self.ar, self.differences, self.ma)?;
        if self.season > 1 && self.seasonal_ar + self.seasonal_differences + self.seasonal_ma > 0 {
            write!(f, "({},{},{}){}", self.seasonal_ar, self.seasonal_differences, self.seasonal_ma, self.season)?;
        }
        if self.constant { f.write_str(" with constant") } else { Ok(()) }
    }
}
