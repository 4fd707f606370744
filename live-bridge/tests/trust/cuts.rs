//! Open streams of those who are no longer welcome.

use crate::world::{World, device, within};
use slacktide_live_bridge::trust::{ClientTrust, Limits};
use slacktide_live_bridge::wire::{ControllerMessage, DeviceMessage};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// A stream that is open, and has been answered once.
async fn stream(
    world: &World,
    client: &Arc<ClientTrust>,
) -> (mpsc::Sender<DeviceMessage>, Streaming<ControllerMessage>) {
    let (send, messages) = mpsc::channel(8);
    let mut answers = world.link(client).session(ReceiverStream::new(messages)).await.unwrap().into_inner();
    answers.message().await.unwrap().expect("a welcome");
    (send, answers)
}

async fn acknowledged(stream: &mut (mpsc::Sender<DeviceMessage>, Streaming<ControllerMessage>), number: u64) -> bool {
    let message = DeviceMessage { sequence: number, previous: None, at_ms: 0, body: None };
    stream.0.send(message).await.is_ok() && matches!(stream.1.message().await, Ok(Some(_)))
}

/// A cut takes milliseconds; so long only on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_open_stream_of_a_revoked_device_is_cut_within_a_second_of_the_reload() {
    let world = World::start(Limits::default()).await;
    let (bad, good) = (world.client(&device("cam-1")), world.client(&device("cam-2")));
    let mut cut = stream(&world, &bad).await;
    let mut kept = stream(&world, &good).await;
    assert!(acknowledged(&mut cut, 1).await && acknowledged(&mut kept, 1).await);
    assert_eq!(world.trust.registry().open(), 2);
    world.authority.revoke("device/cam-1", Some("lost")).unwrap();
    assert!(acknowledged(&mut cut, 2).await, "nothing happens before the reload");
    let start = Instant::now();
    assert_eq!(world.trust.reload().unwrap().cut, 1);
    let ended = tokio::time::timeout(PATIENCE, cut.1.message()).await.expect("cut");
    assert!(!matches!(ended, Ok(Some(_))), "the stream is over");
    println!("cut after {:?}", start.elapsed());
    assert!(acknowledged(&mut kept, 2).await, "others are not concerned");
    assert!(within(PATIENCE, || world.trust.registry().open() == 1).await);
    assert_eq!(world.counters.cut_revoked.load(Relaxed), 1);
    assert!(within(PATIENCE, || world.counters.open.load(Relaxed) == 1).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_files_are_found_without_being_told() {
    let world = World::start(Limits::default()).await;
    let follow = tokio::spawn(Arc::clone(&world.trust).follow(Duration::from_millis(200)));
    let client = world.client(&device("cam-1"));
    let mut cut = stream(&world, &client).await;
    world.authority.revoke("device/cam-1", None).unwrap();
    let ended = tokio::time::timeout(PATIENCE, cut.1.message()).await.expect("cut");
    assert!(!matches!(ended, Ok(Some(_))));
    assert_eq!(world.trust.status().reloads_failed, 0);
    follow.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_cut_when_its_certificate_ends() {
    let world = World::start(Limits::default()).await;
    let client = world.client(&device("cam-1").living(3));
    let mut cut = stream(&world, &client).await;
    assert!(acknowledged(&mut cut, 1).await);
    let end_s = client.facts().not_after_s;
    let ended = tokio::time::timeout(Duration::from_secs(6), cut.1.message()).await.expect("cut at its end");
    assert!(!matches!(ended, Ok(Some(_))));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let late_s = now - end_s as f64;
    assert!((0.0..2.0).contains(&late_s), "cut {late_s} s after the start of its last second");
    assert_eq!(world.counters.cut_expired.load(Relaxed), 1);
}
