//! The power fails in every state of a rollout; the next controller goes on where the last one was.

use super::agent::{Agent, Manner, everybody, live, three};
use super::world::{Plan, World, journal};
use slacktide_engine::journal::Entry;
use slacktide_engine::journal::replay::replay;
use slacktide_engine::time::Span;
use slacktide_live_bridge::trust::Role;
use slacktide_live_bridge::wire::RolloutRequest;
use std::path::Path;

fn plan() -> Plan {
    let mut plan = Plan::default();
    plan.policy = plan.policy.with_field("attempts.timeout", "20m").unwrap();
    plan
}

/// Brings a rollout as far as `state`.
async fn until(world: &World, agents: &mut [Agent], state: &str) {
    everybody(world, agents).await;
    world.go_on(Span::from_secs(60)).await;
    world.create("2.0").await;
    if state == "waiting_for_approval" {
        return;
    }
    world.approve(0).await;
    if state == "ready" {
        return;
    }
    world.begin(0).await;
    for agent in agents.iter_mut() {
        agent.asks(world.now().as_millis());
    }
    match state {
        "running" => {}
        "in-flight" => {
            agents.iter_mut().for_each(|agent| agent.manner = Manner::Hangs);
            live(world, agents, 18, "finished").await;
            assert!(agents.iter().all(|agent| agent.obeyed.len() == 1), "{agents:?}");
        }
        "paused" => {
            let one = RolloutRequest { rollout: 0 };
            world.operator("olga", Role::Operator).pause_rollout(one).await.unwrap();
        }
        "finished" => {
            live(world, agents, 60, "finished").await;
        }
        other => panic!("{other}"),
    }
}

async fn crash_in(state: &str) {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &plan()).await;
    let mut agents = three();
    until(&world, &mut agents, state).await;
    // Said, stored, and perhaps not dealt with when the power fails.
    everybody(&world, &mut agents).await;
    let (before, epoch) = (world.state(0).await, agents[0].epoch);
    let store = world.store.clone();
    let now = world.kill().await;
    let world = World::start_at(folder.path(), &plan(), now + Span::from_secs(30)).await;
    assert_eq!(world.state(0).await, before, "{state}");
    everybody(&world, &mut agents).await;
    assert_eq!(agents[0].epoch, epoch + 1, "{state}");
    match state {
        "waiting_for_approval" => {
            world.approve(0).await;
            world.begin(0).await;
        }
        "ready" => world.begin(0).await,
        "paused" => {
            let one = RolloutRequest { rollout: 0 };
            world.operator("olga", Role::Operator).resume_rollout(one).await.unwrap();
        }
        _ => {}
    }
    for agent in &mut agents {
        if state != "finished" {
            agent.asks(world.now().as_millis());
        }
        // What hung is done now; its outcome finds the command it belongs to.
        if agent.manner == Manner::Hangs {
            agent.manner = Manner::Succeeds;
            agent.version = "2.0".to_owned();
            let command = *agent.obeyed.keys().next().unwrap();
            agent.outcome(command, slacktide_live_bridge::wire::outcome::Result::Succeeded);
        }
    }
    assert_eq!(live(&world, &mut agents, 60, "finished").await, "finished", "{state}");
    for agent in &agents {
        assert_eq!(agent.version, "2.0", "{state}");
        assert!(agent.runs.values().all(|runs| *runs == 1), "{state}: a second install of one attempt: {agent:?}");
    }
    world.controller.finish();
    check(&store, state);
}

fn check(store: &Path, state: &str) {
    let lines = journal(store);
    let ignored = lines.iter().find(|line| matches!(line.entry, Entry::Ignored { .. }));
    assert_eq!(ignored, None, "{state}");
    assert_eq!(replay(&lines).unwrap().first_difference, None, "{state}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_done_twice_whenever_the_power_fails() {
    for state in ["waiting_for_approval", "ready", "running", "in-flight", "paused", "finished"] {
        crash_in(state).await;
    }
}

/// An install that was decided and never heard is said again, under its own number, by the next controller.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_nobody_heard_is_said_again() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &plan()).await;
    let mut agents = three();
    until(&world, &mut agents, "running").await;
    everybody(&world, &mut agents).await;
    // The batch goes, and no device calls.
    world.go_on(Span::from_secs(900)).await;
    let now = world.kill().await;
    let world = World::start_at(folder.path(), &plan(), now).await;
    for agent in &mut agents {
        agent.call(&world).await.unwrap();
        assert_eq!(agent.obeyed.len(), 1, "{agent:?}");
        // And once more, while its outcome is on its way: the same number, so nothing runs twice.
        agent.call(&world).await.unwrap();
        assert_eq!(agent.runs.values().sum::<u32>(), 1);
    }
    assert_eq!(live(&world, &mut agents, 30, "finished").await, "finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_policy_or_a_second_controller_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path(), &plan()).await;
    let second = World::try_start(folder.path(), &plan(), world.now()).await.err().unwrap().to_string();
    assert!(second.contains("is in use by a controller that runs"), "{second}");
    let now = world.kill().await;
    let mut other = plan();
    other.policy = other.policy.with_field("attempts.timeout", "21m").unwrap();
    let refused = World::try_start(folder.path(), &other, now).await.err().unwrap().to_string();
    assert!(refused.contains("other policy"), "{refused}");
}
