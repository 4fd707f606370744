//! Rollouts to agents as they are, over networks that delay, stall, reset, half-close and throttle, and over one that is away for ten minutes.

use super::crew::{Crew, count};
use super::door::{Door, plan};
use super::ground::{Ground, name};
use super::proxy::{Chance, Proxy};
use super::stored::{assert_sound, reported, stored};
use super::world::{START, journal};
use slacktide_engine::journal::Entry;
use slacktide_engine::time::{Instant, Span};
use std::path::Path;
use std::time::Duration;

const DEVICES: usize = 3;
/// The first of the seeds; `SLACKTIDE_TEST_SEED` names another.
const SEED: u64 = 1;
const SEEDS: u64 = 12;
/// A rollout in a storm takes some seconds; so long only on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the release is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    Good,
    /// On the last device it does not do its work: everybody goes back.
    Ill,
    /// It is not what was signed: nobody installs it.
    Tampered,
}

/// A rollout is for the devices that the controller has heard of.
async fn begin(door: &Door) {
    let began = std::time::Instant::now();
    while door.world.status().await.devices.iter().any(|device| device.state == "unknown") {
        assert!(began.elapsed() < PATIENCE, "{:#?}", door.world.status().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    door.world.create("2.0").await;
    door.world.approve(0).await;
    door.world.begin(0).await;
}

/// One rollout under one seed; what it went through.
async fn storm(seed: u64) -> String {
    let release = [Release::Good, Release::Ill, Release::Good, Release::Tampered][(seed % 4) as usize];
    let ground = Ground::new(DEVICES).await;
    ground.publish("2.0").await;
    match release {
        Release::Good => {}
        Release::Ill => ground.make_ill(DEVICES - 1),
        Release::Tampered => ground.tamper_with("2.0"),
    }
    let address = "127.0.0.1:0".parse().unwrap();
    let mut door = Door::open(&ground, &plan(&ground, DEVICES), address, Instant::from_secs(START)).await;
    let mut proxies = Vec::new();
    for device in 0..DEVICES as u64 {
        proxies.push(Proxy::start(door.address, Chance(seed * 100 + device).next()).await);
    }
    let addresses: Vec<_> = proxies.iter().map(|proxy| proxy.address).collect();
    let crew = Crew::start(&ground, &addresses);
    door.run_clock(60);
    begin(&door).await;
    let state = door.ends(PATIENCE).await;
    let wanted = if release == Release::Good { "finished" } else { "rolled_back" };
    assert_eq!(state, wanted, "seed {seed}, {release:?}: {:#?}", door.world.status().await);
    proxies.iter().for_each(Proxy::calm);
    everything_arrives(&door, &crew, seed).await;
    crew.end().await;
    assert_eq!(door.world.counted("slacktide_refused_total"), 0, "seed {seed}: a bad network is no lie");
    let store = door.close().await;
    let counts: Vec<(u64, u64)> = proxies.iter().map(Proxy::counts).collect();
    check(&ground, &store, release, seed);
    format!("seed {seed}: {release:?} {state}; connections, and those with a fault: {counts:?}")
}

/// Waits until reports come that were made after the storm; those before them are stored then.
async fn everything_arrives(door: &Door, crew: &Crew, seed: u64) {
    let began = std::time::Instant::now();
    let made: u64 = (0..DEVICES).map(|device| crew.made(device)).sum();
    loop {
        let after: Vec<u64> = (0..DEVICES).map(|device| crew.made(device)).collect();
        let status = door.world.status().await;
        if status.devices_connected as usize == DEVICES && after.iter().sum::<u64>() > made + 2 * DEVICES as u64 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "seed {seed}: not all are back: {status:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn check(ground: &Ground, store: &Path, release: Release, seed: u64) {
    let version = if release == Release::Good { "2.0" } else { "1.0" };
    for device in 0..DEVICES {
        assert_eq!(ground.runs(device), version, "seed {seed}, d{device}");
    }
    ground.nothing_ran_twice();
    let installs = ground.log(" install ").len();
    let wanted = match release {
        Release::Good => DEVICES..=DEVICES,
        // Who was still downloading when it turned out to be ill does not install it any more.
        Release::Ill => 1..=DEVICES,
        Release::Tampered => 0..=0,
    };
    assert!(wanted.contains(&installs), "seed {seed}: {installs} installs");
    for (device, messages) in &stored(store) {
        // Every report that was made before the last one that came, once, in order.
        let counts: Vec<u64> = reported(messages, "memory").into_iter().map(count).collect();
        let last = counts.last().copied().unwrap_or(0);
        assert!(last >= 2, "seed {seed}, {device}: {counts:?}");
        assert_eq!(counts, (1..=last).collect::<Vec<_>>(), "seed {seed}, {device}");
    }
    assert_sound(&journal(store), &format!("seed {seed}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rollouts_end_as_they_should_whatever_the_network_does() {
    let first = std::env::var("SLACKTIDE_TEST_SEED").map_or(SEED, |text| text.parse().unwrap());
    println!("seeds {first} to {}", first + SEEDS - 1);
    // Most of it is waiting: six at a time.
    let mut seeds = first..first + SEEDS;
    let mut under_way = tokio::task::JoinSet::new();
    loop {
        while under_way.len() < 6
            && let Some(seed) = seeds.next()
        {
            under_way.spawn(storm(seed));
        }
        match under_way.join_next().await {
            Some(told) => println!("{}", told.unwrap()),
            None => return,
        }
    }
}

/// The outcomes of all attempts, in the order of the devices.
fn outcomes(store: &Path) -> Vec<(String, String)> {
    let settled = journal(store).into_iter().filter_map(|line| match line.entry {
        Entry::Settled { attempts, .. } => Some(attempts),
        _ => None,
    });
    let mut all: Vec<_> = settled.flatten().map(|one| (one.device.to_string(), one.end.name().to_owned())).collect();
    all.sort();
    all
}

/// A rollout whose devices are all out, and perhaps out of reach, for ten minutes.
async fn rollout(is_parted: bool) -> (String, Vec<String>, Vec<(String, String)>) {
    let ground = Ground::new(DEVICES).await;
    ground.publish("2.0").await;
    let address = "127.0.0.1:0".parse().unwrap();
    let mut door = Door::open(&ground, &plan(&ground, DEVICES), address, Instant::from_secs(START)).await;
    let proxy = Proxy::start(door.address, 0).await;
    proxy.calm();
    let crew = Crew::start(&ground, &[proxy.address; DEVICES]);
    (0..DEVICES).for_each(|device| ground.close_gate(device, "health"));
    door.run_clock(60);
    begin(&door).await;
    let began = std::time::Instant::now();
    while ground.log(" health ").len() < DEVICES {
        assert!(began.elapsed() < PATIENCE, "{:#?}", door.world.status().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if is_parted {
        proxy.cut();
    }
    door.world.go_on(Span::from_secs(300)).await;
    (0..DEVICES).for_each(|device| ground.open_gate(device, "health"));
    door.world.go_on(Span::from_secs(300)).await;
    if is_parted {
        // They came to their end meanwhile, and nobody has heard of it.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(door.world.state(0).await, "running");
        assert_eq!(door.world.status().await.devices_connected, 0);
        proxy.heal();
    }
    let state = door.ends(PATIENCE).await;
    crew.end().await;
    let store = door.close().await;
    ground.nothing_ran_twice();
    (state, (0..DEVICES).map(|device| ground.runs(device)).collect(), outcomes(&store))
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_minutes_without_a_network_in_the_middle_of_a_batch_change_nothing() {
    let (parted, whole) = tokio::join!(rollout(true), rollout(false));
    assert_eq!(parted, whole);
    assert_eq!(parted.0, "finished");
    let all: Vec<_> = (0..DEVICES).map(|device| (name(device), "succeeded".to_owned())).collect();
    assert_eq!(parted.2, all);
}
