//! What may come of a journal: told only by what was known, the same for any number of threads, and mostly as it came.

use crate::{lines, setup};
use slacktide_engine::journal::entry::Entry;
use slacktide_engine::journal::{JournalMode, Line};
use slacktide_engine::rollout::RolloutState;
use slacktide_engine::time::{Instant, Span};
use slacktide_sim::run;
use slacktide_sim::twin::{Question, Scores, TwinError, look_ahead, score};

fn recorded(seed: u64) -> Vec<Line> {
    let mut full = setup("busy-evening", "predictive");
    full.scenario.devices = 50;
    full.policy = full.policy.with_field("forecast.models", "[\"seasonal-mean\", \"naive\"]").unwrap();
    full.journal = JournalMode::Full;
    lines(&run(&full, seed, &|_| {}))
}

fn question(runs: u64) -> Question {
    Question { ahead: Span::from_secs(24 * 3600), runs, seed: 7, alternatives: Vec::new() }
}

/// A share of the time between the start of the rollout and its end, and the position of the first line after it.
fn cut(lines: &[Line], share: f64) -> (Instant, usize) {
    let at = |wanted: fn(RolloutState) -> bool| {
        let is = move |line: &&Line| matches!(&line.entry, Entry::Rollout { to, .. } if wanted(*to));
        lines.iter().find(is).unwrap().at
    };
    let (begun, ended) = (at(|state| state == RolloutState::Running), at(RolloutState::is_end));
    let at = begun + Span::from_secs_f64(ended.since(begun).as_secs_f64() * share);
    (at, lines.partition_point(|line| line.at <= at))
}

#[test]
fn the_truth_mostly_lies_within_the_bands() {
    let mut scores = Scores::default();
    for seed in 0..8 {
        let lines = recorded(seed);
        let (_, cut) = cut(&lines, 0.5);
        let twin = look_ahead(&lines[..cut], &question(20), &|| {}).unwrap();
        scores.add(&twin, &lines[cut..], Span::from_secs(900));
    }
    let near = &scores.capacity[..2];
    let count: u64 = near.iter().map(|score| score.count).sum();
    let shares = [0, 1, 2].map(|b| near.iter().map(|score| score.within[b]).sum::<u64>() as f64 / count as f64);
    assert!(count >= 64, "{scores:?}");
    // Slots of one course lie in or out together: eight courses are few. The example `twin_coverage` asks hundreds.
    assert!((0.25..0.8).contains(&shares[0]) && (0.55..0.99).contains(&shares[1]) && shares[2] > 0.7, "{shares:?}");
    assert!(shares[0] < shares[1] && shares[1] < shares[2], "{shares:?}");
    assert!(scores.completion.unwrap().within[2] >= 5, "{scores:?}");
}

#[test]
fn it_is_the_same_for_any_number_of_threads_and_never_sees_what_came() {
    let lines = recorded(3);
    let (at, cut) = cut(&lines, 0.4);
    let ask = |lines: &[Line], threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| look_ahead(lines, &question(6), &|| {}).unwrap())
    };
    let one = ask(&lines[..cut], 1);
    assert_eq!(one.arms[0].courses, ask(&lines[..cut], 2).arms[0].courses);
    assert!(one.at <= at && one.arms[0].courses.iter().all(|course| course.capacity.iter().all(|(t, _)| *t > at)));
    assert_ne!(one.arms[0].courses[0], one.arms[0].courses[1]);
    // Earlier looks of a longer journal are looks of the shorter one.
    let scores = score(&lines, &question(6), 1, &|| {}).unwrap();
    assert!(scores.capacity.iter().map(|score| score.count).sum::<u64>() > 0);
}

#[test]
fn what_cannot_be_asked_is_said() {
    let lines = recorded(1);
    assert_eq!(look_ahead(&lines, &question(10), &|| {}).err(), Some(TwinError::Over));
    let (_, cut) = cut(&lines, 0.5);
    let policy = setup("busy-evening", "predictive").policy;
    let other = policy.with_field("plan.slot", "5m").unwrap();
    let asked = Question { alternatives: vec![other], ..question(10) };
    let said = look_ahead(&lines[..cut], &asked, &|| {}).err().unwrap().to_string();
    assert!(said.contains("plan.slot"), "{said}");
    // Under a policy that lets nobody out nobody goes.
    let own = policy.with_field("forecast.models", "[\"seasonal-mean\", \"naive\"]").unwrap();
    let shut = own
        .with_field("plan.device_load_max", "0")
        .and_then(|p| p.with_field("plan.device_load_tolerance_points", "0"));
    let asked = Question {
        alternatives: vec![shut.unwrap().with_field("plan.pool_reserve_percent", "90").unwrap()],
        ..question(4)
    };
    let twin = look_ahead(&lines[..cut], &asked, &|| {}).unwrap();
    let mean = |arm: usize| twin.arms[arm].courses.iter().map(|c| u64::from(c.updated)).sum::<u64>();
    assert!(mean(1) < mean(0), "{} and {}", mean(0), mean(1));
}
