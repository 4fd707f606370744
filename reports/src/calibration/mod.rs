//! The page of `slacktide calibrate`: recorded load and load of the generator that was learned from it, one over the other.

mod charts;
mod document;
mod page;

pub use document::{Document, Group, HeldOut, Judged, Metric, Statistics, Week};
pub use page::html;
