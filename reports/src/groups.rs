//! Pools and regions over time, from a journal: who was under way in which, how loaded each was, and what became of its devices.

use crate::tables::Tables;
use slacktide_engine::ids::DeviceId;
use slacktide_engine::journal::entry::TickEntry;
use slacktide_engine::rollout::AttemptState;
use slacktide_engine::time::Instant;
use std::collections::BTreeMap;

/// Pools or regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Pools,
    Regions,
}

/// What became of the devices of a group that rollouts were for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Devices enrolled when the last rollout began.
    pub(crate) members: u32,
    /// Those that a rollout was for.
    pub(crate) targets: u32,
    /// On the new release.
    pub(crate) updated: u32,
    /// Taken back.
    pub(crate) rolled_back: u32,
    /// Ended otherwise without the new release.
    pub(crate) failed: u32,
    /// Most under way at once, from the command to the end.
    pub(crate) most_under_way: u32,
    /// From when to when how many were under way.
    pub(crate) under_way: Vec<(Instant, u32)>,
    /// Highest value of its demand or load, percent, and when.
    pub(crate) peak: Option<(f64, Instant)>,
    /// Its demand or load, percent: until when, and how much.
    pub(crate) load: Vec<(Instant, f64)>,
}

impl Group {
    /// Neither updated, nor back, nor failed.
    pub(crate) fn not_reached(&self) -> u32 {
        self.targets.saturating_sub(self.updated + self.rolled_back + self.failed)
    }
}

/// All groups of a kind, in the order of the journal.
pub(crate) fn groups(tables: &Tables, kind: Kind) -> Vec<Group> {
    let named = |(name, members): (String, u32)| Group { name, members, ..Group::default() };
    let mut groups: Vec<Group> = match kind {
        Kind::Pools => tables.pools.iter().map(|p| (p.name.clone(), p.members)).map(named).collect(),
        Kind::Regions => tables.regions.iter().map(|(name, members)| (name.clone(), *members)).map(named).collect(),
    };
    for (pool, region) in tables.members.values() {
        if let Some(group) = groups.get_mut(if kind == Kind::Pools { *pool } else { *region }) {
            group.targets += 1;
        }
    }
    ends(tables, kind, &mut groups);
    under_way(tables, kind, &mut groups);
    loads(tables, kind, &mut groups);
    groups
}

fn place(tables: &Tables, kind: Kind, device: &DeviceId) -> Option<usize> {
    tables.members.get(device).map(|(pool, region)| if kind == Kind::Pools { *pool } else { *region })
}

/// What became of each device last.
fn ends(tables: &Tables, kind: Kind, groups: &mut [Group]) {
    let last: BTreeMap<&DeviceId, AttemptState> = tables.settled.iter().map(|(_, s)| (&s.device, s.end)).collect();
    for (device, end) in last {
        let Some(group) = place(tables, kind, device).and_then(|p| groups.get_mut(p)) else { continue };
        match end {
            AttemptState::Succeeded | AttemptState::AlreadyCurrent => group.updated += 1,
            AttemptState::RolledBack => group.rolled_back += 1,
            // Called off before it began: it waits.
            AttemptState::Canceled => {}
            _ => group.failed += 1,
        }
    }
}

/// Devices under way, from the command to the end of the attempt.
fn under_way(tables: &Tables, kind: Kind, groups: &mut [Group]) {
    let mut changes: BTreeMap<Instant, BTreeMap<usize, i64>> = BTreeMap::new();
    let mut change = |at: Instant, device: &DeviceId, by: i64| {
        if let Some(place) = place(tables, kind, device) {
            *changes.entry(at).or_default().entry(place).or_default() += by;
        }
    };
    for batch in &tables.batches {
        batch.devices.iter().for_each(|device| change(batch.at, device, 1));
    }
    tables.settled.iter().for_each(|(at, settled)| change(*at, &settled.device, -1));
    let mut now = vec![0_i64; groups.len()];
    for (at, by_group) in changes {
        for (position, by) in by_group {
            let Some(group) = groups.get_mut(position) else { continue };
            // A rollback ends an attempt that no batch began.
            now[position] = (now[position] + by).max(0);
            let count = now[position] as u32;
            group.most_under_way = group.most_under_way.max(count);
            group.under_way.push((at, count));
        }
    }
}

fn loads(tables: &Tables, kind: Kind, groups: &mut [Group]) {
    let values = |tick: &TickEntry| -> Vec<f64> {
        match kind {
            Kind::Pools => tick.pool_peaks_percent.iter().map(|percent| f64::from(*percent)).collect(),
            Kind::Regions => tick.region_load.clone(),
        }
    };
    for (at, tick) in tables.shown_ticks() {
        for (group, value) in groups.iter_mut().zip(values(tick)) {
            group.load.push((*at, value));
            if group.peak.is_none_or(|(highest, _)| value > highest) {
                group.peak = Some((value, *at));
            }
        }
    }
}
