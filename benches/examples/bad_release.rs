//! LAB VERSION
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example says what it measured")]

use rayon::prelude::*;
use slacktide_engine::risk::bad_release::BadRelease;
use slacktide_engine::risk::baselines::{Cusum, standardised_difference};
use slacktide_engine::risk::{Group, Tick};
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::recorded::{ReadOptions, read};
use slacktide_scenarios::{BadRelease as Bad, BadReleaseKind, library};
use slacktide_sim::{LoadSource, Setup, run_watched};
use std::sync::Arc;

const DETECTORS: usize = 3;

#[derive(Clone, Default)]
struct Outcome {
    /// Records of each statistic: value, seconds after the first exposure, devices exposed.
    records: [Vec<(f64, f64, usize)>; DETECTORS],
    looks: [f64; 4],
    hours: f64,
    treated: usize,
    first_wave: usize,
}

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let mut take = |name: &str| {
        let at = args.iter().position(|a| a == name)?;
        args.remove(at);
        Some(args.remove(at))
    };
    let seeds: u64 = take("--seeds").map_or(10, |v| v.parse().unwrap());
    let devices: Vec<usize> =
        take("--devices").map_or(vec![200], |v| v.split(',').map(|x| x.parse().unwrap()).collect());
    let effects: Vec<f64> =
        take("--effects").map_or(vec![0.0, 3.0, 10.0], |v| v.split(',').map(|x| x.parse().unwrap()).collect());
    let tolerance: f64 = take("--tolerance").map_or(1.0, |v| v.parse().unwrap());
    let models = take("--models");
    for set in &args {
        let base = setup(set, models.as_deref());
        for n in &devices {
            let mut worlds = Vec::new();
            for effect in &effects {
                let outcomes: Vec<Outcome> =
                    (1..=seeds).into_par_iter().map(|seed| one(&base, *n, *effect, tolerance, seed)).collect();
                worlds.push((*effect, outcomes));
            }
            report(set.split('=').next().unwrap(), *n, &worlds);
        }
    }
}

fn setup(set: &str, models: Option<&str>) -> Setup {
    let (_, path) = set.split_once('=').unwrap_or(("", set));
    let mut scenario = library::named("first-rollout").unwrap();
    if path.is_empty() {
        scenario = library::named("bad-release").unwrap();
        scenario.failures.bad_release = None;
    }
    let policy = scenario.policy().unwrap();
    let mut setup = Setup::new(scenario, policy);
    for (field, value) in [
        ("monitor.false_alarm_rate", "off"),
        ("forecast.models", models.unwrap_or("[\"naive\",\"average\",\"seasonal-mean\"]")),
    ] {
        if field != "forecast.models" || models != Some("default") {
            setup.policy = setup.policy.with_field(field, value).unwrap();
        }
    }
    if !path.is_empty() {
        let (path, column) = path.split_once(':').unwrap_or((path, "cpu"));
        let options =
            ReadOptions { metrics: Some(vec![column.to_owned()]), any_number: true, ..ReadOptions::default() };
        let mut recording = read(&[path.into()], &options).unwrap();
        let top = recording.columns[0].iter().copied().filter(|v| v.is_finite()).fold(0.0, f32::max);
        let factor = if top <= 1.5 { 100.0 } else { 1.0 };
        recording.columns[0].iter_mut().for_each(|v| *v = (*v * factor).clamp(0.0, 100.0));
        setup.load = LoadSource::Recorded { recording: Arc::new(recording), pool_size: 20, pool_peak_percent: None };
        setup.fit_to_recording().unwrap();
    }
    setup
}

fn one(base: &Setup, devices: usize, effect: f64, tolerance: f64, seed: u64) -> Outcome {
    let mut setup = base.clone();
    setup.scenario.devices = devices;
    if effect != 0.0 {
        let kind = if effect < 0.0 {
            BadReleaseKind::Regression { cpu_points: 100.0, ramp: Span::from_secs(360_000) }
        } else {
            BadReleaseKind::Regression { cpu_points: effect, ramp: Span::ZERO }
        };
        setup.scenario.failures.bad_release = Some(Bad { kind, variants: vec![] });
    }
    let mut test = BadRelease::new(0.01, tolerance);
    let mut cusum = Cusum::default();
    let mut outcome = Outcome::default();
    let (mut ticks, mut pools) = (Vec::new(), Vec::new());
    let mut began: Option<Instant> = None;
    let slot = setup.policy.plan.slot;
    run_watched(&setup, seed, &|_| {}, &mut |sight| {
        if !sight.engine.risk_tick(&mut ticks, &mut pools) {
            return;
        }
        let begin = *began.get_or_insert(sight.now);
        outcome.hours = sight.now.since(begin).as_secs_f64() / 3600.0;
        let tick = Tick { now: sight.now, devices: &ticks, pools: &pools };
        let fleet = sight.engine.fleet();
        test.tick(&tick, &mut |d, out| {
            fleet.history.read(d, fleet.demand_metric(), 1.0, out);
            slot
        });
        let z = standardised_difference(&tick).unwrap_or(0.0);
        let values = [test.log_e(), z, cusum.tick(z)];
        outcome.treated = ticks.iter().filter(|t| t.group == Group::Treated).count();
        if outcome.hours <= 1.0 {
            outcome.first_wave = outcome.treated;
        }
        let delay = sight.first_exposed.map_or(f64::NAN, |at| sight.now.since(at).as_secs_f64());
        for (records, value) in outcome.records.iter_mut().zip(values) {
            if records.last().is_none_or(|(v, _, _)| value > *v) {
                records.push((value, delay, sight.exposed));
            }
        }
    });
    outcome.looks = test.log_e_by_look();
    outcome
}

fn quantile(mut values: Vec<f64>, q: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * q).round() as usize]
}

fn report(name: &str, n: usize, worlds: &[(f64, Vec<Outcome>)]) {
    let top = |o: &Outcome, k: usize| o.records[k].last().map_or(0.0, |r| r.0);
    let placebo = &worlds[0].1;
    let mut thresholds = [100.0_f64.ln(), 0.0, 0.0];
    for (k, threshold) in thresholds.iter_mut().enumerate() {
        let tops: Vec<f64> = placebo.iter().map(|o| top(o, k)).collect();
        let over = tops.iter().filter(|t| **t >= 100.0_f64.ln()).count();
        if k == 0 {
            print!("{name:9} {n:5} false {over}/{} ", placebo.len());
        } else {
            *threshold = quantile(tops.clone(), 0.99);
        }
        print!(" [{:.1} {:.1} {:.1}]", quantile(tops.clone(), 0.5), quantile(tops.clone(), 0.95), quantile(tops, 1.0));
    }
    let looks: Vec<String> = (0..4)
        .map(|l| {
            let v: Vec<f64> = placebo.iter().map(|o| o.looks[l]).collect();
            format!("{:.1}/{:.1}", quantile(v.clone(), 0.5), quantile(v, 1.0))
        })
        .collect();
    println!(
        " hours {:.1} treated {} first {} looks {}",
        quantile(placebo.iter().map(|o| o.hours).collect(), 0.5),
        quantile(placebo.iter().map(|o| o.treated as f64).collect(), 0.5),
        quantile(placebo.iter().map(|o| o.first_wave as f64).collect(), 0.5),
        looks.join(" ")
    );
    for (effect, outcomes) in &worlds[1..] {
        print!("   effect {effect:5} ");
        for (k, threshold) in thresholds.iter().enumerate() {
            let hits: Vec<_> =
                outcomes.iter().filter_map(|o| o.records[k].iter().find(|r| r.0 >= *threshold)).collect();
            let share = hits.len() as f64 / outcomes.len() as f64;
            print!(
                " | {:4.0}% {:6.1} min (90%: {:6.1}) {:4} exposed ",
                share * 100.0,
                quantile(hits.iter().map(|h| h.1 / 60.0).collect(), 0.5),
                quantile(hits.iter().map(|h| h.1 / 60.0).collect(), 0.9),
                quantile(hits.iter().map(|h| h.2 as f64).collect(), 0.5)
            );
        }
        let looks: Vec<String> = (0..4)
            .map(|l| {
                let v: Vec<f64> = outcomes.iter().map(|o| o.looks[l]).collect();
                format!("{:.1}", quantile(v.clone(), 0.5))
            })
            .collect();
        println!("  {}", looks.join(" "));
    }
}
