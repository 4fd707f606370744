//! Journals and comparisons in; tables, plots and pages out. Cannot tell a live journal from a simulated one.

pub mod accuracy;
pub mod arms;
pub mod calibration;
pub mod comparison;
mod course;
mod curves;
pub mod files;
mod groups;
pub mod html;
pub mod page;
mod plot;
pub mod sweep;
pub mod tables;
pub mod telemetry;
pub mod text;
pub mod transcript;
pub mod twin;
