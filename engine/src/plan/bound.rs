//! How short a plan for the same devices could be at best.

use super::PlanInput;
use crate::score;
use crate::time::Span;

/// A makespan that no plan placing exactly `placed` (positions in [`PlanInput::devices`]) can beat: the largest of
///
/// - the end of each device's first open window of its own length;
/// - for every batch limit, the number of batches the volume needs, one a slot, the last of which is out for the shortest duration;
/// - for every pool and region, the first slot by which the room up to it holds the volume (weight or heads × slots out).
pub fn lower_bound(input: &PlanInput, placed: &[usize]) -> Span {
    if placed.is_empty() {
        return Span::ZERO;
    }
    let out = |d: usize| input.devices[d].out_slots.max(1);
    let shortest = placed.iter().map(|d| out(*d)).min().unwrap_or(1);
    let mut end = placed.iter().map(|d| first_window_end(input, out(*d))).max().unwrap_or(0);
    let open = |s: &usize| first_fits(input, *s, shortest);
    let batches = |volume: f64, max: Option<f64>| match max {
        Some(max) if max > 0.0 => ((volume / max - 1e-9).ceil().max(1.0)) as usize,
        _ => 1,
    };
    let requirement = placed.iter().map(|d| input.devices[*d].requirement).sum();
    let lowest_capacity = |d: &usize| {
        let row = &input.load_scores[*d * input.slots..(*d + 1) * input.slots];
        score::capacity(row.iter().map(|l| if l.is_nan() { 100.0 } else { f64::from(*l) }).fold(0.0, f64::max))
    };
    let needed = batches(requirement, input.limits.batch_requirement_max)
        .max(batches(placed.len() as f64, input.limits.batch_devices_max.map(f64::from)))
        .max(
            input
                .limits
                .batch_capacity_max
                .map_or(1, |max| batches(placed.iter().map(lowest_capacity).sum(), Some(max))),
        );
    if let Some(last) = (0..input.slots).filter(open).nth(needed - 1) {
        end = end.max(last + shortest);
    }
    input.slot.times(end.max(sets_end(input, placed)))
}

fn first_fits(input: &PlanInput, slot: usize, out: usize) -> bool {
    slot + out <= input.slots && input.slot_open[slot..slot + out].iter().all(|open| *open)
}

fn first_window_end(input: &PlanInput, out: usize) -> usize {
    (0..input.slots).find(|s| first_fits(input, *s, out)).map_or(out, |s| s + out)
}

/// The latest of the slots by which some pool or region has had room for all it must carry.
fn sets_end(input: &PlanInput, placed: &[usize]) -> usize {
    let limits = &input.limits;
    let mut weight = vec![0.0; input.pools.len()];
    let mut heads = vec![0.0; input.pools.len()];
    let mut regions = vec![0.0; input.regions.len()];
    for d in placed.iter().map(|d| &input.devices[*d]).filter(|d| !d.already_out) {
        let out = d.out_slots.max(1) as f64;
        weight[d.pool.index()] += d.weight * out;
        heads[d.pool.index()] += out;
        regions[d.region.index()] += out;
    }
    let mut end = 0;
    for (p, pool) in input.pools.iter().enumerate() {
        if limits.pool_rule && pool.members >= limits.pool_members_min {
            let room = |t: usize| {
                let needed = (pool.demand_upper[t] + limits.pool_reserve * pool.weight_total) / limits.load_limit;
                pool.weight_total - pool.out_weight[t] - needed
            };
            end = end.max(filled_by(input, weight[p], room));
        }
        if let Some(max) = pool.out_count_max {
            end = end.max(filled_by(input, heads[p], |t| f64::from(max) - f64::from(pool.out_count[t])));
        }
    }
    for (r, region) in input.regions.iter().enumerate() {
        if let Some(max) = region.out_count_max {
            end = end.max(filled_by(input, regions[r], |t| f64::from(max) - f64::from(region.out_count[t])));
        }
    }
    end
}

/// Slots from the start until the room of open slots adds up to `volume`.
fn filled_by(input: &PlanInput, volume: f64, room: impl Fn(usize) -> f64) -> usize {
    let mut left = volume;
    for t in 0..input.slots {
        if left <= 1e-9 * volume.abs() + 1e-9 {
            return t;
        }
        if input.slot_open[t] {
            left -= room(t).max(0.0);
        }
    }
    input.slots
}
