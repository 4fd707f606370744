//! Judges a plan from its input alone, rule by rule, as the rules are written. Shares no code with the planner.

use super::{Plan, PlanInput};
use crate::ids::DeviceIndex;
use std::collections::BTreeMap;
use std::fmt;

/// A rule that a plan breaks.
#[derive(Debug, Clone, PartialEq)]
pub enum Violation {
    /// A device that is no candidate.
    UnknownDevice(DeviceIndex),
    /// A device in more than one place.
    DeviceTwice(DeviceIndex),
    /// A device that may not go now.
    Barred(DeviceIndex),
    /// A batch without devices.
    EmptyBatch(usize),
    /// Batches out of order, or two in one slot.
    BatchOrder(usize),
    /// A start that is not the start of its slot.
    BatchStart(usize),
    /// A window that runs past the horizon.
    PastHorizon(DeviceIndex),
    /// A device out in a closed slot.
    ClosedSlot(DeviceIndex, usize),
    /// Σ requirement too large: batch slot, sum, limit.
    Requirement(usize, f64, f64),
    /// Σ capacity score too large: batch slot, sum, limit.
    Capacity(usize, f64, f64),
    /// Too many devices in a batch: slot, count, limit.
    BatchDevices(usize, usize, u32),
    /// More devices start in a slot than the rate allows: slot, count, limit.
    Rate(usize, usize, u32),
    /// Sums of a batch that are not its sums.
    WrongSums(usize),
    /// A pool that could not serve its demand: pool, slot, weight that can be used, weight needed.
    PoolCapacity(String, usize, f64, f64),
    /// Too many of a pool out: pool, slot, count, limit.
    PoolOut(String, usize, u32, u32),
    /// Too many of a region out: region, slot, count, limit.
    RegionOut(String, usize, u32, u32),
    /// More downloads in a region than its link carries: region, slot, bytes, limit.
    Link(String, usize, f64, f64),
    /// A download that has not ended by the horizon.
    DownloadPastHorizon(DeviceIndex),
    /// A device too busy for its window though it has calmer ones: score, limit.
    DeviceLoad(DeviceIndex, f64, f64),
    /// A device planned on telemetry that is missing or too old.
    Freshness(DeviceIndex),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDevice(d) => write!(f, "device {d} is no candidate"),
            Self::DeviceTwice(d) => write!(f, "device {d} is planned twice"),
            Self::Barred(d) => write!(f, "device {d} may not go now"),
            Self::EmptyBatch(s) => write!(f, "the batch of slot {s} is empty"),
            Self::BatchOrder(s) => write!(f, "the batch of slot {s} is out of order"),
            Self::BatchStart(s) => write!(f, "the batch of slot {s} does not start with its slot"),
            Self::PastHorizon(d) => write!(f, "the window of device {d} runs past the horizon"),
            Self::ClosedSlot(d, s) => write!(f, "device {d} is out in closed slot {s}"),
            Self::Requirement(s, sum, max) => write!(f, "the batch of slot {s} needs {sum} points, {max} are allowed"),
            Self::Capacity(s, sum, max) => write!(f, "the batch of slot {s} has capacity {sum}, {max} is allowed"),
            Self::BatchDevices(s, n, max) => write!(f, "the batch of slot {s} has {n} devices, {max} are allowed"),
            Self::Rate(s, n, max) => write!(f, "{n} devices start in slot {s}, the rate allows {max}"),
            Self::WrongSums(s) => write!(f, "the batch of slot {s} states wrong sums"),
            Self::PoolCapacity(p, s, has, needs) => write!(f, "pool {p} can use {has} in slot {s} and needs {needs}"),
            Self::PoolOut(p, s, n, max) => write!(f, "{n} members of pool {p} are out in slot {s}, {max} may be"),
            Self::RegionOut(r, s, n, max) => write!(f, "{n} devices of region {r} are out in slot {s}, {max} may be"),
            Self::Link(r, s, bytes, max) => {
                write!(f, "the link of region {r} carries {bytes} bytes in slot {s}, {max} are allowed")
            }
            Self::DownloadPastHorizon(d) => write!(f, "the download of device {d} runs past the horizon"),
            Self::DeviceLoad(d, score, max) => {
                write!(f, "device {d} has load score {score} in its window, {max} is allowed")
            }
            Self::Freshness(d) => write!(f, "device {d} is planned on telemetry that is missing or too old"),
        }
    }
}

/// Slack for sums of fractions that are added in another order.
const SLACK: f64 = 1e-6;

/// Does a sum keep its limit? What is not a number keeps none.
fn keeps(sum: f64, max: f64) -> bool {
    sum <= max
}

/// Every rule the plan breaks; empty for a good plan.
pub fn check(plan: &Plan, input: &PlanInput) -> Vec<Violation> {
    let mut found = Vec::new();
    let position: BTreeMap<DeviceIndex, usize> = input.devices.iter().enumerate().map(|(i, d)| (d.index, i)).collect();
    let mut starts: BTreeMap<usize, usize> = BTreeMap::new();
    for (b, batch) in plan.batches.iter().enumerate() {
        if batch.devices.is_empty() {
            found.push(Violation::EmptyBatch(batch.slot));
        }
        if b > 0 && plan.batches[b - 1].slot >= batch.slot {
            found.push(Violation::BatchOrder(batch.slot));
        }
        if batch.start != input.start + input.slot.times(batch.slot) {
            found.push(Violation::BatchStart(batch.slot));
        }
        let mut members = Vec::new();
        for device in &batch.devices {
            match position.get(device) {
                None => found.push(Violation::UnknownDevice(*device)),
                Some(i) if starts.contains_key(i) => found.push(Violation::DeviceTwice(*device)),
                Some(i) => {
                    starts.insert(*i, batch.slot);
                    members.push(*i);
                    check_device(input, *i, batch.slot, &mut found);
                }
            }
        }
        check_batch(input, batch, &members, &mut found);
    }
    check_sets(input, &starts, &mut found);
    check_links(input, &starts, &mut found);
    found
}

fn score_of(input: &PlanInput, i: usize, slot: usize) -> f64 {
    match input.load_scores.get(i * input.slots + slot) {
        Some(score) if !score.is_nan() => f64::from(*score).clamp(0.0, 100.0),
        _ => 100.0,
    }
}

fn check_device(input: &PlanInput, i: usize, slot: usize, found: &mut Vec<Violation>) {
    let device = &input.devices[i];
    let end = slot + device.out_slots.max(1);
    if device.barred.is_some() {
        found.push(Violation::Barred(device.index));
    }
    if let Some(max) = input.limits.telemetry_age_max
        && device.telemetry_age.is_none_or(|age| age > max)
    {
        found.push(Violation::Freshness(device.index));
    }
    if end > input.slots {
        found.push(Violation::PastHorizon(device.index));
    }
    let slot_open = &input.regions[device.region.index()].slot_open;
    if let Some(closed) = (slot..end.min(input.slots)).find(|t| !slot_open[*t]) {
        found.push(Violation::ClosedSlot(device.index, closed));
    }
    let Some(max) = input.limits.device_load_max else { return };
    let score = score_of(input, i, slot);
    let window_open = |s: usize| (s..s + device.out_slots.max(1)).all(|t| t < input.slots && slot_open[t]);
    let best =
        (0..input.slots).filter(|s| window_open(*s)).map(|s| score_of(input, i, s)).fold(f64::INFINITY, f64::min);
    // Never calm: its best windows are allowed.
    let allowed = if best > max { best + input.limits.device_load_tolerance } else { max };
    if score > allowed + SLACK {
        found.push(Violation::DeviceLoad(device.index, score, allowed));
    }
}

fn check_batch(input: &PlanInput, batch: &super::Batch, members: &[usize], found: &mut Vec<Violation>) {
    let requirement: f64 = members.iter().map(|i| input.devices[*i].requirement).sum();
    let capacity: f64 = members.iter().map(|i| 100.0 - score_of(input, *i, batch.slot)).sum();
    let tolerance = SLACK * (1.0 + members.len() as f64);
    if (requirement - batch.requirement).abs() > tolerance || (capacity - batch.capacity).abs() > tolerance {
        found.push(Violation::WrongSums(batch.slot));
    }
    if let Some(max) = input.limits.batch_requirement_max
        && !keeps(requirement, max + tolerance)
    {
        found.push(Violation::Requirement(batch.slot, requirement, max));
    }
    if let Some(max) = input.limits.batch_capacity_max
        && !keeps(capacity, max + tolerance)
    {
        found.push(Violation::Capacity(batch.slot, capacity, max));
    }
    if let Some(most) = &input.limits.starts_max {
        let max = most.get(batch.slot).copied().unwrap_or(0);
        if members.len() as u64 > u64::from(max) {
            found.push(Violation::Rate(batch.slot, members.len(), max));
        }
    }
    if let Some(max) = input.limits.batch_devices_max
        && members.len() > max as usize
    {
        found.push(Violation::BatchDevices(batch.slot, members.len(), max));
    }
}

/// Pools and regions, slot by slot: who is out, and what is left. Only sets that the plan takes something from can break a rule.
fn check_sets(input: &PlanInput, starts: &BTreeMap<usize, usize>, found: &mut Vec<Violation>) {
    let slots = input.slots;
    let mut weight = vec![0.0; input.pools.len() * slots];
    let mut heads = vec![0_u32; input.pools.len() * slots];
    let mut regions = vec![0_u32; input.regions.len() * slots];
    for (i, slot) in starts {
        let device = &input.devices[*i];
        if device.already_out {
            continue;
        }
        for t in *slot..(slot + device.out_slots.max(1)).min(slots) {
            weight[device.pool.index() * slots + t] += device.weight;
            heads[device.pool.index() * slots + t] += 1;
            regions[device.region.index() * slots + t] += 1;
        }
    }
    let limits = &input.limits;
    for (p, pool) in input.pools.iter().enumerate() {
        for t in (0..slots).filter(|t| heads[p * slots + *t] > 0) {
            let usable = limits.load_limit * (pool.weight_total - pool.out_weight[t] - weight[p * slots + t]);
            let needed = pool.demand_upper[t] + limits.pool_reserve * pool.weight_total;
            if limits.pool_rule && pool.members >= limits.pool_members_min && !keeps(needed, usable + SLACK) {
                found.push(Violation::PoolCapacity(pool.name.clone(), t, usable, needed));
            }
            let out = pool.out_count[t] + heads[p * slots + t];
            if let Some(max) = pool.out_count_max.filter(|max| out > *max) {
                found.push(Violation::PoolOut(pool.name.clone(), t, out, max));
            }
        }
    }
    for (r, region) in input.regions.iter().enumerate() {
        for t in (0..slots).filter(|t| regions[r * slots + *t] > 0) {
            let out = region.out_count[t] + regions[r * slots + t];
            if let Some(max) = region.out_count_max.filter(|max| out > *max) {
                found.push(Violation::RegionOut(region.name.clone(), t, out, max));
            }
        }
    }
}

/// The links of the regions, slot by slot: each download takes all of its region's share until it is done. Only links over which the plan
/// downloads something can be too slow.
fn check_links(input: &PlanInput, starts: &BTreeMap<usize, usize>, found: &mut Vec<Violation>) {
    let mut bytes: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for (i, slot) in starts {
        let device = &input.devices[*i];
        let r = device.region.index();
        let Some(max) = input.regions[r].download_bytes_max.filter(|max| *max != f64::INFINITY) else { continue };
        if device.download_bytes == 0.0 {
            continue;
        }
        let mut left = if device.download_bytes >= 0.0 { device.download_bytes } else { f64::INFINITY };
        for t in *slot..input.slots {
            let now = if left > max { max } else { left };
            *bytes.entry((r, t)).or_default() += now;
            left -= now;
            // What rounding leaves over is nothing.
            if left <= SLACK * max {
                break;
            }
        }
        // Written so that what is no size is never done.
        if !keeps(left, SLACK * max) {
            found.push(Violation::DownloadPastHorizon(device.index));
        }
    }
    for ((r, t), taken) in bytes {
        let region = &input.regions[r];
        let max = region.download_bytes_max.unwrap_or(f64::INFINITY);
        let sum = region.downloading_bytes[t] + taken;
        if !keeps(sum, max * (1.0 + SLACK)) {
            found.push(Violation::Link(region.name.clone(), t, sum, max));
        }
    }
}
