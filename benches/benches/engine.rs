//! The engine's parts: planner and checker, one tick of telemetry, the journal.
#![allow(missing_docs, reason = "criterion's macros make public items without documentation")]

use criterion::{Criterion, criterion_group, criterion_main};
use slacktide_engine::ids::{DeviceId, DeviceIndex, PlanNumber, PoolIndex, RegionIndex, WaveIndex};
use slacktide_engine::input::{DeviceFacts, Input, TelemetryBatch};
use slacktide_engine::journal::{ChainWriter, Entry, verify};
use slacktide_engine::plan::{PlanDevice, PlanInput, PlanLimits, PlanPool, PlanRegion, check::check, planner::plan};
use slacktide_engine::policy::Policy;
use slacktide_engine::time::{Instant, Span};
use slacktide_engine::{Engine, Output};
use std::hint::black_box;

/// `devices` devices × 96 slots × 50 pools × 10 regions, demand between 50 and 80 % of capacity over the day.
fn instance(devices: u32) -> PlanInput {
    let slots = 96;
    let pools = 50;
    let members = devices / pools;
    let device = |n: u32| PlanDevice {
        index: DeviceIndex(n),
        id: DeviceId::new(format!("device-{n:06}")),
        pool: PoolIndex(n % pools),
        region: RegionIndex(n % 10),
        weight: 1.0 + f64::from(n % 3) * 0.5,
        requirement: 1.0,
        priority: f64::from(n.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24),
        wave: WaveIndex(0),
        out_slots: 2,
        telemetry_age: Some(Span::from_secs(60)),
        barred: None,
        already_out: false,
    };
    let demand = |t: usize| f64::from(members) * 1.5 * (0.65 - 0.15 * (t as f64 / 96.0 * std::f64::consts::TAU).cos());
    let pool = |p: u32| PlanPool {
        name: format!("pool-{p}"),
        weight_total: f64::from(members) * 1.5,
        members,
        demand_upper: (0..slots).map(demand).collect(),
        out_weight: vec![0.0; slots],
        out_count: vec![0; slots],
        out_count_max: Some(members / 4),
    };
    PlanInput {
        start: Instant::from_secs(900_000),
        slot: Span::from_secs(900),
        slots,
        load_scores: (0..devices as usize * slots).map(|i| (i * 37 % 90) as f32).collect(),
        devices: (0..devices).map(device).collect(),
        pools: (0..pools).map(pool).collect(),
        regions: (0..10)
            .map(|r| PlanRegion { name: format!("region-{r}"), out_count: vec![0; slots], out_count_max: None })
            .collect(),
        slot_open: vec![true; slots],
        next_open: None,
        open_wave: WaveIndex(0),
        limits: PlanLimits {
            batch_requirement_max: None,
            batch_capacity_max: None,
            batch_devices_max: None,
            load_limit: 0.9,
            pool_reserve: 0.0,
            pool_rule: true,
            pool_members_min: 2,
            device_load_max: Some(70.0),
            telemetry_age_max: Some(Span::from_secs(900)),
            spread_regions: true,
        },
    }
}

fn planner(c: &mut Criterion) {
    for devices in [1_000, 10_000, 100_000] {
        let input = instance(devices);
        c.bench_function(&format!("plan/{devices}"), |b| b.iter(|| plan(black_box(&input), PlanNumber(1), None)));
        let (made, _) = plan(&input, PlanNumber(1), None);
        c.bench_function(&format!("check/{devices}"), |b| b.iter(|| check(black_box(&made), &input)));
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
