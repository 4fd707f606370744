//! What devices, people and the controller say to each other, made from `proto/`.

use prost::Message;
use std::marker::PhantomData;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

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

/// Protocol buffers with small buffers. A stream keeps one to write and one to read for as long as it stands, and a controller has a stream for
/// every device: at tonic's 8 KiB each that would be a quarter of its memory. A larger message makes them grow.
#[derive(Debug, Clone, Copy)]
pub struct LeanCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> LeanCodec<T, U> {
    /// A report or an order fits.
    const BUFFER_BYTES: usize = 512;
    /// Written together at most, as tonic has it.
    const TOGETHER_BYTES: usize = 32 * 1024;

    fn buffers() -> BufferSettings {
        BufferSettings::new(Self::BUFFER_BYTES, Self::TOGETHER_BYTES)
    }
}

impl<T, U> Default for LeanCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + Send + 'static, U: Message + Default + Send + 'static> Codec for LeanCodec<T, U> {
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(Self::buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(Self::buffers())
    }
}
