//! One criterion set-up for all benches, and the workloads they share.

use criterion::Criterion;
use slacktide_engine::ids::{DeviceId, DeviceIndex, PoolIndex, RegionIndex, WaveIndex};
use slacktide_engine::plan::{PlanDevice, PlanInput, PlanLimits, PlanPool, PlanRegion};
use slacktide_engine::policy::Policy;
use slacktide_engine::time::{Instant, Span};
use slacktide_scenarios::{Scenario, library};
use slacktide_sim::Setup;
use std::time::Duration;

/// Few samples and short times: the ratio between benches of one run matters, not the last digit.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .without_plots()
}

/// The `busy-evening` world with another number of devices, under its own policy.
///
/// # Panics
/// Never: the library is tested to be valid.
pub fn busy_evening(devices: usize) -> Setup {
    let mut scenario: Scenario = library::named("busy-evening").expect("the library is valid");
    scenario.devices = devices;
    let policy: Policy = scenario.policy().expect("the library is valid");
    Setup::new(scenario, policy)
}

/// `devices` devices × 96 slots × 50 pools × 10 regions, demand between 50 and 80 % of capacity over the day. With `tight`, every other
/// limit binds too, so that the update takes most of the day; with `links`, each region's link carries a 62nd of its downloads a slot
/// and one in five thousand needs it for itself for more than one.
pub fn large_fleet(devices: u32, tight: bool, links: bool) -> PlanInput {
    let slots = 96;
    let pools = 50;
    let members = devices / pools;
    let device = |n: u32| PlanDevice {
        index: DeviceIndex(n),
        id: DeviceId::new(format!("device-{n:06}")),
        pool: PoolIndex(n % pools),
        region: RegionIndex(n / pools % 10),
        weight: 1.0 + f64::from(n / 7 % 3) * 0.5,
        requirement: if tight { f64::from(1 + n / 3 % 4) } else { 1.0 },
        rank: 0,
        download_bytes: if links && n % 4611 == 5 { f64::from(devices) * 2e5 } else { 1e8 },
        priority: f64::from(n.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24),
        wave: WaveIndex(0),
        out_slots: 2,
        telemetry_age: Some(Span::from_secs(60)),
        barred: None,
        already_out: false,
    };
    let demand = |p: u32, t: usize| {
        let phase = f64::from(p % 5) * 0.1;
        f64::from(members) * 1.5 * (0.65 - 0.15 * ((t as f64 / 96.0 + phase) * std::f64::consts::TAU).cos())
    };
    let pool = |p: u32| PlanPool {
        name: format!("pool-{p}"),
        weight_total: f64::from(members) * 1.5,
        members,
        demand_upper: (0..slots).map(|t| demand(p, t)).collect(),
        out_weight: vec![0.0; slots],
        out_count: vec![0; slots],
        out_count_max: Some(if tight { (members / 36).max(1) } else { members / 4 }),
    };
    let region = |r| PlanRegion {
        name: format!("region-{r}"),
        slot_open: (0..slots).map(|t| !tight || !(40..44).contains(&t)).collect(),
        next_open: None,
        download_bytes_max: links.then_some(f64::from(devices) * 1e8 / 10.0 / 62.0),
        downloading_bytes: vec![0.0; slots],
        out_count: vec![0; slots],
        out_count_max: tight.then_some(devices / 390),
    };
    let batches = 75.0;
    PlanInput {
        start: Instant::from_secs(900_000),
        slot: Span::from_secs(900),
        slots,
        load_scores: (0..devices as usize * slots).map(|i| (i * 37 % 90) as f32).collect(),
        devices: (0..devices).map(device).collect(),
        pools: (0..pools).map(pool).collect(),
        regions: (0..10).map(region).collect(),
        limits: PlanLimits {
            batch_requirement_max: tight.then_some((f64::from(devices) * 2.5 / batches).ceil()),
            batch_capacity_max: tight.then_some((f64::from(devices) * 66.0 / batches).ceil()),
            batch_devices_max: tight.then_some(devices / 70),
            starts_max: None,
            load_limit: 0.9,
            pool_reserve: 0.0,
            pool_rule: true,
            pool_members_min: 2,
            device_load_max: Some(70.0),
            device_load_tolerance: 1.0,
            telemetry_age_max: Some(Span::from_secs(900)),
            spread_regions: true,
        },
    }
}
