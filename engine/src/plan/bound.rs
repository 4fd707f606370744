//! How short a plan for the same devices could be at best.
//!
//! Every bound is a relaxation that keeps some rules and drops the rest, so the largest of them holds for all:
//!
//! - *alone*: no device ends before it would if it had the fleet to itself;
//! - *windows*: the windows of a pool or region are intervals over slots of limited room. Counted in heads, or in weight that may be
//!   split, with the windows as long as the shortest, the most that can have ended by a slot is found by taking intervals
//!   in the order of their ends (an exchange argument shows that nothing beats it). It is asked of all devices, of those that can only
//!   start late, and of those that are out for long;
//! - *volume*: weight × slots out against room × slots, for windows of several lengths;
//! - *links*: downloads against what a region's link carries, as sizes that start in a slot and as volume;
//! - *batches*: heads, points and capacity scores of the starts a slot allows, and a slot for each device that needs more than half.

use super::board::Board;
use super::room::{EPSILON, Room, download_part, download_slots, load_score, weight};
use crate::score;

/// Slots that no plan placing the devices that the board has placed can do with less of.
pub(super) fn lower_bound(board: &Board<'_>) -> usize {
    let input = board.input;
    let room = Room::new(input);
    let placed = &*board.order.iter().copied().filter(|d| board.placed[*d].is_some()).collect::<Vec<usize>>();
    let first: Vec<usize> = placed.iter().map(|d| board.possible.from(*d, 0).next().unwrap_or(input.slots)).collect();
    let alone = placed.iter().zip(&first).map(|(d, first)| first + board.out(*d)).max().unwrap_or(0);
    let mut end = alone.max(batches(board, placed));
    let mut pools: Vec<Vec<Job>> = vec![Vec::new(); input.pools.len()];
    let mut regions: Vec<Vec<Job>> = vec![Vec::new(); input.regions.len()];
    let mut links: Vec<Vec<(usize, usize)>> = vec![Vec::new(); input.regions.len()];
    for (d, first) in placed.iter().zip(&first) {
        let device = &input.devices[*d];
        if room.downloads[*d] != 0.0 {
            links[device.region.index()].push((*d, *first));
        }
        if !device.already_out {
            let job = Job { d: *d, first: *first, out: board.out(*d), weight: weight(device) };
            pools[device.pool.index()].push(job);
            regions[device.region.index()].push(job);
        }
    }
    for (p, jobs) in pools.iter().enumerate() {
        end = end.max(Set::of_pool(&room, p, jobs).end(board, jobs));
    }
    for (r, jobs) in regions.iter().enumerate() {
        end = end.max(Set::of_region(&room, r, jobs).end(board, jobs));
    }
    for (r, members) in links.iter().enumerate().filter(|(_, members)| !members.is_empty()) {
        end = end.max(link(board, &room, r, members));
    }
    end.min(input.slots)
}

/// The earliest end of a window whose download is the last that a region's link carries; `members` with the first slot of each.
fn link(board: &Board<'_>, room: &Room<'_>, region: usize, members: &[(usize, usize)]) -> usize {
    let slots = board.input.slots;
    let left = &room.link[room.cell(region as u32, 0)..room.cell(region as u32, slots)];
    let mut jobs = Vec::with_capacity(members.len());
    // How much longer than its download a window is at least; less than nothing where downloads outlast windows.
    let mut margin = isize::MAX;
    let (mut volume, mut can_load) = (0.0, vec![false; slots]);
    for (d, first) in members {
        let (share, out) = (room.downloads[*d], board.out(*d));
        let parts = download_slots(share);
        // In the slot it starts in it takes its all, or the whole link.
        jobs.push(Job { d: *d, first: *first, out: 1, weight: download_part(share, 0) });
        margin = margin.min(out as isize - parts as isize);
        volume += share.min(parts as f64);
        let mut next = 0;
        for slot in board.possible.from(*d, 0) {
            let end = (slot + parts).min(slots);
            can_load[slot.max(next).min(end)..end].fill(true);
            next = end;
        }
    }
    let Some(from) = jobs.iter().map(|job| job.first).min() else { return 0 };
    let by_start = |jobs: &[Job]| {
        let shortest = jobs.iter().map(|job| board.out(job.d)).min().unwrap_or(1);
        let last = Set::of(left, &vec![f64::INFINITY; slots], jobs).end(board, jobs);
        if last == 0 { 0 } else { last - 1 + shortest }
    };
    let large: Vec<Job> = jobs.iter().copied().filter(|job| job.weight > 0.5 + EPSILON).collect();
    let starts = by_start(&jobs).max(if large.len() < jobs.len() { by_start(&large) } else { 0 });
    let open: Vec<f64> = left.iter().zip(&can_load).map(|(left, can)| if *can { left.max(0.0) } else { 0.0 }).collect();
    // Whoever downloads in the last slot has begun at most its download before.
    let loaded = carried_by(&open, &vec![f64::INFINITY; slots], 1, from, volume);
    starts.max(if loaded == 0 { 0 } else { loaded.saturating_add_signed(margin) })
}

/// A device as a set sees it.
#[derive(Debug, Clone, Copy)]
struct Job {
    d: usize,
    /// First slot it could start in.
    first: usize,
    out: usize,
    weight: f64,
}

/// The most heads and weight that can be out, slot by slot; infinite where nothing binds.
struct Set {
    heads: Vec<f64>,
    weight: Vec<f64>,
}

impl Set {
    fn of_pool(room: &Room<'_>, p: usize, jobs: &[Job]) -> Self {
        let cells = room.cell(p as u32, 0)..room.cell(p as u32, room.input.slots);
        Self::of(&room.pool_spare[cells.clone()], &room.pool_count[cells], jobs)
    }

    /// `left` and `count`: weight and heads that may be out, by slot.
    fn of(left: &[f64], count: &[f64], jobs: &[Job]) -> Self {
        let mut weights: Vec<f64> = jobs.iter().map(|job| job.weight).collect();
        weights.sort_by(f64::total_cmp);
        let sums = |weights: &mut dyn Iterator<Item = f64>| -> Vec<f64> {
            let add = |sum: &mut f64, w: f64| {
                *sum += w;
                Some(*sum)
            };
            weights.scan(0.0, add).collect()
        };
        let lightest = sums(&mut weights.iter().copied());
        let heaviest = sums(&mut weights.iter().rev().copied());
        // Where all weights are multiples of the least, only multiples of it can be out.
        let unit = weights.first().copied().filter(|unit| *unit > 0.0).unwrap_or(0.0);
        let is_multiple = |w: &f64| (w / unit - (w / unit).round()).abs() < 1e-9;
        let unit = if unit > 0.0 && weights.iter().all(is_multiple) { unit } else { 0.0 };
        let (mut heads, mut spare) = (Vec::with_capacity(left.len()), Vec::with_capacity(left.len()));
        for (left, count) in left.iter().copied().zip(count) {
            let fit = lightest.partition_point(|sum| *sum <= left + EPSILON);
            let most = count.max(0.0).min(fit as f64);
            let counted = if most >= 1.0 { heaviest[most as usize - 1] } else { 0.0 };
            let whole = if unit > 0.0 && left.is_finite() { ((left + EPSILON) / unit).floor() * unit } else { left };
            heads.push(most);
            spare.push(whole.min(counted).max(0.0));
        }
        Self { heads, weight: spare }
    }

    fn of_region(room: &Room<'_>, r: usize, jobs: &[Job]) -> Self {
        let heads =
            (0..room.input.slots).map(|t| room.region_count[room.cell(r as u32, t)].clamp(0.0, jobs.len() as f64));
        Self { heads: heads.collect(), weight: Vec::new() }
    }

    /// The first slot by which the set can have carried all its jobs.
    fn end(&self, board: &Board<'_>, jobs: &[Job]) -> usize {
        let slots = board.input.slots;
        let mut lengths: Vec<usize> = jobs.iter().map(|job| job.out).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut end = 0;
        for length in &lengths {
            let mut subset: Vec<&Job> = jobs.iter().filter(|job| job.out >= *length).collect();
            subset.sort_by_key(|job| (job.first, board.rank[job.d]));
            // By slot: heads and weight that may start in it.
            let (mut heads, mut weights) = (vec![0.0; slots], vec![0.0; slots]);
            for job in &subset {
                for slot in board.possible.from(job.d, 0) {
                    heads[slot] += 1.0;
                    weights[slot] += job.weight;
                }
            }
            let mut begin = 0;
            while begin < subset.len() {
                let (rest, from) = (&subset[begin..], subset[begin].first);
                end = end.max(carried_by(&self.heads, &heads, *length, from, rest.len() as f64));
                if !self.weight.is_empty() {
                    let total = rest.iter().map(|job| job.weight).sum();
                    end = end.max(carried_by(&self.weight, &weights, *length, from, total));
                    let volume = rest.iter().map(|job| job.weight * job.out as f64).sum();
                    end = end.max(carried_by(&self.weight, &vec![f64::INFINITY; slots], 1, from, volume));
                }
                let volume = rest.iter().map(|job| job.out as f64).sum();
                end = end.max(carried_by(&self.heads, &vec![f64::INFINITY; slots], 1, from, volume));
                begin += rest.iter().take_while(|job| job.first == from).count();
            }
        }
        end
    }
}

/// The first end by which windows of `length` slots, from slot `from` on, can amount to `needed`, when a slot has `room` and no more
/// than `starts` can start in it.
fn carried_by(room: &[f64], starts: &[f64], length: usize, from: usize, needed: f64) -> usize {
    let mut left = room.to_vec();
    let mut carried = 0.0;
    let slack = 1e-9 * (1.0 + needed.abs());
    for begin in from..(room.len() + 1).saturating_sub(length) {
        if carried + slack >= needed {
            break;
        }
        let window = &mut left[begin..begin + length];
        let amount = window.iter().copied().fold(starts[begin], f64::min);
        if amount > 0.0 {
            window.iter_mut().for_each(|left| *left -= amount);
            carried += amount;
            if carried + slack >= needed {
                return begin + length;
            }
        }
    }
    if carried + slack >= needed { 0 } else { room.len() }
}

/// The end of the last of the batches that the devices need at least.
fn batches(board: &Board<'_>, placed: &[usize]) -> usize {
    let input = board.input;
    let limits = &input.limits;
    let shortest = placed.iter().map(|d| board.out(*d)).min().unwrap_or(1);
    let mut may_start = vec![0.0; input.slots];
    let mut lowest = Vec::with_capacity(placed.len());
    for d in placed {
        let mut least = f64::INFINITY;
        for slot in board.possible.from(*d, 0) {
            may_start[slot] += 1.0;
            if limits.batch_capacity_max.is_some() {
                least = least.min(score::capacity(load_score(input, *d, slot)));
            }
        }
        lowest.push(if least.is_finite() { least } else { 0.0 });
    }
    // The end by which starts, each slot good for `max`, amount to what is needed.
    let by = |sizes: &mut Vec<f64>, max: f64| {
        sizes.sort_by(f64::total_cmp);
        let mut sum = 0.0;
        let fit = sizes.iter().take_while(|size| {
            sum += **size;
            sum <= max + EPSILON
        });
        let most = fit.count() as f64;
        let heads = carried_by(&vec![most; input.slots], &may_start, 1, 0, sizes.len() as f64);
        let open = |share: f64| -> Vec<f64> { may_start.iter().map(|n| if *n > 0.0 { share } else { 0.0 }).collect() };
        let free = vec![f64::INFINITY; input.slots];
        let volume = carried_by(&open(max), &free, 1, 0, sizes.iter().sum());
        let large = sizes.iter().filter(|size| **size > max / 2.0 + EPSILON).count();
        heads.max(volume).max(carried_by(&open(1.0), &free, 1, 0, large as f64))
    };
    let mut last = 0;
    if let Some(max) = limits.batch_devices_max {
        last = last.max(by(&mut vec![1.0; placed.len()], f64::from(max)));
    }
    if let Some(max) = limits.batch_requirement_max {
        last = last.max(by(&mut placed.iter().map(|d| input.devices[*d].requirement).collect(), max));
    }
    if let Some(max) = limits.batch_capacity_max {
        last = last.max(by(&mut lowest, max));
    }
    // `last` is the end of the last start's own slot.
    if last == 0 { 0 } else { last - 1 + shortest }
}
