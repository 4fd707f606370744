//! What pools, regions and batches have left while a plan grows, and the slots each device may start in by itself.

use super::{PlanDevice, PlanInput};
use crate::ids::RegionIndex;
use crate::score;
use std::collections::BTreeMap;

/// Slack for sums of fractions.
pub(super) const EPSILON: f64 = 1e-9;

/// A priority that is no number goes last.
pub(super) fn sane(priority: f64) -> f64 {
    if priority.is_nan() { f64::MIN } else { priority }
}

/// A weight that is no size counts as too large for any pool.
pub(super) fn weight(device: &PlanDevice) -> f64 {
    if device.weight >= 0.0 { device.weight } else { f64::INFINITY }
}

/// Load score 0–100 of a device's window that starts at a slot; full when it is not known.
pub(super) fn load_score(input: &PlanInput, d: usize, slot: usize) -> f64 {
    let score = input.load_scores.get(d * input.slots + slot).copied().map_or(100.0, f64::from);
    if score.is_nan() { 100.0 } else { score.clamp(0.0, 100.0) }
}

/// Per slot: is the whole window of `out` slots that starts there open in the region and within the horizon?
fn open_windows(input: &PlanInput, region: usize, out: usize) -> Vec<bool> {
    let slot_open = &input.regions[region].slot_open;
    let mut run = 0;
    let mut open = vec![false; input.slots];
    for slot in (0..input.slots).rev() {
        run = if slot_open.get(slot) == Some(&true) { run + 1 } else { 0 };
        open[slot] = run >= out;
    }
    open
}

/// The open windows of each region and length, made when first asked for.
#[derive(Debug, Default)]
pub(super) struct OpenWindows(BTreeMap<(u32, usize), Vec<bool>>);

impl OpenWindows {
    /// Per slot: may the device's whole window start there?
    pub(super) fn of(&mut self, input: &PlanInput, device: &PlanDevice) -> &[bool] {
        let out = device.out_slots.clamp(1, input.slots + 1);
        self.0.entry((device.region.0, out)).or_insert_with(|| open_windows(input, device.region.index(), out))
    }
}

/// How many times what its region's link carries in a slot the device downloads: 0 where there is no limit, infinite for what is no size.
fn download(input: &PlanInput, device: &PlanDevice) -> f64 {
    match input.regions[device.region.index()].download_bytes_max {
        None => 0.0,
        Some(max) if max == f64::INFINITY || device.download_bytes == 0.0 => 0.0,
        Some(max) if max > 0.0 && device.download_bytes > 0.0 => device.download_bytes / max,
        Some(_) => f64::INFINITY,
    }
}

/// Slots that a download takes.
pub(super) fn download_slots(share: f64) -> usize {
    // Saturates for what never ends.
    (share - EPSILON).ceil().max(1.0) as usize
}

/// What a download takes of its slot number `i`.
pub(super) fn download_part(share: f64, i: usize) -> f64 {
    (share - i as f64).clamp(0.0, 1.0)
}

/// The highest load score a device may have, given its lowest over its open windows; `None` when the rule is off.
pub(super) fn load_allowed(input: &PlanInput, lowest: f64) -> Option<f64> {
    let max = input.limits.device_load_max?;
    Some(if lowest > max { lowest + input.limits.device_load_tolerance } else { max })
}

/// A set of slots for each device, one bit a slot.
#[derive(Debug, Clone)]
pub(super) struct SlotSets {
    words: usize,
    bits: Vec<u64>,
}

impl SlotSets {
    fn empty(devices: usize, slots: usize) -> Self {
        let words = slots.div_ceil(64);
        Self { words, bits: vec![0; devices * words] }
    }

    /// The starts every device may have by itself: its window is open, and calm enough.
    pub(super) fn allowed(input: &PlanInput) -> Self {
        let mut sets = Self::empty(input.devices.len(), input.slots);
        let mut windows = OpenWindows::default();
        for (d, device) in input.devices.iter().enumerate() {
            let open = windows.of(input, device);
            let slots = || open.iter().enumerate().filter(|(_, open)| **open).map(|(slot, _)| slot);
            let max = input.limits.device_load_max.and_then(|_| {
                load_allowed(input, slots().map(|s| load_score(input, d, s)).fold(f64::INFINITY, f64::min))
            });
            for slot in slots() {
                if max.is_none_or(|max| load_score(input, d, slot) <= max) {
                    sets.insert(d, slot);
                }
            }
        }
        sets
    }

    fn insert(&mut self, d: usize, slot: usize) {
        self.bits[d * self.words + slot / 64] |= 1 << (slot % 64);
    }

    /// Leaves only the slots in which `keeps` holds.
    pub(super) fn retain(&mut self, d: usize, mut keeps: impl FnMut(usize) -> bool) {
        for word in 0..self.words {
            let mut left = self.bits[d * self.words + word];
            while left != 0 {
                let bit = left.trailing_zeros();
                if !keeps(word * 64 + bit as usize) {
                    self.bits[d * self.words + word] &= !(1 << bit);
                }
                left &= left - 1;
            }
        }
    }

    pub(super) fn has(&self, d: usize, slot: usize) -> bool {
        self.bits[d * self.words + slot / 64] >> (slot % 64) & 1 == 1
    }

    /// The device's slots at or after `from`, in order.
    pub(super) fn from(&self, d: usize, from: usize) -> impl Iterator<Item = usize> + '_ {
        let row = &self.bits[d * self.words..(d + 1) * self.words];
        let mut word = from / 64;
        let mut left = row.get(word).map_or(0, |bits| bits >> (from % 64) << (from % 64));
        std::iter::from_fn(move || {
            while left == 0 {
                word += 1;
                left = *row.get(word)?;
            }
            let slot = word * 64 + left.trailing_zeros() as usize;
            left &= left - 1;
            Some(slot)
        })
    }
}

/// What is left of every limit, slot by slot. Negative where more is promised than may be.
#[derive(Debug, Clone)]
pub(super) struct Room<'a> {
    pub(super) input: &'a PlanInput,
    /// Weight, by pool, then slot.
    pub(super) pool_spare: Vec<f64>,
    /// Members, by pool, then slot.
    pub(super) pool_count: Vec<f64>,
    /// Devices, by region, then slot.
    pub(super) region_count: Vec<f64>,
    /// Share of a region's link, by region, then slot; 1 is the whole of what updates may use.
    pub(super) link: Vec<f64>,
    /// What each device downloads, in what its region's link carries in a slot.
    pub(super) downloads: Vec<f64>,
    /// Points, by slot of start; so are the next two.
    pub(super) requirement: Vec<f64>,
    pub(super) capacity: Vec<f64>,
    pub(super) devices: Vec<f64>,
}

impl<'a> Room<'a> {
    /// Nobody placed.
    pub(super) fn new(input: &'a PlanInput) -> Self {
        let limits = &input.limits;
        let mut pool_spare = Vec::with_capacity(input.pools.len() * input.slots);
        let mut pool_count = Vec::with_capacity(input.pools.len() * input.slots);
        for pool in &input.pools {
            let ruled = limits.pool_rule && pool.members >= limits.pool_members_min;
            for t in 0..input.slots {
                let needed = (pool.demand_upper[t] + limits.pool_reserve * pool.weight_total) / limits.load_limit;
                pool_spare.push(match pool.weight_total - pool.out_weight[t] - needed {
                    _ if !ruled => f64::INFINITY,
                    // A demand that is no number is one that nothing meets.
                    spare if spare.is_nan() => f64::NEG_INFINITY,
                    spare => spare,
                });
                let left = |max| f64::from(max) - f64::from(pool.out_count[t]);
                pool_count.push(pool.out_count_max.map_or(f64::INFINITY, left));
            }
        }
        let region_left = |region: &super::PlanRegion, t: usize| {
            region.out_count_max.map_or(f64::INFINITY, |max| f64::from(max) - f64::from(region.out_count[t]))
        };
        let region_count =
            input.regions.iter().flat_map(|r| (0..input.slots).map(move |t| region_left(r, t))).collect();
        let link_left = |region: &super::PlanRegion, t: usize| {
            let taken = |max: f64| region.downloading_bytes[t] / max;
            match region.download_bytes_max.map(|max| 1.0 - taken(max)) {
                None => f64::INFINITY,
                Some(left) if left.is_finite() => left,
                Some(_) => f64::NEG_INFINITY,
            }
        };
        let starts_left = |t: usize| {
            let rate = limits.starts_max.as_ref().map(|most| most.get(t).copied().unwrap_or(0));
            limits.batch_devices_max.into_iter().chain(rate).min().map_or(f64::INFINITY, f64::from)
        };
        let full = |max: Option<f64>| vec![max.unwrap_or(f64::INFINITY); input.slots];
        Self {
            input,
            pool_spare,
            pool_count,
            region_count,
            link: input.regions.iter().flat_map(|r| (0..input.slots).map(move |t| link_left(r, t))).collect(),
            downloads: input.devices.iter().map(|device| download(input, device)).collect(),
            requirement: full(limits.batch_requirement_max),
            capacity: full(limits.batch_capacity_max),
            devices: (0..input.slots).map(starts_left).collect(),
        }
    }

    /// Position of a pool's or region's slot in its table.
    pub(super) const fn cell(&self, set: u32, slot: usize) -> usize {
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

    /// Has the region's link room for a download that starts in the slot? It must end within the horizon.
    pub(super) fn link_has_room(&self, d: usize, slot: usize) -> bool {
        let share = self.downloads[d];
        if share == 0.0 {
            return true;
        }
        let region = self.input.devices[d].region.0;
        // Nearly all are done in a slot, and this is asked often.
        if share <= 1.0 {
            return self.link[self.cell(region, slot)] + EPSILON >= share;
        }
        let parts = download_slots(share);
        slot.saturating_add(parts) <= self.input.slots
            && (0..parts).all(|i| self.link[self.cell(region, slot + i)] + EPSILON >= download_part(share, i))
    }

    /// The free share 0..=1 of a region's link in a slot.
    pub(super) fn link_free(&self, region: RegionIndex, slot: usize) -> f64 {
        self.link[self.cell(region.0, slot)].clamp(0.0, 1.0)
    }

    /// The first slot at or after `from` whose whole window pool, region and link can spare. Monotone while a plan grows.
    pub(super) fn earliest_for_sets(&self, d: usize, from: usize) -> usize {
        let device = &self.input.devices[d];
        let out = device.out_slots.max(1);
        let mut start = from;
        let mut t = from;
        while t < self.input.slots && t < start + out {
            if !self.sets_have_room(device, t) || (t == start && !self.link_has_room(d, t)) {
                start = t + 1;
            }
            t += 1;
        }
        start
    }

    /// Has the batch of a slot room for one more, this one?
    pub(super) fn batch_has_room(&self, d: usize, slot: usize) -> bool {
        let device = &self.input.devices[d];
        self.devices[slot] >= 1.0
            && (self.requirement[slot] == f64::INFINITY || self.requirement[slot] + EPSILON >= device.requirement)
            && (self.capacity[slot] == f64::INFINITY
                || self.capacity[slot] + EPSILON >= score::capacity(load_score(self.input, d, slot)))
    }

    /// Does the device fit at a slot, by every rule but those of its own window? That window must end within the horizon.
    pub(super) fn fits(&self, d: usize, slot: usize) -> bool {
        let device = &self.input.devices[d];
        self.link_has_room(d, slot)
            && (slot..slot + device.out_slots.max(1)).all(|t| self.sets_have_room(device, t))
            && self.batch_has_room(d, slot)
    }

    /// Takes (`sign` 1) or gives back (−1) what the device costs at a slot.
    pub(super) fn book(&mut self, d: usize, slot: usize, sign: f64) {
        let device = &self.input.devices[d];
        self.devices[slot] -= sign;
        // Where a rule is off, a number that is none must not turn infinity into no number.
        if self.requirement[slot] != f64::INFINITY {
            self.requirement[slot] -= sign * device.requirement;
        }
        if self.capacity[slot] != f64::INFINITY {
            self.capacity[slot] -= sign * score::capacity(load_score(self.input, d, slot));
        }
        let share = self.downloads[d];
        for i in 0..if share == 0.0 { 0 } else { download_slots(share) } {
            let cell = self.cell(device.region.0, slot + i);
            self.link[cell] -= sign * download_part(share, i);
        }
        if device.already_out {
            return;
        }
        for t in slot..slot + device.out_slots.max(1) {
            let (pool, region) = (self.cell(device.pool.0, t), self.cell(device.region.0, t));
            if self.pool_spare[pool] != f64::INFINITY {
                self.pool_spare[pool] -= sign * weight(device);
            }
            self.pool_count[pool] -= sign;
            self.region_count[region] -= sign;
        }
    }
}
