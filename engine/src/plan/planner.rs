//! Places devices: in the order wave, priority, id, each at the earliest slot where every rule holds for its whole window; then tries
//! to shorten the tail.
//!
//! What a pool, region or batch has left only shrinks while a plan grows, so a slot that was too small for a device stays too small
//! for every device of the same pool that weighs as much and is out as long: each such class goes on where the last of it was placed.

use super::report::{PlanReport, Waiting, WaitingOn};
use super::{Batch, Plan, PlanDevice, PlanInput, PlanLimits};
use crate::ids::PlanNumber;
use crate::score;
use crate::time::{Instant, Span};
use std::collections::BTreeMap;

/// Slack for sums of fractions.
const EPSILON: f64 = 1e-9;
/// Devices of the tail that the improvement pass tries to move.
const IMPROVE_DEVICES_MAX: usize = 256;

/// Makes a plan and says why it is as it is. Pure; never fails; every candidate is placed once or waits once.
pub fn plan(input: &PlanInput, number: PlanNumber, parent: Option<PlanNumber>) -> (Plan, PlanReport) {
    let mut room = Room::new(input);
    let mut order: Vec<usize> = (0..input.devices.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (&input.devices[*a], &input.devices[*b]);
        a.wave.cmp(&b.wave).then(sane(b.priority).total_cmp(&sane(a.priority))).then_with(|| a.id.cmp(&b.id))
    });
    let mut placed: Vec<Option<usize>> = vec![None; input.devices.len()];
    let mut sequence: Vec<usize> = Vec::new();
    let mut waiting: Vec<(usize, WaitingOn, Option<Instant>)> = Vec::new();
    let mut hints: BTreeMap<(u32, u32, u64, usize, bool), usize> = BTreeMap::new();
    for d in order {
        let device = &input.devices[d];
        if let Some((on, earliest)) = not_now(input, device) {
            waiting.push((d, on, earliest));
            continue;
        }
        let allowed = Allowed::new(input, d);
        let class = (device.pool.0, device.region.0, device.weight.to_bits(), device.out_slots, device.already_out);
        let from = hints.get(&class).copied().unwrap_or(0);
        let hint = room.earliest_for_sets(device, from);
        hints.insert(class, hint);
        match (hint..input.slots).find(|slot| allowed.has(*slot) && room.fits(d, *slot)) {
            Some(slot) => {
                room.book(d, slot, 1.0);
                placed[d] = Some(slot);
                sequence.push(d);
            }
            None => {
                let (on, earliest) = room.why(d, &allowed);
                waiting.push((d, on, earliest));
            }
        }
    }
    improve(input, &mut room, &mut placed);
    waiting.sort_by_key(|(d, ..)| *d);
    let plan = Plan { number, parent, made_at: input.start, batches: batches(input, &placed, &sequence) };
    let windows = || placed.iter().enumerate().filter_map(|(d, slot)| slot.map(|s| (d, s)));
    let end = windows().map(|(d, slot)| slot + input.devices[d].out_slots.max(1)).max().unwrap_or(0);
    let report = PlanReport {
        placed: windows().count(),
        waiting: waiting
            .into_iter()
            .map(|(d, on, earliest)| Waiting { device: input.devices[d].index, on, earliest })
            .collect(),
        makespan: input.slot.times(end),
        lower_bound: lower_bound(input, &windows().map(|(d, _)| d).collect::<Vec<_>>()),
    };
    (plan, report)
}

/// The volume bound, or the latest end of a device that had the fleet to itself, whichever is later.
fn lower_bound(input: &PlanInput, placed: &[usize]) -> Span {
    let empty = Room::new(input);
    let alone = |d: &usize| {
        let allowed = Allowed::new(input, *d);
        let first = (0..input.slots).find(|slot| allowed.has(*slot) && empty.fits(*d, *slot));
        first.map_or(0, |slot| slot + input.devices[*d].out_slots.max(1))
    };
    let alone = placed.iter().map(alone).max().unwrap_or(0);
    super::bound::lower_bound(input, placed).max(input.slot.times(alone))
}

fn sane(priority: f64) -> f64 {
    if priority.is_nan() { f64::MIN } else { priority }
}

/// A weight that is no size counts as too large for any pool.
fn weight(device: &PlanDevice) -> f64 {
    if device.weight >= 0.0 { device.weight } else { f64::INFINITY }
}

/// Reasons that need no look at any slot.
fn not_now(input: &PlanInput, device: &PlanDevice) -> Option<(WaitingOn, Option<Instant>)> {
    let limits = &input.limits;
    if let Some((on, earliest)) = &device.barred {
        return Some((on.clone(), *earliest));
    }
    if device.wave > input.open_wave {
        return Some((WaitingOn::WaveNotOpen { wave: device.wave, open: input.open_wave }, None));
    }
    if let Some(max) = limits.telemetry_age_max {
        match device.telemetry_age {
            None => return Some((WaitingOn::NoTelemetry, None)),
            Some(age) if age > max => return Some((WaitingOn::StaleTelemetry { age, max }, None)),
            Some(_) => {}
        }
    }
    match limits.batch_requirement_max {
        Some(max) if device.requirement.is_nan() || device.requirement > max => {
            Some((WaitingOn::OversizeRequirement { requirement: device.requirement, max }, None))
        }
        _ => None,
    }
}

fn load_score(input: &PlanInput, d: usize, slot: usize) -> f64 {
    let score = input.load_scores.get(d * input.slots + slot).copied().map_or(100.0, f64::from);
    if score.is_nan() { 100.0 } else { score.clamp(0.0, 100.0) }
}

/// The slots a device may start in by itself: its window is open and calm enough.
struct Allowed {
    open: Vec<bool>,
    calm: Vec<bool>,
    lowest: f64,
}

impl Allowed {
    fn new(input: &PlanInput, d: usize) -> Self {
        let out = input.devices[d].out_slots.max(1);
        let is_open = |s: usize| s + out <= input.slots && (s..s + out).all(|t| input.slot_open.get(t) == Some(&true));
        let open: Vec<bool> = (0..input.slots).map(is_open).collect();
        let scores = (0..input.slots).filter(|s| open[*s]).map(|s| load_score(input, d, s));
        let lowest = scores.fold(f64::INFINITY, f64::min);
        let max = input
            .limits
            .device_load_max
            .map(|max| max.max(lowest + PlanLimits::BEST_WINDOW_TOLERANCE * f64::from(u8::from(lowest > max))));
        let calm = (0..input.slots).map(|s| max.is_none_or(|max| load_score(input, d, s) <= max)).collect();
        Self { open, calm, lowest }
    }

    fn has(&self, slot: usize) -> bool {
        self.open[slot] && self.calm[slot]
    }
}

/// What is left of every limit, slot by slot.
struct Room<'a> {
    input: &'a PlanInput,
    /// By pool, then slot.
    pool_spare: Vec<f64>,
    pool_count: Vec<f64>,
    region_count: Vec<f64>,
    requirement: Vec<f64>,
    capacity: Vec<f64>,
    devices: Vec<f64>,
}

impl<'a> Room<'a> {
    fn new(input: &'a PlanInput) -> Self {
        let limits = &input.limits;
        let mut pool_spare = Vec::with_capacity(input.pools.len() * input.slots);
        let mut pool_count = Vec::with_capacity(input.pools.len() * input.slots);
        for pool in &input.pools {
            let ruled = limits.pool_rule && pool.members >= limits.pool_members_min;
            for t in 0..input.slots {
                let needed = (pool.demand_upper[t] + limits.pool_reserve * pool.weight_total) / limits.load_limit;
                pool_spare.push(if ruled { pool.weight_total - pool.out_weight[t] - needed } else { f64::INFINITY });
                pool_count.push(
                    pool.out_count_max.map_or(f64::INFINITY, |max| f64::from(max) - f64::from(pool.out_count[t])),
                );
            }
        }
        let region_left = |region: &super::PlanRegion, t: usize| {
            region.out_count_max.map_or(f64::INFINITY, |max| f64::from(max) - f64::from(region.out_count[t]))
        };
        let region_count =
            input.regions.iter().flat_map(|r| (0..input.slots).map(move |t| region_left(r, t))).collect();
        let full = |max: Option<f64>| vec![max.unwrap_or(f64::INFINITY); input.slots];
        Self {
            input,
            pool_spare,
            pool_count,
            region_count,
            requirement: full(limits.batch_requirement_max),
            capacity: full(limits.batch_capacity_max),
            devices: full(limits.batch_devices_max.map(f64::from)),
        }
    }

    fn cell(&self, set: u32, slot: usize) -> usize {
        set as usize * self.input.slots + slot
    }

    /// Have pool and region room for the device in one slot? A device that is out already costs neither anything.
    fn sets_have_room(&self, device: &PlanDevice, t: usize) -> bool {
        if device.already_out {
            return true;
        }
        let pool = self.cell(device.pool.0, t);
        self.pool_spare[pool] + EPSILON >= weight(device)
            && self.pool_count[pool] >= 1.0
            && self.region_count[self.cell(device.region.0, t)] >= 1.0
    }

    /// The first slot at or after `from` whose whole window pool and region can spare. Monotone while a plan grows.
    fn earliest_for_sets(&self, device: &PlanDevice, from: usize) -> usize {
        let out = device.out_slots.max(1);
        let mut start = from;
        let mut t = from;
        while t < self.input.slots && t < start + out {
            if !self.sets_have_room(device, t) {
                start = t + 1;
            }
            t += 1;
        }
        start
    }

    fn batch_has_room(&self, d: usize, slot: usize) -> bool {
        let device = &self.input.devices[d];
        self.devices[slot] >= 1.0
            && self.requirement[slot] + EPSILON >= device.requirement
            && self.capacity[slot] + EPSILON >= score::capacity(load_score(self.input, d, slot))
    }

    fn fits(&self, d: usize, slot: usize) -> bool {
        let device = &self.input.devices[d];
        let out = device.out_slots.max(1);
        slot + out <= self.input.slots
            && self.batch_has_room(d, slot)
            && (slot..slot + out).all(|t| self.sets_have_room(device, t))
    }

    /// Takes (`sign` 1) or gives back (−1) what the device costs at a slot.
    fn book(&mut self, d: usize, slot: usize, sign: f64) {
        let device = &self.input.devices[d];
        self.devices[slot] -= sign;
        self.requirement[slot] -= sign * device.requirement;
        self.capacity[slot] -= sign * score::capacity(load_score(self.input, d, slot));
        if device.already_out {
            return;
        }
        for t in slot..slot + device.out_slots.max(1) {
            let (pool, region) = (self.cell(device.pool.0, t), self.cell(device.region.0, t));
            self.pool_spare[pool] -= sign * weight(device);
            self.pool_count[pool] -= sign;
            self.region_count[region] -= sign;
        }
    }

    /// The rule that keeps a device from every slot: the first that, taken alone, leaves no slot at all, else the one that bars the most.
    fn why(&self, d: usize, allowed: &Allowed) -> (WaitingOn, Option<Instant>) {
        let input = self.input;
        let device = &input.devices[d];
        let out = device.out_slots.max(1);
        let after = Some(input.start + input.slot.times(input.slots));
        if !allowed.open.iter().any(|open| *open) {
            return (WaitingOn::WindowClosed { need: input.slot.times(out) }, input.next_open.or(after));
        }
        let slots: Vec<usize> = (0..input.slots).filter(|s| allowed.open[*s]).collect();
        let lowest_capacity =
            slots.iter().map(|s| score::capacity(load_score(input, d, *s))).fold(f64::INFINITY, f64::min);
        if let Some(max) = input.limits.batch_capacity_max.filter(|max| lowest_capacity > max + EPSILON) {
            return (WaitingOn::OversizeCapacity { capacity: lowest_capacity, max }, None);
        }
        let whole = |s: usize, holds: &dyn Fn(usize) -> bool| (s..s + out).all(holds);
        let calm: Vec<usize> = slots.iter().copied().filter(|s| allowed.calm[*s]).collect();
        let pool = |t: usize| self.cell(device.pool.0, t);
        let rules: [(&dyn Fn(usize) -> bool, u8); 4] = [
            (&|s| whole(s, &|t| self.pool_spare[pool(t)] + EPSILON >= weight(device)), 0),
            (&|s| whole(s, &|t| self.pool_count[pool(t)] >= 1.0), 1),
            (&|s| whole(s, &|t| self.region_count[self.cell(device.region.0, t)] >= 1.0), 2),
            (&|s| self.batch_has_room(d, s), 3),
        ];
        let barred = |rule: &dyn Fn(usize) -> bool| calm.iter().filter(|s| !rule(**s)).count();
        let worst = rules
            .iter()
            .map(|(rule, kind)| (barred(*rule), *kind))
            .max_by_key(|(n, kind)| (*n, std::cmp::Reverse(*kind)));
        if worst.is_none_or(|(n, _)| n < calm.len()) && calm.len() < slots.len() {
            let max = input.limits.device_load_max.unwrap_or(100.0);
            return (WaitingOn::DeviceLoad { score: allowed.lowest, max }, after);
        }
        let on = match worst {
            Some((_, 1)) => WaitingOn::PoolOutMax { max: input.pools[device.pool.index()].out_count_max.unwrap_or(0) },
            Some((_, 2)) => {
                WaitingOn::RegionOutMax { max: input.regions[device.region.index()].out_count_max.unwrap_or(0) }
            }
            Some((_, 3)) => WaitingOn::BatchesFull,
            _ => {
                let tightest =
                    |s: &usize| (*s..s + out).map(|t| self.pool_spare[pool(t)]).fold(f64::INFINITY, f64::min);
                let spare = calm.iter().map(tightest).fold(f64::NEG_INFINITY, f64::max);
                WaitingOn::PoolCapacity { weight: device.weight, spare: spare.max(-1e12) }
            }
        };
        (on, after)
    }
}

/// Moves devices of the last batches to earlier slots where they fit by now, and ends when the last end no longer moves. Nobody starts
/// later than before, so no priority is hurt.
fn improve(input: &PlanInput, room: &mut Room<'_>, placed: &mut [Option<usize>]) {
    let mut tail: Vec<(usize, usize)> =
        placed.iter().enumerate().filter_map(|(d, slot)| slot.map(|s| (s, d))).collect();
    tail.sort_by(|a, b| b.cmp(a));
    for (slot, d) in tail.into_iter().take(IMPROVE_DEVICES_MAX) {
        let allowed = Allowed::new(input, d);
        room.book(d, slot, -1.0);
        let better = (0..slot).find(|s| allowed.has(*s) && room.fits(d, *s)).unwrap_or(slot);
        room.book(d, better, 1.0);
        placed[d] = Some(better);
    }
}

/// The placed devices as batches, in the order of placement, spread round the regions where priorities are equal.
fn batches(input: &PlanInput, placed: &[Option<usize>], sequence: &[usize]) -> Vec<Batch> {
    let mut by_slot: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for d in sequence {
        if let Some(slot) = placed[*d] {
            by_slot.entry(slot).or_default().push(*d);
        }
    }
    let batch = |(slot, mut members): (usize, Vec<usize>)| {
        if input.limits.spread_regions {
            spread(input, &mut members);
        }
        Batch {
            start: input.start + Span::from_millis(input.slot.as_millis() * slot as u64),
            slot,
            requirement: members.iter().map(|d| input.devices[*d].requirement).sum(),
            capacity: members.iter().map(|d| score::capacity(load_score(input, *d, slot))).sum(),
            devices: members.iter().map(|d| input.devices[*d].index).collect(),
        }
    };
    by_slot.into_iter().map(batch).collect()
}

/// Among neighbours of equal wave and priority, one of each region in turn.
fn spread(input: &PlanInput, members: &mut [usize]) {
    let key = |d: usize| (input.devices[d].wave, sane(input.devices[d].priority).to_bits());
    let mut begin = 0;
    while begin < members.len() {
        let end = begin + members[begin..].iter().take_while(|d| key(**d) == key(members[begin])).count();
        let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
        let mut turns: Vec<(usize, usize, usize)> = Vec::with_capacity(end - begin);
        for (position, d) in members[begin..end].iter().enumerate() {
            let turn = seen.entry(input.devices[*d].region.0).or_default();
            turns.push((*turn, position, *d));
            *turn += 1;
        }
        turns.sort_unstable();
        for (target, (.., d)) in members[begin..end].iter_mut().zip(turns) {
            *target = d;
        }
        begin = end;
    }
}
