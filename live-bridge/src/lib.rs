//! The only room with sockets, tokio, TLS and wall time: the controller around the engine, and the agent on a device.

pub mod agent;
mod causes;
pub mod clock;
pub mod controller;
pub mod dashboard;
pub mod digest;
mod durable;
pub mod package;
pub mod signoff;
pub mod trust;
pub mod wire;
