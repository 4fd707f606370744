//! The fleet as a map: a cell a device, or counts by region and pool where nobody could look at that many cells.

use super::board::Board;
use super::overview::rounded;
use super::registry::{Device, Registry};
use serde::Serialize;
use slacktide_engine::ids::DeviceIndex;
use slacktide_engine::time::Instant;
use slacktide_engine::{DevicePlace, Engine, Place};
use std::collections::BTreeMap;

/// Most devices with a cell each.
const CELLS_MAX: usize = 2000;
/// Most groups of counts; the rest are one.
const GROUPS_MAX: usize = 200;
/// Longest word of a device that a cell carries, in characters.
const WORDS_MAX: usize = 120;

/// The map.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Map {
    /// Few devices.
    Cells { groups: Vec<CellGroup> },
    /// Many.
    Counts { groups: Vec<CountGroup>, groups_left_off: usize },
}

#[derive(Debug, Serialize)]
pub(crate) struct CellGroup {
    region: String,
    pool: String,
    devices: Vec<Cell>,
}

/// One device.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    id: String,
    /// A word of [`word`].
    at: &'static str,
    version: String,
    load: Option<i64>,
    #[serde(skip_serializing_if = "is_false")]
    silent: bool,
    #[serde(skip_serializing_if = "is_false")]
    connected: bool,
    /// Why it waits, or what it said of an attempt that failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    earliest_ms: Option<i64>,
}

/// Devices of a region and a pool.
#[derive(Debug, Default, Serialize)]
pub(crate) struct CountGroup {
    region: String,
    pool: String,
    devices: usize,
    counts: BTreeMap<&'static str, usize>,
    silent: usize,
    /// Mean load score of those it is known of.
    load_mean: Option<f64>,
    #[serde(skip)]
    load_sum: f64,
    #[serde(skip)]
    load_known: usize,
}

const fn is_false(flag: &bool) -> bool {
    !*flag
}

const fn word(place: Place) -> &'static str {
    match place {
        Place::Idle => "idle",
        Place::Waiting => "waiting",
        Place::Staging => "staging",
        Place::Out => "out",
        Place::Updated => "updated",
        Place::RollingBack => "rolling-back",
        Place::RolledBack => "rolled-back",
        Place::Failed => "failed",
    }
}

/// The map.
pub(super) fn draw(
    engine: &Engine,
    registry: &Registry,
    board: &Board,
    places: &[Option<DevicePlace>],
    now: Instant,
) -> Map {
    let pen = Pen { engine, board, places, now };
    if registry.devices().len() <= CELLS_MAX { pen.cells(registry) } else { pen.counts(registry) }
}

struct Pen<'a> {
    engine: &'a Engine,
    board: &'a Board,
    places: &'a [Option<DevicePlace>],
    now: Instant,
}

impl Pen<'_> {
    fn find(&self, device: &Device) -> Option<DeviceIndex> {
        self.engine.fleet().find(&device.facts.id)
    }

    fn place(&self, index: Option<DeviceIndex>) -> Option<&DevicePlace> {
        self.places.get(index?.index())?.as_ref()
    }

    fn at(&self, index: Option<DeviceIndex>) -> &'static str {
        self.place(index).map_or("absent", |one| word(one.place))
    }

    /// Not where nothing was ever reported: what is unknown counts as full to the planner, which is no load to show.
    fn load(&self, index: DeviceIndex) -> Option<f64> {
        self.engine.fleet().load_now(index.index()).map(|_| self.engine.load_score_now(index))
    }

    fn is_silent(&self, index: DeviceIndex) -> bool {
        !self.engine.fleet().is_heard(index.index(), self.now)
    }

    fn cells(&self, registry: &Registry) -> Map {
        let mut groups: BTreeMap<(&str, &str), Vec<Cell>> = BTreeMap::new();
        for device in registry.devices() {
            let key = (device.facts.region.as_str(), device.facts.pool.as_str());
            groups.entry(key).or_default().push(self.cell(device));
        }
        let group = |((region, pool), devices): ((&str, &str), _)| CellGroup {
            region: region.to_owned(),
            pool: pool.to_owned(),
            devices,
        };
        Map::Cells { groups: groups.into_iter().map(group).collect() }
    }

    fn cell(&self, device: &Device) -> Cell {
        let index = self.find(device);
        let waits = self.place(index).and_then(|one| one.waits.as_ref());
        let why = match (waits, index) {
            (Some((on, _)), _) => on.name(),
            (None, Some(index)) => self.board.words(index),
            (None, None) => "",
        };
        let version = index.map_or(device.facts.version, |index| self.engine.fleet().facts[index.index()].version);
        Cell {
            id: device.name().to_owned(),
            at: self.at(index),
            version: version.to_string(),
            load: index.and_then(|index| self.load(index)).map(|load| load.round() as i64),
            silent: index.is_some_and(|index| self.is_silent(index)),
            connected: device.is_connected(),
            why: why.chars().take(WORDS_MAX).collect(),
            earliest_ms: waits.and_then(|(_, earliest)| earliest.map(Instant::as_millis)),
        }
    }

    fn counts(&self, registry: &Registry) -> Map {
        let mut groups: BTreeMap<(&str, &str), CountGroup> = BTreeMap::new();
        for device in registry.devices() {
            let (region, pool) = (device.facts.region.as_str(), device.facts.pool.as_str());
            let group = groups.entry((region, pool)).or_insert_with(|| CountGroup {
                region: region.to_owned(),
                pool: pool.to_owned(),
                ..CountGroup::default()
            });
            let index = self.find(device);
            group.devices += 1;
            *group.counts.entry(self.at(index)).or_default() += 1;
            group.silent += usize::from(index.is_some_and(|index| self.is_silent(index)));
            if let Some(load) = index.and_then(|index| self.load(index)) {
                group.load_sum += load;
                group.load_known += 1;
            }
        }
        fold(groups.into_values().collect())
    }
}

/// How much a group asks to be looked at.
fn attention(group: &CountGroup) -> usize {
    let at_work = ["staging", "out", "rolling-back", "failed"];
    at_work.iter().filter_map(|name| group.counts.get(name)).sum::<usize>() + group.silent
}

/// Those that ask most to be looked at, by name, and all others as one.
fn fold(mut groups: Vec<CountGroup>) -> Map {
    let groups_left_off = if groups.len() > GROUPS_MAX { groups.len() - GROUPS_MAX } else { 0 };
    if groups_left_off > 0 {
        groups.sort_by_key(|group| std::cmp::Reverse(attention(group)));
        let mut rest = CountGroup::default();
        for group in groups.drain(GROUPS_MAX..) {
            rest.devices += group.devices;
            rest.silent += group.silent;
            rest.load_sum += group.load_sum;
            rest.load_known += group.load_known;
            group.counts.into_iter().for_each(|(name, n)| *rest.counts.entry(name).or_default() += n);
        }
        groups.sort_by(|a, b| (&a.region, &a.pool).cmp(&(&b.region, &b.pool)));
        rest.pool = format!("{groups_left_off} further groups");
        groups.push(rest);
    }
    for group in &mut groups {
        group.load_mean = (group.load_known > 0).then(|| rounded(group.load_sum / group.load_known as f64));
    }
    Map::Counts { groups, groups_left_off }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_left_off_is_in_the_sum() {
        let group = |n: usize| CountGroup {
            pool: format!("p{n:04}"),
            devices: 10,
            counts: BTreeMap::from([("out", n % 7), ("idle", 10 - n % 7)]),
            ..CountGroup::default()
        };
        let Map::Counts { groups, groups_left_off } = fold((0..1000).map(group).collect()) else { panic!("cells") };
        assert_eq!((groups.len(), groups_left_off), (GROUPS_MAX + 1, 1000 - GROUPS_MAX));
        assert_eq!(groups.iter().map(|group| group.devices).sum::<usize>(), 10_000);
        let out: usize = groups.iter().filter_map(|group| group.counts.get("out")).sum();
        assert_eq!(out, (0..1000).map(|n| n % 7).sum::<usize>());
        assert!(groups[..GROUPS_MAX].iter().all(|group| group.counts["out"] >= 5), "the busiest are shown");
    }
}
