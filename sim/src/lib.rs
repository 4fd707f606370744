//! The simulated world in virtual time around the production engine.
//!
//! [`Setup`] says what to run, [`run`] runs it once, [`replicate`] many times in parallel with common random numbers, [`compare`] states
//! paired differences. The driver loop is in `run.rs`; nothing in the world may look into the engine.

mod accuracy;
pub mod chaos;
mod check;
pub mod compare;
mod condition;
mod device;
mod faults;
mod fitting;
pub mod goodness;
mod hours;
mod learned;
mod load;
pub mod measure;
mod network;
mod oracle;
mod pace;
pub mod precision;
mod promises;
mod queue;
mod replicate;
mod rng;
mod run;
pub mod selection;
mod setup;
pub mod sweep;
pub mod twin;
pub mod whatif;
mod world;

pub use replicate::{Summary, replicate, summarise};
pub use run::{RunResult, Sight, run, run_watched};
pub use setup::{LoadSource, Setup, SetupError};
