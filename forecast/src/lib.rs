//! Forecasting for slacktide: models, intervals, accuracy, backtests and live selection. Numbers in, numbers out; knows no device.
//!
//! Everything here is a pure function of its arguments: no clock, no thread, no entropy, the same result on any number of threads.
//!
//! - [`SeriesView`]: values at equal steps, oldest first, gaps allowed.
//! - [`ModelKind`], [`Model`], [`Fitted`]: what forecasts.
//! - [`measure`]: how good a forecast was. [`interval`]: how wide it must be. [`backtest`]: how good it would have been.
//! - [`panel`]: the models of one device or pool in competition, with a calibrated upper bound: what the planner uses.

pub mod arima;
pub mod backtest;
pub mod classical;
pub mod decomposition;
pub mod global;
pub mod holt_winters;
pub mod interval;
#[cfg(test)]
mod known_series;
pub mod measure;
mod model;
mod optimise;
pub mod panel;
mod series;
pub mod special;
pub mod theta;
pub mod trivial;

pub use model::{FitError, Fitted, Model, ModelKind, UnknownModel, Warm};
pub use panel::{
    Band, Champions, Fallback, ModelErrors, PanelConfig, PanelForecast, PanelRoom, PanelState, advance, advance_into,
};
pub use series::SeriesView;
