//! Rises nobody foresaw. The full study is `benches/examples/ramps.rs`.

use super::lines;
use slacktide_engine::journal::entry::Entry;
use slacktide_engine::rollout::{Cause, RolloutState};
use slacktide_scenarios::library;
use slacktide_sim::{RunResult, Setup, run};

/// The world `sudden-ramp`, as far as it differs here, under a seed.
fn ramp(seed: u64, percent: f64, fields: &[(&str, &str)]) -> RunResult {
    let mut scenario = library::named("sudden-ramp").unwrap();
    for group in &mut scenario.pools {
        group.load.ramp =
            group.load.ramp.filter(|_| percent > 0.0).map(|ramp| slacktide_scenarios::Ramp { percent, ..ramp });
    }
    let mut policy =
        scenario.policy().unwrap().with_field("forecast.models", "[\"naive\", \"seasonal-mean\"]").unwrap();
    for (field, value) in fields {
        policy = policy.with_field(field, value).unwrap();
    }
    let result = run(&Setup::new(scenario, policy), seed, &|_| {});
    assert_eq!(result.violations, Vec::<String>::new(), "seed {seed}");
    result
}

const UNWATCHED: [(&str, &str); 3] =
    [("monitor.watch_pools", "false"), ("monitor.capacity_floor", "\"off\""), ("monitor.nowcast", "false")];

fn critical_after(result: &RunResult) -> Option<f64> {
    result.measures.get("critical_after_s").copied()
}

fn stopped_before(result: &RunResult, seconds: f64) -> bool {
    let lines = lines(result);
    let announced = lines.iter().find(|l| matches!(l.entry, Entry::Rollout { .. })).map(|l| l.at).unwrap();
    lines.iter().any(|line| {
        let stop =
            matches!(line.entry, Entry::Rollout { to: RolloutState::Paused, cause: Some(Cause::ForecastBreach), .. });
        stop && line.at.since(announced).as_secs_f64() < seconds
    })
}

/// What the world teaches: without the watch the pools break, with it something is done about it before.
#[test]
fn a_sudden_ramp_is_acted_on_before_it_breaks_a_pool() {
    let (mut breaks, mut acted) = (0, 0);
    for seed in 1..=12 {
        let Some(breach) = critical_after(&ramp(seed, 40.0, &UNWATCHED)) else { continue };
        breaks += 1;
        let watched = ramp(seed, 40.0, &[]);
        let in_time = stopped_before(&watched, breach) || critical_after(&watched).is_none_or(|at| at > breach);
        acted += u32::from(in_time);
    }
    assert!(breaks >= 9, "only {breaks} of 12 worlds break without the watch");
    assert!(acted + 1 >= breaks, "acted before the breach in {acted} of {breaks}");
}

#[test]
fn without_a_ramp_nothing_is_stopped() {
    for seed in 1..=12 {
        let result = ramp(seed, 0.0, &[]);
        assert_eq!(result.state, RolloutState::Finished, "seed {seed}");
        assert!(!stopped_before(&result, f64::INFINITY), "seed {seed}");
    }
}

/// The forecast alone, as hourly as it is, sees the same rise later.
#[test]
fn the_forecast_alone_is_later() {
    let minutes = |fields: &[(&str, &str)]| -> f64 {
        (1..=4).map(|seed| ramp(seed, 40.0, fields).measures["critical_pool_minutes"]).sum()
    };
    let (forecast, nowcast) = (minutes(&[("monitor.nowcast", "false")]), minutes(&[]));
    assert!(nowcast < forecast / 2.0, "critical for {nowcast} min with the nowcast, {forecast} min without");
}
