//! Models trained on many series together, that then forecast each.

mod features;
pub mod lstm;
mod ridge;
mod shared;

pub use shared::Shared;

use crate::{ModelKind, SeriesView};
use lstm::Lstm;
use ridge::Ridge;
use serde::{Deserialize, Serialize};

/// A series to train on.
#[derive(Debug, Clone, Copy)]
pub struct TrainingSeries<'a> {
    /// Values at equal steps; what is not finite is a gap. Nothing after the last may be known at training.
    pub values: &'a [f32],
    /// Number of the first step, on a scale on which the calendar can be read: step 0 begins a season.
    pub first_step: i64,
}

/// Why there is no trained model: the caller must forecast with another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// Not enough to learn from.
    #[error("{found} examples in the history, {needed} are needed to train; its forecasts are those of `average`")]
    TooLittle {
        /// Pairs of a history and what came.
        found: usize,
        /// How many it takes.
        needed: usize,
    },
    /// Trained well enough to be finite, but worse than a plain average on the time kept back.
    #[error(
        "no better than `average` on the newest part of the history ({loss:.3} against {plain:.3}); `average` is used instead"
    )]
    NoBetter {
        /// Its loss.
        loss: Rounded,
        /// That of the average.
        plain: Rounded,
    },
}

/// A number that only errors carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounded(i64);

impl From<f64> for Rounded {
    fn from(value: f64) -> Self {
        Self((value * 1000.0).round() as i64)
    }
}

impl std::fmt::Display for Rounded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3}", self.0 as f64 / 1000.0)
    }
}

/// A trained global model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "shared::Written", try_from = "shared::Written")]
pub enum Trained {
    /// Ridge regression.
    Ridge(Ridge),
    /// Recurrent network.
    Lstm(Box<Lstm>),
}

impl Trained {
    /// Trains `kind` on `series` (or trains `before` on, with what is new). Deterministic in its arguments.
    ///
    /// # Errors
    /// [`TrainError`]: too little to learn from.
    pub fn train(
        kind: ModelKind,
        before: Option<&Self>,
        series: &[TrainingSeries<'_>],
        seasons: &[usize],
        horizon: usize,
        seed: u64,
    ) -> Result<Self, TrainError> {
        match (kind, before) {
            (ModelKind::Lstm, Some(Self::Lstm(before))) => Ok(Self::Lstm(Box::new(before.train_on(series)))),
            (ModelKind::Lstm, _) => Lstm::train(series, seasons, horizon, seed).map(|l| Self::Lstm(Box::new(l))),
            _ => Ridge::train(series, seasons, horizon).map(Self::Ridge),
        }
    }

    /// Has enough time passed until `step` to train anew?
    pub const fn is_due(&self, step: i64) -> bool {
        match self {
            Self::Ridge(ridge) => ridge.is_due(step),
            Self::Lstm(lstm) => lstm.is_due(step),
        }
    }

    /// Step after the newest it was trained on.
    pub const fn trained_until(&self) -> i64 {
        match self {
            Self::Ridge(ridge) => ridge.until,
            Self::Lstm(lstm) => lstm.trained_until(),
        }
    }

    /// Points and, where the model has one, the expected size of their errors. `None` when the series knows too little.
    pub fn forecast(
        &self,
        series: SeriesView<'_>,
        first_step: i64,
        seasons: &[usize],
        steps: usize,
    ) -> Option<(Vec<f32>, Option<Vec<f32>>)> {
        match self {
            Self::Ridge(ridge) => Some((ridge.forecast(series, seasons, steps)?, None)),
            Self::Lstm(lstm) => {
                let quantiles = lstm.forecast(series, first_step, steps)?;
                Some((quantiles.median(), Some(quantiles.spread())))
            }
        }
    }
}
