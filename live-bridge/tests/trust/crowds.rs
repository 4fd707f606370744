//! Clients that say nothing, in crowds.

use crate::world::{Shown, World, device, within};
use slacktide_live_bridge::trust::{Limits, Refusal};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// Both ends of every connection are in this process.
fn raise_descriptors() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum.map(|most| most.min(20_000));
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_silent_sockets_delay_nobody() {
    raise_descriptors();
    let limits = Limits { handshakes_max: 16, first_byte: Duration::from_secs(4), ..Limits::default() };
    let world = World::start(limits).await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(world.address).await.unwrap());
    }
    let start = Instant::now();
    let shown = Shown::issued(&world.authority, &device("cam-1"));
    for _ in 0..20 {
        world.raw(Some(&shown)).poll().await.unwrap();
    }
    let took = start.elapsed();
    assert_eq!(world.counters.refused(Refusal::Silent), 0, "they still hang");
    assert!(
        within(Duration::from_secs(60), || world.counters.refused(Refusal::Silent) == 300).await,
        "all are dropped"
    );
    println!("20 connections beside 300 silent sockets: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_in_the_middle_of_a_handshake_loses_the_place() {
    use tokio::io::AsyncWriteExt as _;
    let limits = Limits { handshakes_max: 4, handshake: Duration::from_millis(500), ..Limits::default() };
    let world = World::start(limits).await;
    let mut halves = Vec::new();
    for _ in 0..4 {
        let mut half = TcpStream::connect(world.address).await.unwrap();
        half.write_all(&[22, 3, 1]).await.unwrap();
        halves.push(half);
    }
    let shown = Shown::issued(&world.authority, &device("cam-1"));
    world.raw(Some(&shown)).poll().await.unwrap();
    assert!(within(Duration::from_secs(60), || world.counters.refused(Refusal::Slow) == 4).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_in_the_middle_holds_up_his_own_address_only() {
    use tokio::io::AsyncWriteExt as _;
    let limits = Limits { handshakes_max: 8, handshakes_per_address_max: 4, ..Limits::default() };
    let world = World::start(limits).await;
    let mut halves = Vec::new();
    for _ in 0..40 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut half = socket.connect(world.address).await.unwrap();
        half.write_all(&[22, 3, 1]).await.unwrap();
        halves.push(half);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let shown = Shown::issued(&world.authority, &device("cam-1"));
    world.raw(Some(&shown)).poll().await.unwrap();
    assert_eq!(world.counters.refused(Refusal::Slow), 0, "they still hang");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_most_connections_new_ones_are_refused_and_room_comes_back() {
    let world = World::start(Limits { connections_max: 2, ..Limits::default() }).await;
    let shown = Shown::issued(&world.authority, &device("cam-1"));
    let raw = world.raw(Some(&shown));
    let call = |channel| async move {
        let mut link = slacktide_live_bridge::wire::device_link_client::DeviceLinkClient::new(channel);
        link.poll(tonic::Request::new(Default::default())).await
    };
    let (one, two) = (raw.channel(), raw.channel());
    call(one.clone()).await.unwrap();
    call(two.clone()).await.unwrap();
    assert!(raw.poll().await.is_err());
    assert_eq!(world.counters.refused(Refusal::Full), 1);
    drop((one, two));
    assert!(within(Duration::from_secs(2), || world.trust.registry().open() == 0).await);
    raw.poll().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_opens_more_and_more_connections_takes_nobodys_place() {
    let limits = Limits { connections_max: 12, connections_per_device_max: 4, ..Limits::default() };
    let world = World::start(limits).await;
    let greedy = world.raw(Some(&Shown::issued(&world.authority, &device("cam-1"))));
    let mut open = Vec::new();
    for _ in 0..40 {
        let channel = greedy.channel();
        let mut link = slacktide_live_bridge::wire::device_link_client::DeviceLinkClient::new(channel.clone());
        link.poll(tonic::Request::new(Default::default())).await.unwrap();
        open.push(channel);
    }
    let shown = Shown::issued(&world.authority, &device("cam-2"));
    world.raw(Some(&shown)).poll().await.expect("there is room for another device");
    assert_eq!(world.counters.refused(Refusal::Full), 0);
    assert_eq!(world.counters.cut_crowded.load(std::sync::atomic::Ordering::Relaxed), 36);
    assert!(within(Duration::from_secs(20), || world.trust.registry().open() <= 5).await);
}
