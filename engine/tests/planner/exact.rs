//! The planner against proven optima: instances of 200 devices that `exact/solve.py` made and CP-SAT solved.

use crate::fleets::{calm, device, region};
use serde::Deserialize;
use slacktide_engine::ids::{PlanNumber, RegionIndex};
use slacktide_engine::plan::{PlanDevice, PlanInput, PlanLimits, PlanPool, PlanRegion, check::check, planner::plan};

/// An instance as the script writes it; by-device values are columns.
#[derive(Deserialize)]
struct Instance {
    optimum: usize,
    name: String,
    slots: usize,
    load_limit: f64,
    pool_reserve: f64,
    requirement_max: Option<f64>,
    capacity_max: Option<f64>,
    devices_max: Option<u32>,
    load_max: Option<f64>,
    open: String,
    profiles: Vec<Vec<i32>>,
    pools: Vec<Pool>,
    region_out_max: Vec<Option<u32>>,
    /// By region, where regions differ.
    region_open: Option<Vec<String>>,
    /// By region, bytes a slot.
    link: Option<Vec<f64>>,
    download: Option<Vec<f64>>,
    pool: Vec<u32>,
    region: Vec<u32>,
    weight: Vec<f64>,
    out: Vec<usize>,
    requirement: Vec<f64>,
    priority: Vec<f64>,
    profile: Vec<usize>,
    offset: Vec<i32>,
}

#[derive(Deserialize)]
struct Pool {
    weight: f64,
    members: u32,
    demand: Vec<f64>,
    /// Members, of weight 1 each, that are out in the first three slots.
    in_flight: u32,
    out_max: Option<u32>,
}

impl Instance {
    fn input(&self) -> PlanInput {
        let slots = self.slots;
        let of = |d: usize| PlanDevice {
            region: RegionIndex(self.region[d]),
            weight: self.weight[d],
            requirement: self.requirement[d],
            download_bytes: self.download.as_ref().map_or(0.0, |bytes| bytes[d]),
            priority: self.priority[d],
            out_slots: self.out[d],
            ..device(d as u32, self.pool[d])
        };
        let scores = |d: usize| {
            (0..slots).map(move |t| (self.profiles[self.profile[d]][t] + self.offset[d]).clamp(0, 100) as f32)
        };
        let pool = |pool: &Pool| PlanPool {
            name: "p".to_owned(),
            weight_total: pool.weight,
            members: pool.members,
            demand_upper: pool.demand.clone(),
            out_weight: (0..slots).map(|t| if t < 3 { f64::from(pool.in_flight) } else { 0.0 }).collect(),
            out_count: (0..slots).map(|t| if t < 3 { pool.in_flight } else { 0 }).collect(),
            out_count_max: pool.out_max,
        };
        let of_region = |(r, max): (usize, &Option<u32>)| {
            let open = self.region_open.as_ref().map_or(&self.open, |open| &open[r]);
            PlanRegion {
                slot_open: open.chars().map(|c| c == '1').collect(),
                download_bytes_max: self.link.as_ref().map(|link| link[r]),
                out_count_max: *max,
                ..region(slots)
            }
        };
        PlanInput {
            slots,
            devices: (0..self.pool.len()).map(of).collect(),
            load_scores: (0..self.pool.len()).flat_map(scores).collect(),
            pools: self.pools.iter().map(pool).collect(),
            regions: self.region_out_max.iter().enumerate().map(of_region).collect(),
            limits: PlanLimits {
                batch_requirement_max: self.requirement_max,
                batch_capacity_max: self.capacity_max,
                batch_devices_max: self.devices_max,
                starts_max: None,
                load_limit: self.load_limit,
                pool_reserve: self.pool_reserve,
                device_load_max: self.load_max,
                device_load_tolerance: 1.0,
                ..calm(0).limits
            },
            ..calm(0)
        }
    }
}

fn instances() -> Vec<Instance> {
    serde_json::from_str(include_str!("exact/instances.json")).expect("the file is valid")
}

/// The search moves some devices for the sake of the whole; those who come first still go first.
#[test]
fn shorter_plans_keep_to_the_order_of_service() {
    let mut means = [0.0; 4];
    for instance in instances() {
        let input = instance.input();
        let (made, _) = plan(&input, PlanNumber(1), None);
        let mut slots: Vec<(f64, usize)> = Vec::new();
        for batch in &made.batches {
            slots.extend(batch.devices.iter().map(|d| (input.devices[d.index()].priority, batch.slot)));
        }
        slots.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        for (mean, quarter) in means.iter_mut().zip(slots.chunks(50)) {
            *mean += quarter.iter().map(|(_, slot)| *slot as f64 / 50.0).sum::<f64>();
        }
    }
    assert!(means.windows(2).all(|pair| pair[0] * 1.2 < pair[1]), "{means:?}");
}

#[test]
fn plans_are_close_to_the_proven_optimum() {
    let instances = instances();
    assert!(instances.len() >= 60);
    let (mut sum, mut worst, mut table) = (0.0, 0.0_f64, String::new());
    for instance in &instances {
        let input = instance.input();
        let (made, report) = plan(&input, PlanNumber(1), None);
        assert_eq!(check(&made, &input), vec![], "{}", instance.name);
        assert_eq!((report.placed, input.devices.len()), (200, 200), "{}", instance.name);
        let slots = |span: slacktide_engine::time::Span| span.steps_up(input.slot);
        let (makespan, bound) = (slots(report.makespan), slots(report.lower_bound));
        assert!(bound <= instance.optimum && instance.optimum <= makespan, "{}: {bound} {makespan}", instance.name);
        let gap = (makespan as f64 / instance.optimum as f64 - 1.0) * 100.0;
        table += &format!("{}: {makespan}, optimum {}, bound {bound}\n", instance.name, instance.optimum);
        sum += gap;
        worst = worst.max(gap);
    }
    let mean = sum / instances.len() as f64;
    assert!(mean <= 3.0 && worst <= 10.0, "mean gap {mean:.2} %, worst {worst:.2} %\n{table}");
}
