//! Plans anew and leaves as many devices as can be where the parent plan has them.
//!
//! Who could stay is left standing; where a limit is broken, as few as will do make room, the last in order first; then the rest find
//! places round those who stay. A device that could stay moves only for a gain of at least [`PlanLimits::earlier_min`] slots of its own or
//! [`PlanLimits::shorter_min`] slots of the whole. Stability goes before priority: nobody who stands is pushed aside by a device ahead of it.

use super::board::Board;
use super::planner::{Lower, ROUNDS_MAX, finish, plan, settle, shorten_whole};
use super::report::{MoveReason, Moved, PlanReport};
use super::room::{EPSILON, OpenWindows, download_part, download_slots, load_allowed, load_score, weight};
use super::why::not_now;
use super::{Plan, PlanInput, PlanLimits};
use crate::ids::{DeviceIndex, PlanNumber};
use crate::time::{Instant, Span};
use std::collections::BTreeMap;

/// Makes the plan that follows `parent`: pure, like [`plan`], and judged by the same checker. The report says who moved and why.
pub fn replan(input: &PlanInput, number: PlanNumber, parent: &Plan) -> (Plan, PlanReport) {
    let starts: BTreeMap<DeviceIndex, Instant> =
        parent.batches.iter().flat_map(|batch| batch.devices.iter().map(|d| (*d, batch.start))).collect();
    let old: Vec<Option<Instant>> = input.devices.iter().map(|d| starts.get(&d.index).copied()).collect();
    if old.iter().all(Option::is_none) {
        return plan(input, number, Some(parent.number));
    }
    let mut board = Board::new(input);
    let mut forced = stand(&mut board, &old);
    make_room(&mut board, &old, &mut forced);
    let stood = board.placed.clone();
    board.fill();
    let lower = Lower::of(&board);
    let before = board.end();
    // Where most are new, the parent says little and the plan is worth a whole search.
    if stood.iter().flatten().count() * 2 < board.windows().count() {
        let filled = board.placed.clone();
        shorten_whole(&mut board, lower.slots);
        if before - board.end() < PlanLimits::shorter_min(before) {
            board.stand_at(filled);
        }
    }
    let unsettled = board.placed.clone();
    settle(&mut board, lower.slots);
    go_back(&mut board, &old, &stood, before);
    board.fill();
    // Who found a place last may have made the plan as long as it was: then nobody was moved for a shorter one.
    if before.saturating_sub(board.end()) < PlanLimits::shorter_min(before) && is_anybody_moved(&board, &stood) {
        board.stand_at(unsettled);
        for _ in 0..ROUNDS_MAX {
            if !board.advance() && !board.fill() {
                break;
            }
        }
        go_back(&mut board, &old, &stood, before);
        board.fill();
    }
    forget_what_holds_no_more(&mut board, &old, &mut forced);
    let (plan, mut report) = finish(&board, lower, number, Some(parent.number));
    report.moved = moves(&board, &old, forced, before);
    report.kept = old.iter().flatten().count() - report.moved.len();
    (plan, report)
}

/// Makes a plan from nothing because rollouts have changed places: who stood elsewhere under `parent` was outranked.
pub fn plan_anew(input: &PlanInput, number: PlanNumber, parent: &Plan) -> (Plan, PlanReport) {
    let (made, mut report) = plan(input, number, Some(parent.number));
    let starts = |plan: &Plan| -> BTreeMap<DeviceIndex, Instant> {
        plan.batches.iter().flat_map(|batch| batch.devices.iter().map(|d| (*d, batch.start))).collect()
    };
    let (old, new) = (starts(parent), starts(&made));
    for device in &input.devices {
        let Some(from) = old.get(&device.index).copied() else { continue };
        let to = new.get(&device.index).copied();
        if to == Some(from) {
            report.kept += 1;
        } else {
            report.moved.push(Moved { device: device.index, from, to, why: MoveReason::Outranked });
        }
    }
    (made, report)
}

/// The slot of a start, when it is one of the horizon.
fn slot_of(input: &PlanInput, start: Instant) -> Option<usize> {
    if start < input.start {
        return None;
    }
    let slot = start.since(input.start).steps_down(input.slot);
    (slot < input.slots && input.start + input.slot.times(slot) == start).then_some(slot)
}

/// Puts everybody where the parent has it, unless it cannot stay even by itself; those are returned with the reason.
fn stand(board: &mut Board<'_>, old: &[Option<Instant>]) -> Vec<Option<MoveReason>> {
    let input = board.input;
    let mut forced = vec![None; old.len()];
    let mut windows = OpenWindows::default();
    for (d, start) in old.iter().enumerate() {
        let Some(start) = start else { continue };
        let why = alone(input, &mut windows, d, *start).and_then(|slot| {
            let ends = slot.saturating_add(download_slots(board.room.downloads[d])) <= input.slots;
            if ends || board.room.downloads[d] == 0.0 { Ok(slot) } else { Err(refusal(board, d, slot)) }
        });
        match why {
            Ok(slot) => board.place(d, slot),
            Err(why) => forced[d] = Some(why),
        }
    }
    forced
}

/// The slot of a device's old place, or what by itself keeps it from staying there.
fn alone(input: &PlanInput, windows: &mut OpenWindows, d: usize, start: Instant) -> Result<usize, MoveReason> {
    let device = &input.devices[d];
    if let Some((on, _)) = not_now(input, device) {
        return Err(MoveReason::MayNotGo { on });
    }
    let slot = slot_of(input, start).ok_or(MoveReason::Missed)?;
    let open = windows.of(input, device);
    if !open[slot] {
        return Err(MoveReason::WindowClosed);
    }
    let score = load_score(input, d, slot);
    let scores = (0..input.slots).filter(|s| open[*s]).map(|s| load_score(input, d, s));
    match input.limits.device_load_max.and_then(|_| load_allowed(input, scores.fold(f64::INFINITY, f64::min))) {
        Some(max) if score > max => Err(MoveReason::DeviceLoad { score, max }),
        _ => Ok(slot),
    }
}

/// Takes as few devices as will do from broken limits, then lets those back who fit all the same.
fn make_room(board: &mut Board<'_>, old: &[Option<Instant>], forced: &mut [Option<MoveReason>]) {
    let input = board.input;
    let mut crowd = Crowd::new(board);
    let mut gone: Vec<(usize, usize)> = Vec::new();
    for t in 0..input.slots {
        for p in 0..input.pools.len() {
            let cell = board.room.cell(p as u32, t);
            while board.room.pool_spare[cell] < -EPSILON || board.room.pool_count[cell] < 0.0 {
                let need = -board.room.pool_spare[cell];
                let Some(d) = crowd.out_of(board, p..p + 1, t, None, need) else { break };
                gone.extend(board.placed[d].map(|slot| (d, slot)));
                crowd.leaves(board, d);
            }
        }
        for r in 0..input.regions.len() {
            while board.room.region_count[board.room.cell(r as u32, t)] < 0.0 {
                let Some(d) = crowd.out_of(board, 0..input.pools.len(), t, Some(r), 0.0) else { break };
                gone.extend(board.placed[d].map(|slot| (d, slot)));
                crowd.leaves(board, d);
            }
        }
        for r in 0..input.regions.len() {
            while board.room.link[board.room.cell(r as u32, t)] < -EPSILON {
                let Some(d) = crowd.downloading_in(board, r, t) else { break };
                gone.extend(board.placed[d].map(|slot| (d, slot)));
                crowd.leaves(board, d);
            }
        }
        while board.room.devices[t] < 0.0 || board.room.requirement[t] < -EPSILON || board.room.capacity[t] < -EPSILON {
            let Some(d) = crowd.starting_in(board, t) else { break };
            gone.extend(board.placed[d].map(|slot| (d, slot)));
            crowd.leaves(board, d);
        }
    }
    gone.sort_by_key(|(d, _)| board.rank[*d]);
    for (d, slot) in &gone {
        if board.room.fits(*d, *slot) {
            board.place(*d, *slot);
        }
    }
    for (d, slot) in gone {
        if board.placed[d].is_none() && old[d].is_some() {
            forced[d] = Some(refusal(board, d, slot));
        }
    }
}

/// The rule that keeps a device from a slot.
fn refusal(board: &Board<'_>, d: usize, slot: usize) -> MoveReason {
    let (input, room) = (board.input, &board.room);
    let device = &input.devices[d];
    let window = slot..slot + board.out(d);
    if !device.already_out {
        let spare = |t: &usize| room.pool_spare[room.cell(device.pool.0, *t)];
        if let Some(t) = window.clone().min_by(|a, b| spare(a).total_cmp(&spare(b)))
            && spare(&t) + EPSILON < weight(device)
        {
            let at = input.start + input.slot.times(t);
            return MoveReason::PoolCapacity { at, weight: device.weight, spare: spare(&t) };
        }
        if window.clone().any(|t| room.pool_count[room.cell(device.pool.0, t)] < 1.0) {
            return MoveReason::PoolOutMax { max: input.pools[device.pool.index()].out_count_max.unwrap_or(0) };
        }
        if window.clone().any(|t| room.region_count[room.cell(device.region.0, t)] < 1.0) {
            return MoveReason::RegionOutMax { max: input.regions[device.region.index()].out_count_max.unwrap_or(0) };
        }
    }
    if room.link_has_room(d, slot) {
        return MoveReason::BatchFull;
    }
    let (share, cell) = (room.downloads[d], |t: usize| room.cell(device.region.0, t));
    let lack = |t: &usize| download_part(share, *t - slot) - room.link[cell(*t)];
    // A download that runs past the horizon lacks nothing before it.
    let end = slot.saturating_add(download_slots(share)).min(input.slots);
    let t = (slot..end).max_by(|a, b| lack(a).total_cmp(&lack(b))).unwrap_or(slot);
    let per_slot = input.regions[device.region.index()].download_bytes_max.unwrap_or(0.0);
    MoveReason::LinkBusy {
        at: input.start + input.slot.times(t),
        needed_bytes: download_part(share, t - slot) * per_slot,
        spare_bytes: room.link_free(device.region, t) * per_slot,
    }
}

/// Who starts where, by pool, then slot.
struct Crowd {
    starts: Vec<Vec<usize>>,
    slots: usize,
    out_max: usize,
    download_max: usize,
}

impl Crowd {
    fn new(board: &Board<'_>) -> Self {
        let slots = board.input.slots;
        let mut starts = vec![Vec::new(); board.input.pools.len() * slots];
        for d in &board.order {
            if let Some(slot) = board.placed[*d] {
                starts[board.input.devices[*d].pool.index() * slots + slot].push(*d);
            }
        }
        let out_max = board.windows().map(|(d, _)| board.out(d)).max().unwrap_or(1);
        let parts = |(d, _): (usize, usize)| download_slots(board.room.downloads[d]);
        Self { starts, slots, out_max, download_max: board.windows().map(parts).max().unwrap_or(1) }
    }

    fn leaves(&mut self, board: &mut Board<'_>, d: usize) {
        if let Some(slot) = board.lift(d) {
            self.starts[board.input.devices[d].pool.index() * self.slots + slot].retain(|other| *other != d);
        }
    }

    /// Among those out in a slot, the one that relieves the most broken limits, then takes most of what is lacking, then comes last.
    fn out_of(
        &self,
        board: &Board<'_>,
        pools: std::ops::Range<usize>,
        t: usize,
        region: Option<usize>,
        need: f64,
    ) -> Option<usize> {
        let lists = pools.flat_map(|p| ((t + 1).saturating_sub(self.out_max)..=t).map(move |s| (p, s)));
        let out = lists.flat_map(|(p, s)| &self.starts[p * self.slots + s]).copied().filter(|d| {
            let device = &board.input.devices[*d];
            let is_out = board.placed[*d].is_some_and(|slot| slot + board.out(*d) > t) && !device.already_out;
            is_out && region.is_none_or(|r| device.region.index() == r)
        });
        let relief = |d: usize| weight(&board.input.devices[d]).min(need.max(0.0));
        Self::first_to_go(board, out, relief)
    }

    /// Among those of a region that download in a slot, the one that takes most of what is lacking, then comes last.
    fn downloading_in(&self, board: &Board<'_>, region: usize, t: usize) -> Option<usize> {
        let input = board.input;
        let need = -board.room.link[board.room.cell(region as u32, t)];
        let part = |d: usize| {
            let since = board.placed[d].map_or(0, |slot| t - slot);
            download_part(board.room.downloads[d], since)
        };
        let lists = (0..input.pools.len())
            .flat_map(|p| ((t + 1).saturating_sub(self.download_max)..=t).map(move |s| p * self.slots + s));
        let those = lists
            .flat_map(|list| &self.starts[list])
            .copied()
            .filter(|d| input.devices[*d].region.index() == region && part(*d) > 0.0);
        Self::first_to_go(board, those, |d| part(d).min(need))
    }

    fn starting_in(&self, board: &Board<'_>, t: usize) -> Option<usize> {
        let members = (0..board.input.pools.len()).flat_map(|p| &self.starts[p * self.slots + t]).copied();
        let room = &board.room;
        let relief = |d: usize| {
            let requirement = board.input.devices[d].requirement.min((-room.requirement[t]).max(0.0));
            let capacity = crate::score::capacity(load_score(board.input, d, t)).min((-room.capacity[t]).max(0.0));
            requirement + capacity
        };
        Self::first_to_go(board, members, relief)
    }

    fn first_to_go(
        board: &Board<'_>,
        devices: impl Iterator<Item = usize>,
        relief: impl Fn(usize) -> f64,
    ) -> Option<usize> {
        devices
            .map(|d| (broken(board, d), relief(d), board.rank[d], d))
            .max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)))
            .map(|(.., d)| d)
    }
}

/// How many slots of a device's window have a broken limit that it takes part in.
fn broken(board: &Board<'_>, d: usize) -> usize {
    let (room, device) = (&board.room, &board.input.devices[d]);
    let Some(slot) = board.placed[d] else { return 0 };
    let is_broken = |t: &usize| {
        let pool = room.cell(device.pool.0, *t);
        room.pool_spare[pool] < -EPSILON
            || room.pool_count[pool] < 0.0
            || room.region_count[room.cell(device.region.0, *t)] < 0.0
    };
    if device.already_out { 0 } else { (slot..slot + board.out(d)).filter(is_broken).count() }
}

/// Lets devices back to their old places that are free after all, but for those that moved up by enough; and nobody beyond the end
/// that a shorter plan was moved for.
fn go_back(board: &mut Board<'_>, old: &[Option<Instant>], stood: &[Option<usize>], before: usize) {
    let input = board.input;
    let shortened = before.saturating_sub(board.end()) >= PlanLimits::shorter_min(before);
    let end = if shortened { board.end() } else { input.slots };
    let homes: Vec<Option<usize>> = old.iter().map(|start| start.and_then(|start| slot_of(input, start))).collect();
    loop {
        let mut any = false;
        for position in 0..board.order.len() {
            let d = board.order[position];
            let Some(home) = homes[d].filter(|home| board.placed[d] != Some(*home) && board.possible.has(d, *home))
            else {
                continue;
            };
            let gained = |slot: usize| stood[d].is_some() && slot + PlanLimits::earlier_min(home) <= home;
            if board.placed[d].is_some_and(gained) || home + board.out(d) > end {
                continue;
            }
            let there = board.lift(d);
            if board.room.fits(d, home) {
                board.place(d, home);
                any = true;
            } else if let Some(there) = there {
                board.place(d, there);
            }
        }
        if !any {
            return;
        }
    }
}

/// Is anybody who could stay elsewhere, but for those that gain enough by it?
fn is_anybody_moved(board: &Board<'_>, stood: &[Option<usize>]) -> bool {
    let moved = |(stood, placed): (&Option<usize>, &Option<usize>)| {
        let gains = |home: usize| placed.is_some_and(|slot| slot + PlanLimits::earlier_min(home) <= home);
        stood.is_some_and(|home| *placed != Some(home) && !gains(home))
    };
    stood.iter().zip(&board.placed).any(moved)
}

/// Who was forced from a place that is free again, and is not let back because the whole is shorter without it, moved for that.
fn forget_what_holds_no_more(board: &mut Board<'_>, old: &[Option<Instant>], forced: &mut [Option<MoveReason>]) {
    for (d, why) in forced.iter_mut().enumerate().filter(|(_, why)| why.is_some()) {
        let home = old[d].and_then(|start| slot_of(board.input, start)).filter(|home| board.possible.has(d, *home));
        let Some(home) = home else { continue };
        let Some(there) = board.lift(d) else { continue };
        if board.room.fits(d, home) {
            *why = None;
        }
        board.place(d, there);
    }
}

/// Who stands elsewhere than in the parent, and why.
fn moves(board: &Board<'_>, old: &[Option<Instant>], forced: Vec<Option<MoveReason>>, before: usize) -> Vec<Moved> {
    let input = board.input;
    let whole = input.slot.times(before.saturating_sub(board.end()));
    let mut moved = Vec::new();
    for ((d, from), why) in old.iter().enumerate().zip(forced) {
        let Some(from) = *from else { continue };
        let to = board.placed[d].map(|slot| input.start + input.slot.times(slot));
        if to == Some(from) {
            continue;
        }
        let earlier = to.filter(|to| *to < from).map(|to| from.since(to));
        let enough = slot_of(input, from).map_or(Span::ZERO, |slot| input.slot.times(PlanLimits::earlier_min(slot)));
        let why = why.unwrap_or_else(|| match earlier {
            Some(by) if by >= enough => MoveReason::Earlier { by },
            _ => MoveReason::ShorterPlan { by: whole },
        });
        moved.push(Moved { device: input.devices[d].index, from, to, why });
    }
    moved
}
