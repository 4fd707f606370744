//! Bounded quantities that say their range in their errors.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A number outside the range of its quantity.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{quantity} {value} is not in {min}..={max}")]
pub struct OutOfRange {
    /// What the number was meant to be.
    pub quantity: &'static str,
    /// The number given.
    pub value: f64,
    /// Smallest value allowed.
    pub min: f64,
    /// Largest value allowed.
    pub max: f64,
}

/// `value` when it is a number within `min..=max`.
///
/// # Errors
/// [`OutOfRange`] naming the quantity, for NaN too.
pub fn in_range(quantity: &'static str, value: f64, min: f64, max: f64) -> Result<f64, OutOfRange> {
    if value >= min && value <= max { Ok(value) } else { Err(OutOfRange { quantity, value, min, max }) }
}

/// A score or a percentage in 0..=100.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Percent(f64);

impl Percent {
    /// 0.
    pub const ZERO: Self = Self(0.0);
    /// 100.
    pub const FULL: Self = Self(100.0);

    /// `value` in 0..=100.
    ///
    /// # Errors
    /// [`OutOfRange`] for anything else, NaN included.
    pub fn new(value: f64) -> Result<Self, OutOfRange> {
        in_range("percentage", value, 0.0, 100.0).map(Self)
    }

    /// `value` brought into 0..=100; NaN becomes 100, the cautious end for a load.
    pub const fn clamped(value: f64) -> Self {
        if value.is_nan() { Self::FULL } else { Self(value.clamp(0.0, 100.0)) }
    }

    /// 0..=100.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// 0..=1.
    pub const fn share(self) -> f64 {
        self.0 / 100.0
    }

    /// 100 minus this: load to capacity and back.
    pub const fn complement(self) -> Self {
        Self(100.0 - self.0)
    }
}

impl TryFrom<f64> for Percent {
    type Error = OutOfRange;
    fn try_from(value: f64) -> Result<Self, OutOfRange> {
        Self::new(value)
    }
}

impl From<Percent> for f64 {
    fn from(percent: Percent) -> Self {
        percent.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} %", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_names_quantity_value_and_range() {
        let error = in_range("batch_requirement_max", -1.0, 0.0, 1e9).unwrap_err();
        assert_eq!(error.to_string(), "batch_requirement_max -1 is not in 0..=1000000000");
        assert!(Percent::new(f64::NAN).is_err());
        assert_eq!(Percent::clamped(f64::NAN), Percent::FULL);
    }
}
