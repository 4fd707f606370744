//! The program on a device: measures load, reports it, carries out what the controller tells it, and survives power loss in every state.
//!
//! Reading order: `config` → `state` (what must not be forgotten) → `disk` → `buffer` → `desk` (those three under one lock) → `orders` (may
//! this command be obeyed?) → `machine` (the course of one attempt) with `slots`, `script`, `packages`, `download` → `link` (the session) → `run`.
//! `sampler` and `cgroup` read the machine's load; `simulated` makes it up, for demonstrations only.

pub mod buffer;
pub mod cgroup;
pub mod config;
pub mod connect;
pub mod desk;
pub mod disk;
pub mod download;
pub mod link;
pub mod machine;
pub mod orders;
pub mod packages;
pub mod run;
pub mod sampler;
pub mod script;
pub mod signed;
pub mod simulated;
pub mod slots;
pub mod state;

/// Version of the agent, told in every greeting.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Milliseconds since the Unix epoch by the machine's clock; 0 when the clock stands before it.
pub fn now_ms() -> i64 {
    crate::clock::now().as_millis()
}
