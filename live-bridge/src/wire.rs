//! What devices, people and the controller say to each other, made from `proto/`.

// Generated: its documentation is in the `.proto` files.
#[allow(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::or_fun_call,
    clippy::use_self
)]
mod generated {
    tonic::include_proto!("slacktide.v1");
}

pub use generated::*;

impl DeviceMessage {
    /// The number that must be stored before this message is.
    pub fn stands_after(&self) -> u64 {
        self.previous.unwrap_or_else(|| self.sequence.saturating_sub(1))
    }
}

/// The file descriptors, for the reflection service.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
