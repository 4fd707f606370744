//! What another policy would have done, asked of full journals.

use crate::{lines, setup};
use slacktide_engine::journal::entry::Entry;
use slacktide_engine::journal::{ChainReader, JournalMode, Line};
use slacktide_engine::rollout::RolloutState;
use slacktide_sim::run;
use slacktide_sim::whatif::{WhatIfError, what_if};

fn recorded() -> Vec<Line> {
    let mut full = setup("first-rollout", "predictive");
    full.policy = full.policy.with_field("forecast.models", "[\"seasonal-mean\"]").unwrap();
    full.journal = JournalMode::Full;
    lines(&run(&full, 4, &|_| {}))
}

fn policy(name: &str) -> slacktide_engine::policy::Policy {
    let policy = slacktide_engine::policy::library::named(name).unwrap();
    policy.with_field("forecast.models", "[\"seasonal-mean\"]").unwrap()
}

fn batches(journal: &[Line]) -> Vec<(slacktide_engine::time::Instant, usize)> {
    let batch = |line: &Line| match &line.entry {
        Entry::Batch { devices, .. } => Some((line.at, devices.len())),
        _ => None,
    };
    journal.iter().filter_map(batch).collect()
}

fn read(journal: &[String]) -> Vec<Line> {
    let mut reader = ChainReader::default();
    journal.iter().map(|line| reader.read(line).unwrap()).collect()
}

#[test]
fn the_policy_of_the_journal_would_have_done_what_it_did() {
    let recorded = recorded();
    let answer = what_if(&recorded, &policy("predictive"), &|_| {}).unwrap();
    assert_eq!(answer.parted, None);
    assert_eq!(answer.states, [RolloutState::Finished]);
    assert_eq!(batches(&read(&answer.journal)), batches(&recorded));
}

/// Another policy parts from the journal where its first decision differs; everything before is the same, and it ends.
#[test]
fn another_policy_parts_where_its_first_decision_differs_and_comes_to_an_end() {
    let recorded = recorded();
    let tight = policy("predictive").with_field("plan.pool_out_max", "1").unwrap();
    for policy in [tight, policy("all-at-once")] {
        let answer = what_if(&recorded, &policy, &|_| {}).unwrap();
        let parted = answer.parted.unwrap();
        let (then, now) = (batches(&recorded), batches(&read(&answer.journal)));
        let same = |batches: &[(slacktide_engine::time::Instant, usize)]| {
            batches.iter().filter(|(at, _)| *at < parted.at).copied().collect::<Vec<_>>()
        };
        assert_eq!(same(&then), same(&now), "{}", policy.name);
        assert_ne!(parted.recorded, parted.instead);
        assert_eq!(answer.states, [RolloutState::Finished], "{}", policy.name);
        let updated: usize = now.iter().map(|(_, n)| n).sum();
        assert!(updated >= 60, "{}: {updated} devices were told to update", policy.name);
    }
}

/// The world model is held against the world: what it says another policy would have done is near what that policy does in the
/// simulated world the journal came from.
#[test]
fn the_world_model_is_near_the_world_it_stands_for() {
    let recorded = recorded();
    let other = policy("predictive").with_field("plan.pool_out_max", "10%").unwrap();
    let answer = what_if(&recorded, &other, &|_| {}).unwrap();
    let mut truth = setup("first-rollout", "predictive");
    truth.policy = other;
    let truth = run(&truth, 4, &|_| {});
    let modelled = read(&answer.journal);
    let makespan = |lines: &[Line]| {
        let state = |to: RolloutState| {
            lines.iter().find(|l| matches!(l.entry, Entry::Rollout { to: t, .. } if t == to)).unwrap().at
        };
        state(RolloutState::Finished).since(state(RolloutState::Running)).as_secs_f64()
    };
    let (model, world) = (makespan(&modelled), makespan(&lines(&truth)));
    assert!((model / world - 1.0).abs() < 0.25, "model {model} s, world {world} s");
}

#[test]
fn a_journal_of_decisions_cannot_be_asked() {
    let decisions = lines(&run(&setup("first-rollout", "all-at-once"), 1, &|_| {}));
    assert_eq!(what_if(&decisions, &policy("predictive"), &|_| {}).unwrap_err(), WhatIfError::DecisionsOnly);
    assert_eq!(what_if(&[], &policy("predictive"), &|_| {}).unwrap_err(), WhatIfError::NoHeader);
}
