//! A plan under construction: who stands where, in what order devices are served, and what is left of every limit.

use super::room::{Room, SlotSets, download_slots, sane, weight};
use super::why::{not_now, why};
use super::{Batch, Plan, PlanInput, PlanLimits, Waiting};
use crate::ids::PlanNumber;
use crate::score;
use crate::time::Span;
use std::collections::BTreeMap;

pub(super) struct Board<'a> {
    pub(super) input: &'a PlanInput,
    pub(super) room: Room<'a>,
    /// The starts a device could have if it had the fleet to itself; none for a device that may not go now.
    pub(super) possible: SlotSets,
    /// Devices by rank, wave, priority, id.
    pub(super) order: Vec<usize>,
    /// Position of each device in `order`.
    pub(super) rank: Vec<usize>,
    /// Devices of one class differ in nothing that a pool, a region or its link asks for.
    pub(super) class: Vec<usize>,
    /// The slot each device starts in.
    pub(super) placed: Vec<Option<usize>>,
}

impl<'a> Board<'a> {
    pub(super) fn new(input: &'a PlanInput) -> Self {
        let room = Room::new(input);
        let mut order: Vec<usize> = (0..input.devices.len()).collect();
        order.sort_by(|a, b| {
            let (a, b) = (&input.devices[*a], &input.devices[*b]);
            let standing = (a.rank, a.wave).cmp(&(b.rank, b.wave));
            standing.then(sane(b.priority).total_cmp(&sane(a.priority))).then_with(|| a.id.cmp(&b.id))
        });
        let mut rank = vec![0; order.len()];
        for (position, d) in order.iter().enumerate() {
            rank[*d] = position;
        }
        let class = classes(&room);
        let possible = possible(&room, &class);
        Self { input, room, possible, order, rank, class, placed: vec![None; input.devices.len()] }
    }

    /// Slots a device is out.
    pub(super) fn out(&self, d: usize) -> usize {
        self.input.devices[d].out_slots.max(1)
    }

    pub(super) fn place(&mut self, d: usize, slot: usize) {
        self.room.book(d, slot, 1.0);
        self.placed[d] = Some(slot);
    }

    /// Takes a device from its place.
    pub(super) fn lift(&mut self, d: usize) -> Option<usize> {
        let slot = self.placed[d].take()?;
        self.room.book(d, slot, -1.0);
        Some(slot)
    }

    /// Puts everybody where `places` says, and books it in the order of service.
    pub(super) fn stand_at(&mut self, places: Vec<Option<usize>>) {
        self.room = Room::new(self.input);
        self.placed = places;
        for d in &self.order {
            if let Some(slot) = self.placed[*d] {
                self.room.book(*d, slot, 1.0);
            }
        }
    }

    /// Slots until the last window has ended.
    pub(super) fn end(&self) -> usize {
        self.windows().map(|(d, slot)| slot + self.out(d)).max().unwrap_or(0)
    }

    /// Everybody who has a place, with its slot.
    pub(super) fn windows(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.placed.iter().enumerate().filter_map(|(d, slot)| slot.map(|slot| (d, slot)))
    }

    /// Gives everybody without a place the earliest that is left, in order. True when somebody got one.
    ///
    /// What is left only shrinks meanwhile, so a slot that was too small for a device stays too small for its class: each class
    /// goes on where the last of it was placed.
    pub(super) fn fill(&mut self) -> bool {
        let mut hints = vec![0; self.class.iter().max().map_or(0, |last| last + 1)];
        let mut any = false;
        for position in 0..self.order.len() {
            let d = self.order[position];
            if self.placed[d].is_some() {
                continue;
            }
            let hint = &mut hints[self.class[d]];
            *hint = self.room.earliest_for_sets(d, *hint);
            let slot = self.possible.from(d, *hint).find(|slot| self.room.fits(d, *slot));
            if let Some(slot) = slot {
                self.place(d, slot);
                any = true;
            }
        }
        any
    }

    /// Moves devices up that gain at least [`PlanLimits::earlier_min`] slots by it, the last first: each takes the most there is to gain,
    /// and leaves a place that nobody later wants. True when somebody moved.
    pub(super) fn advance(&mut self) -> bool {
        let mut last_first: Vec<(usize, usize)> = self.windows().map(|(d, slot)| (slot, self.rank[d])).collect();
        last_first.sort_unstable_by(|a, b| b.cmp(a));
        let mut any = false;
        for (slot, rank) in last_first {
            let d = self.order[rank];
            let Some(latest) = slot.checked_sub(PlanLimits::earlier_min(slot)) else { continue };
            // Windows and downloads that overlap its own can only be judged without it.
            let holds = self.out(d).max(download_slots(self.room.downloads[d]));
            let clear = (slot + 1).saturating_sub(holds);
            let is_before = |s: &usize| *s < clear && *s <= latest;
            let mut better = self.possible.from(d, 0).take_while(is_before).find(|s| self.room.fits(d, *s));
            if better.is_none() && clear <= latest {
                self.lift(d);
                better = self.possible.from(d, clear).take_while(|s| *s <= latest).find(|s| self.room.fits(d, *s));
                self.place(d, better.unwrap_or(slot));
            } else if let Some(better) = better {
                self.lift(d);
                self.place(d, better);
            }
            any |= better.is_some();
        }
        any
    }

    /// Could anybody who has no place go within the horizon, were there more room?
    pub(super) fn is_short_of_room(&self) -> bool {
        (0..self.placed.len()).any(|d| self.placed[d].is_none() && self.possible.from(d, 0).next().is_some())
    }

    /// Everybody without a place, in the order of the input, each with its reason.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        let of = |d: usize| {
            let (on, earliest) = not_now(self.input, &self.input.devices[d]).unwrap_or_else(|| why(&self.room, d));
            Waiting { device: self.input.devices[d].index, on, earliest }
        };
        (0..self.placed.len()).filter(|d| self.placed[*d].is_none()).map(of).collect()
    }

    /// The placed devices as batches, in order, spread round the regions where priorities are equal.
    pub(super) fn plan(&self, number: PlanNumber, parent: Option<PlanNumber>) -> Plan {
        let input = self.input;
        let mut by_slot: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for d in &self.order {
            if let Some(slot) = self.placed[*d] {
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
                capacity: members.iter().map(|d| score::capacity(super::room::load_score(input, *d, slot))).sum(),
                devices: members.iter().map(|d| input.devices[*d].index).collect(),
            }
        };
        Plan { number, parent, made_at: input.start, batches: by_slot.into_iter().map(batch).collect() }
    }
}

/// Numbers the classes in the order of the input.
fn classes(room: &Room<'_>) -> Vec<usize> {
    let mut known: BTreeMap<(u32, u32, u64, u64, usize, bool), usize> = BTreeMap::new();
    let mut class = |(device, share): (&super::PlanDevice, &f64)| {
        let next = known.len();
        let sizes = (weight(device).to_bits(), share.to_bits());
        let key = (device.pool.0, device.region.0, sizes.0, sizes.1, device.out_slots, device.already_out);
        *known.entry(key).or_insert(next)
    };
    room.input.devices.iter().zip(&room.downloads).map(&mut class).collect()
}

/// Where each device fits while nobody else is placed.
fn possible(room: &Room<'_>, class: &[usize]) -> SlotSets {
    let input = room.input;
    let mut sets = SlotSets::allowed(input);
    let mut by_class: Vec<Option<Vec<bool>>> = vec![None; class.iter().max().map_or(0, |last| last + 1)];
    for (d, device) in input.devices.iter().enumerate() {
        let barred = not_now(input, device).is_some();
        let fits = &*by_class[class[d]]
            .get_or_insert_with(|| (0..input.slots).map(|slot| room.earliest_for_sets(d, slot) == slot).collect());
        sets.retain(d, |slot| !barred && fits[slot] && room.batch_has_room(d, slot));
    }
    sets
}

/// Among neighbours of equal rank, wave and priority, one of each region in turn.
fn spread(input: &PlanInput, members: &mut [usize]) {
    let key = |d: usize| {
        let device = &input.devices[d];
        (device.rank, device.wave, sane(device.priority).to_bits())
    };
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
