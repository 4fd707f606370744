//! The bad-release test on whole rollouts: false alarms where nothing changes, and power beside two simpler tests.
//!
//! `cargo run --release -p slacktide-benches --example bad_release -- [--seeds N] [--devices N,…] [--effects 0,3,10,leak] [--policy P]
//! [--default-models] [--traces NAME=PATH[:COLUMN] …]`, or `-- --cost [devices]` for the time of a tick of a large fleet.
//!
//! Without `--traces` the load is synthetic. Devices follow the recorded machines in pools of 20; the rollout is that of the policy. The engine's
//! own test is switched off, so that each rollout goes to its end and all tests see the same ticks; a test is taken to stop the rollout when
//! it first passes its threshold. Forecasts come from three models that cost nothing unless `--default-models` is given: only the two simpler
//! tests look at them. The simpler tests get the threshold at which they raise as many false alarms as ours did in all placebo rollouts of
//! that number of devices together. An effect is points of CPU at once; `leak` is one point an hour.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example says what it measured")]

use rayon::prelude::*;
use slacktide_engine::policy::library as policies;
use slacktide_engine::risk::bad_release::BadRelease;
use slacktide_engine::risk::baselines::{Cusum, standardised_difference};
use slacktide_engine::risk::{DeviceTick, Group, PoolTick, Tick};
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::recorded::{ReadOptions, read};
use slacktide_scenarios::{BadRelease as Bad, BadReleaseKind, library};
use slacktide_sim::{LoadSource, Setup, run_watched};
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

/// Ours, a fixed threshold, a CUSUM.
const TESTS: usize = 3;
const RATE: f64 = 0.01;

/// A moment at which a statistic was higher than ever before.
#[derive(Clone, Copy)]
struct Height {
    value: f64,
    /// Since the first device ran the release; NaN where it is not bad.
    minutes: f64,
    exposed: usize,
}

#[derive(Clone, Default)]
struct Outcome {
    heights: [Vec<Height>; TESTS],
    hours: f64,
}

impl Outcome {
    fn top(&self, test: usize) -> f64 {
        self.heights[test].last().map_or(f64::NEG_INFINITY, |h| h.value)
    }
}

struct Options {
    seeds: u64,
    devices: Vec<usize>,
    effects: Vec<String>,
    policy: Option<String>,
    default_models: bool,
    traces: Vec<String>,
}

fn options() -> Result<Options, Box<dyn Error>> {
    let effects = "0,2,3,5,10,18,leak".split(',').map(str::to_owned).collect();
    let mut options =
        Options { seeds: 10, devices: vec![200], effects, policy: None, default_models: false, traces: Vec::new() };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--seeds" => options.seeds = value()?.parse()?,
            "--devices" => options.devices = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--effects" => options.effects = value()?.split(',').map(str::to_owned).collect(),
            "--policy" => options.policy = Some(value()?),
            "--default-models" => options.default_models = true,
            "--traces" => options.traces.push(value()?),
            _ => options.traces.push(arg),
        }
    }
    // Thresholds come from the placebo rollouts.
    options.effects.retain(|effect| effect != "0");
    options.effects.insert(0, "0".to_owned());
    Ok(options)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("--cost") {
        cost(args.next().and_then(|n| n.parse().ok()).unwrap_or(100_000));
        return Ok(());
    }
    let options = options()?;
    let mut worlds = BTreeMap::new();
    if options.traces.is_empty() {
        worlds.insert("synthetic".to_owned(), world(None, &options)?);
    }
    for traces in &options.traces {
        let (name, path) =
            traces.split_once('=').unwrap_or_else(|| (traces.rsplit('/').next().unwrap_or("traces"), traces));
        worlds.insert(name.to_owned(), world((!path.is_empty()).then_some(path), &options)?);
    }
    for devices in &options.devices {
        let mut outcomes: BTreeMap<(&str, usize), Vec<Outcome>> = BTreeMap::new();
        for (e, effect) in options.effects.iter().enumerate() {
            for (name, setup) in &worlds {
                eprintln!("{name}, {devices} devices, effect {effect}");
                let setup = with_effect(setup, *devices, effect)?;
                let found = (1..=options.seeds).into_par_iter().map(|seed| one(&setup, seed)).collect();
                outcomes.insert((name.as_str(), e), found);
            }
        }
        report(*devices, &options.effects, &outcomes);
    }
    Ok(())
}

fn world(traces: Option<&str>, options: &Options) -> Result<Setup, Box<dyn Error>> {
    let mut scenario = library::named("bad-release")?;
    scenario.failures.bad_release = None;
    let policy = match &options.policy {
        Some(name) => policies::named(name)?,
        None => scenario.policy()?,
    };
    let mut setup = Setup::new(scenario, policy.with_field("monitor.false_alarm_rate", "off")?);
    if !options.default_models {
        setup.policy = setup.policy.with_field("forecast.models", "[\"naive\", \"average\", \"seasonal-mean\"]")?;
    }
    let Some(traces) = traces else { return Ok(setup) };
    // One group of pools.
    setup.scenario.pools.truncate(1);
    let (path, column) = traces.split_once(':').unwrap_or((traces, "cpu"));
    let only = ReadOptions { metrics: Some(vec![column.to_owned()]), any_number: true, ..ReadOptions::default() };
    let mut recording = read(&[path.into()], &only)?;
    let highest = recording.columns[0].iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max);
    // Shares of one are percent of a hundred.
    let factor = if highest <= 1.5 { 100.0 } else { 1.0 };
    recording.columns[0].iter_mut().for_each(|v| *v = (*v * factor).clamp(0.0, 100.0));
    setup.load = LoadSource::Recorded { recording: Arc::new(recording), pool_size: 20, pool_peak_percent: None };
    setup.fit_to_recording()?;
    Ok(setup)
}

fn with_effect(base: &Setup, devices: usize, effect: &str) -> Result<Setup, Box<dyn Error>> {
    let mut setup = base.clone();
    setup.scenario.devices = devices;
    let (cpu_points, ramp) = match effect {
        "leak" => (100.0, Span::from_secs(360_000)),
        points => (points.parse()?, Span::ZERO),
    };
    if cpu_points > 0.0 {
        let kind = BadReleaseKind::Regression { cpu_points, ramp };
        setup.scenario.failures.bad_release =
            Some(Bad { kind, variants: Vec::new(), version: setup.scenario.package.version });
    }
    Ok(setup)
}

fn one(setup: &Setup, seed: u64) -> Outcome {
    let mut test = BadRelease::new(RATE, setup.policy.monitor.regression_tolerance_points);
    let mut cusum = Cusum::default();
    let mut outcome = Outcome::default();
    let (mut devices, mut pools) = (Vec::new(), Vec::new());
    let mut began: Option<Instant> = None;
    run_watched(setup, seed, &|_| {}, &mut |sight| {
        if !sight.engine.risk_tick(&mut devices, &mut pools) {
            return;
        }
        let hours = sight.now.since(*began.get_or_insert(sight.now)).as_secs_f64() / 3600.0;
        outcome.hours = hours;
        let tick = Tick { now: sight.now, devices: &devices, pools: &pools };
        let fleet = sight.engine.fleet();
        test.tick(&tick, &mut |device, past| {
            fleet.history.read(device, fleet.demand_metric(), 1.0, past);
            setup.policy.plan.slot
        });
        let difference = standardised_difference(&tick).unwrap_or(0.0);
        let minutes = sight.first_exposed.map_or(f64::NAN, |at| sight.now.since(at).as_secs_f64() / 60.0);
        for (heights, value) in outcome.heights.iter_mut().zip([test.log_e(), difference, cusum.tick(difference)]) {
            if heights.last().is_none_or(|h| value > h.value) {
                heights.push(Height { value, minutes, exposed: sight.exposed });
            }
        }
    });
    outcome
}

fn report(devices: usize, effects: &[String], outcomes: &BTreeMap<(&str, usize), Vec<Outcome>>) {
    let promised = -RATE.ln();
    let placebo: Vec<&Outcome> = outcomes.iter().filter(|((_, e), _)| *e == 0).flat_map(|(_, o)| o).collect();
    let alarms = placebo.iter().filter(|o| o.top(0) >= promised).count();
    let (low, high) = wilson(alarms, placebo.len());
    println!(
        "\n## {devices} devices\n\nPlacebo: {alarms} false alarms in {} rollouts ({:.2} %, 95 % interval {:.2} to {:.2} %)\n",
        placebo.len(),
        alarms as f64 / placebo.len() as f64 * 100.0,
        low * 100.0,
        high * 100.0
    );
    println!(
        "| load | rollouts | false alarms | highest log e-value: median, highest | hours, median |\n|---|---|---|---|---|"
    );
    for ((name, _), o) in outcomes.iter().filter(|((_, e), _)| *e == 0) {
        let tops: Vec<f64> = o.iter().map(|o| o.top(0)).collect();
        let false_alarms = tops.iter().filter(|t| **t >= promised).count();
        let hours = quantile(o.iter().map(|o| o.hours).collect(), 0.5);
        println!(
            "| {name} | {} | {false_alarms} | {:.1}, {:.1} | {hours:.1} |",
            o.len(),
            quantile(tops.clone(), 0.5),
            quantile(tops, 1.0)
        );
    }
    // As many false alarms for the others: just above the height that one more placebo rollout reached.
    let calibrated = |test: usize| {
        let mut tops: Vec<f64> = placebo.iter().map(|o| o.top(test)).collect();
        tops.sort_by(|a, b| b.total_cmp(a));
        tops[alarms.min(tops.len() - 1)] * (1.0 + 1e-9)
    };
    let thresholds = [promised, calibrated(1), calibrated(2)];
    println!(
        "\nThresholds with as many false alarms: {:.1} standard errors, CUSUM {:.1}\n",
        thresholds[1], thresholds[2]
    );
    println!(
        "| load | rise | ours: found, minutes (9 of 10), devices | {:.1} standard errors | CUSUM |\n|---|---|---|---|---|",
        thresholds[1]
    );
    for ((name, e), o) in outcomes.iter().filter(|((_, e), _)| *e > 0) {
        let cells: Vec<String> = thresholds.iter().enumerate().map(|(k, threshold)| cell(o, k, *threshold)).collect();
        println!("| {name} | {} | {} |", effects[*e], cells.join(" | "));
    }
}

fn cell(outcomes: &[Outcome], test: usize, threshold: f64) -> String {
    let found: Vec<&Height> =
        outcomes.iter().filter_map(|o| o.heights[test].iter().find(|h| h.value >= threshold)).collect();
    let (low, high) = wilson(found.len(), outcomes.len());
    let share =
        format!("{:.0} % ({:.0}–{:.0})", found.len() as f64 / outcomes.len() as f64 * 100.0, low * 100.0, high * 100.0);
    if found.is_empty() {
        return share;
    }
    let minutes = |q| quantile(found.iter().map(|h| h.minutes).collect(), q);
    let exposed = quantile(found.iter().map(|h| h.exposed as f64).collect(), 0.5);
    format!("{share}, {:.0} ({:.0}), {exposed:.0}", minutes(0.5), minutes(0.9))
}

/// Time of a tick: a fleet in pools of 20, a thirtieth of it updated at every tick once the first hour is over.
fn cost(count: usize) {
    let mut test = BadRelease::new(RATE, 1.0);
    let pools = vec![PoolTick { weight_total: 20.0, weight_serving: 20.0 }; count.div_ceil(20)];
    let mut times = Vec::new();
    for t in 0..36 {
        let device = |d: usize| {
            let begin = 12 + d * 7 % 30;
            let group = match t {
                t if t >= begin + 3 => Group::Treated,
                t if t >= begin => Group::Absent,
                _ => Group::Control,
            };
            let load = 30.0 + ((d * 7919 + t * 104_729) % 1000) as f32 / 100.0;
            DeviceTick { load: Some(load), point: None, pool: (d / 20) as u32, variant: 0, group }
        };
        let devices: Vec<DeviceTick> = (0..count).map(device).collect();
        let tick = Tick { now: Instant::from_secs(t as i64 * 300), devices: &devices, pools: &pools };
        let begin = std::time::Instant::now();
        test.tick(&tick, &mut |d, past| {
            past.extend((0..672).map(|k| 30.0 + ((d * 31 + k * 17) % 100) as f32 / 10.0));
            Span::from_secs(900)
        });
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    let first = times.remove(0);
    println!(
        "{count} devices: first tick {first:.1} ms, then {:.1} ms at the median, {:.1} ms at most",
        quantile(times.clone(), 0.5),
        quantile(times, 1.0)
    );
}

/// 95 % interval of a share (Wilson).
fn wilson(hits: usize, of: usize) -> (f64, f64) {
    let (n, z) = (of as f64, 1.96_f64);
    let p = hits as f64 / n;
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1) as f64;
    values.get((last * q).round() as usize).copied().unwrap_or(f64::NAN)
}
