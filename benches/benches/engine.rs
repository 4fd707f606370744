//! The engine's parts: planner and checker, one tick of telemetry, the journal.
#![allow(missing_docs, reason = "criterion's macros make public items without documentation")]

use criterion::{Criterion, criterion_group, criterion_main};
use slacktide_benches::large_fleet;
use slacktide_engine::ids::{DeviceId, PlanNumber};
use slacktide_engine::input::{DeviceFacts, Input, TelemetryBatch};
use slacktide_engine::journal::{ChainWriter, Entry, verify};
use slacktide_engine::plan::{check::check, planner::plan, stay::replan};
use slacktide_engine::policy::Policy;
use slacktide_engine::time::Instant;
use slacktide_engine::{Engine, Output};
use std::hint::black_box;

fn planner(c: &mut Criterion) {
    for devices in [1_000, 10_000, 100_000] {
        for tight in [false, true] {
            let mut input = large_fleet(devices, tight, false);
            let name = if tight { "every limit" } else { "pools" };
            c.bench_function(&format!("plan, {name}/{devices}"), |b| {
                b.iter(|| plan(black_box(&input), PlanNumber(1), None));
            });
            let (made, _) = plan(&input, PlanNumber(1), None);
            c.bench_function(&format!("check, {name}/{devices}"), |b| b.iter(|| check(black_box(&made), &input)));
            // A new forecast: one pool in ten is busier than was thought.
            for pool in input.pools.iter_mut().step_by(10) {
                pool.demand_upper.iter_mut().for_each(|demand| *demand *= 1.1);
            }
            c.bench_function(&format!("re-plan, {name}/{devices}"), |b| {
                b.iter(|| replan(black_box(&input), PlanNumber(2), &made));
            });
        }
    }
}

fn tick(c: &mut Criterion) {
    let metrics = ["cpu", "memory", "network", "disk"].map(str::to_owned);
    for devices in [1_000_u32, 10_000, 100_000] {
        let mut engine = Engine::new(Policy::default(), &metrics);
        let facts = |n: u32| DeviceFacts {
            id: DeviceId::new(format!("d{n}")),
            pool: format!("p{}", n / 20).as_str().into(),
            region: "eu".into(),
            site: "eu-1".into(),
            function: "web".to_owned(),
            criticality: None,
            version: "1.0".parse().expect("a version"),
            variant: "a".to_owned(),
            weight: 1.0,
            requirement: 1.0,
        };
        engine.handle_input(Instant::from_secs(0), Input::Enrolled { devices: (0..devices).map(facts).collect() });
        let mut now = 0;
        c.bench_function(&format!("engine tick, 4 metrics/{devices}"), |b| {
            b.iter(|| {
                now += 300;
                let batch = TelemetryBatch { devices: None, columns: vec![vec![40.0; devices as usize]; 4] };
                engine.handle_input(Instant::from_secs(now), Input::Telemetry(batch));
                while !matches!(engine.poll_output(), Output::Wake { .. }) {}
            });
        });
    }
}

fn journal(c: &mut Criterion) {
    let run = slacktide_sim::run(&slacktide_benches::busy_evening(600), 1, &|_| {});
    c.bench_function(&format!("journal verify/{} entries", run.journal.len()), |b| {
        b.iter(|| verify(run.journal.iter().map(String::as_str)).expect("an intact journal"));
    });
    c.bench_function("journal append", |b| {
        let mut chain = ChainWriter::default();
        b.iter(|| {
            chain.line(Instant::from_secs(1), Entry::Ignored { reason: "a reason of ordinary length".to_owned() })
        });
    });
}

criterion_group! { name = benches; config = slacktide_benches::criterion(); targets = planner, tick, journal }
criterion_main!(benches);
