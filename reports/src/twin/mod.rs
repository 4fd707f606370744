//! The page of `slacktide twin`: what may come, as fans, chances and times, and how earlier looks ahead came out.

mod document;
mod page;

pub use document::{Arm, Calibration, Document, Hours, Point, Score};
pub use page::html;
