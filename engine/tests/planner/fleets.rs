//! Instances to plan: one that everything fits, and random ones.

use proptest::prelude::*;
use slacktide_engine::ids::{DeviceId, DeviceIndex, PoolIndex, RegionIndex, WaveIndex};
use slacktide_engine::plan::{Batch, Plan, PlanDevice, PlanInput, PlanLimits, PlanPool, PlanRegion, WaitingOn};
use slacktide_engine::time::{Instant, Span};
use std::collections::BTreeMap;

pub(crate) fn device(n: u32, pool: u32) -> PlanDevice {
    PlanDevice {
        index: DeviceIndex(n),
        id: DeviceId::new(format!("d{n:03}")),
        pool: PoolIndex(pool),
        region: RegionIndex(0),
        weight: 1.0,
        requirement: 1.0,
        rank: 0,
        download_bytes: 100.0,
        priority: 0.5,
        wave: WaveIndex(0),
        out_slots: 2,
        telemetry_age: Some(Span::from_secs(60)),
        barred: None,
        already_out: false,
    }
}

/// A region without limits, always open.
pub(crate) fn region(slots: usize) -> PlanRegion {
    PlanRegion {
        name: "r".to_owned(),
        slot_open: vec![true; slots],
        next_open: None,
        download_bytes_max: None,
        downloading_bytes: vec![0.0; slots],
        out_count: vec![0; slots],
        out_count_max: None,
    }
}

/// `devices` calm devices in one pool that can spare two at a time, over eight quarter hours.
pub(crate) fn calm(devices: u32) -> PlanInput {
    let slots = 8;
    PlanInput {
        start: Instant::from_secs(900_000),
        slot: Span::from_secs(900),
        slots,
        devices: (0..devices).map(|n| device(n, 0)).collect(),
        load_scores: vec![30.0; devices as usize * slots],
        pools: vec![PlanPool {
            name: "p".to_owned(),
            weight_total: 10.0,
            members: 10,
            demand_upper: vec![7.2; slots],
            out_weight: vec![0.0; slots],
            out_count: vec![0; slots],
            out_count_max: None,
        }],
        regions: vec![region(slots)],
        limits: PlanLimits {
            batch_requirement_max: None,
            batch_capacity_max: None,
            batch_devices_max: None,
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

/// The plan with one device taken from where it is, if anywhere, and put into another slot.
pub(crate) fn put(made: &Plan, input: &PlanInput, device: DeviceIndex, slot: usize) -> Plan {
    let d = input.devices.iter().position(|d| d.index == device).expect("a candidate");
    let capacity = |slot: usize| match input.load_scores[d * input.slots + slot] {
        load if load.is_nan() => 0.0,
        load => 100.0 - f64::from(load),
    };
    let mut batches: BTreeMap<usize, Batch> = made.batches.iter().map(|b| (b.slot, b.clone())).collect();
    for batch in batches.values_mut().filter(|batch| batch.devices.contains(&device)) {
        batch.devices.retain(|other| *other != device);
        batch.requirement -= input.devices[d].requirement;
        batch.capacity -= capacity(batch.slot);
    }
    let start = input.start + input.slot.times(slot);
    let new = || Batch { start, slot, devices: vec![], requirement: 0.0, capacity: 0.0 };
    let batch = batches.entry(slot).or_insert_with(new);
    batch.devices.push(device);
    batch.requirement += input.devices[d].requirement;
    batch.capacity += capacity(slot);
    Plan { batches: batches.into_values().filter(|batch| !batch.devices.is_empty()).collect(), ..made.clone() }
}

fn hardly_ever_nan(range: std::ops::Range<f64>) -> impl Strategy<Value = f64> {
    prop_oneof![40 => range, 1 => Just(f64::NAN)]
}

prop_compose! {
    fn any_device(pools: u32, regions: u32)(
        pool in 0..pools, region in 0..regions, weight in hardly_ever_nan(0.1..4.0), requirement in hardly_ever_nan(0.0..6.0),
        priority in prop_oneof![Just(0.5), 0.0f64..1.0, Just(f64::NAN)], wave in 0u16..3, rank in 0u32..3, out_slots in 0usize..5,
        download_bytes in prop_oneof![4 => Just(100.0), 4 => 0.0f64..400.0, 1 => Just(0.0), 1 => any_size()],
        age in prop_oneof![Just(None), (0u64..2000).prop_map(|s| Some(Span::from_secs(s)))],
        barred in prop::bool::weighted(0.1), already_out in prop::bool::weighted(0.1),
    ) -> PlanDevice {
        PlanDevice {
            pool: PoolIndex(pool), region: RegionIndex(region), weight, requirement, priority, wave: WaveIndex(wave), rank, out_slots, download_bytes,
            telemetry_age: age, already_out, barred: barred.then_some((WaitingOn::NotRequested, None)), ..device(0, 0)
        }
    }
}

/// Sizes that nobody should hand in.
fn any_size() -> impl Strategy<Value = f64> {
    prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-50.0), Just(1e-12), 0.0f64..1e5]
}

fn maybe(range: std::ops::Range<f64>) -> impl Strategy<Value = Option<f64>> {
    prop_oneof![Just(None), range.prop_map(Some)]
}

prop_compose! {
    fn any_limits()(
        batch_requirement_max in maybe(0.5..20.0), batch_capacity_max in maybe(20.0..500.0),
        batch_devices_max in prop_oneof![Just(None), (1u32..6).prop_map(Some)],
        starts_max in prop_oneof![3 => Just(None), 1 => prop::collection::vec(0u32..4, 40).prop_map(Some)], load_limit in 0.5f64..1.0, pool_reserve in 0.0f64..0.2,
        pool_rule: bool, pool_members_min in 1u32..4, (device_load_max, device_load_tolerance) in (maybe(10.0..100.0), 0.0f64..20.0),
        fresh: bool, spread_regions: bool,
    ) -> PlanLimits {
        PlanLimits {
            batch_requirement_max, batch_capacity_max, batch_devices_max, starts_max, load_limit, pool_reserve, pool_rule, pool_members_min,
            device_load_max, device_load_tolerance, telemetry_age_max: fresh.then_some(Span::from_secs(900)), spread_regions,
        }
    }
}

/// A small fleet of any shape.
pub(crate) fn any_fleet() -> impl Strategy<Value = PlanInput> {
    (1u32..4, 1u32..3, 1usize..14, 0usize..16).prop_flat_map(|(pools, regions, slots, devices)| {
        let pool = (
            1u32..12,
            prop::collection::vec(hardly_ever_nan(0.0..8.0), slots),
            prop_oneof![Just(None), (0u32..4).prop_map(Some)],
            prop::collection::vec((prop_oneof![Just(0.0), 0.0f64..3.0], 0u32..2), slots),
        );
        let any_region = (
            prop_oneof![Just(None), (0u32..5).prop_map(Some)],
            prop::collection::vec(prop::bool::weighted(0.85), slots),
            prop_oneof![2 => Just(None), 4 => (50.0f64..500.0).prop_map(Some), 1 => any_size().prop_map(Some)],
            prop::collection::vec(prop_oneof![4 => Just(0.0), 1 => 0.0f64..300.0, 1 => any_size()], slots),
        );
        (
            prop::collection::vec(any_device(pools, regions), devices),
            prop::collection::vec(prop_oneof![0.0f32..100.0, Just(f32::NAN)], devices * slots),
            prop::collection::vec(pool, pools as usize),
            prop::collection::vec(any_region, regions as usize),
            any_limits(),
        )
            .prop_map(move |(mut devices, load_scores, pools, regions, limits)| {
                for (n, device) in devices.iter_mut().enumerate() {
                    device.index = DeviceIndex(n as u32);
                    device.id = DeviceId::new(format!("d{n:03}"));
                }
                type Pool = (u32, Vec<f64>, Option<u32>, Vec<(f64, u32)>);
                let pool = |(members, demand_upper, out_count_max, out): Pool| PlanPool {
                    name: "p".to_owned(),
                    weight_total: f64::from(members) * 1.5,
                    members,
                    demand_upper,
                    out_weight: out.iter().map(|(weight, _)| *weight).collect(),
                    out_count: out.iter().map(|(_, members)| *members).collect(),
                    out_count_max,
                };
                type Region = (Option<u32>, Vec<bool>, Option<f64>, Vec<f64>);
                let of = |(out_count_max, slot_open, download_bytes_max, downloading_bytes): Region| PlanRegion {
                    slot_open,
                    download_bytes_max,
                    downloading_bytes,
                    out_count_max,
                    ..region(slots)
                };
                PlanInput {
                    slots,
                    devices,
                    load_scores,
                    pools: pools.into_iter().map(pool).collect(),
                    regions: regions.into_iter().map(of).collect(),
                    limits,
                    ..calm(0)
                }
            })
    })
}
