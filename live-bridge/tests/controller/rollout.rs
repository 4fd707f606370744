//! Rollouts from their making to their end.

use super::agent::{Agent, Manner, everybody, live, three};
use super::world::{Plan, World, journal};
use slacktide_engine::journal::replay::replay;
use slacktide_engine::time::Span;

async fn begin(world: &World, agents: &mut [Agent]) {
    everybody(world, agents).await;
    world.go_on(Span::from_secs(60)).await;
    world.create("2.0").await;
    world.approve(0).await;
    world.begin(0).await;
    for agent in agents {
        agent.asks(world.now().as_millis());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_devices_are_updated_and_the_journal_replays() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &Plan::default()).await;
    let mut agents = three();
    begin(&world, &mut agents).await;
    assert_eq!(live(&world, &mut agents, 60, "finished").await, "finished");
    let status = world.status().await;
    assert!(status.devices.iter().all(|device| device.version == "2.0" && device.state == "succeeded"), "{status:?}");
    assert!(agents.iter().all(|agent| agent.version == "2.0" && agent.runs.values().all(|runs| *runs == 1)));
    let store = world.store.clone();
    world.controller.finish();
    let lines = journal(&store);
    let replayed = replay(&lines).unwrap();
    assert_eq!(replayed.first_difference, None);
    assert_eq!(replayed.entries, lines.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_fails_is_tried_again_and_its_words_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &Plan::default()).await;
    let mut agents = three();
    agents[1].manner = Manner::Fails;
    begin(&world, &mut agents).await;
    live(&world, &mut agents, 90, "finished").await;
    let status = world.status().await;
    let failed = &status.devices[1];
    assert_eq!((failed.state.as_str(), failed.version.as_str()), ("failed", "1.0"));
    assert_eq!(failed.reason, "the script said 1");
    assert_eq!(agents[1].runs.len(), 2, "two attempts, one run each");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_device_times_out() {
    let folder = tempfile::tempdir().unwrap();
    let mut plan = Plan::default();
    plan.policy =
        plan.policy.with_field("attempts.timeout", "10m").unwrap().with_field("attempts.attempts_max", "1").unwrap();
    let world = World::start(folder.path(), &plan).await;
    let mut agents = three();
    agents[2].manner = Manner::Hangs;
    begin(&world, &mut agents).await;
    live(&world, &mut agents, 90, "finished").await;
    let status = world.status().await;
    assert_eq!(status.devices[2].state, "timed_out");
    assert_eq!(status.devices[0].state, "succeeded");
    // It wakes up and hears nothing of the command that is over.
    let again = agents[2].call(&world).await.unwrap();
    assert!(again.iter().all(|message| !format!("{message:?}").contains("Install(")), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &Plan::default()).await;
    let mut agents = three();
    everybody(&world, &mut agents).await;
    world.create("2.0").await;
    world.approve(0).await;
    world.begin(0).await;
    live(&world, &mut agents, 20, "finished").await;
    let status = world.status().await;
    assert!(status.devices.iter().all(|device| device.state == "waiting"), "{status:?}");
    assert!(status.devices.iter().all(|device| device.reason == "not-requested"), "{status:?}");
    agents[0].asks(world.now().as_millis());
    agents[0].call(&world).await.unwrap();
    world.status().await;
    agents[0].call(&world).await.unwrap();
    assert_eq!(agents[0].not_now, ["next-plan"]);
}
