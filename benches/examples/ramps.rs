//! Rises nobody foresaw: is a breach acted on before it comes, and is anything stopped where none comes?
//!
//! Worlds are drawn from seeds: level, daily curve, noise, size of pools, and a rise that history does not know (height, start, duration),
//! or none in one of four. Each world runs three times under the same seed, so that load and durations are the same:
//! *off* (nobody watches pools or the floor), *forecast* (the watch as it was: the hourly forecast alone) and *nowcast*.
//!
//! A world has a **breach** when without the watch there is a tick at which the demand of a pool that has devices out for the rollout is
//! more than `monitor.critical_load_percent` of its weight in service; the breach is the first such tick. The engine **acted before it**
//! when it stopped for `forecast-breach` in the two hours before that tick, or when by that tick no pool is critical and it held devices
//! back instead: runs under one seed are the same until the engine does something else. Stricter figures stand beside: worlds that became
//! critical at any time, and for how long. A **false pause** is any stop for capacity, now or ahead, in a world without a breach.
//!
//! `cargo run --release -p slacktide-benches --example ramps [breaches [first-seed]] [--traces FILE,… [--peak PERCENT]]`
//! With traces, recorded load without rises stands in for the worlds, and only false pauses are counted.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example says what it measured")]

use rayon::prelude::*;
use slacktide_engine::journal::ChainReader;
use slacktide_engine::journal::entry::Entry;
use slacktide_engine::rollout::{Cause, RolloutState};
use slacktide_scenarios::Scenario;
use slacktide_scenarios::recorded::{ReadOptions, read};
use slacktide_sim::{LoadSource, RunResult, Setup, run};
use std::collections::BTreeMap;
use std::sync::Arc;

const ARMS: [&str; 3] = ["off", "forecast", "nowcast"];
/// A stop longer than this before a breach was about something else.
const BEFORE_S: f64 = 7200.0;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().position(|a| a == name).and_then(|i| args.get(i + 1));
    let number = |i: usize| args.get(i).and_then(|n| n.parse::<u64>().ok());
    if let Some(files) = value("--traces") {
        let peak = value("--peak").and_then(|p| p.parse().ok()).unwrap_or(70.0);
        recorded(&files.split(',').map(Into::into).collect::<Vec<_>>(), peak, number(0).unwrap_or(20));
    } else {
        synthetic(number(0).unwrap_or(200) as usize, number(1).unwrap_or(100_000));
    }
}

/// One world in its three arms.
struct World {
    seed: u64,
    arms: Vec<Told>,
}

/// What is kept of a run; its journal would be megabytes.
struct Told {
    measures: BTreeMap<String, f64>,
    violations: Vec<String>,
    stops: Vec<(f64, Cause)>,
}

fn tell(setup: &Setup, seed: u64) -> Told {
    let result = run(setup, seed, &|_| {});
    Told { stops: stops(&result), violations: result.violations.clone(), measures: result.measures }
}

impl World {
    fn breach_s(&self) -> Option<f64> {
        critical_after(&self.arms[0])
    }
}

fn synthetic(wanted: usize, first: u64) {
    let (mut breaches, mut calm, mut next) = (Vec::new(), Vec::new(), first);
    while breaches.len() < wanted || calm.len() < wanted {
        let off: Vec<(u64, Told)> =
            (next..next + 32).into_par_iter().map(|seed| (seed, tell(&setup(seed, "off"), seed))).collect();
        let want = |breach: bool| if breach { wanted - breaches.len() } else { wanted - calm.len() };
        let mut left = [want(false), want(true)];
        let mut keep = |off: &Told| {
            let left = &mut left[usize::from(critical_after(off).is_some())];
            let keep = *left > 0;
            *left = left.saturating_sub(1);
            keep
        };
        let kept: Vec<(u64, Told)> = off.into_iter().filter(|(_, off)| keep(off)).collect();
        let worlds: Vec<World> = kept
            .into_par_iter()
            .map(|(seed, off)| {
                let rest = ARMS[1..].iter().map(|arm| tell(&setup(seed, arm), seed));
                World { seed, arms: std::iter::once(off).chain(rest).collect() }
            })
            .collect();
        for world in worlds {
            if world.breach_s().is_some() { breaches.push(world) } else { calm.push(world) }
        }
        next += 32;
        eprintln!("{} worlds drawn, {} with a breach, {} without", next - first, breaches.len(), calm.len());
    }
    println!("seeds {first} to {}", next - 1);
    println!("\n{} worlds with a breach", breaches.len());
    for (arm, name) in ARMS.iter().enumerate() {
        with_breach(name, &breaches, arm);
    }
    println!("\n{} worlds without", calm.len());
    for (arm, name) in ARMS.iter().enumerate() {
        without_breach(name, &calm, arm);
    }
}

fn with_breach(name: &str, worlds: &[World], arm: usize) {
    let (mut acted, mut held, mut leads, mut never) = (0, 0, Vec::new(), 0);
    for world in worlds {
        let (result, breach) = (&world.arms[arm], world.breach_s().unwrap_or(0.0));
        let lead = result
            .stops
            .iter()
            .filter(|(_, cause)| *cause == Cause::ForecastBreach)
            .map(|(at, _)| breach - at)
            .find(|lead| *lead > 0.0 && *lead <= BEFORE_S);
        let kept = critical_after(result).is_none_or(|at| at > breach);
        if let Some(lead) = lead {
            leads.push(lead / 60.0);
        } else if kept {
            held += 1;
        } else if name == "nowcast" && std::env::args().any(|a| a == "--misses") {
            println!("    missed: seed {}, breach after {:.0} min", world.seed, breach / 60.0);
        }
        acted += usize::from(lead.is_some() || kept);
        never += usize::from(critical_after(result).is_some());
    }
    println!("  {name}: acted before the breach in {}", share(acted, worlds.len()));
    println!("    of them {} by not sending; minutes from the stop to the breach: {}", held, quartiles(&mut leads));
    println!("    critical at any time in {}", share(never, worlds.len()));
    costs(worlds, arm);
}

fn without_breach(name: &str, worlds: &[World], arm: usize) {
    let paused = worlds.iter().filter(|w| !w.arms[arm].stops.is_empty()).count();
    println!("  {name}: false pause in {}", share(paused, worlds.len()));
    if std::env::args().any(|a| a == "--misses") {
        for world in worlds.iter().filter(|w| !w.arms[arm].stops.is_empty()) {
            println!("    seed {}: {:?}", world.seed, world.arms[arm].stops);
        }
    }
    costs(worlds, arm);
}

fn costs(worlds: &[World], arm: usize) {
    let mean = |name: &str| {
        let sum: f64 = worlds.iter().map(|w| w.arms[arm].measures.get(name).copied().unwrap_or(0.0)).sum();
        sum / worlds.len().max(1) as f64
    };
    let broken: usize = worlds.iter().map(|w| w.arms[arm].violations.len()).sum();
    for world in worlds.iter().filter(|w| !w.arms[arm].violations.is_empty()) {
        eprintln!("PROMISE BROKEN in {} under seed {}: {:?}", ARMS[arm], world.seed, world.arms[arm].violations);
    }
    println!(
        "    a world: {:.1} min critical, {:.1} device-minutes of overload caused, rollout {:.1} h{}",
        mean("critical_pool_minutes"),
        mean("overload_caused_device_minutes"),
        mean("makespan_s") / 3600.0,
        if broken > 0 { format!(", {broken} BROKEN PROMISES") } else { String::new() }
    );
}

fn critical_after(result: &Told) -> Option<f64> {
    result.measures.get("critical_after_s").copied()
}

/// Stops for capacity: seconds after the rollout was announced, and why.
fn stops(result: &RunResult) -> Vec<(f64, Cause)> {
    let mut reader = ChainReader::default();
    let mut announced = None;
    let mut stops = Vec::new();
    for line in result.journal.iter().filter_map(|line| reader.read(line).ok()) {
        if let Entry::Rollout { from, to, cause, .. } = line.entry {
            let begin = *announced.get_or_insert(line.at);
            let capacity = cause.filter(|c| matches!(c, Cause::ForecastBreach | Cause::CapacityFloor));
            if let (RolloutState::Running, RolloutState::Paused, Some(cause)) = (from, to, capacity) {
                stops.push((line.at.since(begin).as_secs_f64(), cause));
            }
        }
    }
    stops
}

/// A share in percent with its Wilson interval.
fn share(count: usize, of: usize) -> String {
    let (p, n, z) = (count as f64 / of.max(1) as f64, of.max(1) as f64, 1.959_964);
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    format!(
        "{count} of {of}: {:.1} % [{:.1}, {:.1}]",
        100.0 * p,
        100.0 * (middle - half).max(0.0),
        100.0 * (middle + half)
    )
}

fn quartiles(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let at = |q: f64| values.get(((values.len() as f64 - 1.0) * q).round() as usize).copied().unwrap_or(f64::NAN);
    format!(
        "{:.0} / {:.0} / {:.0} / {:.0} / {:.0} (least, quarter, median, three quarters, most)",
        at(0.0),
        at(0.25),
        at(0.5),
        at(0.75),
        at(1.0)
    )
}

fn armed(scenario: Scenario, arm: &str) -> Setup {
    let policy = scenario.policy().unwrap_or_else(|e| panic!("{e}"));
    let fields: &[(&str, &str)] = match arm {
        "off" => &[("watch_pools", "false"), ("capacity_floor", "\"off\""), ("nowcast", "false")],
        "forecast" => &[("nowcast", "false")],
        _ => &[],
    };
    let set = |policy: slacktide_engine::policy::Policy, (field, value): &(&str, &str)| {
        policy.with_field(&format!("monitor.{field}"), value).unwrap_or_else(|e| panic!("{e}"))
    };
    let policy = fields.iter().fold(policy, set);
    Setup::new(scenario, policy)
}

/// Even draws from a seed (SplitMix64).
struct Draws(u64);

impl Draws {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + (high - low) * ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn setup(seed: u64, arm: &str) -> Setup {
    let mut draws = Draws(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut draw = |low, high| draws.between(low, high);
    let (base, amplitude, peak_hour) = (draw(25.0, 50.0), draw(5.0, 25.0), draw(0.0, 24.0));
    let (noise, pool_noise, pool_size) = (draw(2.0, 6.0), draw(0.5, 2.0), draw(6.0, 16.0).floor());
    let (height, after, duration) = (draw(10.0, 50.0), draw(0.0, 180.0), draw(30.0, 180.0));
    let height = if seed.is_multiple_of(4) { 0.0 } else { height };
    let text = format!(
        "devices = 64\nhistory = \"4d\"\nuntil_max = \"2d\"\n[[pools]]\nname = \"p\"\npool_size = {pool_size}\n\
         load = {{ base_percent = {base}, daily_amplitude_percent = {amplitude}, daily_peak_hour = {peak_hour}, noise_percent = {noise}, \
         pool_noise_percent = {pool_noise}, ramp_percent = {height}, ramp_after = \"{after:.0}m\", ramp_duration = \"{duration:.0}m\", \
         ramp_hold = \"2h\" }}\n[[policy_overrides.waves]]\nshare_percent = 100\nsoak = \"0s\"\n"
    );
    armed(Scenario::from_toml("ramps", &text).unwrap_or_else(|e| panic!("{e}")), arm)
}

fn recorded(files: &[std::path::PathBuf], peak: f64, runs: u64) {
    let recording = read(files, &ReadOptions::default()).unwrap_or_else(|e| panic!("{e}"));
    let recording = Arc::new(recording);
    println!("{} recorded machines, {runs} seeds, pools' p99 at {peak} % of capacity", recording.devices.len());
    let setup = |arm: &str| {
        let text = "devices = 120\nuntil_max = \"4d\"\n[[pools]]\nname = \"p\"\n";
        let mut setup = armed(Scenario::from_toml("recorded", text).unwrap_or_else(|e| panic!("{e}")), arm);
        setup.load =
            LoadSource::Recorded { recording: Arc::clone(&recording), pool_size: 12, pool_peak_percent: Some(peak) };
        setup.fit_to_recording().unwrap_or_else(|e| panic!("{e}"));
        setup
    };
    let world = |seed| World { seed, arms: ARMS.iter().map(|arm| tell(&setup(arm), seed)).collect() };
    let worlds: Vec<World> = (1..=runs).into_par_iter().map(world).collect();
    let (breaches, calm): (Vec<World>, Vec<World>) = worlds.into_iter().partition(|w| w.breach_s().is_some());
    println!("{} worlds with a breach", breaches.len());
    for (arm, name) in ARMS.iter().enumerate().filter(|_| !breaches.is_empty()) {
        with_breach(name, &breaches, arm);
    }
    println!("{} worlds without", calm.len());
    for (arm, name) in ARMS.iter().enumerate() {
        without_breach(name, &calm, arm);
    }
}
