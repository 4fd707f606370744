//! The page of `slacktide compare`: policies or forecasters on the same worlds.

mod charts;
mod document;
mod page;

pub use document::{Arm, Difference, Document, FromBest, Selection, Summary, Unit, unit};
pub use page::html;
