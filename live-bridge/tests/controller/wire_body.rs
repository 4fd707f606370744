//! What is done with any bytes that a device may send: they go to a controller as a call of a device, and it goes on serving another one.
//! Shared by the tests here and by the target of `fuzz/`.

use super::world::{Plan, World};
use prost::Message as _;
use slacktide_live_bridge::wire::device_link_client::DeviceLinkClient;
use slacktide_live_bridge::wire::device_message::Body;
use slacktide_live_bridge::wire::{DeviceMessage, Hello, PollRequest, PollResponse, Report, controller_message};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// A call takes milliseconds; so long only on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends bytes as they are, and reads an answer.
#[derive(Debug, Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = PollResponse;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;
    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(to, &item);
        Ok(())
    }
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = PollResponse;
    type Error = Status;
    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<PollResponse>, Status> {
        PollResponse::decode(from).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

/// A controller that hears all of it, and how far its two devices are.
struct Ear {
    runtime: tokio::runtime::Runtime,
    world: World,
    hostile: u64,
    calm: u64,
    _folder: tempfile::TempDir,
}

fn hello(device: &str) -> Hello {
    Hello { device_id: device.to_owned(), version: "1.0".to_owned(), ..Hello::default() }
}

async fn raw_poll(channel: Channel, bytes: Vec<u8>) -> Result<PollResponse, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let path = tonic::codegen::http::uri::PathAndQuery::from_static("/slacktide.v1.DeviceLink/Poll");
    let answer = client.unary(tonic::Request::new(bytes), path, Raw).await;
    answer.map(tonic::Response::into_inner)
}

/// What the controller says is stored.
fn resume_after(answer: &PollResponse) -> u64 {
    match &answer.messages[0].body {
        Some(controller_message::Body::Welcome(welcome)) => welcome.resume_after,
        other => panic!("no welcome: {other:?}"),
    }
}

impl Ear {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let world = runtime.block_on(World::start(folder.path(), &Plan::default()));
        Self { runtime, world, hostile: 0, calm: 0, _folder: folder }
    }

    fn hear(&mut self, bytes: &[u8]) {
        let Self { runtime, world, hostile, calm, .. } = self;
        runtime.block_on(async {
            let refused = world.counted("slacktide_refused_total");
            let decoded = PollRequest::decode(bytes);
            let is_message = decoded.is_ok();
            let bytes = match decoded {
                Ok(mut request) => {
                    // Numbers go on from where they are: most inputs would be known already.
                    for message in &mut request.messages {
                        message.sequence = message.sequence.wrapping_add(*hostile);
                        message.previous = message.previous.map(|number| number.wrapping_add(*hostile));
                    }
                    request.encode_to_vec()
                }
                Err(_) => bytes.to_vec(),
            };
            let channel = world.channel(slacktide_live_bridge::trust::Identity::Device("d0".to_owned()));
            match tokio::time::timeout(PATIENCE, raw_poll(channel, bytes)).await.expect("an answer") {
                Ok(answer) => {
                    assert!(is_message, "what nobody can read was taken");
                    assert!(resume_after(&answer) >= *hostile, "what was stored is no longer");
                    *hostile = resume_after(&answer);
                }
                Err(status) => {
                    let counted = world.counted("slacktide_refused_total") > refused;
                    let is_unread = matches!(status.code(), Code::Internal | Code::OutOfRange);
                    assert!(counted || is_unread, "refused and not counted: {status}");
                    // Of a call that was refused half way the beginning may be stored.
                    let empty = PollRequest { hello: Some(hello("d0")), messages: Vec::new() };
                    let answer = world.link("d0").poll(empty).await.unwrap().into_inner();
                    assert!(resume_after(&answer) >= *hostile);
                    *hostile = resume_after(&answer);
                }
            }
            // The other device is served as before.
            *calm += 1;
            let body = Some(Body::Report(Report { samples: Vec::new() }));
            let message = DeviceMessage { sequence: *calm, previous: None, at_ms: 0, body };
            let request = PollRequest { hello: Some(hello("d1")), messages: vec![message] };
            let mut link: DeviceLinkClient<Channel> = world.link("d1");
            let answer = tokio::time::timeout(PATIENCE, link.poll(request)).await.expect("an answer").unwrap();
            assert_eq!(resume_after(&answer.into_inner()), *calm);
        });
    }
}

/// A call of a device.
pub(crate) fn device_call(bytes: &[u8], _: &Path) {
    static EAR: OnceLock<Mutex<Ear>> = OnceLock::new();
    let ear = EAR.get_or_init(|| Mutex::new(Ear::new()));
    ear.lock().unwrap_or_else(PoisonError::into_inner).hear(bytes);
}
