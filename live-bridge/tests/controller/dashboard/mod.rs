//! The dashboard: what it answers, whom it refuses, and the page in a real browser.

mod api;
mod browser;
mod devtools;
mod door;
mod pictures;
