//! Whole rollouts through the production engine.

mod bad_release;
mod chaos;
mod faults;

mod curves;
mod ramps;
mod several;
mod twin;
mod whatif;
mod worlds;

use slacktide_engine::journal::entry::Entry;
use slacktide_engine::journal::{ChainReader, JournalMode, Line, replay::replay, verify};
use slacktide_engine::rollout::{Cause, RolloutState};
use slacktide_scenarios::library;
use slacktide_sim::{RunResult, Setup, run};

fn setup(scenario: &str, policy: &str) -> Setup {
    let scenario = library::named(scenario).unwrap();
    let own = scenario.policy().unwrap();
    let policy =
        if policy == scenario.policy { own } else { slacktide_engine::policy::library::named(policy).unwrap() };
    Setup::new(scenario, policy)
}

fn once(scenario: &str, policy: &str, seed: u64) -> RunResult {
    let result = run(&setup(scenario, policy), seed, &|_| {});
    assert_eq!(result.violations, Vec::<String>::new(), "{scenario} {policy} seed {seed}");
    verify(result.journal.iter().map(String::as_str)).unwrap();
    result
}

fn lines(result: &RunResult) -> Vec<Line> {
    let mut reader = ChainReader::default();
    result.journal.iter().map(|line| reader.read(line).unwrap()).collect()
}

#[test]
fn first_rollout_finishes_for_every_policy_of_the_library() {
    for policy in slacktide_engine::policy::library::names() {
        let result = once("first-rollout", policy, 1);
        assert_eq!(result.state, RolloutState::Finished, "{policy}");
        assert!(result.measures["updated_devices"] + result.measures["failed_devices"] >= 60.0, "{policy}");
    }
}

/// Every baseline comes to the end that `docs/baselines.md` names, and keeps what it promises on the way.
#[test]
fn every_policy_of_the_library_ends_a_busy_evening() {
    for policy in slacktide_engine::policy::library::names() {
        let mut setup = setup("busy-evening", policy);
        setup.scenario.devices = 120;
        setup.scenario.until_max = slacktide_engine::time::Span::from_secs(16 * 86_400);
        let result = run(&setup, 2, &|_| {});
        assert_eq!(result.violations, Vec::<String>::new(), "{policy}");
        assert_eq!(result.state, RolloutState::Finished, "{policy}");
    }
}

/// A release that fails on most devices: each baseline stops in its own way.
#[test]
fn baselines_stop_a_crash_loop_as_documented() {
    let ends = [
        ("exponential-rate", RolloutState::Stopped),
        ("groups-with-thresholds", RolloutState::Stopped),
        ("timed-waves", RolloutState::Finished),
    ];
    for (policy, end) in ends {
        let mut bad = setup("bad-release", policy);
        bad.scenario.devices = 200;
        bad.scenario.until_max = slacktide_engine::time::Span::from_secs(16 * 86_400);
        bad.scenario.failures.bad_release = Some(slacktide_scenarios::BadRelease {
            kind: slacktide_scenarios::BadReleaseKind::CrashLoop { percent: 80.0 },
            variants: vec![],
            version: bad.scenario.package.version,
        });
        let result = run(&bad, 3, &|_| {});
        assert_eq!((result.violations.clone(), result.state), (Vec::new(), end), "{policy}");
        let aborted = lines(&result).iter().any(|line| {
            matches!(
                line.entry,
                Entry::Rollout { to: RolloutState::Aborting, cause: Some(Cause::FailureThreshold), .. }
            )
        });
        assert_eq!(aborted, policy == "exponential-rate", "{policy}");
        let waits = |name: &str| {
            lines(&result)
                .iter()
                .any(|line| matches!(&line.entry, Entry::Plan(plan) if plan.waiting.contains_key(name)))
        };
        assert_eq!(waits("not-its-turn"), policy == "timed-waves", "{policy}");
    }
}

/// Half of all installs take longer than was planned for: the next batch must count those that are still out.
#[test]
fn budgets_hold_when_devices_are_out_longer_than_planned() {
    let mut setup = setup("busy-evening", "predictive");
    setup.scenario.devices = 150;
    for (field, value) in [
        ("plan.duration_quantile", "0.5"),
        ("plan.duration_expected", "15m"),
        ("forecast.models", "[\"seasonal-mean\"]"),
    ] {
        setup.policy = setup.policy.with_field(field, value).unwrap();
    }
    for seed in 1..=2 {
        let result = run(&setup, seed, &|_| {});
        assert_eq!((result.violations, result.state), (Vec::new(), RolloutState::Finished), "seed {seed}");
    }
}

/// The oracle is never wrong about a world without the rollout, and a rollout it plans ends like any other.
#[test]
fn perfect_foresight_is_perfect_and_its_rollouts_end() {
    let mut setup = setup("first-rollout", "predictive");
    let own = run(&setup, 3, &|_| {});
    setup.oracle = true;
    let foreseen = run(&setup, 3, &|_| {});
    assert_eq!((foreseen.state, &foreseen.violations), (RolloutState::Finished, &Vec::new()));
    assert!(foreseen.measures["forecast_mae_points"] < 1e-6, "{:?}", foreseen.measures);
    assert!(own.measures["forecast_mae_points"] > 0.5, "{:?}", own.measures);
}

/// A network is trained inside a rollout, takes part from then on, and a full journal replays without training it anew.
#[test]
fn a_network_takes_part_in_a_rollout_and_its_journal_replays() {
    let mut setup = setup("first-rollout", "predictive");
    setup.policy = setup.policy.with_field("forecast.models", "[\"average\", \"lstm\"]").unwrap();
    setup.journal = JournalMode::Full;
    let result = run(&setup, 2, &|_| {});
    assert_eq!(result.violations, Vec::<String>::new());
    let used =
        lines(&result).iter().any(|l| matches!(&l.entry, Entry::Forecast(f) if f.champions.contains_key("lstm")));
    assert!(used, "no series was ever forecast by the network");
    let answer = replay(&lines(&result)).unwrap();
    assert!(answer.first_difference.is_none(), "{:?}", answer.first_difference);
}

#[test]
fn the_same_seed_gives_the_same_journal_on_any_number_of_threads() {
    let hash = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| once("busy-evening", "predictive", seed).journal_hash)
    };
    assert_eq!(hash(1, 7), hash(3, 7));
    assert_ne!(hash(1, 7), hash(1, 8));
}

#[test]
fn waiting_for_slack_causes_no_overload_where_all_at_once_does() {
    let predictive = once("busy-evening", "predictive", 3);
    let all_at_once = once("busy-evening", "all-at-once", 3);
    assert_eq!(predictive.measures["overload_caused_device_minutes"], 0.0);
    assert!(all_at_once.measures["overload_caused_device_minutes"] > 500.0);
}

#[test]
fn a_bad_release_is_stopped_and_taken_back_with_few_devices_exposed_in_every_seed() {
    let mut setup = setup("bad-release", "predictive");
    setup.scenario.failures.rollback_failure_percent = 0.0;
    for seed in 1..=20 {
        let result = run(&setup, seed, &|_| {});
        assert_eq!(result.violations, Vec::<String>::new(), "seed {seed}");
        assert_eq!(result.state, RolloutState::RolledBack, "seed {seed}");
        assert!(
            result.measures["exposed_devices"] < 0.05 * 800.0,
            "seed {seed}: {}",
            result.measures["exposed_devices"]
        );
        let cause = |line: &Line| {
            matches!(line.entry, Entry::Rollout { to: RolloutState::Paused, cause: Some(Cause::BadRelease), .. })
        };
        assert!(lines(&result).iter().any(cause), "seed {seed}");
    }
}

#[test]
fn placebo_rollouts_raise_no_false_alarm() {
    let mut good = setup("bad-release", "predictive");
    good.scenario.failures.bad_release = None;
    for seed in 1..=12 {
        let result = run(&good, seed, &|_| {});
        assert_eq!(result.measures["false_stops"], 0.0, "seed {seed}");
        assert_eq!(result.state, RolloutState::Finished, "seed {seed}");
    }
}

#[test]
fn a_crash_looping_release_trips_the_failure_threshold() {
    let mut bad = setup("bad-release", "predictive");
    let release = slacktide_scenarios::BadRelease {
        kind: slacktide_scenarios::BadReleaseKind::CrashLoop { percent: 60.0 },
        variants: vec![],
        version: bad.scenario.package.version,
    };
    bad.scenario.failures.bad_release = Some(release);
    let result = run(&bad, 5, &|_| {});
    assert_eq!((result.state, result.violations.len()), (RolloutState::RolledBack, 0));
    let cause = |line: &Line| matches!(line.entry, Entry::Rollout { cause: Some(Cause::FailureThreshold), .. });
    assert!(lines(&result).iter().any(cause));
}

#[test]
fn devices_that_crash_are_counted_and_never_lost() {
    for seed in 1..=6 {
        let result = once("crashy-fleet", "predictive", seed);
        let total = result.measures["updated_devices"]
            + result.measures["failed_devices"]
            + result.measures["rolled_back_devices"];
        assert!(total > 0.0 && result.state.is_end(), "seed {seed}: {} after {:?}", result.state, result.measures);
    }
}

#[test]
fn nothing_starts_outside_the_night_window() {
    let result = once("night-window", "predictive", 2);
    assert_eq!(result.state, RolloutState::Finished);
    for line in lines(&result) {
        if let Entry::Batch { .. } = line.entry {
            // 22:00 to 05:00 in Berlin in winter is 21:00 to 04:00 UTC.
            let hour = line.at.as_secs().rem_euclid(86_400) / 3600;
            assert!(!(4..21).contains(&hour), "batch at {}", line.at);
        }
    }
}

#[test]
fn a_full_journal_replays_from_its_inputs_alone() {
    let mut full = setup("first-rollout", "predictive");
    full.journal = JournalMode::Full;
    let result = run(&full, 4, &|_| {});
    let answer = replay(&lines(&result)).unwrap();
    assert_eq!(answer.first_difference, None);
    assert_eq!(answer.entries, result.journal.len() as u64);
}

#[test]
fn a_replay_finds_a_decision_that_was_changed() {
    let mut full = setup("first-rollout", "predictive");
    full.journal = JournalMode::Full;
    let mut lines = lines(&run(&full, 4, &|_| {}));
    let number = lines.iter().position(|l| matches!(l.entry, Entry::Batch { .. })).unwrap();
    if let Entry::Batch { devices, .. } = &mut lines[number].entry {
        devices.reverse();
        devices.truncate(1);
    }
    assert_eq!(replay(&lines).unwrap().first_difference.unwrap().line, number as u64 + 1);
}
