//! Devices that lie, shout, stutter or are cut off; and a store that is full.

use super::agent::Agent;
use super::world::{Plan, World, journal};
use slacktide_engine::time::Span;
use slacktide_live_bridge::wire::{
    ControllerMessage, DeviceMessage, FetchRequest, Hello, PollRequest, Report, Sample, UpdateRequest,
    controller_message::Body as Said, device_message::Body,
};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

fn request(sequence: u64) -> DeviceMessage {
    DeviceMessage { sequence, previous: None, at_ms: 0, body: Some(Body::Request(UpdateRequest {})) }
}

fn hello(device: &str) -> Hello {
    Agent::new(device).hello()
}

async fn session(world: &World, device: &str) -> (mpsc::Sender<DeviceMessage>, Streaming<ControllerMessage>) {
    let (say, said) = mpsc::channel(4);
    say.send(DeviceMessage { sequence: 0, previous: None, at_ms: 0, body: Some(Body::Hello(hello(device))) })
        .await
        .unwrap();
    let heard = world.link(device).session(ReceiverStream::new(said)).await.unwrap().into_inner();
    (say, heard)
}

async fn next(heard: &mut Streaming<ControllerMessage>) -> Said {
    let waited = tokio::time::timeout(Duration::from_secs(20), heard.message()).await.expect("no word for 20 s");
    waited.unwrap().unwrap().body.unwrap()
}

async fn refused(world: &World, device: &str, messages: Vec<DeviceMessage>) -> Code {
    let request = PollRequest { hello: Some(hello(device)), messages };
    world.link(device).poll(request).await.unwrap_err().code()
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_are_refused_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &Plan::default()).await;
    let metrics = world.controller.metrics();
    let another = PollRequest { hello: Some(hello("d1")), messages: Vec::new() };
    assert_eq!(world.link("d0").poll(another).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(metrics.refusals("wrong-device"), 1);
    assert_eq!(refused(&world, "stranger", Vec::new()).await, Code::PermissionDenied);
    assert_eq!(metrics.refusals("unknown-device"), 1);
    let later = Hello { epoch: 99, ..hello("d0") };
    let later = PollRequest { hello: Some(later), messages: Vec::new() };
    assert_eq!(world.link("d0").poll(later).await.unwrap_err().code(), Code::FailedPrecondition);
    let empty = DeviceMessage { sequence: 1, previous: None, at_ms: 0, body: None };
    assert_eq!(refused(&world, "d0", vec![empty]).await, Code::InvalidArgument);
    assert_eq!(refused(&world, "d0", vec![request(3)]).await, Code::FailedPrecondition);
    let sample = Sample { metric: "cpu".to_owned(), percent: 1.0 };
    let crowded = Body::Report(Report { samples: vec![sample; 65] });
    let crowded = DeviceMessage { sequence: 1, previous: None, at_ms: 0, body: Some(crowded) };
    assert_eq!(refused(&world, "d0", vec![crowded]).await, Code::InvalidArgument);
    let sample = Sample { metric: "x".repeat(70_000), percent: 1.0 };
    let huge = DeviceMessage {
        sequence: 1,
        previous: None,
        at_ms: 0,
        body: Some(Body::Report(Report { samples: vec![sample] })),
    };
    assert_eq!(refused(&world, "d0", vec![huge]).await, Code::OutOfRange);
    // Somebody else's command.
    let outcome = slacktide_live_bridge::wire::Outcome { command: 5, result: 1, ..Default::default() };
    let foreign = DeviceMessage { sequence: 1, previous: None, at_ms: 0, body: Some(Body::Outcome(outcome)) };
    let said = PollRequest { hello: Some(hello("d0")), messages: vec![foreign] };
    world.link("d0").poll(said).await.unwrap();
    world.status().await;
    assert_eq!(metrics.refusals("foreign-command"), 1);
    // Nothing of all this hurt anybody else.
    let mut other = Agent::new("d2");
    other.report(0, 10.0);
    other.call(&world).await.unwrap();
    assert_eq!(other.stored, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_come_twice_and_are_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &Plan::default()).await;
    let (say, mut heard) = session(&world, "d0").await;
    let Said::Welcome(welcome) = next(&mut heard).await else { panic!("no welcome") };
    assert_eq!(welcome.resume_after, 0);
    for n in [1, 2, 1, 2, 3] {
        say.send(request(n)).await.unwrap();
    }
    let mut acked = 0;
    while acked < 3 {
        if let Said::Ack(ack) = next(&mut heard).await {
            assert!(ack.sequence > acked);
            acked = ack.sequence;
        }
    }
    // A newer session of the same device wins and knows where to go on.
    let (_say, mut newer) = session(&world, "d0").await;
    let Said::Welcome(welcome) = next(&mut newer).await else { panic!("no welcome") };
    assert_eq!(welcome.resume_after, 3);
    let end = tokio::time::timeout(Duration::from_secs(20), heard.message()).await.unwrap();
    assert_eq!(end.unwrap_err().code(), Code::Aborted);
    assert_eq!(world.status().await.devices_connected, 1);
    // Who goes away in peace tells everybody to call again.
    world.controller.begin_stop();
    assert!(matches!(next(&mut newer).await, Said::Drain(_)));
    assert!(newer.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shouts_is_slowed_down_alone() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &Plan { messages_per_s: 5, ..Plan::default() }).await;
    let (say, _heard) = session(&world, "d0").await;
    let flood = tokio::spawn(async move {
        // No more than may lie unread: of some hundred small frames h2 itself ends the connection, which `floods` is about.
        for n in 1..=64 {
            if say.send(request(n)).await.is_err() {
                return;
            }
        }
    });
    let began = Instant::now();
    let mut calm = Agent::new("d1");
    while began.elapsed() < Duration::from_secs(2) || world.controller.metrics().slowed() == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody is slowed down");
        calm.report(0, 10.0);
        calm.call(&world).await.unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    flood.abort();
    assert!(world.controller.metrics().slowed() > 0);
    let again = PollRequest { hello: Some(hello("d0")), messages: Vec::new() };
    let answer = world.link("d0").poll(again).await.unwrap().into_inner();
    let Some(Said::Welcome(welcome)) = &answer.messages[0].body else { panic!("no welcome") };
    let most = 20 + 5 * (began.elapsed().as_secs() + 1);
    assert!((20..=most).contains(&welcome.resume_after), "{} of at most {most}", welcome.resume_after);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_store_acknowledges_nothing_and_keeps_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { tick: Span::from_secs(3600), ..Plan::default() };
    let world = World::start(folder.path(), &Plan { store_bytes_max: Some(128 * 1024), ..plan.clone() }).await;
    let mut agent = Agent::new("d0");
    let refused = loop {
        for _ in 0..200 {
            agent.report(0, 10.0);
        }
        if let Err(status) = agent.call(&world).await {
            break status;
        }
        assert!(agent.stored < 100_000, "the store never filled");
    };
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(!world.controller.metrics().is_store_writable());
    assert!(world.controller.metrics().text().contains("slacktide_store_writable 0"));
    let now = world.kill().await;
    // With room again everything acknowledged is there, and the device goes on behind it.
    let world = World::start_at(folder.path(), &plan, now).await;
    let before = agent.stored;
    agent.call(&world).await.unwrap();
    assert!(agent.stored > before);
    let store = world.store.clone();
    world.controller.finish();
    assert!(!journal(&store).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_from_an_offset_on() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    std::fs::create_dir(folder.path().join("targets")).unwrap();
    std::fs::write(folder.path().join("targets/app-2.0.stp"), &bytes).unwrap();
    let world = World::start(folder.path(), &Plan::default()).await;
    let ask = |offset| FetchRequest { file: "targets/app-2.0.stp".to_owned(), offset };
    let mut chunks = world.link("d0").fetch(ask(1000)).await.unwrap().into_inner();
    let mut got = Vec::new();
    while let Some(chunk) = chunks.message().await.unwrap() {
        assert_eq!(chunk.total, 100_000);
        got.extend(chunk.data);
    }
    assert_eq!(got, bytes[1000..]);
    let mut beyond = world.link("d0").fetch(ask(100_001)).await.unwrap().into_inner();
    assert_eq!(beyond.message().await.unwrap_err().code(), Code::OutOfRange);
}
