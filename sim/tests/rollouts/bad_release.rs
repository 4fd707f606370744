//! The bad-release test in whole rollouts.

use crate::{lines, setup};
use slacktide_engine::journal::entry::Entry;
use slacktide_engine::rollout::{Cause, RolloutState};
use slacktide_engine::time::Span;
use slacktide_scenarios::{BadRelease, BadReleaseKind};
use slacktide_sim::{RunResult, Setup, run};

/// Calm machines, cheap forecasts: the test looks at load, not at forecasts.
fn world(devices: usize, rise: Option<(f64, Span)>) -> Setup {
    let mut setup = setup("bad-release", "predictive");
    setup.scenario.devices = devices;
    setup.scenario.history = Span::from_secs(3 * 86_400);
    setup.scenario.failures.rollback_failure_percent = 0.0;
    setup.scenario.failures.bad_release = rise.map(|(cpu_points, ramp)| BadRelease {
        version: setup.scenario.package.version,
        kind: BadReleaseKind::Regression { cpu_points, ramp },
        variants: Vec::new(),
    });
    setup.policy = setup.policy.with_field("forecast.models", "[\"average\", \"seasonal-mean\"]").unwrap();
    setup
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn ten_points_are_stopped_within_a_quarter_of_an_hour_and_the_record_says_why() {
    let setup = world(800, Some((10.0, Span::ZERO)));
    let runs: Vec<RunResult> = (1..=9).map(|seed| run(&setup, seed, &|_| {})).collect();
    let of = |name: &str| median(runs.iter().map(|run| run.measures[name]).collect());
    assert!(of("stop_delay_s") <= 900.0, "{} s", of("stop_delay_s"));
    assert!(of("exposed_devices") <= 30.0, "{}", of("exposed_devices"));
    for run in &runs {
        assert_eq!((run.state, run.violations.len()), (RolloutState::RolledBack, 0), "seed {}", run.seed);
        let release = lines(run).into_iter().find_map(|line| match line.entry {
            Entry::Verdict(verdict) if verdict.cause == Cause::BadRelease => verdict.release,
            _ => None,
        });
        let release = release.unwrap();
        let (low, high) = release.rise_interval.unwrap();
        assert!(release.log_e_value >= release.log_threshold && release.devices > 0 && release.pools > 0);
        assert!(low < 10.0 && high > 5.0, "seed {}: {low} to {high}", run.seed);
    }
}

#[test]
fn nothing_is_stopped_where_nothing_changes() {
    let setup = world(200, None);
    for seed in 1..=20 {
        let run = run(&setup, seed, &|_| {});
        assert_eq!((run.measures["false_stops"], run.state), (0.0, RolloutState::Finished), "seed {seed}");
    }
}

/// A point an hour: long before devices at 60 % at most are full.
#[test]
fn a_slow_leak_is_found_before_devices_are_full() {
    let mut setup = world(800, Some((100.0, Span::from_secs(360_000))));
    setup.policy = slacktide_engine::policy::library::named("cautious")
        .unwrap()
        .with_field("forecast.models", "[\"average\", \"seasonal-mean\"]")
        .unwrap();
    for seed in 1..=5 {
        let run = run(&setup, seed, &|_| {});
        assert_eq!(run.state, RolloutState::RolledBack, "seed {seed}");
        assert!(run.measures["stop_delay_s"] < 24.0 * 3600.0, "seed {seed}: {}", run.measures["stop_delay_s"]);
    }
}
