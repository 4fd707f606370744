//! What devices said and nobody has dealt with yet, as it lies in the store.

use super::registry::Device;
use crate::wire::{DeviceMessage, device_message::Body};
use prost::Message;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// One message on its way through the store to the engine.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) device: Arc<Device>,
    pub(super) message: DeviceMessage,
    /// When it came, for the time an acknowledgement took.
    pub(super) came: std::time::Instant,
    /// Its place in the bounded queue; free again when the engine's thread has it.
    pub(super) _place: Option<OwnedSemaphorePermit>,
    /// Told once it is stored, by somebody who has no sequence numbers to be told by; dropped when it could not be.
    pub(super) done: Option<oneshot::Sender<()>>,
}

/// A row of the table: the messages of one commit.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredBatch {
    #[prost(message, repeated, tag = "1")]
    pub(super) messages: Vec<StoredMessage>,
}

/// One message and whose it is.
#[derive(Clone, PartialEq, Message)]
pub(super) struct StoredMessage {
    #[prost(string, tag = "1")]
    pub(super) device: String,
    #[prost(message, optional, tag = "2")]
    pub(super) message: Option<DeviceMessage>,
}

/// How far a device's messages have been dealt with. Reports wait for the next tick, all else goes to the engine at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) reports: u64,
    pub(super) events: u64,
}

impl Marks {
    /// Has this message been dealt with? One without a number lies in the store until it has.
    pub(super) const fn covers(&self, message: &DeviceMessage) -> bool {
        message.sequence > 0
            && match message.body {
                Some(Body::Report(_)) => message.sequence <= self.reports,
                _ => message.sequence <= self.events,
            }
    }

    /// Highest sequence number known.
    pub(super) fn highest(&self) -> u64 {
        self.reports.max(self.events)
    }
}

/// The row for these messages.
pub(super) fn encode(received: &[Received]) -> Vec<u8> {
    let one = |r: &Received| StoredMessage { device: r.device.name().to_owned(), message: Some(r.message.clone()) };
    StoredBatch { messages: received.iter().map(one).collect() }.encode_to_vec()
}
