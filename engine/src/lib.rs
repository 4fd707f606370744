//! The deciding core of slacktide: telemetry, forecasts and outcomes in; commands and records out.
//!
//! **What it does.** It keeps a view of the fleet, asks for forecasts, scores devices, plans batches that the fleet can spare, checks
//! every plan, sends commands, watches, and takes batches back. **What it does not do.** No I/O, no clock, no thread, no entropy: time
//! is an argument, and the same inputs give the same outputs on any machine.
//!
//! **The one law**: hand in exactly one input, then drain [`Engine::poll_output`] until it says [`Output::Wake`].
//!
//! ```
//! use slacktide_engine::{Engine, Input, Output, policy::Policy, time::Instant};
//! let mut engine = Engine::new(Policy::default(), &["cpu".to_owned()]);
//! engine.handle_input(Instant::from_secs(0), Input::Wake);
//! while !matches!(engine.poll_output(), Output::Wake { .. }) {}
//! ```
//!
//! Modules in reading order: [`input`], [`output`], [`engine`](Engine), [`fleet`], [`forecasting`], [`nowcast`], [`plan`], [`risk`], [`envelope`], [`rollout`],
//! [`policy`], [`journal`].

pub mod document;
mod engine;
pub mod envelope;
pub mod filter;
pub mod fleet;
pub mod forecasting;
pub mod history;
pub mod ids;
pub mod input;
pub mod journal;
pub mod nowcast;
pub mod output;
pub mod plan;
#[cfg(feature = "planted-faults")]
pub mod planted;
pub mod policy;
pub mod risk;
pub mod rollout;
pub mod score;
pub mod time;
pub mod units;
pub mod version;
pub mod window;

pub use engine::{DevicePlace, Engine, Place};
pub use input::Input;
pub use output::Output;
