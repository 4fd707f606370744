//! What a model is, and which there are.

use crate::arima::{Arima, Effort, WarmArima};
use crate::holt_winters::WarmSmoothing;
use crate::{SeriesView, classical, decomposition, holt_winters, theta, trivial};
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
    /// The same two additive forms, level and damped trend, fitted to the newest steps by our own code: for fleets.
    EtsFast,
    /// Seasonal-trend decomposition by LOESS, the trend forecast by exponential smoothing.
    Mstl,
    /// Holt–Winters exponential smoothing with an additive season.
    SeasonalEts,
    /// The optimised Theta method on the seasonally adjusted series.
    Theta,
    /// ARIMA or seasonal ARIMA, order by AICc, exact likelihood.
    Arima,
    /// The same within small orders, by conditional sum of squares: for fleets.
    ArimaFast,
    /// Seasonal-trend decomposition by LOESS, the rest forecast by ARIMA.
    MstlArima,
    /// A ridge regression on lags and calendar, one for all series.
    Ridge,
    /// A recurrent network, one for all series.
    Lstm,
    /// The plain mean of all models that take part.
    EqualMean,
    /// The mean of the best few, weighted by their past accuracy.
    WeightedMean,
}

impl ModelKind {
    /// Every model there is.
    pub const ALL: [Self; 16] = [
        Self::Naive,
        Self::SeasonalNaive,
        Self::SeasonalMean,
        Self::Average,
        Self::Ets,
        Self::EtsFast,
        Self::SeasonalEts,
        Self::Theta,
        Self::Mstl,
        Self::Arima,
        Self::ArimaFast,
        Self::MstlArima,
        Self::Ridge,
        Self::Lstm,
        Self::EqualMean,
        Self::WeightedMean,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::SeasonalNaive => "seasonal-naive",
            Self::SeasonalMean => "seasonal-mean",
            Self::Average => "average",
            Self::Ets => "ets",
            Self::EtsFast => "ets-fast",
            Self::Mstl => "mstl",
            Self::SeasonalEts => "seasonal-ets",
            Self::Theta => "theta",
            Self::Arima => "arima",
            Self::ArimaFast => "arima-fast",
            Self::MstlArima => "mstl-arima",
            Self::Ridge => "ridge",
            Self::Lstm => "lstm",
            Self::EqualMean => "equal-mean",
            Self::WeightedMean => "weighted-mean",
        }
    }

    /// Does a fit cost milliseconds rather than microseconds?
    pub const fn is_dear(self) -> bool {
        !matches!(self, Self::Naive | Self::SeasonalNaive | Self::SeasonalMean | Self::Average)
    }

    /// The form of it for fleets, where there is one.
    #[must_use]
    pub const fn fast(self) -> Self {
        match self {
            Self::Arima => Self::ArimaFast,
            Self::Ets => Self::EtsFast,
            other => other,
        }
    }

    /// Is it the form for fleets of another model?
    pub const fn is_fast_form(self) -> bool {
        matches!(self, Self::ArimaFast | Self::EtsFast)
    }

    /// Does a forecast of one series cost milliseconds? Global models are trained once for all, combinations are made of others.
    pub const fn is_costly(self) -> bool {
        self.is_dear() && !self.is_global() && !self.is_combination()
    }

    /// Is it trained on all series together, and then forecasts each?
    pub const fn is_global(self) -> bool {
        matches!(self, Self::Ridge | Self::Lstm)
    }

    /// Is it made of the forecasts of others?
    pub const fn is_combination(self) -> bool {
        matches!(self, Self::EqualMean | Self::WeightedMean)
    }

    /// The model itself; `None` for those that are not fitted to one series alone.
    pub fn model(self) -> Option<Box<dyn Model>> {
        Some(match self {
            Self::Ridge | Self::Lstm | Self::EqualMean | Self::WeightedMean => return None,
            Self::Naive | Self::SeasonalNaive | Self::SeasonalMean | Self::Average => Box::new(trivial::Trivial(self)),
            Self::Ets => Box::new(classical::Ets),
            Self::Mstl => Box::new(decomposition::Mstl { rest: decomposition::Rest::Ets }),
            Self::MstlArima => Box::new(decomposition::Mstl { rest: decomposition::Rest::Arima }),
            Self::SeasonalEts => Box::new(holt_winters::HoltWinters),
            Self::EtsFast => Box::new(holt_winters::Smooth),
            Self::Theta => Box::new(theta::Theta),
            Self::Arima => Box::new(Arima { effort: Effort::Full }),
            Self::ArimaFast => Box::new(Arima { effort: Effort::Fast }),
        })
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No model has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no model; there are {}", names())]
pub struct UnknownModel {
    /// The name given.
    pub name: String,
}

/// All names, for messages.
fn names() -> String {
    ModelKind::ALL.map(ModelKind::name).join(", ")
}

impl FromStr for ModelKind {
    type Err = UnknownModel;

    fn from_str(name: &str) -> Result<Self, UnknownModel> {
        // The field says both.
        let name = if name == "last-value" { "naive" } else { name };
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

    /// Fits to all of `series` (its end is the origin). `seasons` are the lengths of its seasons in steps, the main one first; empty
    /// means none.
    ///
    /// # Errors
    /// [`FitError`]; a series with at least one known value can always be fitted by [`ModelKind::Naive`].
    fn fit(&self, series: SeriesView<'_>, seasons: &[usize]) -> Result<Box<dyn Fitted>, FitError>;
}

/// A model fitted to one series.
pub trait Fitted: fmt::Debug {
    /// The next `steps` values, every one finite.
    fn forecast(&self, steps: usize) -> Vec<f32>;

    /// Takes the next value in (a gap with `None`) without fitting anew: the origin moves one step on.
    fn update(&mut self, value: Option<f32>);

    /// Bytes held in memory, roughly.
    fn bytes(&self) -> usize;

    /// What it takes to go on from a later origin without fitting anew; `None` where the model has no such form.
    fn warm(&self) -> Option<Warm> {
        None
    }
}

/// A fitted model without its history, small enough to keep and to write down for every device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Warm {
    /// ARIMA.
    Arima(WarmArima),
    /// Exponential smoothing without season.
    Smoothing(WarmSmoothing),
}

impl Warm {
    /// The model at the end of `series`, `age` steps after it was fitted.
    pub fn resume(&self, series: SeriesView<'_>, age: usize) -> Option<Box<dyn Fitted>> {
        match self {
            Self::Arima(arima) => arima.resume(series, age),
            Self::Smoothing(smoothing) => smoothing.resume(series),
        }
    }
}

/// Keeps forecasts within what the history makes thinkable: its range, and as much again on either side. A model with roots near the
/// unit circle, fitted to an outlier, can leave it within a few steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard {
    low: f32,
    high: f32,
}

impl Guard {
    pub(crate) fn of(series: SeriesView<'_>) -> Self {
        let (low, high) = series.known().fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(v), h.max(v)));
        let room = (high - low).max(0.0);
        Self { low: low - room, high: high + room }
    }

    pub(crate) fn apply(self, points: &mut [f32]) {
        if self.low <= self.high {
            points.iter_mut().for_each(|p| *p = p.clamp(self.low, self.high));
        }
    }
}
