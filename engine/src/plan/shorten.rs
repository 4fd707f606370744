//! Shortens a plan: takes whoever ends too late from its place and looks for another, if need be at the cost of others, who then look
//! for places of their own.
//!
//! Min-conflicts search with weights: a device that found no place for nothing becomes dearer to push aside, so hard ones settle and
//! easy ones go round them. Chance comes from a fixed seed, effort is counted in steps: the same input gives the same plan anywhere.

use super::board::Board;
use super::room::{download_part, download_slots};
use crate::ids::RegionIndex;

/// Places and candidates looked at before an attempt is given up, for a plan made from nothing: tens of milliseconds. The attempts halve
/// what there is to gain, so they are few.
const EFFORT_PLAN: usize = 750_000;
/// The same for the one attempt at a plan that is kept.
pub(super) const EFFORT_KEEP: usize = 100_000;
/// How much dearer a device is that has just been placed.
const JUST_PLACED: f64 = 20.0;
/// Steps for which it stays so, at least; chance adds up to as many.
const JUST_PLACED_STEPS: usize = 6;

/// Shortens as far as effort allows, at best to `lower` slots. True when the plan got shorter.
pub(super) fn search(board: &mut Board<'_>, lower: usize) -> bool {
    let first = board.end();
    let (mut low, mut high) = (lower, first);
    // The bound is often met, so it is tried at once; then halves.
    let mut target = lower;
    while low < high {
        if shorten(board, target, EFFORT_PLAN) {
            high = board.end();
        } else {
            low = target + 1;
        }
        target = (low + high) / 2;
    }
    high < first
}

/// Moves devices until every window ends by `end`; leaves the board as it was when that takes more than `effort`.
pub(super) fn shorten(board: &mut Board<'_>, end: usize, effort: usize) -> bool {
    let before = board.placed.clone();
    let found = Search::new(board, end, effort).run();
    // Booking anew either way, so that no rounding is left over from the search.
    let after = if found { board.placed.clone() } else { before };
    board.stand_at(after);
    found
}

struct Search<'b, 'a> {
    board: &'b mut Board<'a>,
    end: usize,
    /// Devices by pool, then slot of start.
    starts: Vec<Vec<usize>>,
    out_max: usize,
    download_max: usize,
    /// Looking for a place.
    queue: Vec<usize>,
    /// What it costs to push each device aside.
    price: Vec<f64>,
    /// The step until which each counts as just placed.
    placed_until: Vec<usize>,
    step: usize,
    effort: usize,
    chance: u64,
}

/// Why a device does not fit.
#[derive(Clone, Copy)]
enum Short {
    Pool { slot: usize, need: f64 },
    PoolCount { slot: usize },
    Region { slot: usize },
    Link { slot: usize, need: f64 },
    Requirement { need: f64 },
    Capacity { need: f64 },
    Devices,
}

impl<'b, 'a> Search<'b, 'a> {
    fn new(board: &'b mut Board<'a>, end: usize, effort: usize) -> Self {
        let input = board.input;
        let devices = input.devices.len();
        // All in the order of service, so that the order of the input has no say.
        let is_late = |d: &usize| board.placed[*d].is_some_and(|slot| slot + board.out(*d) > end);
        let late: Vec<usize> = board.order.iter().copied().filter(is_late).collect();
        for d in &late {
            board.lift(*d);
        }
        let mut starts = vec![Vec::new(); input.pools.len() * input.slots];
        for d in &board.order {
            if let Some(slot) = board.placed[*d] {
                starts[input.devices[*d].pool.index() * input.slots + slot].push(*d);
            }
        }
        let volume = |d: usize| input.devices[d].weight.abs().min(1e6) * input.devices[d].out_slots.max(1) as f64;
        let mean = board.order.iter().map(|d| volume(*d)).sum::<f64>() / devices.max(1) as f64;
        Self {
            end,
            starts,
            out_max: (0..devices).map(|d| board.out(d)).max().unwrap_or(1),
            download_max: board.room.downloads.iter().map(|share| download_slots(*share)).max().unwrap_or(1),
            queue: late,
            price: (0..devices).map(|d| 1.0 + volume(d) / mean.max(1e-9)).collect(),
            placed_until: vec![0; devices],
            step: 0,
            effort,
            chance: 0x9e37_79b9_7f4a_7c15,
            board,
        }
    }

    /// A number from 0 to 1, by splitmix64.
    fn draw(&mut self) -> f64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn spend(&mut self, work: usize) {
        self.effort = self.effort.saturating_sub(work);
    }

    fn run(mut self) -> bool {
        while let Some(d) = self.next() {
            self.step += 1;
            let last = self.end.saturating_sub(self.board.out(d));
            let slots: Vec<usize> = self.board.possible.from(d, 0).take_while(|s| *s <= last).collect();
            if slots.is_empty() || self.board.out(d) > self.end || self.effort == 0 {
                return false;
            }
            self.spend(slots.len());
            if let Some(slot) = slots.iter().copied().find(|slot| self.board.room.fits(d, *slot)) {
                self.settle(d, slot);
                continue;
            }
            self.price[d] += 1.0;
            let mut best: Option<(f64, usize, Vec<usize>)> = None;
            for slot in slots {
                let noise = 1.0 + 0.2 * self.draw();
                let bound = best.as_ref().map_or(f64::INFINITY, |(cost, ..)| *cost);
                if let Some((cost, aside)) = self.pushed_aside(d, slot, bound / noise) {
                    best = Some((cost * noise, slot, aside));
                }
            }
            let Some((_, slot, aside)) = best else { return false };
            for other in aside {
                self.unsettle(other);
            }
            self.settle(d, slot);
        }
        true
    }

    /// The dearest of the queue.
    fn next(&mut self) -> Option<usize> {
        let at = (0..self.queue.len()).max_by(|a, b| {
            let (a, b) = (self.queue[*a], self.queue[*b]);
            self.price[a].total_cmp(&self.price[b]).then(self.board.rank[b].cmp(&self.board.rank[a]))
        })?;
        self.spend(self.queue.len() / 8);
        Some(self.queue.swap_remove(at))
    }

    fn settle(&mut self, d: usize, slot: usize) {
        self.board.place(d, slot);
        self.starts[self.board.input.devices[d].pool.index() * self.board.input.slots + slot].push(d);
        let more = (self.draw() * JUST_PLACED_STEPS as f64) as usize;
        self.placed_until[d] = self.step + JUST_PLACED_STEPS + more;
    }

    fn unsettle(&mut self, d: usize) {
        if let Some(slot) = self.board.lift(d) {
            let list = &mut self.starts[self.board.input.devices[d].pool.index() * self.board.input.slots + slot];
            list.retain(|other| *other != d);
            self.queue.push(d);
        }
    }

    /// Who must go so that the device fits at the slot, and what that costs; `None` when it costs `bound` or more.
    fn pushed_aside(&mut self, d: usize, slot: usize, bound: f64) -> Option<(f64, Vec<usize>)> {
        let (mut cost, mut aside) = (0.0, Vec::new());
        let mut found = true;
        while let Some(short) = self.short(d, slot) {
            let other = self.cheapest(d, slot, short, &aside);
            let Some(other) = other.filter(|other| cost + self.price_now(*other) < bound) else {
                found = false;
                break;
            };
            cost += self.price_now(other);
            self.book(other, -1.0);
            aside.push(other);
        }
        if found && aside.len() > 1 {
            // An early choice may have become needless.
            let mut position = 0;
            while position < aside.len() {
                self.book(aside[position], 1.0);
                if self.board.room.fits(d, slot) {
                    cost -= self.price_now(aside[position]);
                    aside.remove(position);
                } else {
                    self.book(aside[position], -1.0);
                    position += 1;
                }
            }
        }
        for other in &aside {
            self.book(*other, 1.0);
        }
        found.then_some((cost, aside))
    }

    fn book(&mut self, d: usize, sign: f64) {
        if let Some(slot) = self.board.placed[d] {
            self.board.room.book(d, slot, sign);
        }
    }

    fn price_now(&self, d: usize) -> f64 {
        if self.placed_until[d] > self.step { self.price[d] * JUST_PLACED } else { self.price[d] }
    }

    /// The first rule that keeps the device from the slot.
    fn short(&self, d: usize, slot: usize) -> Option<Short> {
        let room = &self.board.room;
        if room.fits(d, slot) {
            return None;
        }
        let device = &self.board.input.devices[d];
        if !device.already_out {
            for t in slot..slot + self.board.out(d) {
                let pool = room.cell(device.pool.0, t);
                let need = super::room::weight(device) - room.pool_spare[pool];
                if need > super::room::EPSILON {
                    return Some(Short::Pool { slot: t, need });
                }
                if room.pool_count[pool] < 1.0 {
                    return Some(Short::PoolCount { slot: t });
                }
                if room.region_count[room.cell(device.region.0, t)] < 1.0 {
                    return Some(Short::Region { slot: t });
                }
            }
        }
        if !room.link_has_room(d, slot) {
            let share = room.downloads[d];
            let lack = |i: usize| download_part(share, i) - room.link[room.cell(device.region.0, slot + i)];
            let worst = (0..download_slots(share).min(self.board.input.slots - slot)).map(|i| (slot + i, lack(i)));
            let (slot, need) = worst.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((slot, 1.0));
            return Some(Short::Link { slot, need });
        }
        let need = device.requirement - room.requirement[slot];
        if need > super::room::EPSILON {
            return Some(Short::Requirement { need });
        }
        if room.devices[slot] < 1.0 {
            return Some(Short::Devices);
        }
        Some(Short::Capacity { need: self.capacity(d, slot) - room.capacity[slot] })
    }

    fn capacity(&self, d: usize, slot: usize) -> f64 {
        crate::score::capacity(super::room::load_score(self.board.input, d, slot))
    }

    /// The device that relieves a shortage for the least.
    fn cheapest(&mut self, d: usize, slot: usize, short: Short, aside: &[usize]) -> Option<usize> {
        let input = self.board.input;
        let device = &input.devices[d];
        let own = device.pool.index()..device.pool.index() + 1;
        let all = 0..input.pools.len();
        let (pools, at, in_sets) = match short {
            Short::Pool { slot, .. } | Short::PoolCount { slot } => (own, slot, true),
            Short::Region { slot } => (all, slot, true),
            Short::Link { slot, need } => return self.cheapest_download(device.region, slot, need, aside),
            Short::Requirement { .. } | Short::Capacity { .. } | Short::Devices => (all, slot, false),
        };
        let earliest = if in_sets { (at + 1).saturating_sub(self.out_max) } else { at };
        let (mut best, mut looked): (Option<(f64, usize)>, usize) = (None, 0);
        for pool in pools {
            for start in earliest..=at {
                let list = &self.starts[pool * input.slots + start];
                looked += list.len();
                for other in list {
                    let candidate = &input.devices[*other];
                    let out = candidate.out_slots.max(1);
                    let no_use = in_sets && (start + out <= at || candidate.already_out)
                        || matches!(short, Short::Region { .. }) && candidate.region != device.region;
                    if no_use || aside.contains(other) {
                        continue;
                    }
                    let relief = match short {
                        Short::Pool { need, .. } => (candidate.weight / need).min(1.0),
                        Short::Requirement { need } => (candidate.requirement / need).min(1.0),
                        Short::Capacity { need } => (self.capacity(*other, at) / need).min(1.0),
                        Short::PoolCount { .. } | Short::Region { .. } | Short::Link { .. } | Short::Devices => 1.0,
                    };
                    let shared = (start + out).min(slot + device.out_slots.max(1)).saturating_sub(start.max(slot));
                    let cost = self.price_now(*other) / (relief * shared as f64);
                    if cost.is_finite() && best.is_none_or(|(least, _)| cost < least) {
                        best = Some((cost, *other));
                    }
                }
            }
        }
        self.spend(looked + 1);
        best.map(|(_, other)| other)
    }

    /// Of the devices that download in a slot over the link of a region, the one that relieves it for the least.
    fn cheapest_download(&mut self, region: RegionIndex, at: usize, need: f64, aside: &[usize]) -> Option<usize> {
        let (board, input) = (&*self.board, self.board.input);
        let (mut best, mut looked): (Option<(f64, usize)>, usize) = (None, 0);
        for pool in 0..input.pools.len() {
            for start in (at + 1).saturating_sub(self.download_max)..=at {
                let list = &self.starts[pool * input.slots + start];
                looked += list.len();
                for other in list {
                    let part = download_part(board.room.downloads[*other], at - start);
                    if part <= 0.0 || input.devices[*other].region != region || aside.contains(other) {
                        continue;
                    }
                    let cost = self.price_now(*other) / (part / need).min(1.0);
                    if cost.is_finite() && best.is_none_or(|(least, _)| cost < least) {
                        best = Some((cost, *other));
                    }
                }
            }
        }
        self.spend(looked + 1);
        best.map(|(_, other)| other)
    }
}
