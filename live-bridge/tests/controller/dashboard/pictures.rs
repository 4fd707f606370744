//! Pictures of the page for people who change it: `SLACKTIDE_PICTURES=DIR cargo test … pictures -- --ignored`.

use super::devtools::Browser;
use super::door::{Door, person};
use crate::agent::{Agent, Manner, everybody, live};
use crate::world::{Plan, World, device};
use base64::Engine as _;
use serde_json::json;
use slacktide_engine::ids::{PoolId, RegionId};
use slacktide_engine::time::Span;
use slacktide_live_bridge::trust::Role;
use std::path::Path;
use std::time::Duration;

const MAP: &str = "document.getElementById('map').children.length > 0 ? 'drawn' : ''";

async fn take(world: &World, folder: &Path, name: &str) {
    let door = Door::open(world);
    let anna = door.client(person("olga", Role::Operator)).forward().await;
    let mut browser = Browser::start().await;
    let tab = browser.open(&format!("http://{anna}/")).await;
    browser.wait_for(&tab, MAP, "drawn", Duration::from_secs(60)).await;
    for scheme in ["light", "dark"] {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        browser.command(Some(&tab), "Emulation.setEmulatedMedia", features).await;
        for width in [1280, 400] {
            let size = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
            browser.command(Some(&tab), "Emulation.setDeviceMetricsOverride", size).await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            let wide = browser.evaluate(&tab, "document.documentElement.scrollWidth - innerWidth").await;
            assert!(wide.as_i64().unwrap() <= 0, "the page is {wide} pixels wider than {width}");
            let shot = json!({"format": "png", "captureBeyondViewport": true});
            let shot = browser.command(Some(&tab), "Page.captureScreenshot", shot).await;
            let png = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
            std::fs::write(folder.join(format!("{name}-{scheme}-{width}.png")), png).unwrap();
        }
    }
}

fn agents(n: usize) -> Vec<Agent> {
    let mut agents: Vec<Agent> = (0..n).map(|n| Agent::new(&format!("d{n}"))).collect();
    agents.iter_mut().skip(3).step_by(5).for_each(|agent| agent.manner = Manner::Hangs);
    agents.iter_mut().skip(4).step_by(7).for_each(|agent| agent.manner = Manner::Fails);
    agents
}

async fn roll(world: &World, agents: &mut [Agent], minutes: u32) {
    everybody(world, agents).await;
    world.go_on(Span::from_secs(60)).await;
    world.create("2.0").await;
    world.approve(0).await;
    world.begin(0).await;
    for agent in agents.iter_mut().skip(2) {
        agent.asks(world.now().as_millis());
    }
    live(world, agents, minutes, "finished").await;
    world.create("3.0").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "for people who look"]
async fn pictures_of_few_and_of_many() {
    let out = std::path::PathBuf::from(std::env::var_os("SLACKTIDE_PICTURES").expect("SLACKTIDE_PICTURES=DIR"));
    let few = tempfile::tempdir().unwrap();
    let facts = |n: usize| {
        let mut facts = device(n);
        facts.pool = PoolId::from(["tills", "screens"][n % 2]);
        facts.region = RegionId::from(["north", "south"][n / 6]);
        facts
    };
    // So that there are load scores to see.
    let policy = Plan::default().policy.with_field("plan.basis", "current").unwrap();
    let plan = Plan { fleet: Some((0..10).map(facts).collect()), policy: policy.clone(), ..Plan::default() };
    let world = World::start(few.path(), &plan).await;
    roll(&world, &mut agents(9), 21).await;
    take(&world, &out, "few").await;
    drop(world);
    let many = tempfile::tempdir().unwrap();
    let facts = |n: usize| {
        let mut facts = device(n);
        facts.pool = PoolId::from(format!("pool-{:03}", n / 300).as_str());
        facts.region = RegionId::from(format!("region-{}", n / 20_000).as_str());
        facts
    };
    let plan = Plan { fleet: Some((0..100_000).map(facts).collect()), policy, ..Plan::default() };
    let world = World::start(many.path(), &plan).await;
    roll(&world, &mut agents(700), 21).await;
    take(&world, &out, "many").await;
}
