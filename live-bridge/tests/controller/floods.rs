//! Floods of tiny frames on one device's connection: whoever sends them hurts nobody else.

use super::agent::Agent;
use super::door::{Door, plan};
use super::frames::{connect, continuation, data, headers, ping, reset, settings, window_update};
use super::ground::Ground;
use super::world::START;
use slacktide_engine::time::Instant;
use slacktide_live_bridge::wire::device_link_client::DeviceLinkClient;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long each flood lasts.
const FLOOD: Duration = Duration::from_millis(700);
/// A call takes milliseconds; so long only on a machine that does much else.
const CALL: Duration = Duration::from_secs(10);
/// Frames written at a time.
const AT_ONCE: u32 = 500;

/// A flood: what comes first, and what comes again and again, by the number of the portion.
type Portions = fn(u32) -> Vec<u8>;

const FLOODS: [(&str, Portions); 7] = [
    ("pings", |_| ping().repeat(AT_ONCE as usize)),
    ("settings", |_| settings().repeat(AT_ONCE as usize)),
    ("window updates", |_| window_update().repeat(AT_ONCE as usize)),
    ("streams that are opened and reset", |portion| {
        let streams = (portion * AT_ONCE..(portion + 1) * AT_ONCE).map(|n| 2 * n + 1);
        streams.flat_map(|stream| [headers(stream, true), reset(stream)].concat()).collect()
    }),
    ("empty frames", |portion| {
        let first = if portion == 0 { headers(1, true) } else { Vec::new() };
        [first, data(1, &[]).repeat(AT_ONCE as usize)].concat()
    }),
    ("messages byte by byte", |portion| {
        let first = if portion == 0 { headers(1, true) } else { Vec::new() };
        // An endless message, as long as one may be.
        let prefix = if portion == 0 { data(1, &[0, 0, 0, 255, 255]) } else { Vec::new() };
        [first, prefix, data(1, &[0]).repeat(AT_ONCE as usize)].concat()
    }),
    ("headers without an end", |portion| {
        let first = if portion == 0 { headers(1, false) } else { Vec::new() };
        [first, continuation(1).repeat(AT_ONCE as usize)].concat()
    }),
];

/// Floods as the first device until the time is over, again and again when the controller ends it. Bytes that went out, and connections it
/// took. The sender reads its answers, or does not.
async fn flood(ground: Arc<Ground>, address: SocketAddr, portions: Portions, reads: bool) -> (usize, usize) {
    let (mut sent, mut connections) = (0, 0);
    let floods = async {
        loop {
            connections += 1;
            let (mut from, mut to) = tokio::io::split(connect(&ground, "d0", address).await);
            // It ends with the flood, however that ends.
            let mut reader = tokio::task::JoinSet::new();
            reader.spawn(async move {
                let mut buffer = vec![0; 65_536];
                while reads && from.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
                from
            });
            for portion in 0.. {
                let bytes = portions(portion);
                if to.write_all(&bytes).await.is_err() {
                    break;
                }
                sent += bytes.len();
            }
        }
    };
    let over: Result<(), _> = tokio::time::timeout(FLOOD, floods).await;
    assert!(over.is_err());
    (sent, connections)
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_frames_hurt_their_sender_alone() {
    let ground = Arc::new(Ground::new(2).await);
    let address = "127.0.0.1:0".parse().unwrap();
    let door = Door::open(&ground, &plan(&ground, 2), address, Instant::from_secs(START)).await;
    let channel = ground.client("d1/identity").channel(&format!("https://{}", door.address)).unwrap();
    let mut calm = Agent::new("d1");
    for (what, portions) in FLOODS {
        for reads in [true, false] {
            let flood = tokio::spawn(flood(Arc::clone(&ground), door.address, portions, reads));
            let (mut calls, mut slowest) = (0, Duration::ZERO);
            while !flood.is_finished() {
                calm.report(0, 10.0);
                let began = std::time::Instant::now();
                let mut link = DeviceLinkClient::new(channel.clone());
                let answer = tokio::time::timeout(CALL, link.poll(calm.poll_request())).await;
                calm.heard(answer.expect(what).expect(what));
                slowest = slowest.max(began.elapsed());
                calls += 1;
            }
            let (sent, connections) = flood.await.unwrap();
            let reads = if reads { "" } else { ", answers not read" };
            println!(
                "{what}{reads}: {sent} bytes in {connections} connections; {calls} calls beside it, the slowest {slowest:?}"
            );
            assert!(calls >= 3, "{what}: {calls} calls beside it");
        }
    }
    // Nothing of it is left, and the sender is welcome when it behaves.
    let channel = ground.client("d0/identity").channel(&format!("https://{}", door.address)).unwrap();
    let mut sender = Agent::new("d0");
    sender.report(0, 10.0);
    sender.heard(DeviceLinkClient::new(channel).poll(sender.poll_request()).await.unwrap());
    assert_eq!(sender.stored, 1);
    let began = std::time::Instant::now();
    while door.trust.registry().open() > 2 {
        assert!(began.elapsed() < Duration::from_secs(30), "{} connections are open", door.trust.registry().open());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(door.world.status().await.devices_connected, 0);
}
