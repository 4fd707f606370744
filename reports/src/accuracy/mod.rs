//! The page of `slacktide forecast backtest` and `compare`: which models forecast best, and by more than chance.

mod charts;
mod document;
mod page;
mod ranks;

pub use document::{Document, Example, Forecast, Metric, Model, Part, Test};
pub use page::html;
