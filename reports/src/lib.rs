//! Journals in; tables, plots and pages out. Cannot tell a live journal from a simulated one.

pub mod chart;
pub mod files;
pub mod page;
pub mod tables;
pub mod text;
