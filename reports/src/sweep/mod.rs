//! The page of `slacktide sweep`: what each setting costs, and which to take.

mod axis;
mod charts;
mod document;
mod heat;
mod page;

pub use document::{Document, Point, Recommended, Varied};
pub use page::html;
