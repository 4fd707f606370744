//! What a model is, and which there are.

use crate::{SeriesView, classical, trivial};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The models, by the names used on the command line and in journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// The last known value, held.
    Naive,
    /// The value one season ago.
    SeasonalNaive,
    /// The mean of the same phase over all seasons known.
    SeasonalMean,
    /// The plain average of the last value, the mean of the last season, and the seasonal mean.
    Average,
    /// Exponential smoothing without season, form chosen by AICc.
    Ets,
    /// Seasonal-trend decomposition by LOESS, the trend forecast by exponential smoothing.
    Mstl,
}

impl ModelKind {
    /// Every model there is.
    pub const ALL: [Self; 6] =
        [Self::Naive, Self::SeasonalNaive, Self::SeasonalMean, Self::Average, Self::Ets, Self::Mstl];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::SeasonalNaive => "seasonal-naive",
            Self::SeasonalMean => "seasonal-mean",
            Self::Average => "average",
            Self::Ets => "ets",
            Self::Mstl => "mstl",
        }
    }

    /// Does a fit cost milliseconds rather than microseconds?
    pub const fn is_dear(self) -> bool {
        matches!(self, Self::Ets | Self::Mstl)
    }

    /// The model itself.
    pub fn model(self) -> Box<dyn Model> {
        match self {
            Self::Naive | Self::SeasonalNaive | Self::SeasonalMean | Self::Average => Box::new(trivial::Trivial(self)),
            Self::Ets => Box::new(classical::Ets),
            Self::Mstl => Box::new(classical::Mstl),
        }
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No model has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no model; there are naive, seasonal-naive, seasonal-mean, average, ets, mstl")]
pub struct UnknownModel {
    /// The name given.
    pub name: String,
}

impl FromStr for ModelKind {
    type Err = UnknownModel;

    fn from_str(name: &str) -> Result<Self, UnknownModel> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownModel { name: name.to_owned() })
    }
}

/// Why a model could not be fitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// Nothing is known at all.
    #[error("the series has no known value")]
    NoValue,
    /// Fewer steps than the model needs.
    #[error("{model} needs {needed} steps and has {given}")]
    TooShort {
        /// The model.
        model: ModelKind,
        /// Steps it needs.
        needed: usize,
        /// Steps there are.
        given: usize,
    },
    /// The numbers did not come out.
    #[error("{model} found no fit: {reason}")]
    NoFit {
        /// The model.
        model: ModelKind,
        /// The library's words.
        reason: String,
    },
}

/// A model that can be fitted to one series.
pub trait Model: fmt::Debug {
    /// Which one.
    fn kind(&self) -> ModelKind;

    /// Fits to all of `series` (its end is the origin). `season` is the season's length in steps, ≥ 1.
    ///
    /// # Errors
    /// [`FitError`]; a series with at least one known value can always be fitted by [`ModelKind::Naive`].
    fn fit(&self, series: SeriesView<'_>, season: usize) -> Result<Box<dyn Fitted>, FitError>;
}

/// A model fitted to one series.
pub trait Fitted: fmt::Debug {
    /// The next `steps` values, every one finite.
    fn forecast(&self, steps: usize) -> Vec<f32>;

    /// Takes the next value in (a gap with `None`) without fitting anew: the origin moves one step on.
    fn update(&mut self, value: Option<f32>);
}
